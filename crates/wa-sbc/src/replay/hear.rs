//! What a party would have heard: decrypted, decoded, and its strongest tone.

use std::collections::HashMap;

use media::Packet;
use media::codec::{Decoder, MAX_SAMPLES};
use media::rtp::{self, Header};
use media::srtp::Unprotect;
use media::tone::{level_dbfs, rms_dbfs};
use sdp::plan::LegPlan;
use sdp::{Codec, Keying};

/// Samples per second everything is decoded to.
const RATE: usize = 8_000;

/// One party's ear.
pub(super) struct Ear {
    unprotect: Option<Unprotect>,
    codecs: HashMap<u8, Codec>,
    decoder: Option<Decoder>,
    codec: Codec,
    pcm: Vec<i16>,
    packets: u64,
    unheard: u64,
}

impl Ear {
    /// An ear at the far end of a leg.
    pub(super) fn of(plan: &LegPlan) -> Self {
        let unprotect = match &plan.agreed.keying {
            Keying::Sdes { local, .. } => Some(Unprotect::new(local)),
            _ => None,
        };
        let audio = &plan.agreed.audio;
        Self {
            unprotect,
            codecs: HashMap::from([(audio.send_pt, audio.codec)]),
            decoder: Decoder::new(audio.codec).ok(),
            codec: audio.codec,
            pcm: Vec::new(),
            packets: 0,
            unheard: 0,
        }
    }

    /// A datagram reaches it.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if rtp::is_rtcp(bytes) {
            return;
        }
        let mut packet = Packet::new();
        packet.fill(bytes);
        if let Some(unprotect) = &mut self.unprotect
            && unprotect.rtp(&mut packet).is_err()
        {
            self.unheard += 1;
            return;
        }
        let bytes = packet.as_slice();
        let (Some(header), Some(length)) = (Header::parse(bytes), rtp::header_len(bytes)) else {
            self.unheard += 1;
            return;
        };
        self.packets += 1;
        let Some(decoder) = self
            .decoder
            .as_mut()
            .filter(|_| self.codecs.contains_key(&header.pt))
        else {
            return; // telephone events
        };
        let mut out = [0; MAX_SAMPLES];
        match decoder.decode(&bytes[length..], &mut out) {
            Some(samples) => self.pcm.extend(&out[..samples]),
            None => self.unheard += 1,
        }
    }

    /// The verdict, in words that stay the same from run to run.
    pub(super) fn verdict(&self) -> String {
        let seconds = (self.pcm.len() + RATE / 2) / RATE;
        let unheard = match self.unheard {
            0 => String::new(),
            count => format!(", {count} packets not to be read"),
        };
        let heard = match self.strongest() {
            Some((hertz, level)) => format!("{hertz} Hz at {level:.0} dBFS"),
            None => "silence".into(),
        };
        format!("{} for {seconds} s: {heard}{unheard}", self.codec.name())
    }

    /// Of the second half, where everybody talks.
    fn strongest(&self) -> Option<(u32, f64)> {
        let half = &self.pcm[self.pcm.len() / 2..];
        if half.len() < RATE / 10 || rms_dbfs(half) < -60.0 {
            return None;
        }
        (1..=35_u32)
            .map(|step| (step * 100, level_dbfs(half, f64::from(step) * 100.0)))
            .max_by(|one, other| one.1.total_cmp(&other.1))
    }
}
