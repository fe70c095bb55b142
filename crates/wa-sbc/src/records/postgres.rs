//! Records in a table of a PostgreSQL database.
//!
//! What waits in the queue is written in one statement, keyed by the record's key, so that records that
//! come twice stand there once (`spool.rs`, `docs/adr/0042-the-table-is-a-view-of-the-line.md`). The table
//! is made, and given the columns it lacks, when the first record comes after a start or a lost connection.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::postgres_tls::Tls;
use super::sink::SinkCounts;
use super::spool::{Address, Courier, Delivery, Spooled};
use super::views::{Kind, VIEWS};
use crate::config::{PostgresSettings, PostgresTable};

/// A column of the table: its name, its type, and where it comes from.
pub(super) fn column(field: &str, kind: Kind) -> (&str, &'static str, String) {
    // `user` is a word of SQL's own; a time is one here, not a count of milliseconds.
    let name = match field {
        "user" => "wa_user",
        _ => field
            .strip_suffix("_ms")
            .filter(|_| kind == Kind::Time)
            .unwrap_or(field),
    };
    let of = format!("record->>'{field}'");
    match kind {
        Kind::Text => (name, "text", of),
        Kind::Integer if field.ends_with("_ms") => (name, "bigint", format!("({of})::bigint")),
        Kind::Integer => (name, "integer", format!("({of})::integer")),
        Kind::Time => (
            name,
            "timestamptz",
            format!("to_timestamp(({of})::float8 / 1000)"),
        ),
    }
}

/// Opens the queue in `directory` and goes on writing what waits there.
pub(super) fn start(
    settings: &PostgresSettings,
    directory: &Path,
) -> io::Result<(Delivery, Spooled, Arc<SinkCounts>)> {
    let address = Address {
        name: "postgres",
        spool: "postgres_spool",
        at: settings.url.clone(),
        octets: settings.spool_octets,
        longest_pause: settings.longest_pause,
    };
    let tls = match &settings.tls {
        true => Some(Tls::new(settings.authority.as_deref()).map_err(io::Error::other)?),
        false => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let courier = Writer {
        runtime,
        settings: settings.clone(),
        tls,
        client: None,
    };
    Delivery::start(address, directory, Box::new(courier))
}

/// Who writes.
struct Writer {
    /// Turns only while records are brought, so that an idle connection costs nothing.
    runtime: Runtime,
    settings: PostgresSettings,
    tls: Option<Tls>,
    client: Option<Client>,
}

impl Courier for Writer {
    fn bring(&mut self, lines: &[String]) -> Result<(), String> {
        let records = keyed(lines);
        let Writer {
            runtime,
            settings,
            tls,
            client,
        } = self;
        let open = client.take();
        let working = async {
            // The server may have closed it since, which shows only now.
            if let Some(client) = open
                && insert(&client, &settings.table, &records).await.is_ok()
            {
                return Ok(client);
            }
            let client = connect(settings, tls.as_ref()).await?;
            prepare(&client, &settings.table).await?;
            insert(&client, &settings.table, &records).await?;
            Ok::<Client, tokio_postgres::Error>(client)
        };
        let limit = settings.timeout;
        let done = runtime.block_on(async { tokio::time::timeout(limit, working).await });
        match done {
            Ok(Ok(open)) => {
                *client = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
        }
    }
}

/// What the server says, where it says something: the error itself tells only which step failed.
fn told(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

async fn connect(
    settings: &PostgresSettings,
    tls: Option<&Tls>,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = settings.server.clone();
    config.connect_timeout(settings.timeout);
    if let Some(password) = &settings.password {
        config.password(password.expose());
    }
    let client = match tls {
        Some(tls) => {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
            let (client, connection) = config.connect(tls.clone()).await?;
            tokio::spawn(connection);
            client
        }
        None => {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            client
        }
    };
    Ok(client)
}

/// Makes the table, or gives it the columns it lacks. Asks first: whoever made the table for us need not let
/// us make tables.
async fn prepare(client: &Client, table: &PostgresTable) -> Result<(), tokio_postgres::Error> {
    let name = table.quoted();
    let rows = client
        .query(
            "SELECT attname::text FROM pg_catalog.pg_attribute \
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            &[&name],
        )
        .await?;
    let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut wanted = String::new();
    if there.is_empty() {
        wanted.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {name} (key text PRIMARY KEY, record jsonb NOT NULL);"
        ));
    }
    for (field, kind) in VIEWS {
        let (column, kind, of) = column(field, *kind);
        if !there.iter().any(|one| one == column) {
            wanted.push_str(&format!(
                "ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} {kind} GENERATED ALWAYS AS ({of}) STORED;"
            ));
        }
    }
    if there.is_empty() {
        for column in ["started", "number", "reference"] {
            wanted.push_str(&format!("CREATE INDEX ON {name} ({column});"));
        }
    }
    if !wanted.is_empty() {
        client.batch_execute(&wanted).await?;
    }
    Ok(())
}

async fn insert(
    client: &Client,
    table: &PostgresTable,
    records: &BTreeMap<String, String>,
) -> Result<(), tokio_postgres::Error> {
    let name = table.quoted();
    // A record out of the journal after a crash never replaces the final one.
    let statement = format!(
        "INSERT INTO {name} AS old (key, record) \
         SELECT key, record::jsonb FROM unnest($1::text[], $2::text[]) AS new (key, record) \
         ON CONFLICT (key) DO UPDATE SET record = EXCLUDED.record \
         WHERE old.record->>'complete' = 'false'"
    );
    let (keys, lines): (Vec<&str>, Vec<&str>) = records
        .iter()
        .map(|(key, line)| (key.as_str(), line.as_str()))
        .unzip();
    client.execute(&statement, &[&keys, &lines]).await?;
    Ok(())
}

/// The records by key: one that is there twice, before and after a crash, as the complete one.
fn keyed(lines: &[String]) -> BTreeMap<String, String> {
    let mut records: BTreeMap<String, (bool, String)> = BTreeMap::new();
    for line in lines {
        let Ok(mut record) = serde_json::from_str::<Value>(line) else {
            continue; // we wrote it ourselves
        };
        let Some(key) = record["key"].as_str().map(str::to_owned) else {
            continue;
        };
        let complete = record["complete"] == true;
        let line = match line.contains("\\u0000") {
            // Text in PostgreSQL has no such character.
            true => {
                without_nul(&mut record);
                record.to_string()
            }
            false => line.clone(),
        };
        match records.get(&key) {
            Some((true, _)) if !complete => {}
            _ => drop(records.insert(key, (complete, line))),
        }
    }
    let all = records.into_iter();
    all.map(|(key, (_, line))| (key, line)).collect()
}

fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|char| char != '\0'),
        Value::Array(all) => all.iter_mut().for_each(without_nul),
        Value::Object(fields) => {
            let all = std::mem::take(fields);
            for (name, mut value) in all {
                without_nul(&mut value);
                fields.insert(name.replace('\0', ""), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, complete: bool, text: &str) -> String {
        serde_json::json!({"key": key, "complete": complete, "text": text}).to_string()
    }

    #[test]
    fn of_a_record_that_comes_twice_the_complete_one_counts() {
        let (early, full) = (line("a", false, "x"), line("a", true, "y"));
        for order in [[&early, &full], [&full, &early]] {
            let records = keyed(&order.map(Clone::clone));
            assert_eq!(records, BTreeMap::from([("a".to_owned(), full.clone())]));
        }
    }

    #[test]
    fn characters_the_database_cannot_keep_are_left_out() {
        let records = keyed(&[line("a", true, "nul\0 and \\u0000")]);
        assert_eq!(records["a"], line("a", true, "nul and \\u0000"));
    }
}
