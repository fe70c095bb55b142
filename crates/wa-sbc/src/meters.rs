//! What is counted of calls that ended, for the metrics.
//!
//! One lock, taken once per call and once per scrape. Labels are bounded: numbers and trunks are
//! configured ones, causes come from tables, and beyond [`MOST`] series everything is `other`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use b2bua::Record;
use b2bua::record::Direction;
use sdp::report::LegReport;

/// The most series of one family.
const MOST: usize = 5_000;

/// Upper bounds of waits in seconds, from dialling to a word from the called side.
pub(crate) const WAITS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0,
];
/// Of talks.
pub(crate) const TALKS: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Of shares of packets lost.
pub(crate) const SHARES: &[f64] = &[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// Of jitter, round trips and first sounds, in seconds.
pub(crate) const SHORT: &[f64] = &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0];

/// Of mean opinion scores: bad, poor, fair and good end at their whole numbers; G.107 ends at 4.5.
pub(crate) const SCORES: &[f64] = &[2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5];

/// A histogram: counts below each bound, and above the last.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    pub(crate) bounds: &'static [f64],
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    fn observe(&mut self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at] += 1;
        self.sum += value;
    }
}

/// Whether the last 64 calls of users to one number were answered, the newest lowest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    bits: u64,
    count: u32,
}

impl Answers {
    fn push(&mut self, answered: bool) {
        self.bits = self.bits << 1 | u64::from(answered);
        self.count = (self.count + 1).min(u64::BITS);
    }

    /// The share that was answered, once there are enough calls to speak of one.
    pub(crate) fn share(self) -> Option<f64> {
        const ENOUGH: u32 = 8;
        (self.count >= ENOUGH).then(|| f64::from(self.bits.count_ones()) / f64::from(self.count))
    }
}

/// Figures of one kind of leg: the carrier's or the PBX's.
#[derive(Clone, Debug)]
pub(crate) struct LegMeters {
    pub(crate) loss: Histogram,
    pub(crate) jitter: Histogram,
    pub(crate) round_trip: Histogram,
    /// Of what came from the leg.
    pub(crate) mos: Histogram,
    pub(crate) undecryptable: u64,
    pub(crate) foreign: u64,
    pub(crate) concealed: f64,
    pub(crate) mute: u64,
}

impl LegMeters {
    fn new() -> Self {
        Self {
            loss: Histogram::new(SHARES),
            jitter: Histogram::new(SHORT),
            round_trip: Histogram::new(SHORT),
            mos: Histogram::new(SCORES),
            undecryptable: 0,
            foreign: 0,
            concealed: 0.0,
            mute: 0,
        }
    }

    fn count(&mut self, leg: &LegReport) {
        self.undecryptable += leg.undecryptable;
        self.foreign += leg.foreign;
        self.concealed += leg.concealed.as_secs_f64();
        let expected = leg.packets_received + leg.lost;
        if leg.packets_received == 0 {
            self.mute += 1;
            return;
        }
        self.loss.observe(leg.lost as f64 / expected as f64);
        self.jitter.observe(leg.jitter.as_secs_f64());
        if let Some(round_trip) = leg.round_trip {
            self.round_trip.observe(round_trip.as_secs_f64());
        }
        if let Some(score) = leg.mos_received {
            self.mos.observe(f64::from(score));
        }
    }
}

/// Direction, number, trunk, cause.
type Label = (&'static str, String, String, &'static str);

/// Everything counted of calls that ended.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) ended: BTreeMap<Label, u64>,
    /// By direction: to the first ringing, to the answer, talked, to the first audio.
    pub(crate) setup: BTreeMap<&'static str, Histogram>,
    pub(crate) answer: BTreeMap<&'static str, Histogram>,
    pub(crate) talk: BTreeMap<&'static str, Histogram>,
    pub(crate) first_audio: BTreeMap<&'static str, Histogram>,
    pub(crate) answers: BTreeMap<String, Answers>,
    /// The carrier's leg, the PBX's.
    pub(crate) legs: [LegMeters; 2],
}

/// What is counted of calls that ended.
#[derive(Debug)]
pub(crate) struct Meters {
    counted: Mutex<Counted>,
    /// The share of users' calls that has to be answered.
    alarm_below: f64,
}

impl Meters {
    /// `answer_alarm` is a percentage.
    pub(crate) fn new(answer_alarm: u8) -> Self {
        Self {
            alarm_below: f64::from(answer_alarm) / 100.0,
            counted: Mutex::new(Counted {
                ended: BTreeMap::new(),
                setup: BTreeMap::new(),
                answer: BTreeMap::new(),
                talk: BTreeMap::new(),
                first_audio: BTreeMap::new(),
                answers: BTreeMap::new(),
                legs: [LegMeters::new(), LegMeters::new()],
            }),
        }
    }

    /// The share of users' calls that has to be answered.
    pub(crate) fn alarm_below(&self) -> f64 {
        self.alarm_below
    }

    /// A copy of all of it.
    pub(crate) fn read(&self) -> Counted {
        self.counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A call ended.
    pub(crate) fn ended(&self, record: &Record) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let number = record.number.plus();
        if let Some(share) = counted.count(record, &number, self.alarm_below) {
            drop(counted);
            tracing::warn!(
                number,
                percent = (share * 100.0).round(),
                "users' calls to the number are not answered often enough; Meta hides the call button of such numbers"
            );
        }
    }
}

impl Counted {
    /// The share of answered calls, if it just fell below `alarm_below`.
    fn count(&mut self, record: &Record, number: &str, alarm_below: f64) -> Option<f64> {
        let direction = record.direction.label();
        let label = (
            direction,
            number.to_owned(),
            record.trunk.to_string(),
            record.cause.label(),
        );
        let known = self.ended.len() < MOST || self.ended.contains_key(&label);
        let other = || {
            (
                direction,
                "other".to_owned(),
                "other".to_owned(),
                record.cause.label(),
            )
        };
        *self
            .ended
            .entry(if known { label } else { other() })
            .or_default() += 1;

        let since = |at: Option<std::time::SystemTime>| {
            at.and_then(|at| at.duration_since(record.started).ok())
                .map(|time| time.as_secs_f64())
        };
        let observe = |family: &mut BTreeMap<_, Histogram>, bounds, value: Option<f64>| {
            if let Some(value) = value {
                family
                    .entry(direction)
                    .or_insert_with(|| Histogram::new(bounds))
                    .observe(value);
            }
        };
        observe(
            &mut self.setup,
            WAITS,
            since(record.ringing.or(record.answered)),
        );
        observe(&mut self.answer, WAITS, since(record.answered));
        if record.answered.is_some() {
            observe(&mut self.talk, TALKS, Some(record.duration.as_secs_f64()));
            let first = record.answer_to_first_audio(sdp::Side::A);
            observe(
                &mut self.first_audio,
                SHORT,
                first.map(|time| time.as_secs_f64()),
            );
            let carrier = record.carrier_side();
            for (meters, side) in self.legs.iter_mut().zip([carrier, !carrier]) {
                meters.count(&record.media.legs[side.index()]);
            }
        }
        if record.direction != Direction::UserInitiated
            || !(self.answers.len() < MOST || self.answers.contains_key(number))
        {
            return None;
        }
        let answers = self.answers.entry(number.to_owned()).or_default();
        let below = |answers: &Answers| answers.share().filter(|share| *share < alarm_below);
        let was_below = below(answers).is_some();
        answers.push(record.answered.is_some());
        below(answers).filter(|_| !was_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_answered_calls_is_that_of_the_last_64() {
        let mut answers = Answers::default();
        (0..7).for_each(|_| answers.push(false));
        assert_eq!(answers.share(), None, "too few to speak of");
        answers.push(true);
        assert_eq!(answers.share(), Some(0.125));
        (0..64).for_each(|_| answers.push(true));
        assert_eq!(answers.share(), Some(1.0));
    }

    #[test]
    fn a_value_on_a_bound_lies_below_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0]
            .into_iter()
            .for_each(|value| histogram.observe(value));
        assert_eq!((histogram.counts, histogram.sum), (vec![2, 1, 1], 12.0));
    }

    #[test]
    fn a_leg_is_scored_by_what_came_from_it_and_not_at_all_when_nothing_came() {
        let mut meters = LegMeters::new();
        let spoke = LegReport {
            packets_received: 100,
            mos_received: Some(4.1),
            mos_sent: Some(1.2),
            ..LegReport::default()
        };
        meters.count(&spoke);
        meters.count(&LegReport::default());
        assert_eq!((meters.mos.counts.iter().sum::<u64>(), meters.mute), (1, 1));
        assert_eq!(
            meters.mos.counts[SCORES.partition_point(|bound| *bound < 4.1)],
            1
        );
    }
}
