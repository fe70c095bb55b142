//! # sdp: what is offered, what is answered, what was agreed
//!
//! ```text
//!  text ─► description ─► agree(offer, answer) ─► Agreed ─► plan::LegPlan ─► media
//!             ▲
//!          compose (our own words, never an edited stranger's)
//! ```
//!
//! Signalling and media share the *values* of this crate and nothing else: what was agreed
//! ([`Agreed`]), what media is asked to do with it ([`plan`]) and what it reports ([`report`]).

mod agreed;
mod format;
mod keying;
pub mod plan;
pub mod report;
mod side;

pub use agreed::{Agreed, Direction, Negotiated, Profile};
pub use format::{Codec, Format};
pub use keying::{Crypto, Keying, Mki, SrtpKey, Suite};
pub use side::Side;
