//! # media: RTP in, RTP out
//!
//! ```text
//!  datagram ─► latch ─► SRTP ─► rx (order, loss) ─► copy │ transcode │ DTMF ─► gate ─► tx ─► SRTP ─► datagram
//! ```
pub mod codec;
mod packet;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod tone;
pub use packet::{CAPACITY, Packet};
