//! How much of what is asked for can be taken on: a share that falls fast under load and comes back
//! slowly.
//!
//! ```text
//!   load above a limit ──► share ÷ 2         new calls: a share of them is admitted, the others
//!   load below all     ──► share + 1/16      hear 503 with Retry-After; running calls never notice
//! ```
//!
//! One measurement above a limit changes nothing: a machine that was held for half a second (a
//! virtual machine moved, a compiler next door) is not short of time, and nobody is to be refused
//! for it. From the third in a row on half of them are refused at once, then half of what is left.
//! The way back is slow because a call admitted now loads us for minutes.

use std::time::Duration;

/// What the machine measured since it last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How late the owner of the core was when it should have woken.
    pub lag: Duration,
    /// Percent of the queue to the core that is filled.
    pub backlog: u8,
    /// Percent of the time the busiest media thread was at work.
    pub media: u8,
    /// Percent of all processors this program took.
    pub cpu: u8,
}

/// From which load on new calls are refused; 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadPolicy {
    /// [`Load::lag`]
    pub lag: Duration,
    /// [`Load::backlog`], percent.
    pub backlog: u8,
    /// [`Load::media`], percent.
    pub media: u8,
    /// [`Load::cpu`], percent.
    pub cpu: u8,
}

/// The whole of a share.
const WHOLE: u16 = 256;
/// What comes back with each measurement below the limits.
const STEP: u16 = WHOLE / 16;
/// So many measurements in a row make a load of what else is a stall.
const LASTS: u8 = 3;

/// The share of new calls that is admitted.
#[derive(Debug)]
pub(crate) struct Overload {
    share: u16,
    /// Measurements above a limit since the last below all.
    above: u8,
    /// Collects shares until they make one call.
    credit: u16,
    /// The last measurement.
    load: Load,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            share: WHOLE,
            above: 0,
            credit: 0,
            load: Load::default(),
        }
    }
}

/// What a measurement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Calls are refused from now on; the measured value that did it.
    Began(&'static str),
    /// All calls are admitted again.
    Ended,
}

impl Overload {
    /// Takes a measurement.
    pub(crate) fn measured(&mut self, policy: &OverloadPolicy, load: &Load) -> Option<Turn> {
        let before = self.share;
        self.load = *load;
        let Some(which) = policy.exceeded(load) else {
            self.above = 0;
            self.share = (self.share + STEP).min(WHOLE);
            return (before < WHOLE && self.share == WHOLE).then_some(Turn::Ended);
        };
        self.above = (self.above + 1).min(LASTS);
        if self.above < LASTS {
            return None;
        }
        self.share /= 2;
        (before == WHOLE).then_some(Turn::Began(which))
    }

    /// The last measurement.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// Percent of new calls that are admitted.
    pub(crate) fn percent(&self) -> u8 {
        (u32::from(self.share) * 100 / u32::from(WHOLE)) as u8
    }

    /// Whether one more new call is admitted.
    pub(crate) fn admits(&mut self) -> bool {
        self.credit += self.share;
        let admitted = self.credit >= WHOLE;
        self.credit %= WHOLE;
        admitted
    }
}

impl OverloadPolicy {
    fn exceeded(&self, load: &Load) -> Option<&'static str> {
        let above = |limit: u8, value: u8| limit > 0 && value >= limit;
        if !self.lag.is_zero() && load.lag >= self.lag {
            Some("the signalling thread is late")
        } else if above(self.backlog, load.backlog) {
            Some("the queue of signalling is full")
        } else if above(self.media, load.media) {
            Some("a media thread has no time left")
        } else if above(self.cpu, load.cpu) {
            Some("the processors have no time left")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: OverloadPolicy = OverloadPolicy {
        lag: Duration::from_millis(500),
        backlog: 80,
        media: 90,
        cpu: 0,
    };

    fn busy(media: u8) -> Load {
        Load {
            media,
            ..Load::default()
        }
    }

    fn admitted(overload: &mut Overload) -> usize {
        (0..256).filter(|_| overload.admits()).count()
    }

    #[test]
    fn the_share_halves_under_load_and_comes_back_in_steps() {
        let mut overload = Overload::default();
        assert_eq!(admitted(&mut overload), 256);
        for _ in 1..LASTS {
            assert_eq!(overload.measured(&POLICY, &busy(90)), None);
        }
        let began = overload.measured(&POLICY, &busy(90));
        assert_eq!(began, Some(Turn::Began("a media thread has no time left")));
        assert_eq!(admitted(&mut overload), 128);
        assert_eq!((overload.percent(), overload.load()), (50, busy(90)));
        assert_eq!(overload.measured(&POLICY, &busy(99)), None);
        assert_eq!(admitted(&mut overload), 64);
        for _ in 0..20 {
            overload.measured(&POLICY, &busy(99));
        }
        assert_eq!(admitted(&mut overload), 0);
        for step in 1..16 {
            assert_eq!(overload.measured(&POLICY, &busy(10)), None, "{step}");
        }
        assert_eq!(admitted(&mut overload), 240);
        assert_eq!(overload.measured(&POLICY, &busy(10)), Some(Turn::Ended));
        assert_eq!(admitted(&mut overload), 256);
    }

    #[test]
    fn a_stall_is_no_load() {
        let mut overload = Overload::default();
        for _ in 0..5 {
            for _ in 1..LASTS {
                assert_eq!(overload.measured(&POLICY, &busy(100)), None);
            }
            assert_eq!(overload.measured(&POLICY, &busy(10)), None);
        }
        assert_eq!(admitted(&mut overload), 256);
    }

    #[test]
    fn each_measure_has_its_own_limit_and_zero_means_none() {
        let began = |load: Load| {
            let mut overload = Overload::default();
            (0..LASTS).any(|_| overload.measured(&POLICY, &load).is_some())
        };
        let idle = Load::default();
        let lag = Duration::from_millis(500);
        assert!(began(Load { lag, ..idle }));
        let backlog = 80;
        assert!(began(Load { backlog, ..idle }));
        assert!(!began(Load { cpu: 100, ..idle }));
        let off = OverloadPolicy {
            lag: Duration::ZERO,
            backlog: 0,
            media: 0,
            cpu: 0,
        };
        let worst = Load {
            lag: Duration::from_secs(9),
            backlog: 100,
            media: 100,
            cpu: 100,
        };
        let mut overload = Overload::default();
        assert!((0..9).all(|_| overload.measured(&off, &worst).is_none()));
    }
}
