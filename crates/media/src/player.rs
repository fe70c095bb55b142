//! A source of our own in a leg's place: a sound, frame by frame, over and over.

use sdp::Codec;
use sdp::plan::Sound;

use crate::codec::{CodecError, Encoder, OpusSettings};

/// Where a leg is in a sound it hears.
pub(crate) struct Player {
    sound: Sound,
    /// The next sample.
    at: usize,
    /// For a path that passes Opus on and so has no encoder.
    encoder: Option<Encoder>,
}

impl Player {
    pub(crate) fn new(sound: Sound, codec: Codec, opus: &OpusSettings) -> Result<Self, CodecError> {
        let mut player = Self {
            sound,
            at: 0,
            encoder: None,
        };
        player.retune(codec, opus)?;
        Ok(player)
    }

    /// The leg speaks another codec from now on.
    pub(crate) fn retune(&mut self, codec: Codec, opus: &OpusSettings) -> Result<(), CodecError> {
        self.encoder = match codec {
            Codec::Opus => Some(Encoder::new(codec, opus)?),
            _ => None,
        };
        Ok(())
    }

    /// Its encoder, where it has one, goes on with other settings.
    pub(crate) fn tune(&mut self, opus: &OpusSettings) {
        if let Some(encoder) = &mut self.encoder {
            encoder.tune(opus);
        }
    }

    pub(crate) fn sound(&self) -> &Sound {
        &self.sound
    }

    /// The next samples.
    pub(crate) fn fill(&mut self, out: &mut [i16]) {
        let samples = self.sound.samples();
        for sample in out {
            *sample = samples[self.at];
            self.at = (self.at + 1) % samples.len();
        }
    }

    /// The next frame as a payload, by the path's encoder where it has one.
    pub(crate) fn payload(
        &mut self,
        encoder: Option<&mut Encoder>,
        pcm: &mut [i16],
        out: &mut [u8],
    ) -> Option<usize> {
        self.fill(pcm);
        encoder.or(self.encoder.as_mut())?.encode(pcm, out)
    }
}
