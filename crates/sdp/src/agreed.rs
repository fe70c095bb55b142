//! The outcome of an offer and an answer, seen from our side.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Codec, Keying};

/// The transport profile of an `m=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `RTP/AVP`: plain RTP (RFC 3551).
    Avp,
    /// `RTP/SAVP`: SRTP (RFC 3711), keyed by `a=crypto`.
    Savp,
}

impl Profile {
    /// The name in an `m=` line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Avp => "RTP/AVP",
            Profile::Savp => "RTP/SAVP",
        }
    }
}

/// Direction of media, **from our point of view** (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We send and receive.
    SendRecv,
    /// We only send.
    SendOnly,
    /// We only receive.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we may send.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether we expect to receive.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The name of the SDP attribute (RFC 8866 §6.7).
    pub const fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// What is left when both have to hold: sends where both send, receives where both receive.
    pub const fn meet(self, other: Self) -> Self {
        match (
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        ) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The same direction seen from the far side.
    pub const fn reversed(self) -> Self {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            other => other,
        }
    }
}

/// A codec both sides have, with the payload type each of them wants to *receive* it under
/// (RFC 3264 §5.1: the numbers may differ).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The codec.
    pub codec: Codec,
    /// The payload type in packets we send: the far side's number.
    pub send_pt: u8,
    /// The payload type in packets we receive: our number.
    pub receive_pt: u8,
    /// The far side's `a=fmtp` value: what it asks of what we send. Shared: signalling and media both keep it.
    pub remote_fmtp: Option<Arc<str>>,
}

/// What an offer and an answer agreed on for the audio stream of one leg, from our point of view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where our RTP goes. The unspecified address means "hold" in the style of RFC 2543.
    pub remote_rtp: SocketAddr,
    /// Where our RTCP goes; equal to `remote_rtp` when multiplexed.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// The audio codec.
    pub audio: Negotiated,
    /// Telephone events, where both sides have them.
    pub dtmf: Option<Negotiated>,
    /// Milliseconds of audio per packet we send.
    pub ptime: u8,
    /// How packets are protected.
    pub keying: Keying,
    /// Direction, from our point of view.
    pub direction: Direction,
    /// The far side asks for the VoIP metrics of RTCP XR (RFC 3611 §5.1).
    pub wants_voip_metrics: bool,
}

impl Agreed {
    /// Whether the far side has us on hold in the style of RFC 2543: there is nowhere to send to.
    pub fn has_no_address(&self) -> bool {
        self.remote_rtp.ip().is_unspecified()
    }
}
