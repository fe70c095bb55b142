//! How a capture is doing: written by the writer, read by whoever asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::wish::Wish;
use crate::records::millis_since_1970;

/// A capture.
#[derive(Debug)]
pub(crate) struct Status {
    /// Its name, with which its files begin.
    pub(crate) name: String,
    /// What was wished for.
    pub(crate) wish: Wish,
    began: SystemTime,
    /// Messages and datagrams written.
    messages: AtomicU64,
    datagrams: AtomicU64,
    /// What the writer did not come to write.
    dropped: AtomicU64,
    stopping: AtomicBool,
    files: Mutex<Vec<PathBuf>>,
    ended: Mutex<Option<String>>,
}

impl Status {
    pub(super) fn new(name: String, wish: Wish, began: SystemTime) -> Self {
        Self {
            name,
            wish,
            began,
            messages: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            files: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Asks it to end; what is on its way is written first.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn datagram(&self) {
        self.datagrams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn has_files(&self, files: Vec<PathBuf>) {
        *lock(&self.files) = files;
    }

    pub(super) fn end(&self, why: &str) {
        *lock(&self.ended) = Some(why.to_owned());
    }

    /// Why it ended, once it has and everything is on disk.
    pub(crate) fn ended(&self) -> Option<String> {
        lock(&self.ended).clone()
    }

    /// Its files, the oldest first.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        lock(&self.files).clone()
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let state = self.ended().unwrap_or_else(|| "running".into());
        let dropped = match count(&self.dropped) {
            0 => String::new(),
            some => format!(", {some} dropped"),
        };
        format!(
            "{}  {}: {} messages, {} datagrams{dropped}, {state}",
            self.name,
            self.wish.about(),
            count(&self.messages),
            count(&self.datagrams),
        )
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        json!({
            "name": self.name,
            "wish": self.wish,
            "began_ms": millis_since_1970(self.began),
            "messages": count(&self.messages),
            "datagrams": count(&self.datagrams),
            "dropped": count(&self.dropped),
            "running": self.ended().is_none(),
            "ended": self.ended(),
            "files": self.files(),
        })
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
