//! Records of calls: one for every admitted INVITE, in every place the operator named.
//!
//! ```text
//!  core ─ over ──► journal thread ──► journal          the core waits for it, 50 ms at most
//!       ─ final ─► writer thread ─┬─► file             │ what a place does not take waits in
//!                                 ├─► stdout           │ front of it and is tried again
//!                                 ├─► SQLite           │
//!                                 └─► queue on disk ──► webhook,        │ tried again for as long
//!                                                       PostgreSQL      │ as it takes
//! ```
//!
//! A crash loses no call whose end a peer has seen: its record as known then is in the journal, and
//! the next start gives it to every place that does not have it (`docs/adr/0026-records-survive.md`).

mod entry;
mod facts;
mod file;
mod journal;
mod line;
mod postgres;
mod postgres_tls;
mod queue;
mod read;
mod sink;
mod spool;
mod sqlite;
mod stdout;
mod views;
mod webhook;
mod writer;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use b2bua::Record;

use crate::config::RecordSettings;
use crate::error::Error;

use entry::Entry;
use journal::{Journal, Note, PATIENCE, Progress};
use sink::{Place, Sink};
use spool::Delivery;
use writer::Writer;

pub(crate) use facts::facts;
pub(crate) use line::since_1970 as millis_since_1970;
pub use line::{key, line};
pub use read::{Question, read, wanted_number};
pub use sink::SinkCounts;

/// Where the core hands records over.
#[derive(Debug)]
pub struct Records {
    node: u16,
    finals: Sender<Box<Record>>,
    journal: Option<ToJournal>,
    writer: JoinHandle<()>,
    deliveries: Vec<Delivery>,
    counts: Vec<Arc<SinkCounts>>,
}

#[derive(Debug)]
struct ToJournal {
    notes: Sender<Note>,
    progress: Progress,
    /// Calls told to it.
    told: u64,
    /// Of these, those nobody waits for any more.
    caught_up: u64,
    /// It took too long once, and has not caught up.
    late: bool,
    thread: JoinHandle<()>,
}

impl Records {
    /// Opens every place, so that a wrong one is found at the start, and finishes what a crash left.
    pub fn start(settings: &RecordSettings, node: u16) -> Result<Records, Error> {
        let mut places: Vec<Place> = Vec::new();
        let mut add = |sink: Box<dyn Sink>| places.push(Place::new(sink));
        if let Some(path) = &settings.file {
            let file = file::JsonLines::start(path, settings.rotation);
            add(Box::new(file.map_err(|source| unusable(path, source))?));
        }
        if settings.stdout {
            add(Box::new(stdout::Stdout));
        }
        if let Some(path) = &settings.sqlite {
            let database = sqlite::Database::start(path, settings.sqlite_keeps);
            add(Box::new(database.map_err(|source| unusable(path, source))?));
        }
        let (mut deliveries, mut delivered) = (Vec::new(), Vec::new());
        if let Some(directory) = &settings.spool {
            let webhook = settings.webhook.as_ref();
            let webhook = webhook.map(|server| webhook::start(server, directory));
            let postgres = settings.postgres.as_ref();
            let postgres = postgres.map(|database| postgres::start(database, directory));
            for started in [webhook, postgres].into_iter().flatten() {
                let (delivery, place, counts) =
                    started.map_err(|source| unusable(directory, source))?;
                add(Box::new(place));
                deliveries.push(delivery);
                delivered.push(counts);
            }
        }
        let mut left = Vec::new();
        let mut journal = None;
        if let Some(directory) = &settings.spool {
            let opened = std::fs::create_dir_all(directory).and_then(|()| Journal::open(directory));
            let (opened, entries) = opened.map_err(|source| unusable(directory, source))?;
            left = entries;
            let (notes, receiver) = channel();
            let progress = Progress::default();
            let reached = progress.clone();
            let thread = std::thread::Builder::new()
                .name("journal".into())
                .spawn(move || opened.run(&receiver, &reached))?;
            journal = Some(ToJournal {
                notes,
                progress,
                told: 0,
                caught_up: 0,
                late: false,
                thread,
            });
        }
        if !left.is_empty() {
            tracing::warn!(
                calls = left.len(),
                "records of calls that ended just before a crash are completed from the journal"
            );
        }
        let counts = places.iter().map(Place::counts).chain(delivered).collect();
        let notes = journal.as_ref().map(|journal| journal.notes.clone());
        let (finals, receiver) = channel();
        let writer = Writer::new(node, places, notes);
        let writer = std::thread::Builder::new()
            .name("records".into())
            .spawn(move || writer.run(left, &receiver))?;
        Ok(Records {
            node,
            finals,
            journal,
            writer,
            deliveries,
            counts,
        })
    }

    /// What happened at each place.
    pub fn counts(&self) -> &[Arc<SinkCounts>] {
        &self.counts
    }

    /// A call is over, and nobody has been told yet. Nobody may be before [`Records::catch_up`].
    pub fn over(&mut self, record: &Record) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let entry = Entry {
            key: key(self.node, record.id, record.started),
            line: line::early_line(self.node, record),
            complete: false,
        };
        if journal.notes.send(Note::Over(entry)).is_err() {
            return;
        }
        if journal.late {
            journal.late = !journal
                .progress
                .wait(journal.told, std::time::Duration::ZERO);
        }
        journal.told += 1;
        if journal.late {
            journal.caught_up = journal.told;
        }
    }

    /// Whether there are calls a crash would lose.
    pub fn is_behind(&self) -> bool {
        let journal = self.journal.as_ref();
        journal.is_some_and(|journal| journal.caught_up < journal.told)
    }

    /// Returns once a crash would lose no call any more, or after 50 ms: a slow disk costs calls that much once, and is
    /// not waited for again before it has caught up. One wait serves all calls told of before it.
    pub fn catch_up(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if journal.caught_up < journal.told && !journal.progress.wait(journal.told, PATIENCE) {
            journal.late = true;
            tracing::warn!("the disk of the journal of records is slow; calls do not wait for it");
        }
        journal.caught_up = journal.told;
    }

    /// Hands a final record over. Never waits.
    pub fn write(&self, record: Box<Record>) {
        // The thread lives as long as we hold the sender.
        let _ = self.finals.send(record);
    }

    /// Waits until everything is written.
    pub fn finish(self) {
        drop(self.finals);
        let _ = self.writer.join();
        self.deliveries.into_iter().for_each(Delivery::finish);
        if let Some(journal) = self.journal {
            drop(journal.notes);
            let _ = journal.thread.join();
        }
    }
}

fn unusable(path: &std::path::Path, source: std::io::Error) -> Error {
    Error::Records {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
pub(crate) use line::tests::record as tests_record;

#[cfg(test)]
mod fields_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod webhook_tests;
