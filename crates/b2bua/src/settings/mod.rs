//! What the operator decided, resolved and typed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sdp::{Codec, Suite};
use sip::{Secret, Target, TimerSettings};

pub use crate::admission::policy::{AdmissionPolicy, SCANNERS, Unknown};
pub use crate::admission::{BanPolicy, OverloadPolicy, Rate};
use crate::comfort::Comfort;
use crate::number::E164;
use crate::profile::PeerProfile;

mod media;
mod policy;

pub use crate::alias::AliasRange;
pub use crate::registration::{Access, Account, Registrar, Upstream};
pub use crate::trunk::group::{Group, Member};
pub use crate::trunk::hours::{Hours, Zone};
pub use media::{Srtp, TrunkMedia};
pub use policy::{Identity, Route, TrunkPolicy};

/// Everything a [`crate::Core`] has to be told. Replaced as a whole by a reload; running calls
/// keep what they started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's number in a fleet; part of every identifier we mint.
    pub node: u16,
    /// The far side that owns the users, reached over TLS.
    pub carrier: Carrier,
    /// The business numbers, each by its digits at most once.
    pub numbers: Vec<Arc<Number>>,
    /// The trunks, each by its name at most once.
    pub trunks: Vec<Arc<Trunk>>,
    /// Several trunks as one; no group has the name of a trunk.
    pub groups: Vec<Group>,
    /// Where users who have no number get one from.
    pub aliases: Option<AliasRange>,
    /// SIP timers (RFC 3261 §17, table 4).
    pub timers: TimerSettings,
    /// How long a challenge of ours may be answered.
    pub nonce_ttl: Duration,
    /// Most calls at once; the next one gets 503.
    pub max_calls: usize,
    /// How strangers are met and how much may be asked of us.
    pub admission: AdmissionPolicy,
    /// How PBXs prove who they are, and for how long they may register.
    pub registrar: Registrar,
    /// What of the carrier's metadata the PBX gets to see, and under which names.
    pub metadata: MetadataPass,
    /// The value of `User-Agent` and `Server`; nothing is sent when empty.
    pub product: String,
}

/// The far side that owns the users.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// How it wants to be treated.
    pub profile: Arc<PeerProfile>,
    /// The host of every Request-URI and To we send it.
    pub domain: String,
    /// Where connections to it lead; `host` is the name its certificate must have.
    pub target: Target,
    /// Where it calls from. Empty: anywhere. A call from elsewhere is taken only if its number
    /// challenges and the answer is right, and is logged.
    pub networks: Vec<IpNet>,
    /// Milliseconds of audio per packet.
    pub ptime: u8,
    /// Whether we offer and accept `a=rtcp-mux`.
    pub rtcp_mux: bool,
}

/// A business number.
#[derive(Clone, Debug)]
pub struct Number {
    /// The number.
    pub e164: E164,
    /// The host the carrier calls it at: in its Request-URI and in our Contact.
    pub host: String,
    /// The port of our Contact.
    pub port: u16,
    /// The host of our From. Equal to `host` or a parent domain of it.
    pub domain: String,
    /// The realm of our challenge.
    pub realm: String,
    /// Digest user name; usually the digits of the number.
    pub username: String,
    /// Digest password in both directions.
    pub password: Option<Secret<String>>,
    /// Challenge the carrier's calls.
    pub challenge: bool,
    /// From and Request-URI towards the carrier carry `+`.
    pub plus: bool,
    /// The trunk, or group of trunks, its calls go to and come from.
    pub trunk: Arc<str>,
    /// Where calls with certain user parameters go instead; the first that fits counts.
    pub routes: Vec<Route>,
    /// Codecs towards the carrier, most wanted first; telephone events where listed.
    pub codecs: Vec<Codec>,
    /// SRTP suites towards the carrier, most wanted first.
    pub suites: Vec<Suite>,
    /// How long the PBX may ring before the caller gets 480.
    pub no_answer: Duration,
    /// How long the user may ring before we give up with CANCEL.
    pub ring_limit: Duration,
    /// How much may go on at once and in a day.
    pub limits: NumberLimits,
}

/// How much may go on with one number, counted here because the carrier hides what it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberLimits {
    /// Calls at once, both directions.
    pub calls: usize,
    /// Calls at once with one user.
    pub calls_per_user: usize,
    /// Business-initiated calls begun in 24 hours.
    pub initiated_per_day: u32,
    /// Business-initiated calls one user answered in 24 hours.
    pub connected_per_user_and_day: u32,
}

impl Default for NumberLimits {
    /// The carrier's own limits (Meta reference 9).
    fn default() -> Self {
        Self {
            calls: 1_000,
            calls_per_user: 1,
            initiated_per_day: 10_000,
            connected_per_user_and_day: 100,
        }
    }
}

/// A PBX.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How it wants to be treated.
    pub profile: Arc<PeerProfile>,
    /// Where calls to it go. Of one that registers only the transport counts.
    pub target: Target,
    /// The transports the DNS may choose from for its names, the most wanted first; empty: that of
    /// the target.
    pub transports: Vec<sip::Transport>,
    /// Where calls go when that does not take them, one after the other.
    pub backups: Vec<Target>,
    /// How often each destination is asked whether it lives; `None`: never.
    pub ping: Option<Duration>,
    /// The host of the Request-URI and To of calls to it.
    pub domain: String,
    /// Our address as it reaches us: host (IPv6 in brackets) and port for Via and Contact.
    pub sent_by: String,
    /// Where its calls come from.
    pub networks: Vec<IpNet>,
    /// Its codecs, most wanted first; telephone events where listed.
    pub codecs: Vec<Codec>,
    /// Milliseconds of audio per packet.
    pub ptime: u8,
    /// How audio is spoken with it beyond that.
    pub media: TrunkMedia,
    /// Most calls at once on this trunk.
    pub max_calls: usize,
    /// It leads to the public telephone network: such a leg may not carry these calls.
    pub pstn: bool,
    /// How it and we know each other beyond networks.
    pub access: Access,
    /// What people hear of us on its calls, and what becomes of its transfers.
    pub comfort: Comfort,
    /// What it wants otherwise than others.
    pub policy: TrunkPolicy,
}

/// What of the carrier's metadata the PBX gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataPass {
    /// Whether anything is passed at all.
    pub enabled: bool,
    /// What the carrier's prefix becomes.
    pub prefix: String,
    /// The header with the carrier's reference of the call, always sent when the reference is known.
    pub reference: String,
}

impl Number {
    /// The trunks and groups calls to it may go to.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.trunk).chain(self.routes.iter().map(|route| &route.trunk))
    }
}

impl Trunk {
    /// Whether a host is ours as this trunk knows us.
    pub fn is_us(&self, host: &str) -> bool {
        let ours = self
            .sent_by
            .rsplit_once(':')
            .map_or(self.sent_by.as_str(), |(host, _)| host);
        ours.trim_matches(['[', ']']).eq_ignore_ascii_case(host)
    }

    /// Where we register with it, the most wanted first.
    pub fn registrars(&self) -> impl Iterator<Item = &Target> {
        let upstream = self.access.upstream.iter();
        upstream.flat_map(|upstream| &upstream.servers)
    }

    /// Where calls to it may go, most wanted first; nowhere if it is called where it has registered.
    pub fn destinations(&self) -> impl Iterator<Item = &Target> {
        let fixed = (!self.access.registers).then_some(&self.target);
        fixed.into_iter().chain(&self.backups)
    }
}

impl Carrier {
    /// Whether `source` is an address it is known to call from.
    pub fn owns(&self, source: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|net| net.contains(&source))
    }
}
