//! `[records]`: where records of calls go.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::objection::Critic;
use super::postgres::{Postgres, PostgresSettings};
use super::webhook::{Webhook, WebhookSettings};

/// The spool of a service that keeps records nowhere else on disk.
const SPOOL: &str = "/var/lib/wa-sbc/records.spool";

/// `[records]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// Append JSON lines to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Spanned<PathBuf>>,
    /// MiB after which the file is put aside; 0: never.
    pub rotate_mib: u64,
    /// Put the file aside at midnight (UTC).
    pub rotate_daily: bool,
    /// Files put aside that are kept; older ones are removed.
    pub keep: usize,
    /// Write JSON lines to standard output.
    pub stdout: bool,
    /// Keep records in this SQLite database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Spanned<PathBuf>>,
    /// Days records stay in the database; 0: for ever.
    pub sqlite_days: u32,
    /// A directory for what is not yet where it belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<Spanned<PathBuf>>,
    /// A server they are posted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A database they are written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            file: None,
            rotate_mib: 0,
            rotate_daily: false,
            keep: 14,
            stdout: false,
            sqlite: None,
            sqlite_days: 90,
            spool: None,
            webhook: None,
            postgres: None,
        }
    }
}

/// Where records of calls go.
#[derive(Clone, Debug, Default)]
pub struct RecordSettings {
    /// Appended to this file.
    pub file: Option<PathBuf>,
    /// When the file is put aside.
    pub rotation: Rotation,
    /// Written to standard output.
    pub stdout: bool,
    /// Kept in this SQLite database.
    pub sqlite: Option<PathBuf>,
    /// How long they stay there; `None`: for ever.
    pub sqlite_keeps: Option<Duration>,
    /// The directory for what is not yet where it belongs; `None` where there is nothing to keep.
    pub spool: Option<PathBuf>,
    /// Posted to this server.
    pub webhook: Option<WebhookSettings>,
    /// Written to this database.
    pub postgres: Option<PostgresSettings>,
}

/// When a file is put aside, and how many of them are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Octets after which it is; `None`: never.
    pub at_octets: Option<u64>,
    /// At midnight (UTC).
    pub daily: bool,
    /// Files put aside that are kept.
    pub keep: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            at_octets: None,
            daily: false,
            keep: 14,
        }
    }
}

impl Records {
    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> RecordSettings {
        let path =
            |path: &Option<Spanned<PathBuf>>| path.as_ref().map(|path| path.get_ref().clone());
        let (file, sqlite) = (path(&self.file), path(&self.sqlite));
        // Beside the first place on disk, unless another directory is named.
        let beside = sqlite.as_ref().or(file.as_ref());
        let spool = path(&self.spool).or_else(|| beside.map(|place| place.with_extension("spool")));
        // A queue has to be somewhere, whatever else is kept.
        let has_queue = self.webhook.is_some() || self.postgres.is_some();
        let spool = spool.or_else(|| has_queue.then(|| PathBuf::from(SPOOL)));
        let webhook = self.webhook.as_ref();
        let webhook = webhook.and_then(|webhook| webhook.resolve(critic, environment));
        let postgres = self.postgres.as_ref();
        let postgres = postgres.and_then(|postgres| postgres.resolve(critic, environment));
        let day = Duration::from_secs(24 * 3600);
        RecordSettings {
            file,
            rotation: Rotation {
                at_octets: (self.rotate_mib > 0).then_some(self.rotate_mib << 20),
                daily: self.rotate_daily,
                keep: self.keep,
            },
            stdout: self.stdout,
            sqlite,
            sqlite_keeps: (self.sqlite_days > 0).then_some(day * self.sqlite_days),
            spool,
            webhook,
            postgres,
        }
    }
}
