//! Opus (RFC 6716, RFC 7587) through libopus, at 8 kHz mono.

use opus::{Application, Bitrate, Channels};

use super::{CodecError, MAX_SAMPLES};

/// How we encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// Effort, 0 to 10; 5 costs about 70 µs per 20 ms frame, 9 about 80.
    pub complexity: u8,
    /// Bits per second.
    pub bitrate: u32,
    /// Send in-band forward error correction.
    pub fec: bool,
    /// Loss to prepare for, in percent; without it libopus sends no FEC.
    pub expected_loss: u8,
}

impl Default for OpusSettings {
    fn default() -> Self {
        Self {
            complexity: 5,
            bitrate: 20_000,
            fec: true,
            expected_loss: 10,
        }
    }
}

/// An Opus encoder for speech.
#[derive(Debug)]
pub struct OpusEncoder {
    state: opus::Encoder,
    /// It has said something.
    used: bool,
}

impl OpusEncoder {
    /// Makes an encoder: about 30 KB and 80 µs, the only allocation of its life.
    pub fn new(settings: &OpusSettings) -> Result<Self, CodecError> {
        let make = || {
            let mut state = opus::Encoder::new(8_000, Channels::Mono, Application::Voip)?;
            set(&mut state, settings)?;
            Ok::<_, opus::Error>(state)
        };
        make()
            .map(|state| Self { state, used: false })
            .map_err(|why| CodecError::Opus(why.description().to_owned()))
    }

    /// Makes it as new, with these settings; `false`: libopus refused, and it is of no use.
    pub(super) fn renew(&mut self, settings: &OpusSettings) -> bool {
        let mut renew = || {
            if self.used {
                // Whether the last frame carried redundancy outlives a reset, and the decision about the next one leans on
                // it (`decide_fec` of libopus): one frame without makes it forget.
                self.state.set_inband_fec(false)?;
                self.state.encode(&[0; 160], &mut [0; 400])?;
                self.state.reset_state()?;
                self.used = false;
            }
            set(&mut self.state, settings)
        };
        renew().is_ok()
    }

    /// Goes on with other settings from the next frame on.
    pub fn tune(&mut self, settings: &OpusSettings) {
        // libopus refuses nothing within the bounds `set` keeps.
        let _ = set(&mut self.state, settings);
    }

    /// Encodes 10, 20, 40 or 60 ms.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Option<usize> {
        self.used = true;
        self.state.encode(pcm, out).ok()
    }
}

fn set(state: &mut opus::Encoder, settings: &OpusSettings) -> opus::Result<()> {
    state.set_complexity(i32::from(settings.complexity.min(10)))?;
    state.set_bitrate(Bitrate::Bits(settings.bitrate.clamp(6_000, 128_000) as i32))?;
    state.set_inband_fec(settings.fec)?;
    state.set_packet_loss_perc(i32::from(settings.expected_loss.min(100)))
}

/// An Opus decoder.
#[derive(Debug)]
pub struct OpusDecoder {
    state: opus::Decoder,
    /// It has heard something.
    used: bool,
}

impl OpusDecoder {
    /// Makes a decoder: about 18 KB, the only allocation of its life.
    pub fn new() -> Result<Self, CodecError> {
        let decoder = opus::Decoder::new(8_000, Channels::Mono);
        decoder
            .map(|state| Self { state, used: false })
            .map_err(|why| CodecError::Opus(why.description().to_owned()))
    }

    /// Makes it as new; `false`: libopus refused, and it is of no use.
    pub(super) fn renew(&mut self) -> bool {
        !std::mem::take(&mut self.used) || self.state.reset_state().is_ok()
    }

    /// Decodes a packet of up to 120 ms. Frames of two octets or less (DTX) become comfort noise.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16; MAX_SAMPLES]) -> Option<usize> {
        if payload.is_empty() {
            return None; // libopus would take it for loss and fill 120 ms
        }
        self.used = true;
        self.state.decode(payload, out, false).ok()
    }

    /// Fills `out` by concealment, in steps libopus accepts (multiples of 2.5 ms).
    pub fn conceal(&mut self, out: &mut [i16]) {
        let whole = out.len() / 20 * 20;
        let (steps, rest) = out.split_at_mut(whole);
        self.used = true;
        for step in steps.chunks_mut(MAX_SAMPLES) {
            if self.state.decode(&[], step, false).is_err() {
                step.fill(0);
            }
        }
        rest.fill(0);
    }

    /// Fills `out` with the audio before `next`, from its redundancy where it has any.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) {
        let usable = !next.is_empty()
            && !out.is_empty()
            && out.len().is_multiple_of(20)
            && out.len() <= MAX_SAMPLES;
        self.used = true;
        if !usable || self.state.decode(next, out, true).is_err() {
            self.conceal(out);
        }
    }
}

/// Samples at 8 kHz in a packet, from its table of contents (RFC 6716 §3.1).
pub(super) fn samples(payload: &[u8]) -> Option<usize> {
    if payload.is_empty() {
        return None;
    }
    opus::packet::get_nb_samples(payload, 8_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, level_dbfs};

    /// The tone changes its pitch just where the packet is lost: only redundancy can know.
    #[test]
    fn a_lost_frame_is_recovered_from_the_next_packet() {
        let lost = |with_fec: bool| {
            let mut encoder = OpusEncoder::new(&OpusSettings::default()).unwrap();
            let mut decoder = OpusDecoder::new().unwrap();
            let (mut pcm, mut payload, mut out) = ([0; 160], [0; 400], [0; MAX_SAMPLES]);
            let mut made = [0; 160];
            let mut tone = Tone::new(400.0, -10.0);
            for n in 0..52 {
                if n == 50 {
                    tone = Tone::new(900.0, -10.0);
                }
                tone.fill(&mut pcm);
                let len = encoder.encode(&pcm, &mut payload).unwrap();
                match n {
                    50 => {}
                    51 if with_fec => decoder.recover(&payload[..len], &mut made),
                    51 => decoder.conceal(&mut made),
                    _ => assert_eq!(decoder.decode(&payload[..len], &mut out), Some(160)),
                }
            }
            level_dbfs(&made, 900.0)
        };
        let (recovered, concealed) = (lost(true), lost(false));
        assert!(
            recovered > -20.0 && recovered > concealed + 6.0,
            "{recovered} against {concealed} dBFS"
        );
    }

    #[test]
    fn loss_that_is_expected_brings_redundancy_within_the_bitrate() {
        // Without redundancy a lost onset stays lost; the more is expected the more of it is kept.
        let run = |percent| {
            let mut encoder = OpusEncoder::new(&OpusSettings::default()).unwrap();
            encoder.tune(&OpusSettings {
                expected_loss: percent,
                ..OpusSettings::default()
            });
            let mut decoder = OpusDecoder::new().unwrap();
            let (mut pcm, mut payload, mut out) = ([0; 160], [0; 400], [0; MAX_SAMPLES]);
            let (mut octets, mut made) = (0, [0; 160]);
            let mut tone = Tone::new(400.0, -10.0);
            for n in 0..52 {
                if n == 50 {
                    tone = Tone::new(900.0, -10.0);
                }
                tone.fill(&mut pcm);
                let len = encoder.encode(&pcm, &mut payload).unwrap();
                octets += len;
                match n {
                    50 => {}
                    51 => decoder.recover(&payload[..len], &mut made),
                    _ => assert_eq!(decoder.decode(&payload[..len], &mut out), Some(160)),
                }
            }
            (level_dbfs(&made, 900.0), octets)
        };
        let ((none, _), (much, octets)) = (run(0), run(20));
        assert!(much > none + 6.0, "{much} against {none} dBFS");
        assert!(octets * 8 * 50 / 52 < 24_000, "{octets} octets in 1.04 s");
    }

    #[test]
    fn a_frame_of_one_octet_is_silence_of_the_announced_length() {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = [1; MAX_SAMPLES];
        // Configuration 1: SILK narrowband 20 ms, one frame, no data (DTX).
        assert_eq!(decoder.decode(&[1 << 3], &mut out), Some(160));
        assert!(out[..160].iter().all(|s| s.abs() < 100));
        assert_eq!(samples(&[1 << 3]), Some(160));
    }
}
