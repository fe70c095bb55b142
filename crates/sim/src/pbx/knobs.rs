//! Everything about the simulated PBX that can be turned.

use std::net::SocketAddr;
use std::time::Duration;

use sdp::{Codec, Suite};
use sip::{Target, TimerSettings, Transport};

use super::fork::Fork;
pub use crate::meta::digest::Hash;
use crate::meta::knobs::{MediaPlace, Talk};

/// The simulated PBX.
#[derive(Clone, Debug)]
pub struct PbxSettings {
    /// Its SIP address: in Via, Contact and From.
    pub address: SocketAddr,
    /// The SBC.
    pub sbc: Target,
    /// Where media lives.
    pub media: MediaPlace,
    /// Codecs, most wanted first; telephone events where listed.
    pub codecs: Vec<Codec>,
    /// Whether it speaks SRTP, and under which suites, most wanted first.
    pub srtp: Vec<Suite>,
    /// The ptime of its descriptions; what it sends is up to what is said ([`Talk::packets`]).
    pub ptime: u8,
    /// It makes a new key for every description.
    pub rekeys: bool,
    /// SIP timers.
    pub timers: TimerSettings,
    /// What happens when it is called, unless [`super::PbxPeer::script`] said otherwise.
    pub script: PbxScript,
    /// What it answers to digits in INFO.
    pub informed: u16,
    /// What it answers challenges of the SBC with: user name and password.
    pub account: Option<(String, String)>,
    /// Who may register with it and has to prove itself, if anybody.
    pub registrar: Option<PbxRegistrar>,
    /// Seed of tags and branches.
    pub seed: u64,
}

/// The simulated PBX as one that challenges and takes registrations.
#[derive(Clone, Debug)]
pub struct PbxRegistrar {
    /// Its realm.
    pub realm: String,
    /// The extension, its digest user name and password.
    pub account: (String, String),
    /// The algorithm of its challenges.
    pub hash: Hash,
    /// Seconds it grants at most.
    pub grants: u32,
    /// Seconds it takes at least: else 423.
    pub least: u32,
    /// It challenges calls as well (407).
    pub challenges_calls: bool,
    /// It challenges requests inside calls as well.
    pub challenges_requests: bool,
    /// A nonce is good for so many uses, then it is stale.
    pub uses: u32,
    /// What the next REGISTERs get instead, first first: a status, and header lines.
    pub refusals: Vec<(u16, Vec<(String, String)>)>,
}

impl PbxRegistrar {
    /// One that knows this extension.
    pub fn new(extension: &str, password: &str) -> Self {
        Self {
            realm: "pbx.example.com".into(),
            account: (extension.into(), password.into()),
            hash: Hash::Md5,
            grants: 3_600,
            least: 0,
            challenges_calls: false,
            challenges_requests: false,
            uses: u32::MAX,
            refusals: Vec::new(),
        }
    }
}

/// What happens to a call that comes in.
#[derive(Clone, Debug)]
pub struct PbxScript {
    /// Provisional response and its delay; 183 carries SDP.
    pub ring: Option<(Duration, u16)>,
    /// What follows, counted from the INVITE.
    pub then: PbxThen,
    /// Answer with 200 when CANCEL comes: the agent picked up in the same moment.
    pub answer_despite_cancel: bool,
    /// Other telephones that ring for the same call.
    pub forks: Vec<Fork>,
    /// The provisional response is a reliable one (RFC 3262).
    pub reliable: bool,
    /// Further header lines of the final response: name and value.
    pub headers: Vec<(String, String)>,
    /// What is said.
    pub talk: Talk,
}

/// The end of ringing.
#[derive(Clone, Debug)]
pub enum PbxThen {
    /// The agent picks up.
    Answer(Duration),
    /// A final status and its reason; redirections carry no Contact.
    Refuse(Duration, u16, String),
    /// Nothing more is said; the transaction stays open.
    Never,
}

/// A call an agent places.
#[derive(Clone, Debug)]
pub struct AgentCall {
    /// User part of From: the business number.
    pub from: String,
    /// User part of the Request-URI: the WhatsApp user.
    pub to: String,
    /// The agent gives up when unanswered for so long.
    pub cancel_after: Option<Duration>,
    /// Further header lines: name and value.
    pub headers: Vec<(String, String)>,
    /// Where reliable responses are required: acknowledge none of them.
    pub never_pracks: bool,
    /// What is said.
    pub talk: Talk,
}

impl PbxSettings {
    /// A PBX at `address` whose SBC is at `sbc`, over UDP, with A-law, µ-law and events.
    pub fn new(address: SocketAddr, sbc: SocketAddr) -> Self {
        Self {
            address,
            sbc: Target {
                transport: Transport::Udp,
                host: sbc.ip().to_string(),
                port: sbc.port(),
                from: None,
                at: None,
            },
            media: MediaPlace {
                address: address.ip(),
                first_port: 40_000,
                ports: 10_000,
                silent: false,
            },
            codecs: vec![Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent],
            srtp: Vec::new(),
            ptime: 20,
            rekeys: false,
            timers: TimerSettings::default(),
            script: PbxScript::default(),
            informed: 200,
            account: None,
            registrar: None,
            seed: 2,
        }
    }
}

impl Default for PbxScript {
    fn default() -> Self {
        Self {
            ring: Some((Duration::from_millis(100), 180)),
            then: PbxThen::Answer(Duration::from_millis(1_000)),
            answer_despite_cancel: false,
            forks: Vec::new(),
            reliable: false,
            headers: Vec::new(),
            talk: Talk::default(),
        }
    }
}

impl AgentCall {
    /// A plain call.
    pub fn new(from: &str, to: &str) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            cancel_after: None,
            headers: Vec::new(),
            never_pracks: false,
            talk: Talk::default(),
        }
    }
}
