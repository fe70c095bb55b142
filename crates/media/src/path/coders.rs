//! The coders of a path: whether it has any, and what becomes of them when legs agree on something else.

use sdp::Codec;

use super::Path;
use super::recut::Course;
use crate::codec::{CodecError, OpusSettings, Spare};
use crate::frames::Frames;
use crate::gain::Gain;
use crate::inband::InBand;

impl Path {
    /// Whether keys are tones: `hears` those in the source's audio, `says` those of the source to the
    /// other leg.
    pub(crate) fn tones(
        &mut self,
        hears: bool,
        says: bool,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        self.inband = InBand::new(hears, says);
        self.make_coders(opus, false, false, &mut Spare::none())
    }

    /// The source is to be so many dB louder for the other leg, whose frames have `frame` samples.
    pub(crate) fn amplify(
        &mut self,
        decibels: i16,
        frame: usize,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        self.gain = Gain::of(decibels);
        if self.gain.is_some() {
            self.frames = Frames::new(frame);
        }
        self.make_coders(opus, false, false, &mut Spare::none())
    }

    /// A leg agreed on something new; coders whose codec stays keep their state.
    pub(crate) fn agree(
        &mut self,
        from: Codec,
        to: Codec,
        frame: usize,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        let passed = !self.codes();
        if let Some(inband) = &mut self.inband {
            inband.restart();
        }
        self.preroll = None;
        self.shift = 0;
        let (decoder, encoder) = (from != self.from || passed, to != self.to || passed);
        (self.from, self.to) = (from, to);
        self.comfort = None;
        self.course = Course::Usual;
        self.frames = Frames::new(room(from, to, frame));
        self.make_coders(opus, decoder, encoder, &mut Spare::none())?;
        self.tune(opus);
        Ok(())
    }

    /// It is over, and leaves its coders for calls to come.
    pub(crate) fn retire(self, spare: &mut Spare) {
        spare.keep(self.decoder, self.encoder);
    }

    /// The encoder is to go on with other settings.
    pub(crate) fn tune(&mut self, opus: &OpusSettings) {
        if let Some(encoder) = &mut self.encoder {
            encoder.tune(opus);
        }
    }

    /// Whether audio may have to be decoded.
    pub(crate) fn codes(&self) -> bool {
        let passes = !codes(self.from, self.to) && self.course != Course::Anew;
        !passes || self.inband.is_some() || self.gain.is_some()
    }

    pub(super) fn make_coders(
        &mut self,
        opus: &OpusSettings,
        decoder: bool,
        encoder: bool,
        spare: &mut Spare,
    ) -> Result<(), CodecError> {
        if !self.codes() {
            (self.decoder, self.encoder) = (None, None);
            return Ok(());
        }
        if decoder || self.decoder.is_none() {
            self.decoder = Some(spare.decoder(self.from)?);
        }
        if encoder || self.encoder.is_none() {
            self.encoder = Some(spare.encoder(self.to, opus)?);
        }
        Ok(())
    }
}

/// Whether audio between these codecs may have to be decoded.
pub(super) fn codes(from: Codec, to: Codec) -> bool {
    !(from == Codec::Opus && to == Codec::Opus)
}

/// Samples in the frames audio may have to be cut into; 0: in none.
pub(super) fn room(from: Codec, to: Codec, frame: usize) -> usize {
    if codes(from, to) { frame } else { 0 }
}
