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
//!
//! Audio needs more foresight than that. A call that rings takes nothing of a media thread yet, and between one
//! measurement and the next a hundred may come; once a thread has no time left, all its calls are late at once. So a
//! call is admitted only if there is time for it when everybody admitted talks ([`Outlook`]). Calls are counted by what they
//! weigh: one that is decoded takes the time of several that pass.

use std::time::Duration;

use super::burden::PASSED;

/// What the machine measured since it last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How late the owner of the core was when it should have woken.
    pub lag: Duration,
    /// Percent of the queue to the core that is filled.
    pub backlog: u8,
    /// Percent of the time the busiest media thread was at work, or waited for a processor.
    pub media: u8,
    /// Percent of the time it was at work.
    pub media_ran: u8,
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

/// Calls the core has, by what they weigh ([`super::burden`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    /// Those that have not ended.
    pub(crate) all: usize,
    /// Of those, the answered ones: audio flows.
    pub(crate) talking: usize,
}

/// What the busiest media thread will have to do when everybody talks who is admitted.
///
/// Nothing is said while a thread has little to do: what it does without any call would be counted among what the first
/// few take.
#[derive(Debug, Default)]
struct Outlook {
    /// As the last measurements say, each for itself.
    last: [Option<Sight>; LASTS as usize],
}

/// What one measurement says about more calls.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// What those calls weighed that talked.
    talking: usize,
    /// Percent the thread was busy.
    busy: f64,
    /// Percent a call took for each unit of its weight; the rest was waiting for a processor, which others have.
    each: f64,
}

impl Sight {
    fn of(limit: u8, load: &Load, talking: usize) -> Option<Self> {
        (limit > 0 && talking > 0 && load.media_ran >= limit / 4).then(|| Sight {
            talking,
            busy: f64::from(load.media),
            each: f64::from(load.media_ran) / talking as f64,
        })
    }

    /// Percent the thread will be busy with calls of this weight that talk.
    fn with(&self, calls: usize) -> f64 {
        self.busy + self.each * (calls as f64 - self.talking as f64)
    }
}

impl Outlook {
    fn measured(&mut self, limit: u8, load: &Load, talking: usize) {
        self.last.rotate_right(1);
        self.last[0] = Sight::of(limit, load, talking);
    }

    /// Whether calls of this weight keep below a limit, as at least one of the last measurements says: a stall is no load.
    fn leaves_room(&self, limit: u8, calls: usize) -> bool {
        let fits =
            |sight: &Option<Sight>| sight.is_none_or(|sight| sight.with(calls) <= f64::from(limit));
        self.last.iter().any(fits)
    }
}

/// The share of new calls that is admitted.
#[derive(Debug)]
pub(crate) struct Overload {
    share: u16,
    /// Measurements above a limit since the last below all.
    above: u8,
    /// Collects shares until they make one call.
    credit: u16,
    outlook: Outlook,
    /// What all calls weighed when it was measured last, and those begun since. What ended since is found out with the next.
    all: usize,
    /// There was no room for one more call when it was measured last.
    full: bool,
    /// The last measurement.
    load: Load,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            share: WHOLE,
            above: 0,
            credit: 0,
            outlook: Outlook::default(),
            all: 0,
            full: false,
            load: Load::default(),
        }
    }
}

/// Why calls are refused before a limit is reached.
const FULL: &str = "the calls there are will take all the time of a media thread";

/// What a measurement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Calls are refused from now on; the measured value that did it.
    Began(&'static str),
    /// All calls are admitted again.
    Ended,
}

impl Overload {
    /// Takes a measurement, made while there were these calls.
    pub(crate) fn measured(
        &mut self,
        policy: &OverloadPolicy,
        load: &Load,
        calls: Calls,
    ) -> Option<Turn> {
        let refused = self.is_refusing();
        self.load = *load;
        self.outlook.measured(policy.media, load, calls.talking);
        self.all = calls.all;
        self.full = !self.outlook.leaves_room(policy.media, calls.all + PASSED);
        let exceeded = policy.exceeded(load);
        match exceeded {
            Some(_) => {
                self.above = (self.above + 1).min(LASTS);
                if self.above == LASTS {
                    self.share /= 2;
                }
            }
            None => {
                self.above = 0;
                self.share = (self.share + STEP).min(WHOLE);
            }
        }
        match (refused, self.is_refusing()) {
            (false, true) => Some(Turn::Began(exceeded.unwrap_or(FULL))),
            (true, false) => Some(Turn::Ended),
            _ => None,
        }
    }

    fn is_refusing(&self) -> bool {
        self.full || self.share < WHOLE
    }

    /// The last measurement.
    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// Percent of new calls that are admitted.
    pub(crate) fn percent(&self) -> u8 {
        if self.full {
            return 0;
        }
        (u32::from(self.share) * 100 / u32::from(WHOLE)) as u8
    }

    /// Whether one more call of this weight is admitted.
    pub(crate) fn admits(&mut self, policy: &OverloadPolicy, weight: usize) -> bool {
        if !self.outlook.leaves_room(policy.media, self.all + weight) {
            return false;
        }
        self.credit += self.share;
        let admitted = self.credit >= WHOLE;
        self.credit %= WHOLE;
        admitted
    }

    /// A call of this weight begins.
    pub(crate) fn begins(&mut self, weight: usize) {
        self.all += weight;
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
    use super::super::burden::DECODED;
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
            media_ran: media,
            ..Load::default()
        }
    }

    const NONE: Calls = Calls { all: 0, talking: 0 };

    fn admitted(overload: &mut Overload) -> usize {
        (0..256)
            .filter(|_| overload.admits(&POLICY, PASSED))
            .count()
    }

    #[test]
    fn the_share_halves_under_load_and_comes_back_in_steps() {
        let mut overload = Overload::default();
        assert_eq!(admitted(&mut overload), 256);
        for _ in 1..LASTS {
            assert_eq!(overload.measured(&POLICY, &busy(90), NONE), None);
        }
        let began = overload.measured(&POLICY, &busy(90), NONE);
        assert_eq!(began, Some(Turn::Began("a media thread has no time left")));
        assert_eq!(admitted(&mut overload), 128);
        assert_eq!((overload.percent(), overload.load()), (50, busy(90)));
        assert_eq!(overload.measured(&POLICY, &busy(99), NONE), None);
        assert_eq!(admitted(&mut overload), 64);
        for _ in 0..20 {
            overload.measured(&POLICY, &busy(99), NONE);
        }
        assert_eq!(admitted(&mut overload), 0);
        for step in 1..16 {
            assert_eq!(overload.measured(&POLICY, &busy(10), NONE), None, "{step}");
        }
        assert_eq!(admitted(&mut overload), 240);
        assert_eq!(
            overload.measured(&POLICY, &busy(10), NONE),
            Some(Turn::Ended)
        );
        assert_eq!(admitted(&mut overload), 256);
    }

    #[test]
    fn a_stall_is_no_load() {
        let mut overload = Overload::default();
        for _ in 0..5 {
            for _ in 1..LASTS {
                assert_eq!(overload.measured(&POLICY, &busy(100), NONE), None);
            }
            assert_eq!(overload.measured(&POLICY, &busy(10), NONE), None);
        }
        assert_eq!(admitted(&mut overload), 256);
    }

    #[test]
    fn each_measure_has_its_own_limit_and_zero_means_none() {
        let began = |load: Load| {
            let mut overload = Overload::default();
            (0..LASTS).any(|_| overload.measured(&POLICY, &load, NONE).is_some())
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
            media_ran: 100,
            cpu: 100,
        };
        let mut overload = Overload::default();
        assert!((0..9).all(|_| overload.measured(&off, &worst, NONE).is_none()));
    }

    /// Calls that are up until one is refused, each of which talks after `rings` measurements; a talking call takes
    /// a thousandth of a thread.
    fn filled(policy: &OverloadPolicy, rings: usize) -> usize {
        let mut overload = Overload::default();
        let mut all = vec![0];
        for _ in 0..200 {
            let before = *all.last().expect("the first");
            let mut now = before;
            while now < before + 40 && overload.admits(policy, PASSED) {
                overload.begins(PASSED);
                now += 1;
            }
            all.push(now);
            let talking = all.len().checked_sub(rings + 1).map_or(0, |at| all[at]);
            let media = (talking / 10).min(100) as u8;
            overload.measured(policy, &busy(media), Calls { all: now, talking });
        }
        *all.last().expect("the last")
    }

    /// Whether there is room for a call that passes beside others of this weight.
    fn has_room(overload: &mut Overload, all: usize) -> bool {
        overload.all = all;
        overload.admits(&POLICY, PASSED)
    }

    #[test]
    fn calls_that_will_be_decoded_weigh_as_such_before_any_of_them_talks() {
        // 400 calls that pass talk, each a thousandth of a thread; then come others that will be decoded, and ring.
        let mut overload = Overload::default();
        let calls = Calls {
            all: 400,
            talking: 400,
        };
        for _ in 0..LASTS {
            overload.measured(&POLICY, &busy(40), calls);
        }
        let mut decoded = 0;
        while decoded < 500 && overload.admits(&POLICY, DECODED) {
            overload.begins(DECODED);
            decoded += 1;
        }
        // Each will take eight thousandths of the half that is left.
        assert!((60..=63).contains(&decoded), "{decoded}");
        // What is too little for one of them is enough for some that pass.
        let passed = (0..500).take_while(|_| {
            let admitted = overload.admits(&POLICY, PASSED);
            overload.begins(PASSED);
            admitted
        });
        assert!((1..DECODED).contains(&passed.count()));
    }

    #[test]
    fn no_more_calls_are_admitted_than_there_is_time_for_when_they_talk() {
        let blind = OverloadPolicy { media: 0, ..POLICY };
        assert_eq!(filled(&blind, 0), 8_000);
        // One call takes a thousandth: 900 of them nine tenths; what is measured is rounded down to a hundredth.
        for rings in [0, 4, 8] {
            let calls = filled(&POLICY, rings);
            assert!((880..=920).contains(&calls), "{rings}: {calls}");
        }
    }

    #[test]
    fn what_few_calls_take_says_nothing_about_many_and_a_stall_nothing_about_any() {
        let mut overload = Overload::default();
        let ten = Calls {
            all: 10,
            talking: 10,
        };
        for _ in 0..LASTS {
            overload.measured(&POLICY, &busy(21), ten);
        }
        assert!(has_room(&mut overload, 1_000));
        for media in [100, 100, 50] {
            overload.measured(&POLICY, &busy(media), ten);
        }
        assert!(has_room(&mut overload, 17) && !has_room(&mut overload, 18));
        assert_eq!(overload.percent(), 100);
    }

    #[test]
    fn what_others_take_of_the_processors_is_not_what_calls_take() {
        let mut overload = Overload::default();
        let crowded = Load {
            media_ran: 30,
            ..busy(60)
        };
        let hundred = Calls {
            all: 100,
            talking: 100,
        };
        for _ in 0..LASTS {
            overload.measured(&POLICY, &crowded, hundred);
        }
        // 100 calls take 30 percent; there is as much left.
        assert!(has_room(&mut overload, 199) && !has_room(&mut overload, 200));
    }

    #[test]
    fn whoever_is_full_says_so_once_and_again_when_there_is_room() {
        let mut overload = Overload::default();
        let calls = |all, talking| Calls { all, talking };
        for _ in 1..LASTS {
            assert_eq!(overload.measured(&POLICY, &busy(60), calls(100, 60)), None);
        }
        let began = overload.measured(&POLICY, &busy(60), calls(100, 60));
        assert_eq!(began, Some(Turn::Began(FULL)));
        assert_eq!((overload.percent(), overload.share), (0, WHOLE));
        assert_eq!(overload.measured(&POLICY, &busy(60), calls(100, 60)), None);
        let ended = overload.measured(&POLICY, &busy(60), calls(70, 60));
        assert_eq!(ended, Some(Turn::Ended));
        assert_eq!(overload.percent(), 100);
    }
}
