//! Sounds of our own: ringback as it sounds in a country, a melody for those who wait, an operator's file.
//!
//! Everything here runs when a configuration is read; what plays in a call is one shared list of samples
//! ([`sdp::plan::Sound`]).

mod melody;
mod ringback;
mod wav;

pub use melody::melody;
pub use ringback::{COUNTRIES, ringback};
pub use wav::{LONGEST, WavError, wav};

use std::f64::consts::TAU;

/// Samples a second of every [`sdp::plan::Sound`].
const RATE: f64 = 8_000.0;

/// Adds a sine of `hertz` with this amplitude (1.0: full scale) to `out`.
fn add_sine(out: &mut [f64], hertz: f64, amplitude: f64) {
    for (n, sample) in out.iter_mut().enumerate() {
        *sample += amplitude * (TAU * hertz * n as f64 / RATE).sin();
    }
}

/// To 16 bits, clipped.
fn to_pcm(samples: &[f64]) -> Vec<i16> {
    let pcm = |sample: &f64| (sample.clamp(-1.0, 1.0) * 32_767.0) as i16;
    samples.iter().map(pcm).collect()
}
