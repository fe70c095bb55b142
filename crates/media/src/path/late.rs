//! A source that stalled was pushed back behind the filler that took its time: how that is made up for.
//!
//! Whoever listens has more to play than the clock has time for. Where payloads pass, its jitter buffer plays a little faster, as it
//! would behind a forwarder. Where we decode, we do so ourselves: nothing is left out, a piece of sound as long as its own pitch is
//! blended with the next.
//!
//! ```text
//!   one packet   ├─ lag ─┤─ lag ─┤── rest ──┤
//!                 fades out
//!                         fades in
//!   goes on as   ├─ lag ─┤── rest ──┤
//! ```

use std::time::{Duration, Instant};

use super::{Path, Turn};
use crate::codec::SAMPLES_PER_MS;
use crate::leg::Leg;

/// The longest piece that is taken out at once, in samples: 10 ms.
const LONGEST: usize = 10 * SAMPLES_PER_MS;
/// The shortest: of a voice of 400 Hz.
const SHORTEST: usize = 20;
/// One packet in so many is said faster.
const ONE_IN: u8 = 3;
/// How alike two pieces have to be to be blended: by their correlation, 1 is the same.
const ALIKE: f32 = 0.85;
/// Below this mean absolute sample nobody hears whether they are.
const QUIET: i64 = 90;
/// After so long without two such pieces any will do: no delay stays for good.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between such.
const BETWEEN: Duration = Duration::from_millis(200);

/// What is being made up for.
#[derive(Default)]
pub(super) struct Hurry {
    /// Packets since the last that was said faster.
    rested: u8,
    /// When any piece will do.
    until: Option<Instant>,
}

impl Path {
    /// The source was pushed back, and if it pauses now it goes on where the clock is.
    pub(super) fn comes_forward(&self, turn: &Turn, from: &Leg, to: &mut Leg) {
        let position = turn.position / from.ticks_per_sample();
        if turn.lost == 0 && self.frames.tail().is_some_and(|tail| position > tail) {
            to.tx.forget_source();
        }
    }

    /// Says a packet of a source that was pushed back faster, if it is time for that and can be done unheard.
    pub(super) fn hurry<'a>(
        &mut self,
        now: Instant,
        pcm: &'a mut [i16],
        from: &Leg,
        to: &mut Leg,
    ) -> &'a mut [i16] {
        let (ticks, waits) = (to.ticks_per_sample(), self.frames.len());
        let owed = usize::try_from(to.tx.owed() / ticks).unwrap_or(0);
        // In the end nothing is to wait for its frame to be full.
        let Some(rest) = (owed + to.frame - waits)
            .checked_rem(to.frame)
            .map(|more| owed - more.min(owed))
        else {
            return pcm;
        };
        let surplus = to.tx.surplus(now) >= to.frame as i64 * ticks;
        self.hurry.rested = self.hurry.rested.saturating_add(1);
        if rest == 0 || (waits == 0 && !surplus) || self.hurry.rested < ONE_IN {
            return pcm;
        }
        let until = *self.hurry.until.get_or_insert(now + PATIENCE);
        let longest = LONGEST.min(pcm.len() / 2);
        let lags = match rest {
            rest if rest <= longest => rest..=rest,
            rest => SHORTEST..=longest.min(rest - SHORTEST),
        };
        let best = lags
            .map(|lag| (lag, likeness(pcm, lag)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((lag, alike)) = best else {
            return pcm;
        };
        if alike < ALIKE && now < until {
            return pcm;
        }
        let patience = if alike < ALIKE { BETWEEN } else { PATIENCE };
        self.hurry = Hurry {
            rested: 0,
            until: Some(now + patience),
        };
        self.shift += lag as i64 * from.ticks_per_sample();
        to.tx.repaid(lag as i64 * ticks);
        blend(pcm, lag)
    }
}

/// How alike the first two pieces of this length are.
fn likeness(pcm: &[i16], lag: usize) -> f32 {
    let (first, second) = (&pcm[..lag], &pcm[lag..2 * lag]);
    let dot = |a: &[i16], b: &[i16]| -> i64 {
        let products = a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b));
        products.sum()
    };
    let (one, two) = (dot(first, first), dot(second, second));
    if one.max(two) <= QUIET * QUIET * lag as i64 {
        return 1.0;
    }
    dot(first, second) as f32 / (one as f32 * two as f32).sqrt().max(1.0)
}

/// Blends the first two pieces of this length into one; what remains is shorter by it.
fn blend(pcm: &mut [i16], lag: usize) -> &mut [i16] {
    for at in 0..lag {
        let (out, into) = (i32::from(pcm[at]), i32::from(pcm[at + lag]));
        let (at_out, at_in) = ((lag - at) as i32, at as i32);
        pcm[at] = ((out * at_out + into * at_in) / lag as i32) as i16;
    }
    pcm.copy_within(2 * lag.., lag);
    let len = pcm.len() - lag;
    &mut pcm[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, level_dbfs, rms_dbfs};

    #[test]
    fn a_tone_of_which_pieces_are_taken_stays_one_tone() {
        let mut tone = Tone::new(250.0, -10.0);
        let mut heard = Vec::new();
        for _ in 0..25 {
            let mut pcm = [0; 160];
            tone.fill(&mut pcm);
            let best = (SHORTEST..=LONGEST)
                .max_by(|a, b| likeness(&pcm, *a).total_cmp(&likeness(&pcm, *b)))
                .unwrap();
            assert_eq!(best % 32, 0, "a period of 250 Hz has 32 samples");
            heard.extend_from_slice(blend(&mut pcm, best));
        }
        assert!(heard.len() <= 25 * 128);
        let level = level_dbfs(&heard, 250.0);
        assert!((level + 10.0).abs() < 0.1, "{level} dBFS");
        assert!(level - rms_dbfs(&heard) > -0.05, "nothing but the tone");
    }

    #[test]
    fn what_nobody_hears_is_alike_and_noise_is_not() {
        let mut seed = 1u32;
        let mut noise = |loud: i32| -> Vec<i16> {
            (0..160)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((seed >> 16) as i32 % (2 * loud) - loud) as i16
                })
                .collect()
        };
        assert_eq!(likeness(&noise(50), 80), 1.0);
        assert_eq!(likeness(&[0; 160], 80), 1.0);
        assert!(likeness(&noise(8_000), 80) < ALIKE);
        assert!(likeness(&[i16::MIN; 160], 80) > 0.99);
    }
}
