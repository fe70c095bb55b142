//! What media is asked to do with one leg: the agreement and the local facts around it.
//!
//! Written by signalling, read by the media engine, which knows nothing else of a call.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::{Agreed, Codec, Direction, Keying, Negotiated};

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
    /// When the way to this leg counts as proven: audio of the other leg that comes before is held and
    /// played then. `None`: nothing is held.
    pub proof: Option<Proof>,
    /// What we send while the other leg has nothing to say.
    pub silence: Silence,
    /// Whose packets we believe.
    pub latch: Latch,
    /// Report [`crate::report`]-worthy silence when the leg sent neither RTP nor RTCP for this long.
    pub inactivity: Option<Duration>,
    /// Say so when the leg, which should send, sent no RTP for this long; nothing else comes of it.
    pub quiet: Option<Duration>,
    /// Payload type under which telephone events are accepted though never negotiated
    /// (126 for a peer known to send them unasked).
    pub unsolicited_dtmf: Option<u8>,
    /// What is done to its audio besides; by default nothing.
    pub care: Care,
}

impl LegPlan {
    /// The plan of a leg nobody is at yet: nothing is sent to it, and nothing that comes is believed.
    pub fn nobody() -> LegPlan {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        LegPlan {
            agreed: Agreed {
                remote_rtp: nowhere,
                remote_rtcp: nowhere,
                rtcp_mux: false,
                audio: Negotiated {
                    codec: Codec::Pcma,
                    send_pt: 8,
                    receive_pt: 8,
                    remote_fmtp: None,
                },
                dtmf: None,
                ptime: 20,
                keying: Keying::None,
                direction: Direction::Inactive,
                wants_voip_metrics: false,
            },
            ssrc: 0,
            cname: String::new(),
            gate: Gate::Shut,
            proof: None,
            silence: Silence::Rtcp,
            latch: Latch::Exact,
            inactivity: None,
            quiet: None,
            unsolicited_dtmf: None,
            care: Care::default(),
        }
    }
}

/// What is done to the audio of a leg besides carrying it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// While no telephone events are agreed on, keys are tones in its audio: heard there, and said to it
    /// (ITU-T Q.23, Q.24).
    pub tones: bool,
    /// What it hears of the other leg passes through a jitter buffer, because it has none itself.
    pub smoothing: Option<Smoothing>,
    /// Made louder or softer on its way.
    pub gain: Gain,
    /// It takes packets of its ptime and no others: what could pass in packets of another length is coded anew.
    pub exact_ptime: bool,
}

/// How much louder audio is made than it came, in dB, within [`Gain::MOST`] either way; 0: untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gain {
    /// What comes from the leg.
    pub heard: i8,
    /// What the leg gets.
    pub said: i8,
}

impl Gain {
    /// The most there is of it: ten times, or a tenth.
    pub const MOST: i8 = 20;
}

/// How long packets may wait in a jitter buffer, against those that came quickest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smoothing {
    /// The shortest delay, in ms.
    pub least: u16,
    /// The longest, in ms.
    pub most: u16,
}

/// Audio of our own, played over and over: mono, 8 000 samples of 16 bits a second. Decoded once and
/// shared by every call that plays it.
#[derive(Clone)]
pub struct Sound(Arc<[i16]>);

impl Sound {
    /// `None` when there is not a single sample.
    pub fn new(samples: impl Into<Arc<[i16]>>) -> Option<Sound> {
        let samples = samples.into();
        (!samples.is_empty()).then_some(Sound(samples))
    }

    /// The samples of one round; never empty.
    pub fn samples(&self) -> &[i16] {
        &self.0
    }
}

impl PartialEq for Sound {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Sound {}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} ms)", self.0.len() / 8)
    }
}

/// Permission to send to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing leaves until the gate is opened: audio, DTMF and RTCP for this leg are dropped and counted.
    Shut,
    /// Packets may leave at once.
    Open,
}

/// What proves that audio sent to a leg is heard there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The gate is open.
    Gate,
    /// The gate is open, and the leg was heard: one authentic packet of its came, RTP or RTCP. It need
    /// not come: after the longest time audio may be held the way counts as proven.
    Heard,
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
