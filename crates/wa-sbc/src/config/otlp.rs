//! `[otlp]`: where traces of calls go.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::Secret;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;
use super::url::is_url;

/// `[otlp]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Where traces are posted.
    pub url: Spanned<String>,
    /// What a post brings as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Spanned<SecretSource>>,
    /// The authority (PEM) the certificate of the collector comes from; the public ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Telephone numbers in full, and Call-IDs and Meta's id, which contain them.
    #[serde(default)]
    pub numbers: bool,
    /// Seconds a post may take.
    #[serde(default = "Otlp::default_timeout")]
    pub timeout: u64,
    /// Calls that may wait to be posted.
    #[serde(default = "Otlp::default_queue")]
    pub queue: usize,
}

/// Where traces of calls go.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// Where traces are posted.
    pub url: String,
    /// What a post brings.
    pub token: Option<Secret<String>>,
    /// An authority the collector's certificate may come from, instead of the public ones.
    pub authority: Option<PathBuf>,
    /// Numbers in full.
    pub numbers: bool,
    /// How long a post may take.
    pub timeout: Duration,
    /// Calls that may wait.
    pub queue: usize,
}

impl Otlp {
    fn default_timeout() -> u64 {
        10
    }

    fn default_queue() -> usize {
        1000
    }

    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> OtlpSettings {
        let url = self.url.get_ref();
        if !is_url(url) {
            critic.object(
                self.url.span(),
                "otlp.url",
                "this is no URL traces can be posted to",
                "write http://127.0.0.1:4318/v1/traces",
            );
        }
        let token = self.token.as_ref().and_then(|source| {
            let remedy =
                "set it before wa-sbc starts, or leave the line out if the collector asks for none";
            critic.fetched(source, environment, "otlp.token", remedy)
        });
        OtlpSettings {
            url: url.clone(),
            token,
            authority: self.ca.clone(),
            numbers: self.numbers,
            timeout: Duration::from_secs(self.timeout.clamp(1, 120)),
            queue: self.queue.clamp(1, 1_000_000),
        }
    }
}
