//! G.711 (RFC 3551 §4.5.14): one octet per sample, and concealment by fading repetition.

use audio_codec_algorithms as laws;

use super::MAX_SAMPLES;

/// A companding law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// A-law: PCMA.
    A,
    /// µ-law: PCMU.
    Mu,
}

impl Law {
    /// One octet of digital silence.
    pub const fn silence(self) -> u8 {
        match self {
            Law::A => 0xd5,
            Law::Mu => 0xff,
        }
    }

    /// Encodes sample by sample. `None`: `out` is too small.
    pub fn encode(self, pcm: &[i16], out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..pcm.len())?;
        match self {
            Law::A => encode_pcma(pcm, out),
            Law::Mu => encode_pcmu(pcm, out),
        }
        Some(pcm.len())
    }

    /// Decodes octet by octet, as far as both slices reach.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) {
        match self {
            Law::A => decode_pcma(payload, out),
            Law::Mu => decode_pcmu(payload, out),
        }
    }
}

/// A-law to PCM, as far as both slices reach.
pub fn decode_pcma(payload: &[u8], out: &mut [i16]) {
    out.iter_mut()
        .zip(payload)
        .for_each(|(sample, code)| *sample = laws::decode_alaw(*code));
}

/// µ-law to PCM, as far as both slices reach.
pub fn decode_pcmu(payload: &[u8], out: &mut [i16]) {
    out.iter_mut()
        .zip(payload)
        .for_each(|(sample, code)| *sample = laws::decode_ulaw(*code));
}

/// PCM to A-law, as far as both slices reach.
pub fn encode_pcma(pcm: &[i16], out: &mut [u8]) {
    out.iter_mut()
        .zip(pcm)
        .for_each(|(code, sample)| *code = laws::encode_alaw(*sample));
}

/// PCM to µ-law, as far as both slices reach.
pub fn encode_pcmu(pcm: &[i16], out: &mut [u8]) {
    out.iter_mut()
        .zip(pcm)
        .for_each(|(code, sample)| *code = laws::encode_ulaw(*sample));
}

/// A G.711 decoder that remembers the last 20 ms, to repeat them when packets are missing.
#[derive(Debug)]
pub struct Decoder {
    law: Law,
    /// As it came: half of what it is as samples, and it is rarely wanted.
    last: [u8; REPEATED],
    /// Samples made up since the last real one.
    concealed: usize,
}

impl Decoder {
    pub(super) fn new(law: Law) -> Self {
        Self {
            law,
            last: [law.silence(); REPEATED],
            concealed: 0,
        }
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16; MAX_SAMPLES]) -> Option<usize> {
        if payload.is_empty() || payload.len() > MAX_SAMPLES {
            return None;
        }
        let out = &mut out[..payload.len()];
        self.law.decode(payload, out);
        let last = payload.len().min(REPEATED);
        self.last.copy_within(last.., 0);
        self.last[REPEATED - last..].copy_from_slice(&payload[payload.len() - last..]);
        self.concealed = 0;
        Some(out.len())
    }

    /// The last 20 ms again and again, fading to nothing within 100 ms.
    pub(super) fn conceal(&mut self, out: &mut [i16]) {
        let mut last = [0; REPEATED];
        self.law.decode(&self.last, &mut last);
        for sample in out {
            let left = FADE.saturating_sub(self.concealed) as i32;
            *sample = (i32::from(last[self.concealed % REPEATED]) * left / FADE as i32) as i16;
            self.concealed += 1;
        }
    }
}

const REPEATED: usize = 160;
const FADE: usize = 800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_silence_in_both_laws() {
        let mut pcm = [1i16; 2];
        Law::A.decode(&[Law::A.silence(); 2], &mut pcm);
        assert!(pcm.iter().all(|s| s.abs() <= 8));
        Law::Mu.decode(&[Law::Mu.silence(); 2], &mut pcm);
        assert_eq!(pcm, [0, 0]);
    }

    /// ITU-T G.711 tables 1a and 2a: the largest and the smallest code of each sign.
    #[test]
    fn corner_values_of_g_711() {
        let mut pcm = [0i16; 4];
        decode_pcma(&[0xaa, 0x2a, 0xd5, 0x55], &mut pcm);
        assert_eq!(pcm, [32_256, -32_256, 8, -8]);
        decode_pcmu(&[0x80, 0x00, 0xff, 0x7f], &mut pcm);
        assert_eq!(pcm, [32_124, -32_124, 0, 0]);
    }

    #[test]
    fn recoding_the_same_law_changes_nothing() {
        for law in [Law::A, Law::Mu] {
            for code in 0..=255u8 {
                let (mut pcm, mut again) = ([0i16], [0u8]);
                law.decode(&[code], &mut pcm);
                law.encode(&pcm, &mut again).unwrap();
                // µ-law has two zeros; they sound the same.
                assert!(
                    again[0] == code || (law == Law::Mu && code == 0x7f && again[0] == 0xff),
                    "{code:02x}"
                );
            }
        }
    }

    #[test]
    fn concealment_fades_out_within_100_ms() {
        let mut decoder = Decoder::new(Law::A);
        let mut out = [0; MAX_SAMPLES];
        decoder.decode(&[0x2a; 160], &mut out).unwrap();
        let mut made = [0; 960];
        decoder.conceal(&mut made);
        assert!(made[0] < -32_000 && made[400] > -17_000 && made[400] < -15_000);
        assert!(made[800..].iter().all(|s| *s == 0));
    }
}
