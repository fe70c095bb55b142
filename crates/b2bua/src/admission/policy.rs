//! How strangers are met and how much may be asked: what the operator decides.

use std::time::Duration;

use ipnet::IpNet;

use super::bans::BanPolicy;
use super::overload::OverloadPolicy;
use super::rate::Rate;

/// How strangers are met and how much may be asked of us.
#[derive(Clone, Debug)]
pub struct AdmissionPolicy {
    /// What becomes of requests from networks nobody configured.
    pub unknown: Unknown,
    /// New calls of one source of a configured network; `None`: as many as come.
    pub calls: Option<Rate>,
    /// Requests of one source of a network nobody configured. What is above is not answered.
    pub strangers: Rate,
    /// When strangers are shut out.
    pub bans: BanPolicy,
    /// Never shut out, besides the networks of the carrier and the trunks.
    pub spared: Vec<IpNet>,
    /// Parts of the `User-Agent` of programs that look for victims, in lower case. A stranger that
    /// names itself so is shut out at once.
    pub scanners: Vec<String>,
    /// From which load on new calls are refused.
    pub overload: OverloadPolicy,
}

/// What becomes of a request from a network nobody configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is refused: 403, or a challenge over TLS to a host of ours.
    Refuse,
    /// It is forgotten, as if nobody listened here. Only what may be from somebody we know at
    /// another address is still challenged: INVITE over TLS to a host of ours.
    Drop,
}

/// Programs whose business is to find telephone systems to abuse, as they name themselves.
pub const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "sipvicious",
    "sipcli",
    "sundayddr",
    "sip-scan",
    "sipsak",
    "iwar",
    "vaxsipuseragent",
    "pplsip",
];

impl Default for AdmissionPolicy {
    fn default() -> Self {
        Self {
            unknown: Unknown::Refuse,
            calls: None,
            strangers: Rate {
                per_second: 10,
                burst: 50,
            },
            bans: BanPolicy {
                after: 20,
                window: Duration::from_secs(60),
                time: Duration::from_secs(600),
            },
            spared: Vec::new(),
            scanners: SCANNERS.map(str::to_owned).into(),
            overload: OverloadPolicy {
                lag: Duration::from_millis(500),
                backlog: 80,
                media: 90,
                cpu: 0,
            },
        }
    }
}

impl AdmissionPolicy {
    /// Whether a `User-Agent` is one of a scanner.
    pub(crate) fn is_scanner(&self, agent: &str) -> bool {
        let agent = agent.to_ascii_lowercase();
        self.scanners.iter().any(|part| agent.contains(part))
    }
}
