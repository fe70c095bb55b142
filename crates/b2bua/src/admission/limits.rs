//! How much may go on at once, and in a day: counted before an INVITE becomes a call.
//!
//! The carrier has limits of its own (Meta reference 9) and hides what it refused, so the same
//! limits are kept here, where the caller gets a clear answer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::Slim;

use super::Admitted;
use crate::Cause;
use crate::number::E164;
use crate::record::Direction;
use crate::settings::{Number, Settings, Trunk};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A day is counted in this many steps; the oldest step leaves as a whole.
const STEPS: u32 = 96;

/// What goes on now and went on in the last 24 hours.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    calls: usize,
    numbers: BTreeMap<E164, OfNumber>,
    trunks: BTreeMap<Arc<str>, usize>,
    pairs: HashMap<Pair, OfPair>,
    swept: Option<Instant>,
}

/// What a call that begins takes up.
pub(crate) struct Entered<'a> {
    pub(crate) direction: Direction,
    pub(crate) number: &'a E164,
    pub(crate) trunk: &'a Arc<str>,
    pub(crate) user: &'a str,
}

/// What a call that is over no longer takes up.
pub(crate) struct Left {
    pub(crate) number: E164,
    pub(crate) trunk: Arc<str>,
    pub(crate) user: String,
    /// It was business-initiated and answered.
    pub(crate) connected: bool,
}

/// A business number and a user.
type Pair = (E164, String);

#[derive(Debug, Default)]
struct OfNumber {
    calls: usize,
    initiated: Window,
}

#[derive(Debug, Default)]
struct OfPair {
    calls: usize,
    connected: Window,
}

impl Limits {
    /// What stands against one more call.
    pub(crate) fn against(
        &mut self,
        now: Instant,
        settings: &Settings,
        admitted: &Admitted,
    ) -> Option<Cause> {
        self.sweep(now);
        let Number { e164, limits, .. } = &*admitted.number;
        let initiates = admitted.direction == Direction::BusinessInitiated;
        let number = self.numbers.entry(e164.clone()).or_default();
        let on_trunk = self
            .trunks
            .get(&admitted.trunk.name)
            .copied()
            .unwrap_or_default();
        let pair = self.pairs.get_mut(&(e164.clone(), admitted.user.clone()));
        if self.calls >= settings.max_calls {
            Some(Cause::Limit("calls at once"))
        } else if number.calls >= limits.calls {
            Some(Cause::Limit("calls of the number at once"))
        } else if on_trunk >= admitted.trunk.max_calls {
            Some(Cause::Limit("calls of the trunk at once"))
        } else if initiates && number.initiated.count(now) >= limits.initiated_per_day {
            Some(Cause::Limit("calls initiated by the number in 24 hours"))
        } else if pair
            .as_ref()
            .is_some_and(|pair| pair.calls >= limits.calls_per_user)
        {
            Some(Cause::UserBusy)
        } else if initiates
            && pair
                .is_some_and(|pair| pair.connected.count(now) >= limits.connected_per_user_and_day)
        {
            Some(Cause::Limit("connected calls to the user in 24 hours"))
        } else {
            None
        }
    }

    /// Calls of the number at the moment, and those it initiated in the last 24 hours.
    pub(crate) fn of_number(&mut self, now: Instant, e164: &E164) -> (usize, u32) {
        self.numbers
            .get_mut(e164)
            .map_or((0, 0), |number| (number.calls, number.initiated.count(now)))
    }

    /// Calls of the trunk at the moment.
    pub(crate) fn of_trunk(&self, name: &str) -> usize {
        self.trunks.get(name).copied().unwrap_or_default()
    }

    /// Whether a trunk takes no more calls.
    pub(crate) fn is_full(&self, trunk: &Trunk) -> bool {
        self.trunks.get(&trunk.name).copied().unwrap_or_default() >= trunk.max_calls
    }

    /// A call went on to another trunk.
    pub(crate) fn moved(&mut self, from: &Arc<str>, to: &Arc<str>) {
        if let Some(calls) = self.trunks.get_mut(from) {
            *calls = calls.saturating_sub(1);
        }
        *self.trunks.entry(to.clone()).or_default() += 1;
    }

    /// An INVITE became a call.
    pub(crate) fn enter(&mut self, now: Instant, entered: &Entered<'_>) {
        let e164 = entered.number;
        self.calls += 1;
        *self.trunks.entry(entered.trunk.clone()).or_default() += 1;
        let pair = (e164.clone(), entered.user.to_owned());
        self.pairs.entry(pair).or_default().calls += 1;
        let number = self.numbers.entry(e164.clone()).or_default();
        number.calls += 1;
        if entered.direction == Direction::BusinessInitiated {
            number.initiated.add(now);
        }
    }

    /// A call is over, even if its legs still wait for answers to their BYE.
    pub(crate) fn leave(&mut self, now: Instant, left: &Left) {
        self.calls = self.calls.saturating_sub(1);
        if let Some(calls) = self.trunks.get_mut(&left.trunk) {
            *calls = calls.saturating_sub(1);
        }
        if let Some(number) = self.numbers.get_mut(&left.number) {
            number.calls = number.calls.saturating_sub(1);
        }
        let key = (left.number.clone(), left.user.clone());
        if let Some(pair) = self.pairs.get_mut(&key) {
            pair.calls = pair.calls.saturating_sub(1);
            if left.connected {
                pair.connected.add(now);
            }
            if pair.calls == 0 && pair.connected.count(now) == 0 {
                self.pairs.remove(&key);
            }
        }
    }

    /// Forgets whom nothing is known of any more; once a step is enough.
    #[allow(clippy::disallowed_methods)] // the order plays no part
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now < at + DAY / STEPS) {
            return;
        }
        self.swept = Some(now);
        self.pairs
            .retain(|_, pair| pair.calls > 0 || pair.connected.count(now) > 0);
        self.pairs.slim();
        self.numbers
            .retain(|_, number| number.calls > 0 || number.initiated.count(now) > 0);
        self.trunks.retain(|_, calls| *calls > 0);
    }
}

/// Events of the last 24 hours, counted in steps of a quarter of an hour.
#[derive(Debug, Default)]
struct Window {
    /// The step that is being counted. Most users call once a day: their windows are this one step.
    newest: Option<Step>,
    older: VecDeque<Step>,
    total: u32,
}

/// When a step began, and how much it counted.
type Step = (Instant, u32);

impl Window {
    fn add(&mut self, now: Instant) {
        match &mut self.newest {
            Some((begun, count)) if now < *begun + DAY / STEPS => *count += 1,
            newest => self.older.extend(newest.replace((now, 1))),
        }
        self.total += 1;
    }

    fn count(&mut self, now: Instant) -> u32 {
        let is_over = |(begun, _): &Step| now >= *begun + DAY;
        while let Some((_, count)) = self.older.pop_front_if(|step| is_over(step)) {
            self.total -= count;
        }
        if let Some((_, count)) = self.newest.take_if(|step| is_over(step)) {
            self.total -= count;
        }
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn a_day_slides() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut window = Window::default();
        for i in 0..48 {
            window.add(start + hour * i);
        }
        assert_eq!(window.count(start + hour * 47), 24);
        assert_eq!(window.count(start + hour * 70), 1);
        assert_eq!(window.count(start + hour * 71), 0);
        assert!(window.newest.is_none() && window.older.is_empty());
    }
}
