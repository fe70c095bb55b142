//! SQLite databases that threads of their own write, so a slow disk never delays a call.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Opens or makes a database with these tables.
pub(crate) fn open(path: &Path, schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(schema)?;
    Ok(connection)
}
