//! An operator's sound file: RIFF WAVE, PCM of 16 bits, one channel, 8 000 or 16 000 Hz.

use sdp::plan::Sound;

/// The longest file taken: ten minutes of it lie in memory, once for all calls.
pub const LONGEST: usize = 10 * 60 * 8_000;

/// Why a file is no sound for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavError {
    /// It is no RIFF WAVE file, or it ends in the middle.
    NotWave,
    /// Its samples are not PCM of 16 bits.
    NotPcm16 {
        /// The format tag of its `fmt ` chunk.
        format: u16,
        /// Bits per sample.
        bits: u16,
    },
    /// It has more than one channel.
    Channels(u16),
    /// It has another rate than 8 000 or 16 000 Hz.
    Rate(u32),
    /// It has no sample at all.
    Empty,
    /// It lasts longer than ten minutes.
    TooLong,
}

impl std::fmt::Display for WavError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WavError::NotWave => f.write_str("it is no whole WAV file"),
            WavError::NotPcm16 { format, bits } => {
                write!(
                    f,
                    "its samples are not PCM of 16 bits (format {format}, {bits} bits)"
                )
            }
            WavError::Channels(channels) => write!(f, "it has {channels} channels instead of one"),
            WavError::Rate(rate) => write!(f, "it has {rate} Hz instead of 8000 or 16000"),
            WavError::Empty => f.write_str("it holds no sound"),
            WavError::TooLong => f.write_str("it lasts longer than ten minutes"),
        }
    }
}

impl std::error::Error for WavError {}

/// Reads a file; 16 000 Hz become 8 000.
pub fn wav(bytes: &[u8]) -> Result<Sound, WavError> {
    let rest = bytes
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.get(4..))
        .and_then(|rest| rest.strip_prefix(b"WAVE"))
        .ok_or(WavError::NotWave)?;
    let format = chunk(rest, b"fmt ").ok_or(WavError::NotWave)?;
    let data = chunk(rest, b"data").ok_or(WavError::NotWave)?;
    let [f0, f1, c0, c1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1] =
        *format.first_chunk().ok_or(WavError::NotWave)?;
    let (mut tag, bits) = (u16::from_le_bytes([f0, f1]), u16::from_le_bytes([b0, b1]));
    if tag == 0xfffe {
        // WAVE_FORMAT_EXTENSIBLE: the real format begins its sub-format.
        let sub = format.get(24..26).ok_or(WavError::NotWave)?;
        tag = u16::from_le_bytes([sub[0], sub[1]]);
    }
    if tag != 1 || bits != 16 {
        return Err(WavError::NotPcm16 { format: tag, bits });
    }
    match u16::from_le_bytes([c0, c1]) {
        1 => {}
        channels => return Err(WavError::Channels(channels)),
    }
    let samples: Vec<i16> = data
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let samples = match u32::from_le_bytes([r0, r1, r2, r3]) {
        8_000 => samples,
        16_000 => halved(&samples),
        rate => return Err(WavError::Rate(rate)),
    };
    if samples.len() > LONGEST {
        return Err(WavError::TooLong);
    }
    Sound::new(samples).ok_or(WavError::Empty)
}

/// The body of the first chunk of a kind. Encoders that write to a pipe leave the length of the last one
/// at its maximum: it reaches to the end then.
fn chunk<'a>(mut rest: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let (head, body) = rest.split_first_chunk::<8>()?;
        let [k0, k1, k2, k3, l0, l1, l2, l3] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if [k0, k1, k2, k3] == *kind {
            return Some(&body[..length.min(body.len())]);
        }
        rest = body.get(length.checked_add(length & 1)?..)?;
    }
}

/// Every second sample of what is left below 4 kHz: a half-band filter of 23 taps (windowed sinc).
fn halved(samples: &[i16]) -> Vec<i16> {
    const HALF: isize = 11;
    let tap = |n: isize| -> f64 {
        let x = n as f64 / 2.0;
        let sinc = if n == 0 {
            1.0
        } else {
            (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
        };
        let window = 0.5 + 0.5 * (std::f64::consts::PI * n as f64 / (HALF + 1) as f64).cos();
        0.5 * sinc * window
    };
    let taps: Vec<f64> = (-HALF..=HALF).map(tap).collect();
    let at = |n: isize| {
        usize::try_from(n)
            .ok()
            .and_then(|n| samples.get(n))
            .map_or(0.0, |s| f64::from(*s))
    };
    (0..samples.len().div_ceil(2))
        .map(|n| {
            let centre = 2 * n as isize;
            let sum: f64 = (-HALF..=HALF)
                .zip(&taps)
                .map(|(k, tap)| tap * at(centre + k))
                .sum();
            sum.clamp(-32_768.0, 32_767.0) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, level_dbfs};

    fn file(rate: u32, channels: u16, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * 2).to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"LIST\x03\0\0\0abc\0data");
        bytes.extend((samples.len() as u32 * 2).to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn eight_kilohertz_are_taken_as_they_are() {
        let sound = wav(&file(8_000, 1, 16, &[1, -2, 3])).unwrap();
        assert_eq!(sound.samples(), [1, -2, 3]);
    }

    #[test]
    fn sixteen_kilohertz_keep_their_speech_and_lose_what_would_fold() {
        // `Tone` counts in samples at 8 kHz: half the pitch here.
        let mut speech = vec![0; 16_000];
        Tone::new(500.0, -10.0).fill(&mut speech);
        let sound = wav(&file(16_000, 1, 16, &speech)).unwrap();
        assert_eq!(sound.samples().len(), 8_000);
        let level = level_dbfs(&sound.samples()[100..7_900], 1_000.0);
        assert!((level + 10.0).abs() < 0.3, "{level} dBFS");

        let mut high = vec![0; 16_000];
        Tone::new(3_000.0, -10.0).fill(&mut high); // 6 kHz, would fold to 2 kHz
        let sound = wav(&file(16_000, 1, 16, &high)).unwrap();
        let level = level_dbfs(&sound.samples()[100..7_900], 2_000.0);
        assert!(level < -45.0, "{level} dBFS");
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        let pcm = [0; 4];
        assert_eq!(wav(b"MP3"), Err(WavError::NotWave));
        assert_eq!(wav(&file(8_000, 2, 16, &pcm)), Err(WavError::Channels(2)));
        assert_eq!(wav(&file(44_100, 1, 16, &pcm)), Err(WavError::Rate(44_100)));
        assert_eq!(
            wav(&file(8_000, 1, 8, &pcm)),
            Err(WavError::NotPcm16 { format: 1, bits: 8 })
        );
        assert_eq!(wav(&file(8_000, 1, 16, &[])), Err(WavError::Empty));
        let whole = file(8_000, 1, 16, &pcm);
        for end in 0..whole.len() - 8 {
            let _ = wav(&whole[..end]); // no cut of it panics
        }
    }
}
