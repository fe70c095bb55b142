//! Chance from a seed: initial sequence numbers, timestamps, the spread of RTCP. Nothing secret.

/// A small generator (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let fold = |state: u64, part: &[u8]| {
            let word = part
                .iter()
                .fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            Chance(state ^ word).next()
        };
        Self(seed.chunks(8).fold(0, fold))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
