//! Records in an SQLite database: what `wa-sbc calls` reads.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, params};

use super::entry::Entry;
use super::sink::Sink;
use super::views::{Kind, VIEWS};
use crate::clock;
use crate::reference;

/// How often old records are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// The line is the record; the columns beside it are views of it (`views.rs`), computed when they are read.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, line TEXT NOT NULL)";
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS calls_started ON calls (started_ms);
    CREATE INDEX IF NOT EXISTS calls_number ON calls (number, started_ms);
    CREATE INDEX IF NOT EXISTS calls_reference ON calls (reference);
    PRAGMA user_version = 1;
";

/// The database.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    keeps: Option<Duration>,
    swept: Option<Instant>,
}

impl Database {
    /// Opens or makes the database.
    pub(super) fn start(path: &Path, keeps: Option<Duration>) -> io::Result<Database> {
        // Made here first, for its mode: records name people.
        drop(super::file::open(path)?);
        let connection = Connection::open(path).map_err(io::Error::other)?;
        let prepare = || -> rusqlite::Result<()> {
            connection.busy_timeout(Duration::from_secs(1))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            // A commit survives the death of this process, and a power failure costs at most the last ones.
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.execute_batch(TABLE)?;
            add_views(&connection)?;
            connection.execute_batch(INDEXES)
        };
        prepare().map_err(io::Error::other)?;
        Ok(Database {
            connection,
            keeps,
            swept: None,
        })
    }

    fn sweep(&mut self) -> rusqlite::Result<()> {
        let Some(keeps) = self.keeps else {
            return Ok(());
        };
        if self.swept.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
            return Ok(());
        }
        self.swept = Some(clock::now());
        let oldest = clock::wall()
            .checked_sub(keeps)
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let oldest = oldest.map_or(0, |at| i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
        self.connection
            .execute("DELETE FROM calls WHERE started_ms < ?1", params![oldest])?;
        Ok(())
    }

    fn insert(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for entry in entries {
            // A record out of the journal never replaces the final one.
            let mut statement = transaction.prepare_cached(match entry.complete {
                true => "INSERT OR REPLACE INTO calls (key, line) VALUES (?1, ?2)",
                false => "INSERT OR IGNORE INTO calls (key, line) VALUES (?1, ?2)",
            })?;
            statement.execute(params![entry.key, entry.line])?;
        }
        transaction.commit()
    }
}

impl Sink for Database {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.insert(entries)
            .and_then(|()| self.sweep())
            .map_err(io::Error::other)
    }
}

/// Gives the table the columns it lacks: all of them when it is new, those of later versions when it is not.
fn add_views(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo('calls')")?;
    let there: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for (field, kind) in VIEWS {
        if !there.iter().any(|one| one == field) {
            let kind = match kind {
                Kind::Text => "TEXT",
                Kind::Integer | Kind::Time => "INTEGER",
            };
            connection.execute_batch(&format!(
                "ALTER TABLE calls ADD COLUMN {field} {kind} AS (json_extract(line, '$.{field}'))"
            ))?;
        }
    }
    Ok(())
}

/// The records that fit, the newest first.
pub(super) fn select(path: &Path, question: &super::Question) -> io::Result<Vec<String>> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        let mut statement = connection.prepare(
            "SELECT line, reference FROM calls
             WHERE (?1 IS NULL OR instr(number, ?1) OR instr(user, ?1)
                    OR instr(json_extract(line, '$.user_id'), ?1))
               AND (?2 IS NULL OR instr(reference, ?2))
               AND (?3 IS NULL OR cause = ?3)
             ORDER BY started_ms DESC, rowid DESC LIMIT ?4",
        )?;
        // What the log shows of a reference stands in no column.
        let short = question.reference.as_deref().and_then(reference::asked);
        let part = question.reference.as_ref().filter(|_| short.is_none());
        let last = match short {
            Some(_) => -1,
            None => i64::try_from(question.last).unwrap_or(i64::MAX),
        };
        let mut rows = statement.query(params![question.number, part, question.cause, last])?;
        let mut found = Vec::new();
        while found.len() < question.last
            && let Some(row) = rows.next()?
        {
            let id: Option<String> = row.get(1)?;
            let is_it = |short| id.is_some_and(|id| reference::stands_in(short, id.as_bytes()));
            if short.is_none_or(is_it) {
                found.push(row.get(0)?);
            }
        }
        Ok(found)
    };
    read().map_err(io::Error::other)
}
