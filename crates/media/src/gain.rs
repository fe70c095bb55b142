//! Audio made louder or softer, where somebody asked for it. Nothing else in the engine changes a level.

use sdp::plan;

/// The factor 1.
const ONE: i32 = 1 << 12;

/// A factor, in parts of [`ONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gain(i32);

impl Gain {
    /// So many dB, within [`plan::Gain::MOST`]; none for 0.
    pub(crate) fn of(decibels: i16) -> Option<Gain> {
        let most = i16::from(plan::Gain::MOST);
        let factor = 10_f64.powf(f64::from(decibels.clamp(-most, most)) / 20.0);
        (decibels != 0).then(|| Gain((f64::from(ONE) * factor).round() as i32))
    }

    /// Samples times the factor. What would be louder than full scale is full scale.
    pub(crate) fn apply(self, pcm: &mut [i16]) {
        for sample in pcm {
            // 2^15 times ten times 2^12 still is an i32.
            let louder = (i32::from(*sample) * self.0 + ONE / 2) >> 12;
            *sample = louder.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(decibels: i16, samples: [i16; 5]) -> [i16; 5] {
        let mut pcm = samples;
        Gain::of(decibels).expect("some gain").apply(&mut pcm);
        pcm
    }

    #[test]
    fn twenty_decibels_are_ten_times_and_full_scale_is_the_end() {
        assert_eq!(Gain::of(0), None);
        let samples = [0, 1_000, -1_000, 4_000, i16::MIN];
        assert_eq!(times(20, samples), [0, 10_000, -10_000, i16::MAX, i16::MIN]);
        // To a hundredth of a dB: the factor has twelve bits.
        assert_eq!(times(-20, samples), [0, 100, -100, 400, -3_280]);
        assert_eq!(times(6, samples)[..3], [0, 1_995, -1_995]);
        assert_eq!(Gain::of(99), Gain::of(20));
        assert_eq!(Gain::of(-99), Gain::of(-20));
    }
}
