//! The numbers users without one were given, kept in an SQLite database.
//!
//! A thread of its own writes them, so a slow disk never delays a call; what cannot be written is
//! tried again with the next one and at the end.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use b2bua::{Alias, E164};
use rusqlite::{Connection, params};

use crate::database;
use crate::error::Error;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS aliases (
        user TEXT PRIMARY KEY,
        number TEXT NOT NULL UNIQUE
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// The writer of aliases.
#[derive(Debug)]
pub(crate) struct Aliases {
    new: Sender<Alias>,
    thread: JoinHandle<()>,
}

impl Aliases {
    /// Opens or makes the database; what is in it comes along.
    pub(crate) fn start(path: &Path) -> Result<(Aliases, Vec<Alias>), Error> {
        let failed = |source: rusqlite::Error| Error::Aliases {
            path: path.into(),
            source,
        };
        let connection = database::open(path, SCHEMA).map_err(failed)?;
        let known = read(&connection).map_err(failed)?;
        let (new, receiver) = channel();
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("aliases".into())
            .spawn(move || write(&connection, &receiver, &path))?;
        Ok((Aliases { new, thread }, known))
    }

    /// Keeps an alias. Never waits.
    pub(crate) fn keep(&self, alias: Alias) {
        // The thread lives as long as we hold the sender.
        let _ = self.new.send(alias);
    }

    /// Waits until everything is written.
    pub(crate) fn finish(self) {
        drop(self.new);
        let _ = self.thread.join();
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Alias>> {
    let mut statement = connection.prepare("SELECT user, number FROM aliases")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut known = Vec::new();
    for row in rows {
        let (user, number) = row?;
        // Nothing else is ever written there.
        known.extend(E164::parse(&number).map(|number| Alias { user, number }));
    }
    Ok(known)
}

fn write(connection: &Connection, new: &Receiver<Alias>, path: &Path) {
    let mut kept = Vec::new();
    while let Ok(alias) = new.recv() {
        kept.push(alias);
        kept.extend(new.try_iter());
        if let Err(error) = insert(connection, &mut kept) {
            let waiting = kept.len();
            tracing::error!(path = %path.display(), %error, waiting, "aliases cannot be kept");
        }
    }
    if let Err(error) = insert(connection, &mut kept) {
        let lost = kept.len();
        tracing::error!(path = %path.display(), %error, lost, "aliases are lost");
    }
}

fn insert(connection: &Connection, kept: &mut Vec<Alias>) -> rusqlite::Result<()> {
    while let Some(Alias { user, number }) = kept.last() {
        connection
            .prepare_cached("INSERT OR REPLACE INTO aliases (user, number) VALUES (?1, ?2)")?
            .execute(params![user, number.plus()])?;
        kept.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(user: &str, number: &str) -> Alias {
        Alias {
            user: user.into(),
            number: E164::parse(number).expect("a number"),
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let name = format!("wa-sbc-aliases-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let given = [alias("DE.7", "+99900000001"), alias("US.1", "+99900000000")];
        let (aliases, known) = Aliases::start(&path).expect("a database");
        assert_eq!(known, []);
        for alias in &given {
            aliases.keep(alias.clone());
        }
        aliases.finish();
        let (aliases, known) = Aliases::start(&path).expect("the same database");
        aliases.finish();
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        assert_eq!(known, given);
    }

    #[test]
    fn a_place_that_cannot_be_opened_is_named() {
        let error = Aliases::start(Path::new("/nonexistent/aliases.db"));
        let error = error
            .map(|_| ())
            .expect_err("no such directory")
            .to_string();
        assert!(error.contains("/nonexistent/aliases.db"), "{error}");
    }
}
