//! What calls ask of the media engine, and what it tells them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sdp::plan::{LegPlan, Sound};
use sdp::report::{MediaReport, SentReport, Unopened};
use sdp::{Agreed, Side};

/// What a call asks of the media engine.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaCommand {
    /// Bind ports for both legs; answered by [`MediaEvent::Opened`] or [`MediaEvent::Failed`].
    Open {
        /// Where leg A's media lives.
        a: Network,
        /// Where leg B's media lives.
        b: Network,
    },
    /// Both legs agreed, or one did and the other is nobody's yet: relay. Plans by [`Side::index`].
    Start {
        /// What to do on each leg.
        plans: Box<[LegPlan; 2]>,
    },
    /// From now on packets may go to this leg.
    OpenGate(Side),
    /// A leg agreed on something new in mid-call.
    Update {
        /// The leg.
        side: Side,
        /// What now holds.
        agreed: Box<Agreed>,
    },
    /// The other leg's peer told a digit in its signalling: this leg hears it as a telephone event.
    SendDigit {
        /// The leg that hears it.
        side: Side,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was pressed.
        duration: Duration,
    },
    /// Somebody else is at a leg from now on; for the other leg nothing breaks.
    Replace {
        /// The leg.
        side: Side,
        /// What to do on it.
        plan: Box<LegPlan>,
    },
    /// What a leg hears from now on while the other one has nothing to say.
    Sound {
        /// The leg that hears it.
        side: Side,
        /// Over and over; `None`: nothing, or silence where its plan says so.
        sound: Option<Sound>,
    },
    /// The call is over: answered by [`MediaEvent::Closed`] whatever happened before.
    Close,
}

/// Which of our addresses a leg's media uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one the carrier reaches.
    Public,
    /// The one the PBX reaches.
    Private,
}

/// Ports bound for one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address the peer is told.
    pub address: IpAddr,
    /// RTP port, even.
    pub rtp_port: u16,
    /// RTCP port, used unless RTP and RTCP are multiplexed.
    pub rtcp_port: u16,
}

/// What the media engine tells a call.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaEvent {
    /// Ports are bound.
    Opened {
        /// Leg A's.
        a: LocalMedia,
        /// Leg B's.
        b: LocalMedia,
    },
    /// Ports could not be bound, or a plan could not be carried out.
    Failed(String),
    /// The first packet of a leg's peer came.
    FirstReceived(Side),
    /// The first packet left for a leg's peer.
    FirstSent(Side),
    /// A leg's peer has sent neither RTP nor RTCP for this long.
    Silent {
        /// The leg.
        side: Side,
        /// For how long.
        after: Duration,
    },
    /// A leg's peer should send and has sent no RTP for this long; nothing ends for that.
    Quiet {
        /// The leg.
        side: Side,
        /// For how long.
        after: Duration,
    },
    /// A silent leg's peer is back.
    Resumed(Side),
    /// What a leg's peer says is coded anew from now on, because the other leg takes one length of packets only, or passes again.
    Recut {
        /// The leg whose packets are of another length.
        side: Side,
        /// `false`: it passes again.
        begins: bool,
    },
    /// Packets of a leg's peer cannot be opened from now on, or again after a quiet time; nothing ends for that.
    Unopened {
        /// The leg.
        side: Side,
        /// What the first of them lacked.
        why: Unopened,
        /// Where that came from.
        source: SocketAddr,
    },
    /// A digit came (RFC 4733).
    Digit {
        /// The leg it came from.
        from: Side,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was pressed, in milliseconds.
        duration_ms: u32,
    },
    /// An RTCP report of ours left for a leg's peer: for whoever listens, nothing to act on.
    Reported {
        /// The leg.
        side: Side,
        /// What it says.
        report: SentReport,
    },
    /// The last word on a call: its ports are draining.
    Closed(Box<MediaReport>),
}
