//! `[admission]`: how strangers are met, how fast anybody may ask, and when the machine has enough;
//! and the list of Meta's networks.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use b2bua::settings::{AdmissionPolicy, BanPolicy, OverloadPolicy, Rate, SCANNERS, Unknown};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::objection::Critic;

/// `[admission]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// What becomes of requests from networks nobody configured: `refuse` or `drop`.
    pub unknown: Spanned<String>,
    /// New calls a second of one configured source; 0: as many as come.
    pub calls_per_second: u32,
    /// How many of them may come at once.
    pub calls_burst: u32,
    /// Requests a second of one source of a network nobody configured.
    pub strangers_per_second: Spanned<u32>,
    /// How many of them may come at once.
    pub strangers_burst: u32,
    /// So many offences are one too many; 0: nobody is banned.
    pub ban_after: u32,
    /// Seconds within which they count.
    pub ban_window: u64,
    /// Seconds a ban lasts.
    pub ban_time: u64,
    /// Parts of the `User-Agent` of programs that look for victims.
    pub scanners: Vec<String>,
    /// Milliseconds the signalling may be late; 0: however late.
    pub overload_lag: u64,
    /// Percent of the queue of signalling that may be filled; 0: all.
    pub overload_queue: Spanned<u8>,
    /// Percent of its time a media thread may work; 0: all.
    pub overload_media: Spanned<u8>,
    /// Percent of all processors we may take; 0: all.
    pub overload_cpu: Spanned<u8>,
}

impl Default for Admission {
    fn default() -> Self {
        let policy = AdmissionPolicy::default();
        let overload = policy.overload;
        Self {
            unknown: unplaced("refuse".into()),
            calls_per_second: 0,
            calls_burst: 20,
            strangers_per_second: unplaced(policy.strangers.per_second),
            strangers_burst: policy.strangers.burst,
            ban_after: policy.bans.after,
            ban_window: policy.bans.window.as_secs(),
            ban_time: policy.bans.time.as_secs(),
            scanners: SCANNERS.map(str::to_owned).into(),
            overload_lag: overload.lag.as_millis() as u64,
            overload_queue: unplaced(overload.backlog),
            overload_media: unplaced(overload.media),
            overload_cpu: unplaced(overload.cpu),
        }
    }
}

impl Admission {
    /// What is meant; `spared` are the networks that are never banned, whatever else is configured.
    pub(super) fn policy(&self, critic: &mut Critic<'_>, spared: Vec<IpNet>) -> AdmissionPolicy {
        let unknown = match self.unknown.get_ref().as_str() {
            "refuse" => Unknown::Refuse,
            "drop" => Unknown::Drop,
            other => {
                critic.object(
                    self.unknown.span(),
                    "admission.unknown",
                    format!("`{other}` is no way to meet strangers"),
                    "write \"refuse\" or \"drop\"",
                );
                Unknown::Refuse
            }
        };
        if *self.strangers_per_second.get_ref() == 0 {
            critic.object(
                self.strangers_per_second.span(),
                "admission.strangers_per_second",
                "a stranger that may ask nothing cannot prove who it is",
                "write at least 1; unknown = \"drop\" answers no stranger",
            );
        }
        let limits = [
            ("admission.overload_queue", &self.overload_queue),
            ("admission.overload_media", &self.overload_media),
            ("admission.overload_cpu", &self.overload_cpu),
        ];
        for (key, limit) in limits {
            if *limit.get_ref() > 100 {
                critic.object(limit.span(), key, "it is a percentage", "write 0 to 100");
            }
        }
        AdmissionPolicy {
            unknown,
            calls: (self.calls_per_second > 0).then_some(Rate {
                per_second: self.calls_per_second,
                burst: self.calls_burst,
            }),
            strangers: Rate {
                per_second: *self.strangers_per_second.get_ref(),
                burst: self.strangers_burst,
            },
            bans: BanPolicy {
                after: self.ban_after,
                window: Duration::from_secs(self.ban_window),
                time: Duration::from_secs(self.ban_time),
            },
            spared,
            scanners: self
                .scanners
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            overload: OverloadPolicy {
                lag: Duration::from_millis(self.overload_lag),
                backlog: *self.overload_queue.get_ref(),
                media: *self.overload_media.get_ref(),
                cpu: *self.overload_cpu.get_ref(),
            },
        }
    }
}

/// The networks a file names: one a line, `#` begins a comment. `span` is where the file is named.
pub(super) fn networks_of(critic: &mut Critic<'_>, path: &Path, span: Range<usize>) -> Vec<IpNet> {
    const KEY: &str = "meta.networks_file";
    const REMEDY: &str = "write one network a line, as in 157.240.0.0/16; # begins a comment";
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            critic.object(span, KEY, problem, "name a file this user may read");
            return Vec::new();
        }
    };
    let mut networks = Vec::new();
    for (line, written) in (1..).zip(text.lines()) {
        let network = written.split('#').next().unwrap_or_default().trim();
        match network.parse::<IpNet>() {
            Ok(network) => networks.push(network),
            Err(_) if network.is_empty() => {}
            Err(_) => {
                let problem = format!("{}:{line}: `{network}` is no network", path.display());
                critic.object(span.clone(), KEY, problem, REMEDY);
            }
        }
    }
    if networks.is_empty() {
        let problem = format!("{} names no network", path.display());
        critic.object(span, KEY, problem, REMEDY);
    }
    networks
}

/// A default value: it stands nowhere in the file.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
