//! Comfort noise (RFC 3389): what fills a pause whose source told how its room sounds.
//!
//! Only the level is used; the spectrum, where it is told, may be ignored (RFC 3389 §3.2), and white
//! noise that quiet is as comfortable.

/// The static payload type of comfort noise beside 8 kHz codecs (RFC 3551 §6).
pub(crate) const PAYLOAD_TYPE: u8 = 13;
/// Nothing louder is comfort: 30 dB below overload.
const LOUDEST: u8 = 30;

/// White noise of one level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Largest sample.
    amplitude: i32,
    state: u32,
}

impl Noise {
    /// Reads the level, in dB below overload. `None`: an empty payload.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let level = (payload.first()? & 0x7f).max(LOUDEST);
        let rms = 32_767.0 * 10f64.powf(-f64::from(level) / 20.0);
        Some(Self {
            amplitude: (rms * 3f64.sqrt()) as i32, // evenly spread samples
            state: 0x9e37_79b9,
        })
    }

    /// The next samples.
    pub(crate) fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            let chance = (self.state >> 16) as i32 - 32_768;
            *sample = (chance * self.amplitude / 32_768) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::rms_dbfs;

    #[test]
    fn noise_is_as_loud_as_told_and_never_loud() {
        for (told, expected) in [(50, -47.0), (60, -57.0), (0, -27.0), (127, -120.0)] {
            let mut pcm = [0; 8_000];
            Noise::parse(&[told, 1, 2, 3]).unwrap().fill(&mut pcm);
            // A full-scale sine is 3 dB below overload.
            let level = rms_dbfs(&pcm);
            assert!((level - expected).abs() < 1.0, "{told}: {level}");
        }
        assert!(Noise::parse(&[]).is_none());
    }
}
