//! Codecs: payload to PCM and back, always 8 000 Hz, one channel, 16 bits.
//!
//! libopus takes and gives 8 kHz PCM while its RTP clock stays 48 kHz, so there is no resampler here.
//! Closed sets, therefore enums: nothing on the packet path goes through `dyn`.

mod g711;
mod opus;
mod spare;

pub use self::g711::{Law, decode_pcma, decode_pcmu, encode_pcma, encode_pcmu};
pub use self::opus::{OpusDecoder, OpusEncoder, OpusSettings};
pub(crate) use self::spare::SILENCE;
pub use self::spare::Spare;

use sdp::Codec;

/// PCM samples per millisecond.
pub const SAMPLES_PER_MS: usize = 8;

/// The most samples one packet can hold: 120 ms, the longest an Opus packet may be (RFC 6716 §3.2.5).
pub const MAX_SAMPLES: usize = 120 * SAMPLES_PER_MS;

/// Why a codec could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The codec carries no audio.
    NotAudio(Codec),
    /// libopus refused, with its own words.
    Opus(String),
}

impl std::fmt::Display for CodecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CodecError::NotAudio(codec) => write!(f, "{} carries no audio", codec.name()),
            CodecError::Opus(why) => write!(f, "libopus: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// Payload to PCM.
#[derive(Debug)]
pub enum Decoder {
    /// G.711, either law.
    G711(Box<g711::Decoder>),
    /// Opus.
    Opus(OpusDecoder),
}

impl Decoder {
    /// A decoder with nothing heard yet.
    pub fn new(codec: Codec) -> Result<Self, CodecError> {
        Ok(match codec {
            Codec::Opus => Decoder::Opus(OpusDecoder::new()?),
            Codec::Pcma => Decoder::G711(Box::new(g711::Decoder::new(Law::A))),
            Codec::Pcmu => Decoder::G711(Box::new(g711::Decoder::new(Law::Mu))),
            Codec::TelephoneEvent => return Err(CodecError::NotAudio(codec)),
        })
    }

    /// Decodes one payload into `out` and returns the samples it held. `None`: not decodable.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16; MAX_SAMPLES]) -> Option<usize> {
        match self {
            Decoder::G711(decoder) => decoder.decode(payload, out),
            Decoder::Opus(decoder) => decoder.decode(payload, out),
        }
    }

    /// Fills `out` with what was probably said while packets were missing (packet loss concealment).
    pub fn conceal(&mut self, out: &mut [i16]) {
        match self {
            Decoder::G711(decoder) => decoder.conceal(out),
            Decoder::Opus(decoder) => decoder.conceal(out),
        }
    }

    /// Fills `out` with the audio just before `next`, from the redundancy `next` carries
    /// (Opus in-band FEC) where there is any, else by concealment.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) {
        match self {
            Decoder::G711(decoder) => decoder.conceal(out),
            Decoder::Opus(decoder) => decoder.recover(next, out),
        }
    }
}

/// PCM to payload.
#[derive(Debug)]
pub enum Encoder {
    /// G.711, either law.
    G711(Law),
    /// Opus.
    Opus(OpusEncoder),
}

impl Encoder {
    /// An encoder with nothing said yet.
    pub fn new(codec: Codec, settings: &OpusSettings) -> Result<Self, CodecError> {
        Ok(match codec {
            Codec::Opus => Encoder::Opus(OpusEncoder::new(settings)?),
            Codec::Pcma => Encoder::G711(Law::A),
            Codec::Pcmu => Encoder::G711(Law::Mu),
            Codec::TelephoneEvent => return Err(CodecError::NotAudio(codec)),
        })
    }

    /// Goes on with other settings; what is no Opus has none.
    pub fn tune(&mut self, settings: &OpusSettings) {
        if let Encoder::Opus(encoder) = self {
            encoder.tune(settings);
        }
    }

    /// Encodes one frame (10, 20, 40 or 60 ms for Opus, any length for G.711) and returns the length
    /// of the payload in `out`. `None`: libopus refused the frame or `out` is too small.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Option<usize> {
        match self {
            Encoder::G711(law) => law.encode(pcm, out),
            Encoder::Opus(encoder) => encoder.encode(pcm, out),
        }
    }
}

/// Samples at 8 kHz a payload holds, without decoding it. `None`: no payload of this codec.
pub fn samples(codec: Codec, payload: &[u8]) -> Option<usize> {
    let samples = match codec {
        Codec::Opus => self::opus::samples(payload)?,
        Codec::Pcma | Codec::Pcmu => payload.len(),
        Codec::TelephoneEvent => return None,
    };
    (1..=MAX_SAMPLES).contains(&samples).then_some(samples)
}

/// Milliseconds per frame we send when a leg asks for `ptime`: what the codec can do, else 20.
pub fn frame_ms(codec: Codec, ptime: u8) -> u8 {
    match (codec, ptime) {
        (Codec::Opus, 10 | 20 | 40 | 60) => ptime,
        (Codec::Pcma | Codec::Pcmu, 10 | 20 | 30 | 40 | 50 | 60) => ptime,
        _ => 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, level_dbfs};
    use proptest::prelude::*;

    #[test]
    fn a_tone_survives_every_codec() {
        for codec in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
            let mut encoder = Encoder::new(codec, &OpusSettings::default()).unwrap();
            let mut decoder = Decoder::new(codec).unwrap();
            let mut tone = Tone::new(1_000.0, -10.0);
            let (mut pcm, mut payload, mut out) = ([0; 160], [0; 400], [0; MAX_SAMPLES]);
            let mut heard = Vec::new();
            for _ in 0..50 {
                tone.fill(&mut pcm);
                let len = encoder.encode(&pcm, &mut payload).unwrap();
                assert_eq!(samples(codec, &payload[..len]), Some(160));
                let n = decoder.decode(&payload[..len], &mut out).unwrap();
                heard.extend_from_slice(&out[..n]);
            }
            let level = level_dbfs(&heard[1_600..], 1_000.0);
            assert!((level + 10.0).abs() < 2.0, "{codec:?}: {level} dBFS");
        }
    }

    #[test]
    fn frame_lengths_a_codec_cannot_do_become_20_ms() {
        assert_eq!(frame_ms(Codec::Opus, 30), 20);
        assert_eq!(frame_ms(Codec::Pcma, 30), 30);
        assert_eq!(frame_ms(Codec::Pcmu, 0), 20);
        assert_eq!(frame_ms(Codec::Opus, 200), 20);
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_decoder_panic(payload in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let mut out = [0; MAX_SAMPLES];
            for codec in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
                let mut decoder = Decoder::new(codec).unwrap();
                if let Some(n) = decoder.decode(&payload, &mut out) {
                    prop_assert!(n <= MAX_SAMPLES);
                }
                decoder.recover(&payload, &mut out[..160]);
                decoder.conceal(&mut out[..480]);
                samples(codec, &payload);
            }
        }
    }
}
