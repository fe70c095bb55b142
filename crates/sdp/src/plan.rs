//! What media is asked to do with one leg: the agreement and the local facts around it.
//!
//! Written by signalling, read by the media engine, which knows nothing else of a call.

use std::net::IpAddr;
use std::time::Duration;

use crate::Agreed;

/// Everything the media engine has to know about one leg.
#[derive(Clone, Debug, PartialEq)]
pub struct LegPlan {
    /// What offer and answer agreed on.
    pub agreed: Agreed,
    /// The one SSRC we send under for the life of the leg.
    pub ssrc: u32,
    /// Our RTCP CNAME (RFC 3550 §6.5.1).
    pub cname: String,
    /// Whether packets may go to this leg at once.
    pub gate: Gate,
    /// What we send while the other leg has nothing to say.
    pub silence: Silence,
    /// Whose packets we believe.
    pub latch: Latch,
    /// Report [`crate::report`]-worthy silence when the leg sent neither RTP nor RTCP for this long.
    pub inactivity: Option<Duration>,
    /// Payload type under which telephone events are accepted though never negotiated
    /// (126 for a peer known to send them unasked).
    pub unsolicited_dtmf: Option<u8>,
}

/// Permission to send to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing leaves until the gate is opened: audio, DTMF and RTCP for this leg are dropped and counted.
    Shut,
    /// Packets may leave at once.
    Open,
}

/// What keeps a leg alive while there is no audio for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing but the regular RTCP reports.
    Rtcp,
    /// Paced frames of encoded silence, starting with the first packet the moment the gate opens.
    Frames,
}

/// Where media from the far side may come from (symmetric RTP, RFC 4961, with RTP bleed in mind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// Exactly the address and port of the SDP.
    Exact,
    /// The SDP's address with any port, or the given address the signalling came from; the first
    /// plausible source wins and is kept until it has been quiet for 3 s.
    Plausible {
        /// The source address of the leg's signalling, when known.
        signalling: Option<IpAddr>,
    },
    /// Any source whose first packet authenticates (SRTP); such a packet may also move the latch.
    Authenticated,
}
