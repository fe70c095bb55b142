//! What strangers can make happen a thousand times a second is told ten times: else a flood fills the disk with its log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines a second.
const LINES: u32 = 10;
/// The second they are counted in.
const SECOND: Duration = Duration::from_secs(1);

/// How often something was told lately. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seldom(Arc<Mutex<Option<Lately>>>);

#[derive(Clone, Copy, Debug)]
struct Lately {
    since: Instant,
    lines: u32,
}

impl Seldom {
    /// Whether it may be told once more at `now`. What may not is counted elsewhere, or told at DEBUG.
    pub(crate) fn may(&self, now: Instant) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Lately {
            since: now,
            lines: 0,
        };
        let running = lately.filter(|it| now.saturating_duration_since(it.since) < SECOND);
        let mut now = running.unwrap_or(fresh);
        let may = now.lines < LINES;
        now.lines += u32::from(may);
        *lately = Some(now);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_thousands_ten_a_second_are_told() {
        let seldom = Seldom::default();
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let told = |from: u64, to: u64| (from..to).filter(|ms| seldom.may(at(*ms))).count();
        assert_eq!((told(0, 1_000), told(1_000, 3_000)), (10, 20));
        assert!(seldom.clone().may(at(9_000)));
    }
}
