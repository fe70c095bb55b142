//! Hears keys in audio.
//!
//! Audio is looked at in steps of 5 ms. Of each step its energy is kept, and its correlation with the
//! eight tones (Goertzel). A key begins when six steps in a row, and again the six one later,
//! - are loud enough and steady,
//! - have nearly all their energy in one tone of each group, which no speech and no music keeps up,
//! - with both tones where they belong: their phase, from the first 15 ms to the last, turns as theirs does,
//! - and neither much louder than the other (twist).
//!
//! So a tone of 40 ms is always heard and one of 23 ms never (Q.24 §2.3). A key ends when its tones
//! are missing for 20 ms: an interruption of 10 ms does not end it, a pause of 40 ms does.
//! Constants below that are in Q.24 are the strictest of those an administration asks for there.

use std::f32::consts::TAU;

use super::{EVENTS, HIGH, LOW, RATE};

/// Samples in a step: 5 ms.
const STEP: usize = 40;
/// Steps looked at together: 30 ms.
const STEPS: usize = 6;
/// Seconds from the middle of the first half of them to the middle of the second.
const APART: f32 = 0.015;
/// Mean square of the quietest pair of tones that is heard: -36 dBm0 together (0 dBm0 is 3.14 dB
/// below a full-scale sine).
const QUIETEST: f32 = 32_767.0 * 32_767.0 / 2.0 * 1.22e-4;
/// No step has less than this of the mean energy.
const STEADY: f32 = 0.4;
/// So much of all energy is in the two tones: what remains is noise, 11 dB below.
const PURE: f32 = 0.93;
/// The same while a key is down.
const STILL: f32 = 0.5;
/// The tone of a column may be so much louder than that of a row: 5 dB.
const TWIST: f32 = 3.2;
/// The tone of a column may be so much quieter than that of a row: 9 dB.
const REVERSE_TWIST: f32 = 7.9;
/// Tones may be off by so much: 1.8 % are heard (Q.24: 1.5 %), 3.5 % are not.
const OFF: f32 = 0.022;
/// Steps without the tones that end a key: 20 ms.
const RELEASE: u8 = 4;

/// A complex number.
#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    /// Of length one.
    fn turned(angle: f32) -> Self {
        Self {
            re: angle.cos(),
            im: angle.sin(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn conjugate(self) -> Self {
        Self {
            im: -self.im,
            ..self
        }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// One of the eight tones.
#[derive(Clone, Copy, Debug)]
struct Band {
    hertz: f32,
    /// 2·cos ω.
    coefficient: f32,
    /// e^(-jω).
    back: Complex,
    /// How far the tone turns in a step, backwards.
    step: Complex,
    /// Goertzel's two last values in the step under way.
    s1: f32,
    s2: f32,
    /// The last steps, the latest last.
    steps: [Complex; STEPS],
}

impl Band {
    fn new(hertz: f32) -> Self {
        let turn = TAU * hertz / RATE;
        Self {
            hertz,
            coefficient: 2.0 * turn.cos(),
            back: Complex::turned(-turn),
            step: Complex::turned(-turn * STEP as f32),
            s1: 0.0,
            s2: 0.0,
            steps: [Complex::default(); STEPS],
        }
    }

    fn hear(&mut self, sample: f32) {
        let s0 = sample + self.coefficient * self.s1 - self.s2;
        (self.s2, self.s1) = (self.s1, s0);
    }

    /// The step is whole: the end of a Goertzel is e^(jω(N-1)) times the step's correlation, the same
    /// for every step, so that it falls out where powers and phases are compared.
    fn step_over(&mut self) {
        let whole = Complex {
            re: self.s1 + self.s2 * -self.back.re,
            im: self.s2 * -self.back.im,
        };
        self.steps.rotate_left(1);
        self.steps[STEPS - 1] = whole;
        (self.s1, self.s2) = (0.0, 0.0);
    }

    /// The sum of three steps, each turned back to where the first began.
    fn half(&self, second: bool) -> Complex {
        let from = if second { STEPS / 2 } else { 0 };
        let [a, b, c, ..] = self.steps[from..] else {
            return Complex::default();
        };
        a.plus(b.plus(c.times(self.step)).times(self.step))
    }

    /// What the last 30 ms hold of the tone: energy, and how far off it is, in Hz. The energy a tone a
    /// little off loses in so short a look is given back.
    fn look(&self) -> (f32, f32) {
        let (first, second) = (self.half(false), self.half(true));
        let lag = self.step.times(self.step).times(self.step);
        let turned = second.times(lag).times(first.conjugate());
        let off = turned.im.atan2(turned.re) / (TAU * APART);
        let x = std::f32::consts::PI * off * APART;
        let kept = if x.abs() < 1e-3 { 1.0 } else { x.sin() / x };
        let samples = (STEP * STEPS / 2) as f32;
        let energy = (first.power() + second.power()) * 2.0 / samples;
        (energy / (kept * kept).max(0.4), off)
    }

    /// What the last 15 ms hold of it.
    fn lately(&self) -> f32 {
        self.half(true).power() * 2.0 / (STEP * STEPS / 2) as f32
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is down; for so many samples since it was recognised.
    Down(u8, u32),
    /// It was released, after so many samples.
    Up(u8, u32),
}

/// An ear for keys.
#[derive(Clone, Debug)]
pub(crate) struct Ear {
    bands: [Band; 8],
    energies: [f32; STEPS],
    energy: f32,
    /// Samples in the step under way.
    filled: usize,
    /// Steps since something was missing: fewer than [`STEPS`] cannot be judged.
    heard: usize,
    /// The key the last look found, by row and column.
    found: Option<(usize, usize)>,
    down: Option<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    at: (usize, usize),
    steps: u32,
    /// Of them, those at whose end the tones were there.
    sure: u32,
    missing: u8,
}

impl Key {
    fn event(&self) -> u8 {
        EVENTS[self.at.0][self.at.1]
    }
}

impl Ear {
    pub(crate) fn new() -> Self {
        let mut all = LOW.into_iter().chain(HIGH);
        Self {
            bands: std::array::from_fn(|_| Band::new(all.next().unwrap_or(RATE))),
            energies: [0.0; STEPS],
            energy: 0.0,
            filled: 0,
            heard: 0,
            found: None,
            down: None,
        }
    }

    /// Something is missing before what comes next. A key goes on through it.
    pub(crate) fn interrupted(&mut self) {
        for band in &mut self.bands {
            (band.s1, band.s2) = (0.0, 0.0);
        }
        (self.energy, self.filled, self.heard, self.found) = (0.0, 0, 0, None);
    }

    /// What comes next has nothing to do with what came before.
    pub(crate) fn silenced(&mut self) {
        self.interrupted();
        self.down = None;
    }

    /// Listens to 8 kHz audio; the last thing that happened in it.
    pub(crate) fn hear(&mut self, pcm: &[i16]) -> Option<Change> {
        let mut change = None;
        for sample in pcm {
            let sample = f32::from(*sample);
            self.energy += sample * sample;
            self.bands.iter_mut().for_each(|band| band.hear(sample));
            self.filled += 1;
            if self.filled == STEP {
                self.filled = 0;
                change = match (change, self.step_over()) {
                    (Some(up @ Change::Up(..)), _) => Some(up),
                    (before, now) => now.or(before),
                };
            }
        }
        change
    }

    fn step_over(&mut self) -> Option<Change> {
        self.energies.rotate_left(1);
        self.energies[STEPS - 1] = std::mem::take(&mut self.energy);
        self.bands.iter_mut().for_each(Band::step_over);
        self.heard = (self.heard + 1).min(STEPS);
        if let Some(key) = &mut self.down {
            if self.heard < STEPS / 2 {
                return None;
            }
            key.steps += 1;
            let (low, high) = key.at;
            let lately: f32 = self.energies[STEPS / 2..].iter().sum();
            let tones = self.bands[low].lately() + self.bands[4 + high].lately();
            if tones >= STILL * lately && lately >= QUIETEST / 4.0 * (STEP * STEPS / 2) as f32 {
                (key.missing, key.sure) = (0, key.steps);
                return Some(Change::Down(key.event(), key.sure * STEP as u32));
            }
            key.missing += 1;
            if key.missing < RELEASE {
                return None;
            }
            return self.down.take().map(|key| key.up());
        }
        let found = self.look();
        let before = std::mem::replace(&mut self.found, found);
        let at = found.filter(|_| found == before)?;
        self.found = None;
        let key = Key {
            at,
            steps: 1,
            sure: 1,
            missing: 0,
        };
        self.down = Some(key);
        Some(Change::Down(key.event(), STEP as u32))
    }

    /// The key in the last 30 ms.
    fn look(&self) -> Option<(usize, usize)> {
        let total: f32 = self.energies.iter().sum();
        let least = STEADY * total / STEPS as f32;
        if self.heard < STEPS
            || total < QUIETEST * (STEP * STEPS) as f32
            || self.energies.iter().any(|energy| *energy < least)
        {
            return None;
        }
        let (low, low_energy) = strongest(&self.bands[..4])?;
        let (high, high_energy) = strongest(&self.bands[4..])?;
        let pure = low_energy + high_energy >= PURE * total;
        let even = high_energy <= TWIST * low_energy && low_energy <= REVERSE_TWIST * high_energy;
        (pure && even).then_some((low, high))
    }
}

impl Key {
    fn up(self) -> Change {
        Change::Up(self.event(), self.sure * STEP as u32)
    }
}

/// The strongest tone of a group and its energy, if it is where it belongs.
fn strongest(group: &[Band]) -> Option<(usize, f32)> {
    let powers = group
        .iter()
        .map(|band| band.half(false).power() + band.half(true).power());
    let (at, _) = powers.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let band = &group[at];
    let (energy, off) = band.look();
    (off.abs() <= OFF * band.hertz).then_some((at, energy))
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
