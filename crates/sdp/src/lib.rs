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

//! | does | does not |
//! |------|----------|
//! | one audio stream; Opus, G.711, telephone events at 8 kHz | video, other codecs |
//! | `RTP/AVP`, and `RTP/SAVP` keyed by `a=crypto` (RFC 4568) with lifetime and MKI | DTLS-SRTP, ICE, GCM suites |
//! | hold by direction and by `0.0.0.0` (RFC 3264 §8.4) | host names in `c=` |
//! | RTCP on the same port, the next, or as `a=rtcp` says (RFC 5761, RFC 3605) | BUNDLE of several streams |

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod agree;
mod agreed;
pub mod attribute;
pub mod compose;
mod crypto;
mod description;
mod format;
mod keying;
mod media;
pub mod plan;
pub mod report;
mod side;

pub use agree::{Disagreement, Role, agree};
pub use agreed::{Agreed, Direction, Negotiated, Profile};
pub use compose::{Local, MediaProfile};
pub use crypto::Unusable;
pub use description::{Description, Malformed};
pub use format::{Codec, Format};
pub use keying::{Crypto, Keying, Mki, SrtpKey, Suite};
pub use media::Media;
pub use side::Side;
