//! `[[trunk]]`: a PBX.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{max_calls, unplaced};
use crate::config::access::Register;
use crate::config::policy::{Numbers, Rule};
use crate::config::routing::Hours;
use crate::config::secret::SecretSource;

/// `[[trunk]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Its name.
    pub name: Spanned<String>,
    /// Where calls to it go: `sip:host:port;transport=udp`, or `registered`.
    pub peer: Spanned<String>,
    /// Digest user name it proves itself with; by its network alone when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Spanned<String>>,
    /// The password of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// Where calls go when `peer` does not take them, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<Spanned<String>>,
    /// Seconds between the OPTIONS that ask whether they live, 0 for never; 30 when absent and
    /// there are backups, else never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<u64>,
    /// The host of Request-URI and To; that of `peer` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Where its calls come from; the address of `peer` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<IpNet>>,
    /// A further authority its certificate may come from (TLS), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_ca: Option<Spanned<PathBuf>>,
    /// The certificate chain we show it (TLS), PEM; none is shown when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The listener its requests leave from and its Contact names; the first of its transport when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Spanned<String>>,
    /// Codecs.
    #[serde(default = "pbx_codecs")]
    pub codecs: Spanned<Vec<String>>,
    /// How it is told that the user pressed a key: `rfc4733`, `info` or `inband`.
    #[serde(default = "dtmf")]
    pub dtmf: Spanned<String>,
    /// Whether its packets are SRTP, with keys in SDP: `off`, `allowed` or `required`.
    #[serde(default = "srtp")]
    pub srtp: Spanned<String>,
    /// SRTP suites, where they are.
    #[serde(default = "pbx_suites")]
    pub suites: Spanned<Vec<String>>,
    /// The most milliseconds packets for it wait in a jitter buffer; 0: there is none.
    #[serde(default = "no_buffer")]
    pub jitter_buffer: Spanned<u64>,
    /// The least.
    #[serde(default = "least_buffer")]
    pub jitter_buffer_least: u64,
    /// How many dB louder the user is made for it.
    #[serde(default = "untouched")]
    pub gain_to_pbx: Spanned<i64>,
    /// How many dB louder it is made for the user.
    #[serde(default = "untouched")]
    pub gain_to_meta: Spanned<i64>,
    /// Milliseconds per packet.
    #[serde(default = "ptime")]
    pub ptime: Spanned<u8>,
    /// Calls at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// It leads to the public telephone network.
    #[serde(default)]
    pub pstn: bool,
    /// Seconds without RTP and RTCP from it after which a call that is not on hold ends; 0: never.
    #[serde(default)]
    pub inactivity: u64,
    /// Seconds between refreshes of the session that we ask for; 0: we do not ask.
    #[serde(default = "no_seconds")]
    pub session_expires: Spanned<u32>,
    /// The shortest such interval we take.
    #[serde(default = "least_session")]
    pub min_session_expires: Spanned<u32>,
    /// What it gets when Meta is slow to say that the user's phone rings: `off`, `180`, or the
    /// country whose tone it hears.
    #[serde(default = "ringback")]
    pub ringback: Spanned<String>,
    /// When a user's call is answered: `never` before the PBX does, with its `early-media`, or
    /// `at-once`.
    #[serde(default = "early_answer")]
    pub early_answer: Spanned<String>,
    /// What a user on hold hears if the PBX plays nothing: `melody`, or a WAV file; silence when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_music: Option<Spanned<String>>,
    /// What becomes of its REFER: `handle` or `refuse`.
    #[serde(default = "transfer")]
    pub transfer: Spanned<String>,
    /// Where requests in a dialog go if its Contact is a private address: `auto`, `always` where it
    /// came from, `never`.
    #[serde(default = "nat")]
    pub nat: Spanned<String>,
    /// Seconds a connection we opened to it may be silent before it is pinged; 0: never.
    #[serde(default = "keep_alive")]
    pub keep_alive: u64,
    /// Headers of Meta's INVITE that pass to it.
    #[serde(default)]
    pub pass_to_pbx: Vec<Spanned<String>>,
    /// What the INVITEs to it say.
    #[serde(default)]
    pub to_pbx: Vec<Spanned<Rule>>,
    /// Headers of its INVITEs that pass to Meta.
    #[serde(default)]
    pub pass_to_meta: Vec<Spanned<String>>,
    /// What the INVITEs of its calls say to Meta.
    #[serde(default)]
    pub to_meta: Vec<Spanned<Rule>>,
    /// How it is told who calls.
    #[serde(default = "identity")]
    pub identity: Spanned<String>,
    /// Unanswered OPTIONS in a row that make a destination dead.
    #[serde(default = "dead_after")]
    pub dead_after: u8,
    /// Answered OPTIONS in a row that make it alive again.
    #[serde(default = "alive_after")]
    pub alive_after: u8,
    /// How it dials and shows numbers.
    #[serde(default)]
    pub numbers: Numbers,
    /// When it is open.
    #[serde(default)]
    pub hours: Hours,
    /// Our registration with it.
    #[serde(default, skip_serializing_if = "Register::is_none")]
    pub register: Register,
}

fn pbx_codecs() -> Spanned<Vec<String>> {
    unplaced(vec!["PCMA".into(), "PCMU".into(), "telephone-event".into()])
}

fn dtmf() -> Spanned<String> {
    unplaced("rfc4733".into())
}

fn srtp() -> Spanned<String> {
    unplaced("off".into())
}

fn pbx_suites() -> Spanned<Vec<String>> {
    unplaced(vec![
        "AES_CM_128_HMAC_SHA1_80".into(),
        "AEAD_AES_256_GCM".into(),
        "AEAD_AES_128_GCM".into(),
    ])
}

fn no_buffer() -> Spanned<u64> {
    unplaced(0)
}

fn untouched() -> Spanned<i64> {
    unplaced(0)
}

fn least_buffer() -> u64 {
    20
}

fn ptime() -> Spanned<u8> {
    unplaced(20)
}

fn no_seconds() -> Spanned<u32> {
    unplaced(0)
}

fn least_session() -> Spanned<u32> {
    unplaced(90)
}

fn ringback() -> Spanned<String> {
    unplaced("180".into())
}

fn early_answer() -> Spanned<String> {
    unplaced("never".into())
}

fn transfer() -> Spanned<String> {
    unplaced("handle".into())
}

fn nat() -> Spanned<String> {
    unplaced("auto".into())
}

fn keep_alive() -> u64 {
    120
}

fn identity() -> Spanned<String> {
    unplaced("from".into())
}

fn dead_after() -> u8 {
    2
}

fn alive_after() -> u8 {
    1
}
