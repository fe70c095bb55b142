//! The TOML as written: every key, with its default.
//!
//! `etc/wa-sbc.toml` shows the same keys with a word on each; a test compares the two.

use b2bua::settings::NumberLimits;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::access::{Register, Registrar};
use super::admission::Admission;
use super::dns::Dns;
use super::http::Http;
use super::listener::{CertificateFiles, MoreListen};
use super::objection::ConfigError;
use super::policy::{Numbers, Rule};
use super::records::Records;
use super::reload::Reload;
use super::routing::{Alias, Group, Hours, Route};
use super::secret::SecretSource;

/// A configuration file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Files with further `[[number]]` tables; relative to this one, `*` in the last part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub number_files: Vec<String>,
    /// Our own SIP side.
    pub sip: Sip,
    /// Ports beyond those of `[sip]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listener: Vec<Spanned<MoreListen>>,
    /// Our own media side.
    pub media: Media,
    /// Meta's side.
    #[serde(default)]
    pub meta: Meta,
    /// WhatsApp business numbers.
    #[serde(default)]
    pub number: Vec<Spanned<Number>>,
    /// PBXs.
    #[serde(default)]
    pub trunk: Vec<Spanned<Trunk>>,
    /// How strangers are met, and how much may be asked.
    #[serde(default)]
    pub admission: Admission,
    /// How PBXs prove who they are, and register.
    #[serde(default)]
    pub registrar: Registrar,
    /// Several PBXs as one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Spanned<Group>>,
    /// Numbers for users who have none.
    #[serde(default)]
    pub alias: Alias,
    /// Headers the PBX gets to see.
    #[serde(default)]
    pub headers: Headers,
    /// Records of calls.
    #[serde(default)]
    pub records: Records,
    /// Metrics, health and the operator's interface.
    #[serde(default)]
    pub http: Http,
    /// The log.
    #[serde(default)]
    pub log: Log,
    /// Who is asked where names lead.
    #[serde(default)]
    pub dns: Dns,
    /// When the configuration is read again by itself.
    #[serde(default)]
    pub reload: Reload,
    /// What is remembered of calls.
    #[serde(default)]
    pub trace: super::trace::Trace,
    /// Where a running program is asked.
    #[serde(default)]
    pub control: super::trace::Control,
    /// An authority that gives us our certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<super::acme::Acme>,
    /// Where a Homer hears of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hep: Option<super::hep::Hep>,
    /// Where traces of calls go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<super::otlp::Otlp>,
    /// Where captures are written.
    #[serde(default)]
    pub capture: super::capture::Capture,
}

/// `[sip]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Our public name: what Meta calls, verifies and is told to come back to.
    pub host: Spanned<String>,
    /// The realm of our challenges; the host when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The port Meta connects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<TlsListen>>,
    /// The UDP port for PBXs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<Spanned<Listen>>,
    /// The TCP port for PBXs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Spanned<Listen>>,
    /// Accepted connections of one listener at once.
    #[serde(default = "connections")]
    pub connections: usize,
    /// Accepted connections of one listener at once from one address of a network nobody configured.
    #[serde(default = "connections_per_source")]
    pub connections_per_source: usize,
    /// Calls at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// Seconds a challenge of ours may be answered.
    #[serde(default = "nonce_ttl")]
    pub nonce_ttl: u64,
    /// Number of this node in a fleet.
    #[serde(default)]
    pub node: u16,
    /// `User-Agent` and `Server`; empty for none.
    #[serde(default = "product")]
    pub product: String,
    /// Seconds running calls have to end after SIGTERM.
    #[serde(default = "drain")]
    pub drain: u64,
}

/// A TLS listener.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsListen {
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Further certificates, for those who ask for other names (SNI).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// The port the outside reaches us at; the bound one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
}

/// A UDP or TCP listener.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// `host` or `host:port` as PBXs reach us; the bound address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

/// `[media]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The address Meta is told.
    pub public: IpAddr,
    /// The address bound for it; the same when absent (NAT: the private one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_bind: Option<IpAddr>,
    /// The address PBXs are told.
    pub private: IpAddr,
    /// The address bound for it; the same when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_bind: Option<IpAddr>,
    /// The range of UDP ports.
    #[serde(default = "ports")]
    pub ports: Spanned<String>,
    /// Ports Meta sends to: `per-call`, or `single`: the first pair of `ports` of each media thread.
    #[serde(default = "meta_port")]
    pub meta_port: Spanned<String>,
    /// Media threads; 0: one per CPU.
    #[serde(default)]
    pub threads: usize,
    /// Effort of the Opus encoder, 0 to 10.
    #[serde(default = "opus_complexity")]
    pub opus_complexity: Spanned<u8>,
    /// Bit/s of Opus towards Meta.
    #[serde(default = "opus_bitrate")]
    pub opus_bitrate: Spanned<u32>,
    /// Milliseconds of PBX audio held until Meta's path is proven, 0 to 2000; 0: none.
    #[serde(default = "preroll_ms")]
    pub preroll_ms: Spanned<u64>,
    /// DSCP of media packets, 0 to 63.
    #[serde(default = "dscp")]
    pub dscp: Spanned<u8>,
}

/// `[meta]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meta {
    /// The host of every Request-URI, and the name its certificate must have.
    pub host: String,
    /// The port it listens on; SRV records decide, else 5061, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Connect here instead of resolving the host (labs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddr>,
    /// A further authority its certificate may come from (labs), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_ca: Option<Spanned<PathBuf>>,
    /// Where its calls come from; empty: anywhere.
    pub networks: Vec<IpNet>,
    /// A file that names them, one a line, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks_file: Option<Spanned<PathBuf>>,
    /// Multiplex RTP and RTCP on one port.
    pub rtcp_mux: bool,
}

/// `[[number]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The business number, `+` and digits.
    pub e164: Spanned<String>,
    /// The host Meta calls it at; `sip.host` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host of our From; `host` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Spanned<String>>,
    /// The realm of our challenge; `sip.realm` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Digest user name; the digits of the number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Digest password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// Challenge Meta's calls.
    #[serde(default = "yes")]
    pub challenge: bool,
    /// Write `+` in From and Request-URI.
    #[serde(default = "yes")]
    pub plus: bool,
    /// The trunk or group.
    pub trunk: Spanned<String>,
    /// Where calls with certain user parameters go instead.
    #[serde(default)]
    pub routes: Vec<Spanned<Route>>,
    /// How SRTP keys towards Meta are exchanged.
    #[serde(default = "keying")]
    pub keying: Spanned<String>,
    /// Codecs towards Meta.
    #[serde(default = "meta_codecs")]
    pub codecs: Spanned<Vec<String>>,
    /// SRTP suites towards Meta.
    #[serde(default = "suites")]
    pub suites: Spanned<Vec<String>>,
    /// Seconds the PBX may ring.
    #[serde(default = "no_answer")]
    pub no_answer: Spanned<u64>,
    /// Seconds the WhatsApp user may ring.
    #[serde(default = "ring_limit")]
    pub ring_limit: u64,
    /// Calls at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// Calls at once with one user.
    #[serde(default = "calls_per_user")]
    pub calls_per_user: usize,
    /// Business-initiated calls begun in 24 hours.
    #[serde(default = "initiated_per_day")]
    pub initiated_per_day: u32,
    /// Business-initiated calls one user answered in 24 hours.
    #[serde(default = "connected_per_user_and_day")]
    pub connected_per_user_and_day: u32,
}

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

/// `[headers]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// Pass Meta's metadata headers to the PBX.
    pub metadata: bool,
    /// What their prefix becomes; empty: stays.
    pub prefix: String,
    /// The header with Meta's id of the call; empty: as Meta names it.
    pub reference: String,
}

/// `[log]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged: `info`, `wa_sbc=debug,info`, …
    pub filter: String,
    /// `text` or `json`.
    pub format: Spanned<String>,
}

impl File {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<File, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        File::parse(path, &text)
    }

    /// Reads the text of a configuration file; `path` is named in objections.
    pub fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::syntax(path, text, &error))
    }

    /// The file as TOML with every default filled in. Secrets appear by their source only.
    pub fn print(&self) -> String {
        toml::to_string(self).expect("a configuration that was read can be written")
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            host: whatsapp::facts::DOMAIN.to_owned(),
            port: None,
            connect: None,
            extra_ca: None,
            networks: whatsapp::networks::NETWORKS.to_vec(),
            networks_file: None,
            rtcp_mux: true,
        }
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            metadata: true,
            prefix: String::new(),
            reference: String::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            format: unplaced("text".into()),
        }
    }
}

/// A default value: it stands nowhere in the file.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn yes() -> bool {
    true
}

fn connections() -> usize {
    4096
}

fn connections_per_source() -> usize {
    32
}

fn max_calls() -> usize {
    1000
}

fn calls_per_user() -> usize {
    NumberLimits::default().calls_per_user
}

fn initiated_per_day() -> u32 {
    NumberLimits::default().initiated_per_day
}

fn connected_per_user_and_day() -> u32 {
    NumberLimits::default().connected_per_user_and_day
}

fn nonce_ttl() -> u64 {
    60
}

fn product() -> String {
    "wa-sbc".into()
}

fn drain() -> u64 {
    60
}

fn ports() -> Spanned<String> {
    unplaced("20000-29999".into())
}

fn meta_port() -> Spanned<String> {
    unplaced("per-call".into())
}

fn opus_complexity() -> Spanned<u8> {
    unplaced(5)
}

fn preroll_ms() -> Spanned<u64> {
    unplaced(600)
}

fn opus_bitrate() -> Spanned<u32> {
    unplaced(20_000)
}

fn dscp() -> Spanned<u8> {
    unplaced(46)
}

fn no_answer() -> Spanned<u64> {
    unplaced(25)
}

fn ring_limit() -> u64 {
    60
}

fn no_seconds() -> Spanned<u32> {
    unplaced(0)
}

fn least_session() -> Spanned<u32> {
    unplaced(90)
}

fn dtmf() -> Spanned<String> {
    unplaced("rfc4733".into())
}

fn ptime() -> Spanned<u8> {
    unplaced(20)
}

fn ringback() -> Spanned<String> {
    unplaced("180".into())
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

fn early_answer() -> Spanned<String> {
    unplaced("never".into())
}

fn keying() -> Spanned<String> {
    unplaced("sdes".into())
}

fn dead_after() -> u8 {
    2
}

fn alive_after() -> u8 {
    1
}

fn identity() -> Spanned<String> {
    unplaced("from".into())
}

fn meta_codecs() -> Spanned<Vec<String>> {
    unplaced(vec!["opus".into(), "telephone-event".into()])
}

fn pbx_codecs() -> Spanned<Vec<String>> {
    unplaced(vec!["PCMA".into(), "PCMU".into(), "telephone-event".into()])
}

fn no_buffer() -> Spanned<u64> {
    unplaced(0)
}

fn least_buffer() -> u64 {
    20
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

fn suites() -> Spanned<Vec<String>> {
    unplaced(vec!["AES_CM_128_HMAC_SHA1_80".into()])
}
