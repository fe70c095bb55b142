//! `[records.postgres]`: the database records go to.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::Secret;
use tokio_postgres::config::Host;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;

/// `[records.postgres]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// The database, without a password.
    pub url: Spanned<String>,
    /// The password of the user in `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// The table, with its schema where it has one.
    #[serde(default = "Postgres::default_table")]
    pub table: Spanned<String>,
    /// Speak TLS and verify the server's certificate.
    #[serde(default = "Postgres::default_tls")]
    pub tls: bool,
    /// The authority (PEM) the certificate of the server comes from; the public ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Seconds to write a batch, connecting included.
    #[serde(default = "Postgres::default_timeout")]
    pub timeout: u64,
    /// Seconds between two attempts at most.
    #[serde(default = "Postgres::default_longest_pause")]
    pub longest_pause: u64,
    /// MiB of records that may wait on disk.
    #[serde(default = "Postgres::default_spool_mib")]
    pub spool_mib: u64,
}

/// The database records go to.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// As it is written, for the log.
    pub url: String,
    /// The database.
    pub server: tokio_postgres::Config,
    /// The password.
    pub password: Option<Secret<String>>,
    /// The table.
    pub table: PostgresTable,
    /// TLS, with a certificate that is verified.
    pub tls: bool,
    /// An authority it may come from, beside the public ones.
    pub authority: Option<PathBuf>,
    /// How long a batch may take.
    pub timeout: Duration,
    /// The longest time between two attempts.
    pub longest_pause: Duration,
    /// Octets of records that may wait on disk.
    pub spool_octets: u64,
}

/// The name of a table: letters, digits and underscores, with a schema or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTable(Vec<String>);

impl PostgresTable {
    fn of(text: &str) -> Option<PostgresTable> {
        let is_part = |part: &str| {
            let begins = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let all = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            begins && all && part.len() <= 63
        };
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        (parts.len() <= 2 && parts.iter().all(|part| is_part(part))).then_some(PostgresTable(parts))
    }

    /// As it stands in a statement.
    pub fn quoted(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }
}

impl Postgres {
    fn default_table() -> Spanned<String> {
        Spanned::new(0..0, "call_records".to_owned())
    }

    fn default_tls() -> bool {
        true
    }

    fn default_timeout() -> u64 {
        10
    }

    fn default_longest_pause() -> u64 {
        60
    }

    fn default_spool_mib() -> u64 {
        256
    }

    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<PostgresSettings> {
        let url = self.url.get_ref();
        let parsed = url.parse::<tokio_postgres::Config>().map_err(|why| {
            critic.object(
                self.url.span(),
                "records.postgres.url",
                format!("this names no database: {why}"),
                "write postgresql://user@host:5432/database",
            );
        });
        let server = parsed.ok()?;
        if server.get_password().is_some() {
            critic.object(
                self.url.span(),
                "records.postgres.url",
                "a password may not stand in the configuration file",
                "write password = { env = \"NAME\" } or { file = \"/path\" } below it",
            );
            return None;
        }
        if server.get_hosts().is_empty() || server.get_user().is_none() {
            critic.object(
                self.url.span(),
                "records.postgres.url",
                "it names no host, or no user",
                "write postgresql://user@host:5432/database, or postgresql://user@%2Frun%2Fpostgresql/database for a socket",
            );
        }
        let table = PostgresTable::of(self.table.get_ref());
        if table.is_none() {
            critic.object(
                self.table.span(),
                "records.postgres.table",
                format!("`{}` is no name of a table we could write", self.table.get_ref()),
                "write letters, digits and underscores, with a schema and a dot before it or without",
            );
        }
        let password = match &self.password {
            None => None,
            Some(source) => {
                let remedy = "set it before wa-sbc starts, or leave the line out where the server asks for none";
                Some(critic.fetched(source, environment, "records.postgres.password", remedy)?)
            }
        };
        // What stays in the machine needs none, and cannot have it.
        let sockets_only = server
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)));
        Some(PostgresSettings {
            url: url.clone(),
            password,
            table: table?,
            tls: self.tls && !sockets_only,
            authority: self.ca.clone(),
            timeout: Duration::from_secs(self.timeout.clamp(1, 120)),
            longest_pause: Duration::from_secs(self.longest_pause.clamp(1, 86_400)),
            spool_octets: self.spool_mib.max(1) << 20,
            server,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_plain_words_and_nothing_else() {
        let quoted = |text: &str| PostgresTable::of(text).map(|table| table.quoted());
        assert_eq!(quoted("call_records").as_deref(), Some("\"call_records\""));
        assert_eq!(quoted("cdr.Calls2").as_deref(), Some("\"cdr\".\"Calls2\""));
        let long = "x".repeat(64);
        for wrong in ["", "a.b.c", "a.", "1a", "a b", "a\"; DROP TABLE b", &long] {
            assert_eq!(quoted(wrong), None, "{wrong}");
        }
    }
}
