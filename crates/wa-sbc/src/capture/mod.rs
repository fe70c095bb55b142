//! Live captures: what crosses our border, in the clear, as files Wireshark opens and `wa-sbc replay` plays.
//!
//! ```text
//!   core task ── Trace: stories somebody follows ── bounded queue ──┐
//!                                                                   ├─► writer.rs ─► open.rs ─► files.rs: a ring of pcapng
//!   media threads ── glimpse.rs ── ring.rs: words taken before ─────┘
//! ```
//!
//! A call never waits for a capture: what the writer does not come to write is dropped and counted, and a
//! full disk ends the capture. While nothing is captured no thread runs, no ring is there, and a packet
//! costs one comparison.

mod captures;
mod counts;
mod files;
mod glimpse;
mod open;
mod ring;
mod status;
mod wish;
mod writer;

pub(crate) use captures::Captures;
pub(crate) use counts::Counts;
pub(crate) use glimpse::{Crossing, Glimpses, Tap, Watched, glimpses};
pub(crate) use status::Status;
pub(crate) use wish::Wish;
