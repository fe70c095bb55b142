//! A place for records, and what waits in front of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::entry::Entry;
use crate::clock;

/// Records that wait in memory for one place that cannot be written.
const KEPT: usize = 100_000;
/// Records written at once.
const BATCH: usize = 256;
/// How often a place that cannot be written is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// A place records go to.
pub(super) trait Sink: Send {
    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;
    /// Writes all of them, or fails; then they come again. Writing one twice does no harm that its
    /// key does not tell.
    fn write(&mut self, entries: &[Entry]) -> io::Result<()>;
}

/// What happened at one place, for the metrics.
#[derive(Debug)]
pub struct SinkCounts {
    /// Its name.
    pub name: &'static str,
    /// Records it took.
    pub written: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Records that wait.
    pub waiting: AtomicU64,
    /// Records given up because too many waited.
    pub lost: AtomicU64,
}

impl SinkCounts {
    pub(super) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            written: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }
}

/// A place with its queue.
pub(super) struct Place {
    sink: Box<dyn Sink>,
    counts: Arc<SinkCounts>,
    waiting: VecDeque<Entry>,
    /// How many records ever given to this place are no longer waiting.
    pub(super) through: u64,
    complained: Option<Instant>,
}

impl Place {
    pub(super) fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            counts: SinkCounts::new(sink.name()),
            sink,
            waiting: VecDeque::new(),
            through: 0,
            complained: None,
        }
    }

    pub(super) fn counts(&self) -> Arc<SinkCounts> {
        self.counts.clone()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
        if self.waiting.len() > KEPT {
            self.waiting.pop_front();
            self.through += 1;
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits, until it fails.
    pub(super) fn flush(&mut self) {
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            self.waiting.make_contiguous();
            let (batch, _) = self.waiting.as_slices();
            match self.sink.write(&batch[..count]) {
                Ok(()) => {
                    self.waiting.drain(..count);
                    self.through += count as u64;
                    self.counts
                        .written
                        .fetch_add(count as u64, Ordering::Relaxed);
                    if self.complained.take().is_some() {
                        tracing::info!(sink = self.sink.name(), "records are written again");
                    }
                }
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    self.complain(&error);
                    break;
                }
            }
        }
        self.counts
            .waiting
            .store(self.waiting.len() as u64, Ordering::Relaxed);
    }

    /// Says at the end what could not be written.
    pub(super) fn finish(&mut self) {
        self.flush();
        if !self.waiting.is_empty() {
            let waiting = self.waiting.len();
            tracing::error!(
                sink = self.sink.name(),
                waiting,
                "records are not written; the journal has them"
            );
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(clock::now());
            let waiting = self.waiting.len();
            tracing::error!(sink = self.sink.name(), %error, waiting, "records cannot be written; calls go on");
        }
    }
}
