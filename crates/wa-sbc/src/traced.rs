//! Calls and numbers whose every step the operator wants to see, switched on while they run.
//!
//! Lines of these calls are logged under a target of their own, which every filter lets through at
//! DEBUG.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use b2bua::E164;
use b2bua::event::{CallEvent, Happened};

/// Who is traced.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    /// Whether there is anybody: what is asked for every line.
    any: AtomicBool,
    who: Mutex<Who>,
}

#[derive(Debug, Default)]
struct Who {
    calls: BTreeSet<u64>,
    numbers: BTreeSet<E164>,
}

impl Traced {
    /// Begins or ends to trace a call; whether that is news.
    pub(crate) fn call(&self, id: u64, on: bool) -> bool {
        self.change(|who| match on {
            true => who.calls.insert(id),
            false => who.calls.remove(&id),
        })
    }

    /// The calls and the numbers that are traced.
    pub(crate) fn who(&self) -> (Vec<u64>, Vec<E164>) {
        let who = self.lock();
        let (calls, numbers) = (who.calls.iter().copied(), who.numbers.iter().cloned());
        (calls.collect(), numbers.collect())
    }

    /// Begins or ends to trace the calls of a number that begin from now on.
    pub(crate) fn number(&self, e164: E164, on: bool) {
        self.change(|who| match on {
            true => who.numbers.insert(e164),
            false => who.numbers.remove(&e164),
        });
    }

    /// Whether nobody is traced.
    pub(crate) fn is_idle(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// Whether the call is traced.
    pub(crate) fn has(&self, call: u64) -> bool {
        self.any.load(Ordering::Relaxed) && self.lock().calls.contains(&call)
    }

    /// Something happened to a call: those of a traced number are traced from their beginning.
    pub(crate) fn follow(&self, event: &CallEvent) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let id = event.facts.id.0;
        let begins = matches!(event.happened, Happened::Began);
        if begins && self.lock().numbers.contains(&event.facts.number) {
            self.call(id, true);
        }
    }

    /// The call is over and recorded.
    pub(crate) fn forget(&self, call: u64) {
        if self.any.load(Ordering::Relaxed) {
            self.call(call, false);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Who) -> bool) -> bool {
        let mut who = self.lock();
        let changed = change(&mut who);
        let any = !who.calls.is_empty() || !who.numbers.is_empty();
        self.any.store(any, Ordering::Relaxed);
        changed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Who> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
