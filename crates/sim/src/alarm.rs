//! Alarms of a peer: one ordered list of what is due when. A stale alarm rings and is ignored by
//! whoever set it, so nobody has to cancel one.

use std::collections::BTreeMap;
use std::time::Instant;

/// Pending alarms of type `A`; those due at the same instant ring in the order they were set.
#[derive(Clone, Debug)]
pub(crate) struct Alarms<A> {
    due: BTreeMap<(Instant, u64), A>,
    count: u64,
}

impl<A> Default for Alarms<A> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<A> Alarms<A> {
    /// Rings at `at`.
    pub(crate) fn set(&mut self, at: Instant, alarm: A) {
        self.count += 1;
        self.due.insert((at, self.count), alarm);
    }

    /// When the next one rings.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|key| key.0)
    }

    /// The next alarm due by `now`.
    pub(crate) fn ring(&mut self, now: Instant) -> Option<A> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Forgets the alarms that do not pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(&A) -> bool) {
        self.due.retain(|_, alarm| keep(alarm));
    }
}
