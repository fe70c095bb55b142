//! Traces: why a call went as it went, from the memory of the running program or from files.
//!
//! ```text
//!   core task ── one tap ──► store.rs, ring.rs (bounded memory) ──► draw.rs ─► ladder in the terminal, SVG
//!                                │ a call failed                ▲
//!                                └──► keep.rs ─► file.rs ─► pcapng ─► Wireshark, `wa-sbc replay`
//! ```
//!
//! Secrets are in the memory only; redact.rs takes them out of whatever leaves it.

mod draw;
mod facts;
mod file;
mod follow;
mod keep;
#[cfg(test)]
mod ladder_tests;
mod outside;
mod reach;
mod redact;
mod ring;
#[cfg(test)]
mod samples;
pub(crate) mod scan;
mod seen;
mod store;

pub use draw::{Manner, draw};
pub(crate) use file::word;
pub use file::{StoryWriter, stories};
pub(crate) use follow::{By, Follow, Followed, News, Told};
pub use keep::{Keeper, find};
pub(crate) use reach::{Reach, reached};
pub(crate) use redact::closed;
pub use redact::redacted;
pub use seen::{Crossed, Gap, Seen, Story, What};
pub use store::{Bounds, Trace};
