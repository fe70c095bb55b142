//! A tone to send and a judge of what came out at the other end.
//!
//! For tests, the simulator and the demo: [`Tone`] says a sine of known level, [`judge`] measures how
//! loud it is in what was heard (Goertzel) and how long the longest hole in it is.

use std::f64::consts::TAU;

/// PCM samples per second everywhere in this crate.
pub const RATE: f64 = 8_000.0;

/// A sine generator with a continuous phase.
#[derive(Clone, Debug)]
pub struct Tone {
    step: f64,
    phase: f64,
    amplitude: f64,
}

impl Tone {
    /// A sine of `hertz` at `dbfs` (0 dBFS: a sine that just touches full scale).
    pub fn new(hertz: f64, dbfs: f64) -> Self {
        Self {
            step: TAU * hertz / RATE,
            phase: 0.0,
            amplitude: 32_767.0 * 10f64.powf(dbfs / 20.0),
        }
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (self.phase.sin() * self.amplitude) as i16;
            self.phase = (self.phase + self.step) % TAU;
        }
    }
}

/// The level of one frequency in `pcm`, in dBFS (Goertzel); at least -120.
pub fn level_dbfs(pcm: &[i16], hertz: f64) -> f64 {
    if pcm.is_empty() {
        return -120.0;
    }
    let coefficient = 2.0 * (TAU * hertz / RATE).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in pcm {
        let s0 = f64::from(*sample) + coefficient * s1 - s2;
        (s2, s1) = (s1, s0);
    }
    let power = (s1 * s1 + s2 * s2 - coefficient * s1 * s2).max(0.0);
    let amplitude = 2.0 * power.sqrt() / pcm.len() as f64;
    dbfs(amplitude)
}

/// The level of everything in `pcm` in dBFS, a full-scale sine being 0; at least -120.
pub fn rms_dbfs(pcm: &[i16]) -> f64 {
    if pcm.is_empty() {
        return -120.0;
    }
    let sum: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    dbfs((2.0 * sum / pcm.len() as f64).sqrt())
}

/// What [`judge`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Milliseconds from the beginning to where the tone is first heard; `None`: never.
    pub onset_ms: Option<u32>,
    /// Level of the tone from its onset to where it is last heard, in dBFS (median over 10 ms windows).
    pub level_dbfs: f64,
    /// The longest stretch within that without the tone, in ms.
    pub longest_gap_ms: u32,
    /// All such stretches together, in ms.
    pub gaps_ms: u32,
    /// From onset to where the tone is last heard, in ms.
    pub duration_ms: u32,
    /// How much of all power lies in the tone, in dB below the whole (0: nothing else to hear).
    pub purity_db: f64,
}

impl Verdict {
    /// Whether the tone came through: within `tolerance_db` of `sent_dbfs`, with no gap over `gap_ms`.
    pub fn holds(&self, sent_dbfs: f64, tolerance_db: f64, gap_ms: u32) -> bool {
        self.onset_ms.is_some()
            && (self.level_dbfs - sent_dbfs).abs() <= tolerance_db
            && self.longest_gap_ms <= gap_ms
    }
}

/// Looks for a tone of `hertz` in `pcm`, window by window of 10 ms. A window counts as heard when the
/// tone in it is at most 12 dB below `sent_dbfs`. Use multiples of 100 Hz.
pub fn judge(pcm: &[i16], hertz: f64, sent_dbfs: f64) -> Verdict {
    let levels: Vec<f64> = pcm
        .chunks_exact(WINDOW)
        .map(|window| level_dbfs(window, hertz))
        .collect();
    let heard: Vec<bool> = levels
        .iter()
        .map(|level| *level >= sent_dbfs - 12.0)
        .collect();
    let (first, last) = match (
        heard.iter().position(|h| *h),
        heard.iter().rposition(|h| *h),
    ) {
        (Some(first), Some(last)) => (first, last),
        _ => {
            return Verdict {
                onset_ms: None,
                level_dbfs: level_dbfs(pcm, hertz),
                longest_gap_ms: 0,
                gaps_ms: 0,
                duration_ms: 0,
                purity_db: -120.0,
            };
        }
    };
    let inside = &heard[first..=last];
    let longest = inside.split(|h| *h).map(<[bool]>::len).max().unwrap_or(0);
    let mut sorted = levels[first..=last].to_vec();
    sorted.sort_by(f64::total_cmp);
    let level = sorted[sorted.len() / 2];
    let whole = rms_dbfs(&pcm[first * WINDOW..(last + 1) * WINDOW]);
    Verdict {
        onset_ms: Some(10 * first as u32),
        level_dbfs: level,
        longest_gap_ms: 10 * longest as u32,
        gaps_ms: 10 * inside.iter().filter(|h| !**h).count() as u32,
        duration_ms: 10 * inside.len() as u32,
        purity_db: (level - whole).min(0.0),
    }
}

const WINDOW: usize = 80;

fn dbfs(amplitude: f64) -> f64 {
    (20.0 * (amplitude / 32_767.0).max(1e-6).log10()).max(-120.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(hertz: f64, level: f64, samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        Tone::new(hertz, level).fill(&mut pcm);
        pcm
    }

    #[test]
    fn the_judge_accepts_the_tone_itself() {
        let verdict = judge(&seconds(1_000.0, -10.0, 80_000), 1_000.0, -10.0);
        assert!(verdict.holds(-10.0, 0.1, 0), "{verdict:?}");
        assert!(verdict.purity_db > -0.1);
        assert_eq!(verdict.duration_ms, 10_000);
    }

    #[test]
    fn the_judge_refuses_silence_wrong_level_wrong_pitch_and_holes() {
        assert!(!judge(&[0; 8_000], 1_000.0, -10.0).holds(-10.0, 3.0, 40));
        assert!(!judge(&[], 1_000.0, -10.0).holds(-10.0, 3.0, 40));
        assert!(!judge(&seconds(1_000.0, -15.0, 8_000), 1_000.0, -10.0).holds(-10.0, 3.0, 40));
        assert!(!judge(&seconds(500.0, -10.0, 8_000), 1_000.0, -10.0).holds(-10.0, 3.0, 40));
        let mut holed = seconds(1_000.0, -10.0, 8_000);
        holed[4_000..4_480].fill(0);
        let verdict = judge(&holed, 1_000.0, -10.0);
        assert_eq!(verdict.longest_gap_ms, 60);
        assert!(!verdict.holds(-10.0, 3.0, 40));
    }

    #[test]
    fn a_late_start_is_told_from_a_gap() {
        let mut pcm = vec![0; 1_600];
        pcm.extend(seconds(1_000.0, -10.0, 8_000));
        let verdict = judge(&pcm, 1_000.0, -10.0);
        assert_eq!(verdict.onset_ms, Some(200));
        assert!(verdict.holds(-10.0, 1.0, 0));
    }
}
