//! Where trunks have registered, kept in an SQLite database for the next start.
//!
//! A restart must not make a PBX unreachable until it registers again. A database that fails costs just
//! that and no call, so trouble with it is told and otherwise borne.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use b2bua::{KeptContact, Whereabouts};
use rusqlite::{Connection, Row, params};
use sip::Transport;

use crate::database;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS contacts (
        trunk TEXT NOT NULL,
        place INTEGER NOT NULL,
        username TEXT NOT NULL,
        uri TEXT NOT NULL,
        instance TEXT,
        q INTEGER NOT NULL,
        call_id TEXT NOT NULL,
        cseq INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        transport TEXT NOT NULL,
        local TEXT NOT NULL,
        remote TEXT NOT NULL,
        PRIMARY KEY (trunk, place)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;
    PRAGMA synchronous = NORMAL;
";

/// The writer of whereabouts.
#[derive(Debug)]
pub(crate) struct Store {
    new: Sender<Whereabouts>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens or makes the database; what is in it comes along. `None`, and a word in the log, where that
    /// fails.
    pub(crate) fn start(path: &Path) -> Option<(Store, Vec<Whereabouts>)> {
        let opened = database::open(path, SCHEMA).and_then(|connection| {
            let known = read(&connection)?;
            Ok((connection, known))
        });
        let (connection, known) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "registrations will not survive a restart: name another file as store in [registrar]"
                );
                return None;
            }
        };
        let (new, receiver) = channel();
        let path: PathBuf = path.into();
        let thread = std::thread::Builder::new().name("whereabouts".into());
        let thread = thread.spawn(move || write(connection, &receiver, &path));
        let thread = thread
            .inspect_err(|error| tracing::warn!(%error, "registrations are not kept"))
            .ok()?;
        Some((Store { new, thread }, known))
    }

    /// Keeps where a trunk is. Never waits.
    pub(crate) fn keep(&self, whereabouts: Whereabouts) {
        // The thread lives as long as we hold the sender.
        let _ = self.new.send(whereabouts);
    }

    /// Waits until everything is written.
    pub(crate) fn finish(self) {
        drop(self.new);
        let _ = self.thread.join();
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Whereabouts>> {
    let mut statement = connection.prepare(
        "SELECT trunk, username, uri, instance, q, call_id, cseq, until_ms, transport, local, remote
         FROM contacts ORDER BY trunk, place",
    )?;
    let mut rows = statement.query(())?;
    let mut known: Vec<Whereabouts> = Vec::new();
    while let Some(row) = rows.next()? {
        // Nothing else is ever written there.
        let Some(contact) = contact(row)? else {
            continue;
        };
        let (trunk, username): (String, String) = (row.get(0)?, row.get(1)?);
        match known.last_mut().filter(|last| *last.trunk == *trunk) {
            Some(last) => last.contacts.push(contact),
            None => known.push(Whereabouts {
                trunk: trunk.into(),
                username,
                contacts: vec![contact],
            }),
        }
    }
    Ok(known)
}

fn contact(row: &Row<'_>) -> rusqlite::Result<Option<KeptContact>> {
    let transport = match row.get::<_, String>(8)?.as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return Ok(None),
    };
    let until: i64 = row.get(7)?;
    let address = |at| Ok::<_, rusqlite::Error>(row.get::<_, String>(at)?.parse().ok());
    let (Some(local), Some(remote)) = (address(9)?, address(10)?) else {
        return Ok(None);
    };
    Ok(Some(KeptContact {
        uri: row.get(2)?,
        instance: row.get(3)?,
        q: row.get(4)?,
        call_id: row.get(5)?,
        cseq: row.get(6)?,
        until: UNIX_EPOCH + Duration::from_millis(u64::try_from(until).unwrap_or(0)),
        transport,
        local,
        remote,
    }))
}

fn write(mut connection: Connection, new: &Receiver<Whereabouts>, path: &Path) {
    // Of each trunk the newest word counts; what could not be written waits for the next one.
    let mut latest: BTreeMap<Arc<str>, Whereabouts> = BTreeMap::new();
    while let Ok(first) = new.recv() {
        for told in std::iter::once(first).chain(new.try_iter()) {
            latest.insert(told.trunk.clone(), told);
        }
        match replace(&mut connection, &latest) {
            Ok(()) => latest.clear(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "registrations cannot be kept");
            }
        }
    }
    if !latest.is_empty()
        && let Err(error) = replace(&mut connection, &latest)
    {
        tracing::warn!(path = %path.display(), %error, "registrations are not kept");
    }
}

fn replace(
    connection: &mut Connection,
    latest: &BTreeMap<Arc<str>, Whereabouts>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for told in latest.values() {
        transaction
            .prepare_cached("DELETE FROM contacts WHERE trunk = ?1")?
            .execute([&*told.trunk])?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO contacts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        for (place, contact) in told.contacts.iter().enumerate() {
            insert.execute(params![
                &*told.trunk,
                place as i64,
                told.username,
                contact.uri,
                contact.instance,
                contact.q,
                contact.call_id,
                contact.cseq,
                millis(contact.until),
                contact.transport.param(),
                contact.local.to_string(),
                contact.remote.to_string(),
            ])?;
        }
    }
    transaction.commit()
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(trunk: &str, ports: &[u16]) -> Whereabouts {
        let contact = |port: &u16| KeptContact {
            uri: format!("sip:desk@192.168.7.7:{port}"),
            instance: (*port == 2).then(|| "<urn:uuid:1>".into()),
            q: 700,
            call_id: "a@b".into(),
            cseq: 4_294_967_295,
            until: UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
            transport: if *port == 2 {
                Transport::Tcp
            } else {
                Transport::Udp
            },
            local: "[2001:db8::5]:5060".parse().expect("an address"),
            remote: (std::net::Ipv4Addr::LOCALHOST, *port).into(),
        };
        Whereabouts {
            trunk: trunk.into(),
            username: "desk".into(),
            contacts: ports.iter().map(contact).collect(),
        }
    }

    #[test]
    fn what_was_told_last_of_each_trunk_is_there_after_a_restart() {
        let name = format!("wa-sbc-whereabouts-{}.db", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (store, known) = Store::start(&path).expect("a database");
        assert_eq!(known, []);
        for told in [
            at("a", &[7, 8]),
            at("b", &[9]),
            at("a", &[2, 1]),
            at("b", &[]),
        ] {
            store.keep(told);
        }
        store.finish();
        let (store, known) = Store::start(&path).expect("the same database");
        store.finish();
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
        assert_eq!(known, [at("a", &[2, 1])]);
    }

    #[test]
    fn a_place_that_cannot_be_opened_costs_no_start() {
        assert!(Store::start(Path::new("/nonexistent/registrations.db")).is_none());
    }
}
