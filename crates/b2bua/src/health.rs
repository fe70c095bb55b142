//! Which destinations of the trunks are alive.
//!
//! ```text
//!           a call could not reach it · `dead_after` pings unanswered
//!   Alive ───────────────────────────────────────────────────────────► Dead
//!         ◄───────────────────────────────────────────────────────────
//!           `alive_after` pings answered · its rest is over
//! ```
//!
//! A destination is asked with OPTIONS (RFC 3261 §11); any final answer is a sign of life. Dead
//! ones are still tried by calls, after all others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sip::{ClientKey, Target};

use crate::settings::Settings;

/// How long a destination rests after a call could not reach it; twice as long each time it happens
/// again before a call got through.
const REST: Duration = Duration::from_secs(30);
/// The longest rest, whoever asks for it.
const LONGEST_REST: Duration = Duration::from_secs(300);

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
    /// Pings unanswered in a row while it counts as alive, answered in a row while dead.
    against: u8,
    dead: bool,
    /// Calls that could not reach it since one got through.
    failures: u32,
    /// When it may be tried first again.
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Pinged {
    target: Target,
    sent_by: String,
    every: Duration,
    dead_after: u8,
    alive_after: u8,
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
                            dead_after: trunk.policy.dead_after.max(1),
                            alive_after: trunk.policy.alive_after.max(1),
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
        let change = self.judge(&target, alive);
        Some((target, change))
    }

    /// What one answer, or none, means for a destination.
    fn judge(&mut self, target: &Target, alive: bool) -> Option<Change> {
        let pinged = self.pinged.values().find(|pinged| pinged.target == *target);
        let (dead_after, alive_after) =
            pinged.map_or((1, 1), |pinged| (pinged.dead_after, pinged.alive_after));
        let state = self.states.get_mut(target)?;
        let was_dead = state.dead;
        state.against = match alive == was_dead {
            true => state.against.saturating_add(1),
            false => 0,
        };
        if state.against < if was_dead { alive_after } else { dead_after } {
            return None;
        }
        if was_dead {
            *state = State::default();
            return Some(Change::Revived);
        }
        (state.dead, state.against) = (true, 0);
        Some(Change::Died)
    }

    /// A call could not reach it: it rests, longer each time.
    pub(crate) fn unreachable(&mut self, now: Instant, target: &Target) {
        let is_pinged = self.pinged.values().any(|pinged| pinged.target == *target);
        if let Some(state) = self.states.get_mut(target) {
            let rest = REST * 2_u32.saturating_pow(state.failures.min(8));
            state.failures = state.failures.saturating_add(1);
            state.rest(now + rest.min(LONGEST_REST));
            state.dead |= is_pinged;
        }
    }

    /// It asks to be left alone for so long.
    pub(crate) fn asks_for_rest(&mut self, now: Instant, target: &Target, pause: Duration) {
        if let Some(state) = self.states.get_mut(target) {
            state.rest(now + pause.min(LONGEST_REST));
        }
    }

    /// A call got through to it.
    pub(crate) fn reached(&mut self, target: &Target) {
        if let Some(state) = self.states.get_mut(target) {
            *state = State::default();
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

impl State {
    fn rest(&mut self, until: Instant) {
        self.rests_until = Some(self.rests_until.map_or(until, |at| at.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use sip::Transport;

    use super::*;

    fn target() -> Target {
        Target {
            transport: Transport::Udp,
            host: "10.0.0.20".into(),
            port: 5060,
            at: None,
            from: None,
        }
    }

    fn watched(pinged: Option<(u8, u8)>) -> Health {
        let mut health = Health::default();
        health.states.insert(target(), State::default());
        if let Some((dead_after, alive_after)) = pinged {
            let pinged = Pinged {
                target: target(),
                sent_by: "10.0.0.5:5060".into(),
                every: Duration::from_secs(30),
                dead_after,
                alive_after,
            };
            health.pinged.insert(0, pinged);
        }
        health
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn it_takes_as_many_answers_as_configured_to_die_and_to_live() {
        let now = Instant::now();
        let mut health = watched(Some((3, 2)));
        // Answered or not, and whether it counts as dead then.
        let story = [
            (false, false),
            (false, false),
            (true, false),
            (false, false),
            (false, false),
            (false, true),
            (true, true),
            (false, true),
            (true, true),
            (true, false),
        ];
        for (i, (answered, dead)) in story.into_iter().enumerate() {
            health.judge(&target(), answered);
            assert_eq!(health.is_dead(now, &target()), dead, "after answer {i}");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn who_cannot_be_reached_again_and_again_rests_longer_and_longer_up_to_five_minutes() {
        let mut now = Instant::now();
        let mut health = watched(None);
        for rest in [30, 60, 120, 240, 300, 300] {
            health.unreachable(now, &target());
            now += Duration::from_secs(rest - 1);
            assert!(health.is_dead(now, &target()), "{rest}");
            now += Duration::from_secs(1);
            assert!(!health.is_dead(now, &target()), "{rest}");
        }
        health.reached(&target());
        health.unreachable(now, &target());
        assert!(!health.is_dead(now + Duration::from_secs(30), &target()));
        // A rest that is asked for does not shorten another.
        health.asks_for_rest(now, &target(), Duration::from_secs(5));
        assert!(health.is_dead(now + Duration::from_secs(29), &target()));
        health.asks_for_rest(now, &target(), Duration::from_secs(9_999));
        assert!(!health.is_dead(now + Duration::from_secs(300), &target()));
    }
}
