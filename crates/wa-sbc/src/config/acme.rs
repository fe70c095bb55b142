//! `[acme]`: an authority that gives us our certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::objection::Critic;
use super::settings::TlsPort;

/// `[acme]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The directory of the authority.
    pub directory: Spanned<String>,
    /// We agree to the terms of the authority.
    #[serde(default = "Acme::default_agree")]
    pub agree: Spanned<bool>,
    /// Whom the authority writes to.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Where the challenge is answered.
    #[serde(default = "Acme::default_listen")]
    pub listen: SocketAddr,
    /// Where the account is kept.
    #[serde(default = "Acme::default_account")]
    pub account: PathBuf,
    /// Days before the end of a certificate it is renewed.
    #[serde(default = "Acme::default_renew_before")]
    pub renew_before: u32,
    /// The authority (PEM) the certificate of the directory comes from; the public ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// An authority that gives us our certificate.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// Its directory.
    pub directory: String,
    /// Whom it writes to.
    pub contact: Vec<String>,
    /// The names the certificate is for.
    pub names: Vec<String>,
    /// Where the challenge is answered.
    pub listen: SocketAddr,
    /// Where the account is kept.
    pub account: PathBuf,
    /// Where the certificate goes.
    pub certificate: PathBuf,
    /// Where its key goes.
    pub key: PathBuf,
    /// How long before its end it is renewed.
    pub renew_before: Duration,
    /// An authority the directory's own certificate may come from, instead of the public ones.
    pub authority: Option<PathBuf>,
}

impl Acme {
    fn default_agree() -> Spanned<bool> {
        Spanned::new(0..0, false)
    }

    fn default_listen() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 80))
    }

    fn default_account() -> PathBuf {
        "/var/lib/wa-sbc/acme-account.json".into()
    }

    fn default_renew_before() -> u32 {
        30
    }

    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        tls: Option<&TlsPort>,
    ) -> Option<AcmeSettings> {
        if !self.directory.get_ref().starts_with("https://") {
            critic.object(
                self.directory.span(),
                "acme.directory",
                "this is no directory of an authority",
                "write \"https://acme-v02.api.letsencrypt.org/directory\" or another authority's",
            );
        }
        if !self.agree.get_ref() {
            critic.object(
                self.directory.span(),
                "acme.agree",
                "an authority gives nothing to whoever does not agree to its terms",
                "read them, then write agree = true",
            );
        }
        let tls = tls?;
        Some(AcmeSettings {
            directory: self.directory.get_ref().clone(),
            contact: self.contact.clone(),
            names: vec![tls.host.clone()],
            listen: self.listen,
            account: self.account.clone(),
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            renew_before: Duration::from_secs(86_400) * self.renew_before.clamp(1, 365),
            authority: self.ca.clone(),
        })
    }
}
