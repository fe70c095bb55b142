//! Which destinations of the trunks are alive.
//!
//! ```text
//!           a call could not reach it · two pings unanswered
//!   Alive ─────────────────────────────────────────────────► Dead
//!         ◄─────────────────────────────────────────────────
//!           a ping answered · 30 s later, where nobody pings
//! ```
//!
//! A destination is asked with OPTIONS (RFC 3261 §11); any final answer is a sign of life. Dead
//! ones are still tried by calls, after all others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sip::{ClientKey, Target};

use crate::settings::Settings;

/// Unanswered pings that make a destination dead.
const MISSES: u8 = 2;
/// How long a destination nobody pings counts as dead after a call could not reach it.
const REST: Duration = Duration::from_secs(30);

/// Which destinations of the trunks are alive.
#[derive(Debug, Default)]
pub(crate) struct Health {
    states: HashMap<Target, State>,
    asked: HashMap<ClientKey, Target>,
    /// Who is to be asked when, by a number of ours for the destination.
    schedule: BTreeSet<(Instant, u64)>,
    pinged: BTreeMap<u64, Pinged>,
}

#[derive(Clone, Debug, Default)]
struct State {
    misses: u8,
    dead: bool,
    /// Where nobody pings: when it may be tried first again.
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Pinged {
    target: Target,
    sent_by: String,
    every: Duration,
}

/// A change worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Died,
    Revived,
}

impl Health {
    /// Watches the destinations of these settings. What is known of those that stay is kept.
    pub(crate) fn watch(&mut self, now: Instant, settings: &Settings) {
        self.schedule.clear();
        self.pinged.clear();
        let mut states = HashMap::new();
        let mut seen = BTreeSet::new();
        for trunk in &settings.trunks {
            for target in trunk.destinations() {
                let key = (target.transport, target.host.clone(), target.port);
                if !seen.insert(key) {
                    continue;
                }
                states.insert(
                    target.clone(),
                    self.states.remove(target).unwrap_or_default(),
                );
                if let Some(every) = trunk.ping {
                    let id = self.pinged.len() as u64;
                    let sent_by = trunk.sent_by.clone();
                    self.pinged.insert(
                        id,
                        Pinged {
                            target: target.clone(),
                            sent_by,
                            every,
                        },
                    );
                    self.schedule.insert((now, id));
                }
            }
        }
        self.states = states;
    }

    /// When somebody is to be asked next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// The next destination to be asked now, and our Via's host and port towards it.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Target, String)> {
        let &(at, id) = self.schedule.first().filter(|(at, _)| *at <= now)?;
        self.schedule.remove(&(at, id));
        let pinged = self.pinged.get(&id)?;
        self.schedule.insert((now + pinged.every, id));
        Some((pinged.target.clone(), pinged.sent_by.clone()))
    }

    /// It was asked in this transaction.
    pub(crate) fn asked(&mut self, key: ClientKey, target: Target) {
        self.asked.insert(key, target);
    }

    /// Whether the transaction is a question of ours.
    pub(crate) fn is_asked(&self, key: ClientKey) -> bool {
        self.asked.contains_key(&key)
    }

    /// The transaction ended.
    pub(crate) fn answered(
        &mut self,
        key: ClientKey,
        alive: bool,
    ) -> Option<(Target, Option<Change>)> {
        let target = self.asked.remove(&key)?;
        let Some(state) = self.states.get_mut(&target) else {
            return Some((target, None));
        };
        let was_dead = state.dead;
        state.misses = if alive {
            0
        } else {
            state.misses.saturating_add(1)
        };
        state.dead = !alive && (was_dead || state.misses >= MISSES);
        let change = match (was_dead, state.dead) {
            (false, true) => Some(Change::Died),
            (true, false) => Some(Change::Revived),
            _ => None,
        };
        Some((target, change))
    }

    /// A call could not reach it.
    pub(crate) fn unreachable(&mut self, now: Instant, target: &Target) {
        let is_pinged = self.pinged.values().any(|pinged| pinged.target == *target);
        if let Some(state) = self.states.get_mut(target) {
            state.rests_until = Some(now + REST);
            state.dead |= is_pinged;
        }
    }

    /// Whether a call should try others first.
    pub(crate) fn is_dead(&self, now: Instant, target: &Target) -> bool {
        self.states
            .get(target)
            .is_some_and(|state| state.dead || state.rests_until.is_some_and(|until| now < until))
    }

    /// The destinations in the order a call should try them: the living first.
    pub(crate) fn order<'a>(
        &self,
        now: Instant,
        destinations: impl Iterator<Item = &'a Target>,
    ) -> Vec<Target> {
        let (mut order, dead): (Vec<_>, Vec<_>) = destinations
            .cloned()
            .partition(|target| !self.is_dead(now, target));
        order.extend(dead);
        order
    }
}
