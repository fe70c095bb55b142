//! The next timer of every transaction, in order.

use std::collections::BTreeSet;
use std::time::Instant;

/// Which transaction a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    Client(u64),
    Server(u64),
}

/// One deadline per transaction at most: its earliest timer.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, Whose)>,
}

impl Deadlines {
    /// Moves a transaction's deadline from `old` to `new`; `old` is kept up to date.
    pub(super) fn set(&mut self, whose: Whose, old: &mut Option<Instant>, new: Option<Instant>) {
        if *old == new {
            return;
        }
        if let Some(at) = old.take() {
            self.order.remove(&(at, whose));
        }
        if let Some(at) = new {
            self.order.insert((at, whose));
        }
        *old = new;
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// The transaction that is due first, if one is.
    pub(super) fn due(&self, now: Instant) -> Option<Whose> {
        self.order
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, whose)| *whose)
    }
}
