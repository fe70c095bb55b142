//! The thread that gives final records to every place.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use b2bua::Record;

use super::entry::Entry;
use super::journal::Note;
use super::line::{key, line};
use super::sink::Place;

/// How long a place that failed is left alone while nothing new comes.
const RETRY: Duration = Duration::from_secs(1);
/// How long nothing has to come while everything is well.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a record waits for others: opening, writing and closing a file for each of hundreds a second costs more than
/// the calls' records themselves. What a crash in between would lose is in the journal.
const GATHER: Duration = Duration::from_millis(20);

/// The writer of final records.
pub(super) struct Writer {
    node: u16,
    places: Vec<Place>,
    journal: Option<Sender<Note>>,
    /// Keys in the order they came, those in every place taken off.
    undone: VecDeque<String>,
    /// How many were taken off.
    done: u64,
}

impl Writer {
    pub(super) fn new(node: u16, places: Vec<Place>, journal: Option<Sender<Note>>) -> Self {
        Self {
            node,
            places,
            journal,
            undone: VecDeque::new(),
            done: 0,
        }
    }

    /// Writes what a crash left, then what comes, until nothing can come any more.
    pub(super) fn run(mut self, left: Vec<Entry>, records: &Receiver<Box<Record>>) {
        left.into_iter().for_each(|entry| self.take(entry));
        loop {
            self.flush();
            let waiting = self.places.iter().any(Place::is_waiting);
            match records.recv_timeout(if waiting { RETRY } else { IDLE }) {
                Ok(first) => {
                    self.record(&first);
                    std::thread::sleep(GATHER);
                    records.try_iter().for_each(|record| self.record(&record));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.places.iter_mut().for_each(Place::finish);
        self.note_done();
    }

    fn record(&mut self, record: &Record) {
        self.take(Entry {
            key: key(self.node, record.id, record.started),
            line: line(self.node, record),
            complete: true,
        });
    }

    fn take(&mut self, entry: Entry) {
        self.undone.push_back(entry.key.clone());
        for place in &mut self.places {
            place.push(entry.clone());
        }
    }

    fn flush(&mut self) {
        self.places.iter_mut().for_each(Place::flush);
        self.note_done();
    }

    /// Tells the journal which records are in every place.
    fn note_done(&mut self) {
        let through = self.places.iter().map(|place| place.through).min();
        let through = through.unwrap_or(self.done + self.undone.len() as u64);
        while self.done < through
            && let Some(key) = self.undone.pop_front()
        {
            self.done += 1;
            if let Some(journal) = &self.journal {
                let _ = journal.send(Note::Done(key));
            }
        }
    }
}
