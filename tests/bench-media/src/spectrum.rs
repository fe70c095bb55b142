//! How far what was heard is from what was said.

use std::f64::consts::PI;

/// Samples in 20 ms at 8 kHz, and how many of them may be between saying and hearing.
const FRAME: usize = 160;
const MOST_LATE: usize = 640;
/// Length of a spectrum: 32 ms.
const WINDOW: usize = 256;
/// 300 to 3 400 Hz in steps of 31.25 Hz.
const BAND: std::ops::Range<usize> = 10..109;
/// Frames below this root mean square are pauses.
const PAUSE: f64 = 100.0;

/// Segmental signal to noise ratio in dB.
pub(crate) fn snr(said: &[i16], heard: &[i16]) -> f64 {
    let late = lateness(said, heard);
    let frames = said.chunks_exact(FRAME).enumerate();
    let each = frames.filter_map(|(at, said)| {
        let heard = heard.get(at * FRAME + late..)?.get(..FRAME)?;
        let power: f64 = said.iter().map(|s| f64::from(*s).powi(2)).sum();
        let pairs = said.iter().zip(heard);
        let noise: f64 = pairs
            .map(|(s, h)| (f64::from(*s) - f64::from(*h)).powi(2))
            .sum();
        let speaks = (power / FRAME as f64).sqrt() > PAUSE;
        speaks.then(|| (10.0 * (power / noise.max(1.0)).log10()).clamp(-10.0, 35.0))
    });
    mean(each)
}

/// Log-spectral distance in dB.
pub(crate) fn distance(said: &[i16], heard: &[i16]) -> f64 {
    let late = lateness(said, heard);
    let count = said.len().saturating_sub(WINDOW) / FRAME;
    let each = (0..count).filter_map(|at| {
        let said = &said[at * FRAME..][..WINDOW];
        let heard = heard.get(at * FRAME + late..)?.get(..WINDOW)?;
        let power: f64 = said.iter().map(|s| f64::from(*s).powi(2)).sum();
        if (power / WINDOW as f64).sqrt() <= PAUSE {
            return None;
        }
        let (a, b) = (spectrum(said), spectrum(heard));
        let squares = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2));
        Some(mean(squares).sqrt())
    });
    mean(each)
}

/// By how many samples what was heard fits best.
fn lateness(said: &[i16], heard: &[i16]) -> usize {
    let fits = |late: usize| -> f64 {
        let pairs = said.iter().zip(heard.get(late..).unwrap_or_default());
        pairs.map(|(s, h)| f64::from(*s) * f64::from(*h)).sum()
    };
    (0..MOST_LATE)
        .max_by(|a, b| fits(*a).total_cmp(&fits(*b)))
        .unwrap_or_default()
}

/// The power in dB of each step of the band, not below 20 dB.
fn spectrum(samples: &[i16]) -> Vec<f64> {
    let step = 2.0 * PI / WINDOW as f64;
    let windowed: Vec<f64> = (0..)
        .zip(samples)
        .map(|(n, s)| f64::from(*s) * (0.5 - 0.5 * (step * f64::from(n)).cos()))
        .collect();
    let power = |k: usize| {
        // Goertzel's algorithm, one frequency at a time.
        let twice = 2.0 * (step * k as f64).cos();
        let (mut last, mut before) = (0.0, 0.0);
        for sample in &windowed {
            (last, before) = (sample + twice * last - before, last);
        }
        (last * last + before * before - twice * last * before) / WINDOW as f64
    };
    BAND.map(|k| 10.0 * power(k).max(100.0).log10()).collect()
}

fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0_u32), |(sum, count), one| (sum + one, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, count: usize) -> Vec<i16> {
        let wave = |n: usize| (2.0 * PI * hertz * n as f64 / 8_000.0).sin() * 8_000.0;
        (0..count)
            .map(|n| (wave(n) * (1.0 + n as f64 / 9_000.0) / 2.0) as i16)
            .collect()
    }

    #[test]
    fn the_same_a_little_later_is_no_distance_at_all_and_another_pitch_is() {
        let said = tone(710.0, 8_000);
        let late: Vec<i16> = [vec![0; 333], said.clone()].concat();
        assert!(snr(&said, &late) > 34.0);
        assert!(distance(&said, &late) < 0.1);
        let other = tone(1_130.0, 8_333);
        assert!(snr(&said, &other) < 2.0);
        assert!(distance(&said, &other) > 5.0);
    }
}
