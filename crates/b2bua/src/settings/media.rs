//! How audio is spoken with a trunk beyond its codecs.

use sdp::Suite;
use sdp::plan::{Gain, Smoothing};

/// How audio is spoken with a trunk beyond its codecs. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct TrunkMedia {
    /// Whether its packets are protected.
    pub srtp: Srtp,
    /// SRTP suites, most wanted first.
    pub suites: Vec<Suite>,
    /// What it hears passes through a jitter buffer within these bounds.
    pub smoothing: Option<Smoothing>,
    /// How much louder it is made for the user, and the user for it.
    pub gain: Gain,
}

/// Whether the packets of a trunk are protected by SRTP, keyed in SDP (RFC 3711, RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Never: `RTP/AVP` is offered, `RTP/SAVP` refused.
    #[default]
    Off,
    /// As the PBX offers it; we offer `RTP/AVP`.
    Allowed,
    /// Always: `RTP/SAVP` is offered, `RTP/AVP` refused.
    Required,
}

impl Srtp {
    /// The transport profile of our offers.
    pub const fn offered(self) -> sdp::Profile {
        match self {
            Srtp::Off | Srtp::Allowed => sdp::Profile::Avp,
            Srtp::Required => sdp::Profile::Savp,
        }
    }
}
