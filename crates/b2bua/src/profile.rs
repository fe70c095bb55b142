//! How a kind of peer wants to be treated: policy as data, no behaviour.

use std::time::Duration;

use sdp::plan::{Latch, Proof, Silence};

use crate::cause::RefusalRule;

/// How a kind of peer (the carrier, or an ordinary PBX) wants to be treated.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerProfile {
    /// A word for logs and records.
    pub name: &'static str,
    /// The methods of our `Allow` header towards it, besides those of its extensions.
    pub allow: &'static str,
    /// What it hears of the far leg's progress while it waits for the answer.
    pub progress: Progress,
    /// What it may change in mid-call. Whatever it changes is answered on its own leg; the other
    /// leg never hears of it.
    pub reoffer: Reoffer,
    /// What it may use beyond RFC 3261. All of it stays on its own leg.
    pub extensions: Extensions,
    /// Whether its address in a dialog is believed, or where it was seen to be.
    pub nat: Nat,
    /// It may send its requests over the connections we open (RFC 5923): our Via says so.
    pub alias: bool,
    /// How it names users who have no number, if it does.
    pub opaque_user: Option<OpaqueUser>,
    /// Headers of our INVITEs to it that no rule may touch, besides those SIP itself fixes.
    pub fixed_headers: &'static [&'static str],
    /// It refuses calls whose From has another host than it expects.
    pub from_host_fixed: bool,
    /// What its refusals mean, first fitting row wins.
    pub refusals: &'static [RefusalRule],
    /// Packets to it wait for the moment the call is answered.
    pub gated: bool,
    /// What proves that it hears us: the other leg's audio is held until then. `None`: nothing is held.
    pub proof: Option<Proof>,
    /// What it gets while there is no audio for it.
    pub silence: Silence,
    /// It takes packets of the agreed ptime and no others, whatever the other leg sends.
    pub exact_ptime: bool,
    /// Whose packets we believe to be its.
    pub latch: LatchRule,
    /// End the call when it sent neither RTP nor RTCP for this long.
    pub inactivity: Option<Duration>,
    /// Warn when it should send and sent no RTP for this long.
    pub quiet: Option<Duration>,
    /// Payload type under which it sends telephone events unasked.
    pub unsolicited_dtmf: Option<u8>,
    /// How it is told that the other side pressed a key.
    pub digits: Digits,
    /// Payload type of Opus in our offers.
    pub opus_pt: u8,
    /// Payload type of telephone events in our offers.
    pub dtmf_pt: u8,
    /// Parameters of Opus in our offers and answers.
    pub opus_fmtp: &'static str,
    /// Whether our SDP names our SSRC (RFC 5576).
    pub print_ssrc: bool,
    /// The names of its metadata headers, if it has any.
    pub metadata: Option<&'static MetadataNames>,
}

/// An ordinary PBX: everything RFC 3261 and RFC 3264 allow, plain RTP, symmetric.
pub const PBX: PeerProfile = PeerProfile {
    name: "pbx",
    allow: "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, PRACK",
    progress: Progress::Pass,
    reoffer: Reoffer::Negotiate,
    extensions: Extensions {
        info_digits: true,
        reliable: true,
        session_timer: Some(SessionPolicy {
            ask: None,
            least: 90,
        }),
        transfer: true,
        replaces: true,
    },
    nat: Nat::Seen,
    alias: true,
    opaque_user: None,
    fixed_headers: &[],
    from_host_fixed: false,
    refusals: &[],
    gated: false,
    proof: None,
    silence: Silence::Rtcp,
    exact_ptime: false,
    latch: LatchRule::Plausible,
    // A PBX may be quiet for as long as it likes: hold without music, an agent on mute.
    inactivity: None,
    quiet: Some(Duration::from_secs(10)),
    unsolicited_dtmf: None,
    digits: Digits::Events,
    opus_pt: 111,
    dtmf_pt: 101,
    opus_fmtp: "useinbandfec=1",
    print_ssrc: false,
    metadata: None,
};

/// How a peer is told that the other side pressed a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// By telephone events in its audio (RFC 4733).
    Events,
    /// By INFO with `application/dtmf-relay`; its audio carries none.
    Info,
    /// By tones in its audio (ITU-T Q.23), where its own keys are listened for as well.
    Tones,
}

/// What a caller hears of progress before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// One 180 without SDP, whatever the far leg sends.
    RingingOnly,
    /// Every 18x as it comes, without SDP.
    Pass,
}

/// What a peer may change in mid-call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reoffer {
    /// Anything: the new offer is negotiated and answered.
    Negotiate,
    /// Nothing: an unchanged offer gets the current answer, a changed one 488.
    OnlyUnchanged,
}

/// What a peer may use beyond RFC 3261.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Digits in INFO requests (`application/dtmf-relay`, `application/dtmf`).
    pub info_digits: bool,
    /// Reliable provisional responses and PRACK (RFC 3262).
    pub reliable: bool,
    /// Session timers (RFC 4028).
    pub session_timer: Option<SessionPolicy>,
    /// REFER: somebody else takes its place in the call (RFC 3515).
    pub transfer: bool,
    /// INVITE with Replaces: another of its telephones takes a dialog over (RFC 3891).
    pub replaces: bool,
}

/// Where requests in a dialog go, when the peer may be behind a NAT and its Contact inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Where it came from, if its Contact is a private address and that is none: nothing private can
    /// be reached from outside.
    Seen,
    /// Where it came from, whatever its Contact says.
    Always,
    /// Where its Contact says (RFC 3261 §12.2.1.1).
    Never,
}

/// What we want of a session timer. A peer that asks for one gets it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// The interval we ask for by ourselves, in seconds; `None`: we do not ask.
    pub ask: Option<u32>,
    /// The shortest interval we take, in seconds; 90 at least (RFC 4028 §5).
    pub least: u32,
}

impl Extensions {
    /// Plain RFC 3261.
    pub const NONE: Extensions = Extensions {
        info_digits: false,
        reliable: false,
        session_timer: None,
        transfer: false,
        replaces: false,
    };
}

/// The form of a user's name that is no number: letters, a separator, letters and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueUser {
    /// How many upper-case letters stand before the separator.
    pub letters: usize,
    /// The separator.
    pub separator: char,
    /// The most characters behind it.
    pub longest: usize,
}

impl OpaqueUser {
    /// Whether `user` has this form.
    pub fn fits(&self, user: &str) -> bool {
        user.split_once(self.separator).is_some_and(|(lead, rest)| {
            lead.len() == self.letters
                && lead.bytes().all(|b| b.is_ascii_uppercase())
                && (1..=self.longest).contains(&rest.len())
                && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        })
    }
}

/// From which rule a leg's [`Latch`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchRule {
    /// Any source, once a packet authenticated; for SRTP.
    Authenticated,
    /// The SDP's address, or the address of the leg's signalling.
    Plausible,
    /// Exactly what the SDP says.
    Exact,
}

impl LatchRule {
    /// The latch of a leg whose signalling comes from `signalling`.
    pub fn latch(self, signalling: Option<std::net::IpAddr>) -> Latch {
        match self {
            LatchRule::Authenticated => Latch::Authenticated,
            LatchRule::Plausible => Latch::Plausible { signalling },
            LatchRule::Exact => Latch::Exact,
        }
    }
}

/// The headers in which a peer tells facts about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataNames {
    /// Every header that starts so (any case, `_` like `-`) is metadata.
    pub prefix: &'static str,
    /// The header with the peer's own reference of the call.
    pub reference: &'static str,
    /// Where that header is missing, the reference is the Call-ID behind this prefix.
    pub reference_call_id_prefix: &'static str,
    /// The header in its BYE with the duration of the call in seconds.
    pub duration: &'static str,
}
