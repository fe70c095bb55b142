//! Tones, WAV files, and the verdict on what was heard.
//!
//! The judge looks at the recording through a window of 10 ms, moved 1 ms at a time. It fails on silence, on a level that
//! is more than 3 dB off, on a wrong sampling rate (the tone then stands elsewhere), on a gap, on noise beside the tone and
//! on the other direction's tone (an echo). Tones are multiples of 100 Hz, so that a window holds whole cycles and two
//! tones do not see each other.

use std::f64::consts::TAU;
use std::fmt;
use std::path::Path;

/// Peak amplitude of every tone we play: half of full scale, -6.02 dBFS.
pub const AMPLITUDE: f64 = 0.5;

/// What the person at the WhatsApp side says.
pub const USER_HZ: u32 = 1000;

/// What the agent at the PBX says.
pub const AGENT_HZ: u32 = 1600;

/// Mono 16-bit audio.
#[derive(Clone, Debug, Default)]
pub struct Audio {
    /// Samples per second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Audio {
    /// A sine of `hz` at [`AMPLITUDE`].
    pub fn tone(hz: u32, rate: u32, seconds: f64) -> Audio {
        Audio::sine(hz, rate, seconds, AMPLITUDE)
    }

    /// A sine of `hz`; `amplitude` is the peak as a part of full scale.
    pub fn sine(hz: u32, rate: u32, seconds: f64, amplitude: f64) -> Audio {
        let step = TAU * f64::from(hz) / f64::from(rate);
        let count = (seconds * f64::from(rate)) as usize;
        let samples = (0..count)
            .map(|n| (amplitude * 32767.0 * (step * n as f64).sin()) as i16)
            .collect();
        Audio { rate, samples }
    }

    /// Nothing at all.
    pub fn silence(rate: u32, seconds: f64) -> Audio {
        Audio {
            rate,
            samples: vec![0; (seconds * f64::from(rate)) as usize],
        }
    }

    /// How long it is, in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate.max(1))
    }

    /// The part from `from` for `seconds`, or what there is of it.
    pub fn part(&self, from: f64, seconds: f64) -> Audio {
        let rate = f64::from(self.rate);
        let start = ((from * rate) as usize).min(self.samples.len());
        let end = (start + (seconds * rate) as usize).min(self.samples.len());
        Audio {
            rate: self.rate,
            samples: self.samples[start..end].to_vec(),
        }
    }

    /// Writes a mono 16-bit WAV file.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_wav(&self, path: &Path) {
        let data = (self.samples.len() * 2) as u32;
        let mut file = Vec::with_capacity(44 + data as usize);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&(36 + data).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt ");
        file.extend_from_slice(&16u32.to_le_bytes());
        file.extend_from_slice(&1u16.to_le_bytes());
        file.extend_from_slice(&1u16.to_le_bytes());
        file.extend_from_slice(&self.rate.to_le_bytes());
        file.extend_from_slice(&(self.rate * 2).to_le_bytes());
        file.extend_from_slice(&2u16.to_le_bytes());
        file.extend_from_slice(&16u16.to_le_bytes());
        file.extend_from_slice(b"data");
        file.extend_from_slice(&data.to_le_bytes());
        for sample in &self.samples {
            file.extend_from_slice(&sample.to_le_bytes());
        }
        std::fs::write(path, file).expect("the test's directory is writable");
    }

    /// Reads a 16-bit PCM WAV file, one channel of it. A recorder that was ended may have left wrong lengths in the
    /// header: what follows `data` counts.
    ///
    /// # Errors
    /// In plain words, when it is no such file.
    pub fn read_wav(path: &Path) -> Result<Audio, String> {
        let file = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
            return Err(format!("{}: no WAV file", path.display()));
        }
        let word = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]);
        let long =
            |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
        let (mut at, mut rate, mut channels) = (12, 0, 1);
        while at + 8 <= file.len() {
            let length = long(at + 4) as usize;
            match &file[at..at + 4] {
                b"fmt " if at + 24 <= file.len() => {
                    channels = usize::from(word(at + 10));
                    rate = long(at + 12);
                    if word(at + 22) != 16 {
                        return Err(format!(
                            "{}: {} bits per sample",
                            path.display(),
                            word(at + 22)
                        ));
                    }
                }
                b"data" => {
                    let body = &file[at + 8..];
                    let samples = body
                        .chunks_exact(2 * channels.max(1))
                        .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
                        .collect();
                    return Ok(Audio { rate, samples });
                }
                _ => {}
            }
            at += 8 + length + length % 2;
        }
        Err(format!("{}: no samples", path.display()))
    }
}

/// What stands in a recording.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Peak level of the wanted tone, dBFS, median over the recording.
    pub level_db: f64,
    /// Longest time without the tone, milliseconds.
    pub gap_ms: f64,
    /// How much of all energy the tone is, 0 to 1.
    pub purity: f64,
    /// Level of the strongest unwanted tone relative to the wanted one, dB.
    pub echo_db: f64,
    /// How much was judged, seconds.
    pub seconds: f64,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "level {:.1} dBFS, longest gap {:.0} ms, purity {:.3}, echo {:.0} dB, {:.1} s",
            self.level_db, self.gap_ms, self.purity, self.echo_db, self.seconds
        )
    }
}

/// Measures the tone `hz` in `audio`.
pub fn listen(audio: &Audio, hz: u32, unwanted: &[u32]) -> Heard {
    let window = (audio.rate / 100) as usize;
    let hop = (audio.rate / 1000) as usize;
    let mut levels: Vec<f64> = Vec::new();
    let mut energy = (0.0, 0.0);
    let mut at = 0;
    while window > 0 && at + window <= audio.samples.len() {
        let slice = &audio.samples[at..at + window];
        let amplitude = amplitude(slice, hz, audio.rate);
        levels.push(amplitude);
        energy.0 += amplitude * amplitude / 2.0;
        energy.1 += slice
            .iter()
            .map(|s| (f64::from(*s) / 32767.0).powi(2))
            .sum::<f64>()
            / window as f64;
        at += hop;
    }
    let median = {
        let mut sorted = levels.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    };
    // A window counts as silent when less than a third of it is tone, so a run of silent windows is about 4 ms shorter
    // than the gap it stands in.
    let threshold = (median * 0.316).max(0.002);
    let (mut run, mut longest) = (0, 0);
    for level in &levels {
        run = if *level < threshold { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let long = (audio.rate / 10) as usize;
    let echo = unwanted
        .iter()
        .map(|other| {
            let mut parts: Vec<f64> = audio
                .samples
                .chunks_exact(long.max(1))
                .map(|part| amplitude(part, *other, audio.rate))
                .collect();
            parts.sort_by(f64::total_cmp);
            parts.get(parts.len() / 2).copied().unwrap_or(0.0)
        })
        .fold(0.0, f64::max);
    Heard {
        level_db: decibels(median),
        gap_ms: if longest == 0 {
            0.0
        } else {
            f64::from(longest) + 4.0
        },
        purity: if energy.1 > 0.0 {
            energy.0 / energy.1
        } else {
            0.0
        },
        echo_db: decibels(echo / median.max(1e-6)),
        seconds: audio.seconds(),
    }
}

/// The verdict: `audio` must hold `hz` at [`AMPLITUDE`] within 3 dB, for at least `seconds` without a gap over 40 ms,
/// without much noise and without any of `unwanted`.
///
/// # Errors
/// In plain words, every bar that was missed.
pub fn judge(audio: &Audio, hz: u32, unwanted: &[u32], seconds: f64) -> Result<Heard, String> {
    let heard = listen(audio, hz, unwanted);
    let mut faults = Vec::new();
    if heard.seconds + 0.001 < seconds {
        faults.push(format!(
            "only {:.1} s of audio instead of {seconds:.1} s",
            heard.seconds
        ));
    }
    if (heard.level_db - decibels(AMPLITUDE)).abs() > 3.0 {
        faults.push(format!(
            "level is {:.1} dBFS instead of {:.1} dBFS",
            heard.level_db,
            decibels(AMPLITUDE)
        ));
    }
    if heard.gap_ms > 40.0 {
        faults.push(format!("a gap of {:.0} ms", heard.gap_ms));
    }
    if heard.purity < 0.8 {
        faults.push(format!(
            "only {:.0} % of the energy is the tone",
            heard.purity * 100.0
        ));
    }
    if heard.echo_db > -30.0 {
        faults.push(format!("an unwanted tone at {:.0} dB", heard.echo_db));
    }
    if faults.is_empty() {
        Ok(heard)
    } else {
        Err(format!("{hz} Hz: {} ({heard})", faults.join(", ")))
    }
}

/// G.711 A-law octets as samples at 8 kHz (ITU-T G.711 table 1).
pub fn from_alaw(octets: &[u8]) -> Vec<i16> {
    octets
        .iter()
        .map(|octet| {
            let bits = octet ^ 0x55;
            let (exponent, mantissa) = (i16::from(bits >> 4 & 7), i16::from(bits & 15));
            let value = if exponent == 0 {
                (mantissa << 4) + 8
            } else {
                ((mantissa << 4) + 0x108) << (exponent - 1)
            };
            if bits & 0x80 != 0 { value } else { -value }
        })
        .collect()
}

/// G.711 µ-law octets as samples at 8 kHz (ITU-T G.711 table 2).
pub fn from_ulaw(octets: &[u8]) -> Vec<i16> {
    octets
        .iter()
        .map(|octet| {
            let bits = !octet;
            let (exponent, mantissa) = (i16::from(bits >> 4 & 7), i16::from(bits & 15));
            let value = (((mantissa << 3) + 0x84) << exponent) - 0x84;
            if bits & 0x80 != 0 { -value } else { value }
        })
        .collect()
}

/// Samples at 8 kHz as A-law octets: the nearest of the 256 values.
pub fn to_alaw(samples: &[i16]) -> Vec<u8> {
    let table: Vec<(i16, u8)> = {
        let mut table: Vec<(i16, u8)> = (0..=255u8)
            .map(|octet| (from_alaw(&[octet])[0], octet))
            .collect();
        table.sort_unstable();
        table
    };
    samples
        .iter()
        .map(|sample| {
            let above = table.partition_point(|(value, _)| value < sample).min(255);
            let below = above.saturating_sub(1);
            let distance = |at: usize| (i32::from(table[at].0) - i32::from(*sample)).abs();
            if distance(below) < distance(above) {
                table[below].1
            } else {
                table[above].1
            }
        })
        .collect()
}

// Goertzel's algorithm: peak amplitude of `hz` in `samples`, as a part of full scale.
fn amplitude(samples: &[i16], hz: u32, rate: u32) -> f64 {
    let omega = TAU * f64::from(hz) / f64::from(rate);
    let coefficient = 2.0 * omega.cos();
    let (mut previous, mut before) = (0.0, 0.0);
    for sample in samples {
        let now = f64::from(*sample) / 32767.0 + coefficient * previous - before;
        before = previous;
        previous = now;
    }
    let power = previous * previous + before * before - coefficient * previous * before;
    2.0 * power.max(0.0).sqrt() / samples.len().max(1) as f64
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-6).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(audio: &Audio) -> Result<Heard, String> {
        judge(audio, USER_HZ, &[AGENT_HZ], 10.0)
    }

    fn refused(audio: &Audio, why: &str) {
        let error = verdict(audio).expect_err("a broken call must not pass");
        assert!(error.contains(why), "{error} does not say {why:?}");
    }

    #[test]
    fn an_intact_tone_passes_at_8_and_48_khz_and_through_a_law() {
        for rate in [8000, 48000] {
            let heard = verdict(&Audio::tone(USER_HZ, rate, 10.0)).expect("intact");
            assert!(heard.gap_ms == 0.0 && heard.purity > 0.99, "{heard}");
        }
        let coded = to_alaw(&Audio::tone(USER_HZ, 8000, 10.0).samples);
        verdict(&Audio {
            rate: 8000,
            samples: from_alaw(&coded),
        })
        .expect("A-law is good enough");
    }

    #[test]
    fn silence_does_not_pass() {
        refused(&Audio::silence(8000, 10.0), "level");
    }

    #[test]
    fn too_quiet_and_too_loud_do_not_pass() {
        refused(&Audio::sine(USER_HZ, 8000, 10.0, AMPLITUDE * 0.69), "level");
        refused(&Audio::sine(USER_HZ, 8000, 10.0, AMPLITUDE * 1.45), "level");
        verdict(&Audio::sine(USER_HZ, 8000, 10.0, AMPLITUDE * 0.75)).expect("2.5 dB are allowed");
    }

    #[test]
    fn a_wrong_rate_does_not_pass() {
        let mut audio = Audio::tone(USER_HZ, 16000, 10.0);
        audio.rate = 8000;
        audio.samples.truncate(80_000);
        refused(&audio, "level");
    }

    #[test]
    fn a_gap_of_three_frames_does_not_pass_and_one_frame_does() {
        let mut audio = Audio::tone(USER_HZ, 8000, 10.0);
        audio.samples[40_000..40_160].fill(0);
        let heard = verdict(&audio).expect("20 ms are allowed");
        assert!((15.0..=25.0).contains(&heard.gap_ms), "{heard}");
        audio.samples[40_000..40_480].fill(0);
        refused(&audio, "gap");
        let heard = listen(&audio, USER_HZ, &[]);
        assert!((55.0..=65.0).contains(&heard.gap_ms), "{heard}");
    }

    #[test]
    fn an_echo_does_not_pass() {
        let mut audio = Audio::tone(USER_HZ, 8000, 10.0);
        let echo = Audio::sine(AGENT_HZ, 8000, 10.0, AMPLITUDE * 0.05);
        audio
            .samples
            .iter_mut()
            .zip(&echo.samples)
            .for_each(|(sample, echo)| *sample += echo);
        refused(&audio, "unwanted");
    }

    #[test]
    fn noise_does_not_pass() {
        let mut audio = Audio::tone(USER_HZ, 8000, 10.0);
        let mut state = 1u32;
        for sample in &mut audio.samples {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = sample.saturating_add((state >> 16) as i16 / 3);
        }
        refused(&audio, "energy");
    }

    #[test]
    fn too_short_a_recording_does_not_pass() {
        refused(&Audio::tone(USER_HZ, 8000, 9.0), "only 9.0 s");
    }

    #[test]
    fn a_wav_file_reads_back_as_written() {
        let path = std::env::temp_dir().join(format!("wa-sbc-tone-{}.wav", std::process::id()));
        let audio = Audio::tone(USER_HZ, 8000, 0.1);
        audio.write_wav(&path);
        let back = Audio::read_wav(&path).expect("just written");
        let _ = std::fs::remove_file(&path);
        assert_eq!((back.rate, back.samples), (audio.rate, audio.samples));
    }
}
