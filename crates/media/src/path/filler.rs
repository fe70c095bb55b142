//! What the other leg hears while the source is quiet.

use std::time::{Duration, Instant};

use super::speech::amplify;
use super::{MAX_CONCEALED, Mode, Path, commit};
use crate::codec::{Encoder, SAMPLES_PER_MS};
use crate::leg::Leg;
use crate::queue::Queue;
use crate::rtp::HEADER;

/// How much of jitter adds to our patience with a quiet source, at most.
const MAX_JITTER: Duration = Duration::from_millis(40);

impl Path {
    /// How long after its last packet the source counts as quiet, so that filler sets in. A source that stalls
    /// is waited for, unless it said that it pauses.
    pub(crate) fn patience(&self, jitter: Duration, to: &Leg) -> Duration {
        if self.says() {
            return Duration::ZERO;
        }
        let usual = Duration::from_millis(20 + 2 * self.heard_ms()) + (2 * jitter).min(MAX_JITTER);
        match self.comfort {
            None => usual.max(to.tx.wait()),
            Some(_) => usual,
        }
    }

    /// Whether filler may go out: not into an event.
    pub(crate) fn fills(&self, to: &Leg) -> bool {
        let says = || self.says() && to.gate.is_some() && to.sends();
        (to.fills() || says()) && !self.relay.sounds()
    }

    /// Queues one frame of filler: the rest of the source's audio, its last sound fading away, or
    /// silence.
    pub(crate) fn fill(&mut self, now: Instant, to: &mut Leg, queue: &mut Queue) {
        let place = to.tx.fill(now, to.frame as i64 * to.ticks_per_sample());
        let marker = to.tx.begins();
        let Some(slot) = queue.vacant() else { return };
        self.frames.pad(to.frame);
        let fades = self.frames.is_empty()
            && self.continued < MAX_CONCEALED
            && self.mode() == Mode::Terminate;
        let mut player = to.player.take();
        let says = self.inband.as_mut().and_then(|inband| inband.says());
        let len = match (&mut self.encoder, self.frames.first(to.frame)) {
            (Some(encoder), _) if let Some(voice) = says => {
                self.continued = MAX_CONCEALED;
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                voice.fill(pcm);
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (encoder, None) if let Some(player) = &mut player => {
                self.continued = MAX_CONCEALED;
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                player.payload(encoder.as_mut(), pcm, &mut slot[HEADER..])
            }
            (Some(encoder), None) if let Some(noise) = &mut self.comfort => {
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                noise.fill(pcm);
                amplify(self.gain, pcm);
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (Some(encoder), None) if fades => {
                let mut pcm = [0; 60 * SAMPLES_PER_MS];
                let pcm = &mut pcm[..to.frame];
                if let Some(decoder) = &mut self.decoder {
                    decoder.conceal(pcm);
                }
                amplify(self.gain, pcm);
                self.continued += to.frame;
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (Some(encoder), Some((_, rest))) => encoder.encode(rest, &mut slot[HEADER..]),
            (Some(encoder @ Encoder::Opus(_)), None) => {
                encoder.encode(&[0; 60 * SAMPLES_PER_MS][..to.frame], &mut slot[HEADER..])
            }
            _ => {
                let silence = to.silence_payload();
                slot[HEADER..HEADER + silence.len()].copy_from_slice(silence);
                Some(silence.len())
            }
        };
        to.player = player;
        self.frames.clear();
        let Some(len) = len else { return };
        commit(
            queue,
            to,
            to.agreed.audio.send_pt,
            place,
            marker,
            false,
            len,
        );
    }
}
