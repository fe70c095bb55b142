//! Codec states that calls which are over leave for calls to come.
//!
//! Making a libopus state is dear out of proportion: libopus asks the processor three or four times what it can do, and in a
//! virtual machine every such question is an exit to the hypervisor. A state that is used again was asked for once.

use sdp::Codec;

use super::{CodecError, Decoder, Encoder, OpusDecoder, OpusEncoder, OpusSettings};

/// Settings whose silence is remembered; a service has one or two.
const SILENCES: usize = 8;

/// The most octets of a frame of silence: 60 ms of G.711.
pub(crate) const SILENCE: usize = 480;

/// A frame of silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    pub(crate) bytes: [u8; SILENCE],
    pub(crate) len: usize,
}

/// Codec states nobody uses, and what was encoded once for all calls. Belongs to whoever starts sessions: a state it gives out
/// behaves bit for bit like a new one.
#[derive(Debug, Default)]
pub struct Spare {
    most: usize,
    encoders: Vec<OpusEncoder>,
    decoders: Vec<OpusDecoder>,
    silences: Vec<(OpusSettings, usize, Silence)>,
}

impl Spare {
    /// Keeps so many encoders and so many decoders, together about 48 KB each. All of them are made now: neither the first
    /// calls nor the memory of the machine are to wait for them later.
    pub fn new(most: usize) -> Self {
        let mut spare = Self {
            most,
            ..Self::default()
        };
        for _ in 0..most {
            let decoder = Decoder::new(Codec::Opus);
            let encoder = Encoder::new(Codec::Opus, &OpusSettings::default());
            // A state that cannot be made is asked for again by the call that needs it, and refused to that call.
            spare.keep(decoder.ok(), encoder.ok());
        }
        spare
    }

    /// Keeps nothing: every state is new.
    pub fn none() -> Self {
        Self::default()
    }

    /// A decoder with nothing heard yet.
    pub(crate) fn decoder(&mut self, codec: Codec) -> Result<Decoder, CodecError> {
        if codec == Codec::Opus
            && let Some(mut decoder) = self.decoders.pop()
            && decoder.renew()
        {
            return Ok(Decoder::Opus(decoder));
        }
        Decoder::new(codec)
    }

    /// An encoder with nothing said yet.
    pub(crate) fn encoder(
        &mut self,
        codec: Codec,
        settings: &OpusSettings,
    ) -> Result<Encoder, CodecError> {
        if codec == Codec::Opus
            && let Some(mut encoder) = self.encoders.pop()
            && encoder.renew(settings)
        {
            return Ok(Encoder::Opus(encoder));
        }
        Encoder::new(codec, settings)
    }

    /// A call is over and leaves this.
    pub(crate) fn keep(&mut self, decoder: Option<Decoder>, encoder: Option<Encoder>) {
        if let Some(Decoder::Opus(decoder)) = decoder
            && self.decoders.len() < self.most
        {
            self.decoders.push(decoder);
        }
        if let Some(Encoder::Opus(encoder)) = encoder
            && self.encoders.len() < self.most
        {
            self.encoders.push(encoder);
        }
    }

    /// One frame of Opus silence of so many samples: the second one, when the encoder has settled.
    pub(crate) fn silence(
        &mut self,
        samples: usize,
        settings: &OpusSettings,
    ) -> Result<Silence, CodecError> {
        let known =
            |(with, of, _): &&(OpusSettings, usize, Silence)| (with, *of) == (settings, samples);
        if let Some((_, _, silence)) = self.silences.iter().find(known) {
            return Ok(*silence);
        }
        let mut silence = Silence {
            bytes: [0; SILENCE],
            len: 0,
        };
        let mut encoder = self.encoder(Codec::Opus, settings)?;
        for _ in 0..2 {
            let len = encoder.encode(&[0; SILENCE][..samples], &mut silence.bytes);
            silence.len =
                len.ok_or_else(|| CodecError::Opus("silence was not encoded".to_owned()))?;
        }
        self.keep(None, Some(encoder));
        if self.most > 0 {
            if self.silences.len() == SILENCES {
                self.silences.remove(0);
            }
            self.silences.push((*settings, samples, silence));
        }
        Ok(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::MAX_SAMPLES;

    /// Every combination of what calls differ in.
    fn settings() -> Vec<OpusSettings> {
        let mut all = Vec::new();
        for complexity in [0, 3, 5, 7, 10] {
            for bitrate in [6_000, 9_000, 12_000, 14_000, 20_000, 64_000] {
                for (fec, expected_loss) in [(false, 0), (true, 5), (true, 10), (true, 30)] {
                    all.push(OpusSettings {
                        complexity,
                        bitrate,
                        fec,
                        expected_loss,
                    });
                }
            }
        }
        all
    }

    /// Something between a voice, noise, clipping and silence that never repeats.
    struct Voice(u64);

    impl Voice {
        fn fill(&mut self, n: usize, pcm: &mut [i16]) {
            for (at, sample) in pcm.iter_mut().enumerate() {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let noise = (self.0 >> 48) as i16;
                let saw = (at * (37 + n % 60) * 97) as i16;
                *sample = match n / 7 % 5 {
                    0 => saw / 4 + noise / 50,
                    1 => 0,
                    2 => noise,
                    3 => saw.saturating_mul(2),
                    _ => noise / 300,
                };
            }
        }
    }

    fn say(
        encoder: &mut OpusEncoder,
        tuned: &OpusSettings,
        seed: u64,
        samples: usize,
        frames: usize,
    ) -> Vec<Vec<u8>> {
        let mut voice = Voice(seed);
        let (mut pcm, mut out) = ([0; SILENCE], [0; 1_500]);
        (0..frames)
            .map(|n| {
                if n == frames / 2 {
                    encoder.tune(&OpusSettings {
                        fec: !tuned.fec,
                        expected_loss: 25,
                        ..*tuned
                    });
                }
                voice.fill(n, &mut pcm[..samples]);
                let len = encoder.encode(&pcm[..samples], &mut out).expect("encodes");
                out[..len].to_vec()
            })
            .collect()
    }

    #[test]
    fn an_encoder_used_again_says_bit_for_bit_what_a_new_one_says() {
        let settings = settings();
        let mut used = OpusEncoder::new(&OpusSettings::default()).unwrap();
        for round in 0..settings.len() {
            // What was before: other settings, other frames, another length of talk.
            let before = &settings[(round * 7 + 3) % settings.len()];
            assert!(used.renew(before));
            let samples = [80, 160, 320, 480][round % 4];
            say(&mut used, before, round as u64, samples, 3 + round % 40);

            let next = &settings[round];
            assert!(used.renew(next));
            let mut new = OpusEncoder::new(next).unwrap();
            let samples = [160, 480, 160, 80][round % 4];
            assert_eq!(
                say(&mut used, next, 99, samples, 36),
                say(&mut new, next, 99, samples, 36),
                "{next:?} after {before:?}"
            );
        }
    }

    /// What a call hears: packets, holes filled from redundancy and by concealment, comfort noise, junk.
    fn hear(decoder: &mut OpusDecoder, packets: &[Vec<u8>], samples: usize) -> Vec<i16> {
        let (mut heard, mut out) = (Vec::new(), [0; MAX_SAMPLES]);
        for (n, packet) in packets.iter().enumerate() {
            match n % 9 {
                4 => decoder.conceal(&mut out[..samples]),
                5 => decoder.recover(packet, &mut out[..samples]),
                7 if n > 20 => drop(decoder.decode(&[1 << 3], &mut out)),
                8 if n > 20 => drop(decoder.decode(&[0xff, 3, 7, 1, 200, 9], &mut out)),
                _ => drop(decoder.decode(packet, &mut out)),
            }
            heard.extend_from_slice(&out[..samples]);
        }
        heard
    }

    #[test]
    fn a_decoder_used_again_hears_bit_for_bit_what_a_new_one_hears() {
        let settings = settings();
        let mut used = OpusDecoder::new().unwrap();
        for round in 0..settings.len() {
            let samples = [80, 160, 320, 480][round % 4];
            let mut encoder = OpusEncoder::new(&settings[round]).unwrap();
            let packets = say(
                &mut encoder,
                &settings[round],
                round as u64,
                samples,
                5 + round % 40,
            );
            hear(&mut used, &packets, samples);

            assert!(used.renew());
            let other = &settings[(round * 5 + 1) % settings.len()];
            let mut encoder = OpusEncoder::new(other).unwrap();
            let packets = say(&mut encoder, other, 4_711, 160, 30);
            let mut new = OpusDecoder::new().unwrap();
            assert_eq!(
                hear(&mut used, &packets, 160),
                hear(&mut new, &packets, 160),
                "round {round}"
            );
        }
    }

    #[test]
    fn silence_is_encoded_once_and_is_the_same_as_ever() {
        let (mut spare, mut none) = (Spare::new(4), Spare::none());
        for settings in &settings()[..12] {
            for samples in [80, 160, 320, 480] {
                let fresh = none.silence(samples, settings).unwrap();
                for _ in 0..2 {
                    let kept = spare.silence(samples, settings).unwrap();
                    assert_eq!(kept.bytes[..kept.len], fresh.bytes[..fresh.len]);
                }
            }
        }
        assert_eq!((spare.silences.len(), none.silences.len()), (SILENCES, 0));
        // The encoder that was asked is back.
        assert_eq!((spare.encoders.len(), none.encoders.len()), (4, 0));
    }

    #[test]
    fn no_more_is_kept_than_was_said_and_that_from_the_start() {
        let mut spare = Spare::new(2);
        assert_eq!((spare.encoders.len(), spare.decoders.len()), (2, 2));
        for _ in 0..5 {
            let decoder = Decoder::new(Codec::Opus).unwrap();
            let encoder = Encoder::new(Codec::Opus, &OpusSettings::default()).unwrap();
            spare.keep(Some(decoder), Some(encoder));
        }
        spare.keep(Some(Decoder::new(Codec::Pcma).unwrap()), None);
        assert_eq!((spare.encoders.len(), spare.decoders.len()), (2, 2));
        assert!(matches!(spare.decoder(Codec::Pcma), Ok(Decoder::G711(_))));
        assert!(matches!(spare.decoder(Codec::Opus), Ok(Decoder::Opus(_))));
        assert_eq!(spare.decoders.len(), 1);
    }
}
