//! `[registrar]` and `[trunk.register]`: accounts of PBXs with us, and ours with them.

use std::path::PathBuf;
use std::time::Duration;

use b2bua::settings::Registrar as Policy;
use serde::{Deserialize, Serialize};
use sip::Algorithm;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;

/// `[registrar]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registrar {
    /// The realm of our challenges to PBXs; `sip.realm`, else `sip.host`, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Digest algorithms a PBX may answer with, the most wanted first.
    pub algorithms: Spanned<Vec<String>>,
    /// Seconds of the shortest registration.
    pub min_expires: Spanned<u32>,
    /// Seconds of the longest one, and of who asks for none.
    pub max_expires: Spanned<u32>,
    /// Contacts one trunk may have registered at once.
    pub contacts: usize,
    /// Where they are kept for the next start; empty: nowhere.
    pub store: PathBuf,
}

/// `[trunk.register]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// Digest user name. We register if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Spanned<String>>,
    /// Digest password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// Which extension of the PBX we are; the user name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// The host of our address there; the trunk's `domain` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Where REGISTER goes, one after the other; `peer` and `backups` when absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Spanned<String>>,
    /// Seconds a registration lasts, as we ask for it.
    pub expires: Spanned<u32>,
}

impl Default for Registrar {
    fn default() -> Self {
        let policy = Policy::default();
        let names = policy.algorithms.iter().map(|one| one.name().to_owned());
        Self {
            realm: None,
            algorithms: unplaced(names.collect()),
            min_expires: unplaced(policy.min_expires.as_secs() as u32),
            max_expires: unplaced(policy.max_expires.as_secs() as u32),
            contacts: policy.contacts,
            store: "/var/lib/wa-sbc/registrations.db".into(),
        }
    }
}

impl Default for Register {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            extension: None,
            domain: None,
            servers: Vec::new(),
            expires: unplaced(600),
        }
    }
}

impl Register {
    /// Whether we do not register at all.
    pub(super) fn is_none(&self) -> bool {
        self.username.is_none() && self.password.is_none()
    }
}

impl Registrar {
    /// What is meant; `realm` where none is written. Where the carrier connects is filled in by the caller.
    pub(super) fn policy(&self, critic: &mut Critic<'_>, realm: &str) -> Policy {
        const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];
        let mut algorithms = Vec::new();
        for name in self.algorithms.get_ref() {
            match ALL.iter().find(|one| one.name().eq_ignore_ascii_case(name)) {
                Some(one) if !algorithms.contains(one) => algorithms.push(*one),
                Some(_) => {}
                None => critic.object(
                    self.algorithms.span(),
                    "registrar.algorithms",
                    format!("`{name}` is no digest algorithm of ours"),
                    "write \"SHA-256\", \"MD5\", or both",
                ),
            }
        }
        if self.algorithms.get_ref().is_empty() {
            critic.object(
                self.algorithms.span(),
                "registrar.algorithms",
                "there is none, so nobody could prove who it is",
                "write [\"SHA-256\", \"MD5\"], or leave the key out",
            );
        }
        let (least, most) = (*self.min_expires.get_ref(), *self.max_expires.get_ref());
        if least == 0 || least > most {
            critic.object(
                self.min_expires.span(),
                "registrar.min_expires",
                "it is at least 1 and not above max_expires",
                "write 60, and 3600 for max_expires",
            );
        }
        Policy {
            realm: self.realm.clone().unwrap_or_else(|| realm.to_owned()),
            algorithms,
            min_expires: Duration::from_secs(least.into()),
            max_expires: Duration::from_secs(most.into()),
            contacts: self.contacts,
            carrier_door: None,
        }
    }
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
