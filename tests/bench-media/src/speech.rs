//! What the callers say: speech of espeak-ng, as PCM and as the packets of a phone.

use std::path::Path;
use std::process::Command;

use media::codec::encode_pcma;
use opus::{Application, Bitrate, Channels};

/// Some sentences with all kinds of sounds in them, a few seconds each.
const WORDS: &str = "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. \
    It is easy to tell the depth of a well. These days a chicken leg is a rare dish. \
    Rice is often served in round bowls. The juice of lemons makes fine punch. \
    The box was thrown beside the parked truck. Four hours of steady work faced us.";

/// PCM of the sentences at `rate`; `voice` is one of espeak-ng's.
///
/// # Errors
/// When espeak-ng is not there or does not speak.
pub(crate) fn pcm(directory: &Path, voice: &str, rate: u32) -> Result<Vec<i16>, String> {
    let file = directory.join(format!("{voice}.wav"));
    let spoken = Command::new("espeak-ng")
        .args(["-v", voice, "-s", "150", "-w"])
        .arg(&file)
        .arg(WORDS)
        .status()
        .map_err(|error| format!("espeak-ng (Debian: espeak-ng): {error}"))?;
    if !spoken.success() {
        return Err(format!("espeak-ng ended with {spoken}"));
    }
    let wav = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (samples, from) = parse(&wav).ok_or("espeak-ng wrote no WAV of 16 bits, mono")?;
    Ok(resample(&samples, from, rate))
}

/// Samples and rate of a WAV file.
fn parse(wav: &[u8]) -> Option<(Vec<i16>, u32)> {
    let mut rate = None;
    let mut rest = wav.get(12..)?;
    loop {
        let (name, size) = (rest.get(..4)?, rest.get(4..8)?);
        let size = u32::from_le_bytes(size.try_into().ok()?) as usize;
        let body = rest.get(8..)?;
        match name {
            b"fmt " => rate = Some(u32::from_le_bytes(body.get(4..8)?.try_into().ok()?)),
            b"data" => {
                let pairs = body.get(..size.min(body.len()))?.chunks_exact(2);
                let samples = pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                return Some((samples.collect(), rate?));
            }
            _ => {}
        }
        rest = body.get(size.next_multiple_of(2)..)?;
    }
}

/// A WAV file of 16 bits, mono.
pub(crate) fn wav(samples: &[i16], rate: u32) -> Vec<u8> {
    let size = samples.len() as u32 * 2;
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + size).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(2 * rate).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Another rate: a windowed sinc of 32 zero crossings.
fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let step = f64::from(from) / f64::from(to);
    let cut = (1.0 / step).min(1.0) * 0.95;
    let reach = 16.0 / cut;
    let count = (samples.len() as f64 / step) as usize;
    let one = |n: usize| {
        let centre = n as f64 * step;
        let first = (centre - reach).ceil().max(0.0) as usize;
        let last = ((centre + reach) as usize).min(samples.len().saturating_sub(1));
        let sum: f64 = (first..=last)
            .map(|at| {
                let x = at as f64 - centre;
                let window = (std::f64::consts::PI * x / reach).cos() * 0.5 + 0.5;
                let angle = std::f64::consts::PI * x * cut;
                let sinc = if angle.abs() < 1e-9 {
                    1.0
                } else {
                    angle.sin() / angle
                };
                f64::from(samples[at]) * sinc * window * cut
            })
            .sum();
        sum.clamp(-32_768.0, 32_767.0) as i16
    };
    (0..count).map(one).collect()
}

/// The payloads of 20 ms of a phone that speaks Opus as Meta's do: 16 kHz, 20 kbit/s, with redundancy.
pub(crate) fn opus_payloads(pcm: &[i16]) -> Result<Vec<Vec<u8>>, opus::Error> {
    let mut encoder = opus::Encoder::new(16_000, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(20_000))?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(10)?;
    pcm.chunks_exact(320)
        .map(|frame| encoder.encode_vec(frame, 400))
        .collect()
}

/// The payloads of 20 ms of a phone that speaks PCMA.
pub(crate) fn pcma_payloads(pcm: &[i16]) -> Vec<Vec<u8>> {
    let encode = |frame: &[i16]| {
        let mut payload = vec![0; frame.len()];
        encode_pcma(frame, &mut payload);
        payload
    };
    pcm.chunks_exact(160).map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_keeps_its_level_and_length_at_another_rate() {
        let tone: Vec<i16> = (0..22_050)
            .map(|n| {
                ((f64::from(n) * 2.0 * std::f64::consts::PI * 1_000.0 / 22_050.0).sin() * 8_000.0)
                    as i16
            })
            .collect();
        let made = resample(&tone, 22_050, 8_000);
        let power = |samples: &[i16]| {
            samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
        };
        assert!((made.len() as i64 - 8_000).abs() <= 1);
        assert!((power(&made[100..7_900]) / power(&tone) - 1.0).abs() < 0.02);
    }
}
