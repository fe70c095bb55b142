//! `[records.webhook]`: the server records go to.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::Secret;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;
use super::url::is_url;

/// `[records.webhook]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where records are posted.
    pub url: Spanned<String>,
    /// What the posts are signed with.
    pub secret: Spanned<SecretSource>,
    /// The authority (PEM) the certificate of the server comes from; the public ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Spanned<PathBuf>>,
    /// Seconds a post may take.
    #[serde(default = "Webhook::default_timeout")]
    pub timeout: u64,
    /// Seconds between two attempts at most.
    #[serde(default = "Webhook::default_longest_pause")]
    pub longest_pause: u64,
    /// MiB of records that may wait on disk.
    #[serde(default = "Webhook::default_spool_mib")]
    pub spool_mib: u64,
}

/// The server records go to.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where records are posted.
    pub url: String,
    /// What the posts are signed with.
    pub secret: Secret<String>,
    /// An authority its certificate may come from, instead of the public ones.
    pub authority: Option<PathBuf>,
    /// How long a post may take.
    pub timeout: Duration,
    /// The longest time between two attempts.
    pub longest_pause: Duration,
    /// Octets of records that may wait on disk.
    pub spool_octets: u64,
}

impl Webhook {
    fn default_timeout() -> u64 {
        10
    }

    fn default_longest_pause() -> u64 {
        300
    }

    fn default_spool_mib() -> u64 {
        256
    }

    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<WebhookSettings> {
        let url = self.url.get_ref();
        if !is_url(url) {
            critic.object(
                self.url.span(),
                "records.webhook.url",
                "this is no URL records can be posted to",
                "write https://host/path",
            );
        }
        let remedy =
            "set it before wa-sbc starts, and give the same to the server: it proves who posts";
        let secret = critic.fetched(&self.secret, environment, "records.webhook.secret", remedy);
        Some(WebhookSettings {
            url: url.clone(),
            secret: secret?,
            authority: self.ca.as_ref().map(|path| path.get_ref().clone()),
            timeout: Duration::from_secs(self.timeout.clamp(1, 120)),
            longest_pause: Duration::from_secs(self.longest_pause.clamp(1, 86_400)),
            spool_octets: self.spool_mib.max(1) << 20,
        })
    }
}
