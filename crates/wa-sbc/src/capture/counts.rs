//! Figures of all captures, which the owner of the core, the writer and the metrics share.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of all captures, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    running: AtomicU64,
    dropped: AtomicU64,
    broken: AtomicU64,
}

impl Counts {
    /// So many run now.
    pub(super) fn run(&self, count: u64) {
        self.running.store(count, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn broke(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// Captures that run.
    pub(crate) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Messages and datagrams that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Captures that ended because they could not be written.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}
