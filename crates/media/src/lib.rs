//! # media: RTP in, RTP out
//!
//! ```text
//!  datagram ─► latch ─► SRTP ─► rx (order, loss) ─► copy │ transcode │ DTMF ─► gate ─► tx ─► SRTP ─► datagram
//!             └──────────────────────────── Session ────────────────────────────┘
//! ```
//!
//! Knows two agreements ([`sdp::Agreed`], as [`sdp::plan::LegPlan`]s) and packets; has never heard of
//! calls, SIP, sockets or clocks. [`Session`] is the door, its three duties are described there;
//! an [`Outbox`] is lent to it for what it has to say.
//!
//! | does | does not |
//! |------|----------|
//! | SRTP and SRTCP with AES_CM_128_HMAC_SHA1_80 and _32, AES-GCM, MKI (RFC 3711, RFC 7714, RFC 4568) | DTLS, ICE |
//! | Opus, PCMA, PCMU, transcoded at 8 kHz, re-framed (RFC 7587, RFC 3551) | wideband through a transcoder |
//! | in-band FEC, concealment, a reorder window of one packet | smooth what endpoints with a jitter buffer play |
//! | a jitter buffer for a leg that says it has none | |
//! | telephone events, relayed, told and made on request (RFC 4733); keys as tones where a leg knows no events | |
//! | RTCP of its own on both legs, multiplexed or not (RFC 3550, RFC 5761) | RTCP passed through, feedback |
//! | one SSRC, sequence and line of timestamps per leg for life | |
//! | symmetric RTP on plausible or authenticated sources only | |
//!
//! Invariants: no clock, no thread, no lock, no `dyn`; no allocation between [`Session::start`] (or
//! [`Session::update`]) and the end; nothing a stranger sends panics or is an `Err`.

mod chance;
pub mod codec;
pub mod dtmf;
mod failing;
mod frames;
mod gain;
mod inband;
mod jitter;
mod keyboard;
pub mod latch;
mod leg;
mod noise;
mod outbox;
mod packet;
mod path;
mod player;
mod prefetch;
mod preroll;
pub mod quality;
mod queue;
mod redundancy;
pub mod rtcp;
pub mod rtp;
pub mod rx;
mod session;
mod settings;
pub mod source;
pub mod srtp;
mod stats;
pub mod tone;
pub mod tx;

pub use outbox::Outbox;
pub use packet::{CAPACITY, Packet};
pub use path::Mode;
pub use prefetch::prefetch;
pub use session::{Channel, Event, Forward, Near, Session};
pub use settings::{EngineSettings, StartError};
