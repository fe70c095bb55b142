//! A packet of audio in its turn: passed on as it is, or decoded, cut into frames and encoded; and what is missing before it.

use std::time::Instant;

use super::coders::codes;
use super::{MAX_CONCEALED, Mode, Path, Turn, commit};
use crate::codec::{self, MAX_SAMPLES};
use crate::dtmf::Digit;
use crate::frames::PART;
use crate::gain::Gain;
use crate::leg::{Kind, Leg};
use crate::queue::Queue;
use crate::rtp::HEADER;

impl Path {
    pub(super) fn audio(
        &mut self,
        now: Instant,
        turn: &Turn,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let Some(samples) = codec::samples(self.from, turn.payload) else {
            from.counters.malformed += 1;
            return None;
        };
        self.heard = samples as u32;
        self.comfort = None;
        let continued = std::mem::replace(&mut self.continued, MAX_CONCEALED);
        if to.gate.is_none() {
            to.counters.clipped += 1;
            self.frames.clear();
            return None;
        }
        let hears = self.inband.as_ref().is_some_and(|inband| inband.hears());
        if !to.sends() || !from.agreed.direction.receives() || (self.sounds() && !hears) {
            self.frames.clear();
            return None;
        }
        if to.tx.owed() > 0 {
            self.comes_forward(turn, from, to);
        }
        let position = turn.position / from.ticks_per_sample();
        let turns = self.turns(samples, to);
        let passes = self.mode() == Mode::Aware
            && (!codes(self.from, self.to) || (samples == to.frame && self.frames.is_empty()));
        if passes && !hears {
            self.pass(now, turn, samples, from, to, queue);
            self.frames.passed(position + samples as i64);
            return None;
        }
        if turns {
            // What is missing before was to pass: only the far side's decoder knows what was said until then.
            to.tx.skip(to.tx.hole(turn.lost));
            // Positions were ticks, and are whole samples from now on.
            to.tx
                .nudge(turn.position - position * from.ticks_per_sample());
        } else if turn.lost > 0 && !passes {
            if continued < MAX_CONCEALED {
                let missing = samples.saturating_mul(turn.lost as usize);
                from.counters.concealed += continued.min(missing) as u64;
            }
            self.conceal(now, turn, position, from, to, queue);
        }
        self.continued = 0;
        let mut pcm = [0; MAX_SAMPLES];
        let decoder = self.decoder.as_mut()?;
        let decoded = match decoder.decode(turn.payload, &mut pcm) {
            Some(decoded) => decoded,
            None => {
                from.counters.malformed += 1;
                decoder.conceal(&mut pcm[..samples]);
                samples
            }
        };
        let mut pcm = &mut pcm[..decoded];
        if to.tx.owed() > 0 && !passes && self.inband.is_none() {
            pcm = self.hurry(now, pcm, from, to);
        }
        let mut digit = None;
        if let Some(payload) = self
            .inband
            .as_mut()
            .and_then(|inband| inband.listen(position, pcm))
        {
            let heard = Turn {
                kind: Kind::Event,
                position: payload.0 * from.ticks_per_sample(),
                payload: &payload.1.to_bytes(),
                lost: 0,
            };
            digit = self.event(now, &heard, from, to, queue);
        }
        if self.sounds() {
            self.frames.clear();
        } else if passes {
            self.pass(now, turn, samples, from, to, queue);
            self.frames.passed(position + samples as i64);
        } else {
            self.feed(now, position, pcm, from, to, queue);
        }
        digit
    }

    /// The payload goes on as it is.
    fn pass(
        &mut self,
        now: Instant,
        turn: &Turn,
        samples: usize,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        let length = samples as i64 * to.ticks_per_sample();
        let hole = to.tx.hole(turn.lost);
        let Some(place) = to.tx.place(now, turn.position, length) else {
            from.counters.late += 1;
            return;
        };
        to.tx.skip(hole);
        let marker = to.tx.begins();
        let Some(slot) = queue.vacant() else { return };
        let Some(room) = slot.get_mut(HEADER..HEADER + turn.payload.len()) else {
            return;
        };
        room.copy_from_slice(turn.payload);
        commit(
            queue,
            to,
            to.agreed.audio.send_pt,
            place,
            marker,
            true,
            turn.payload.len(),
        );
    }

    /// Makes up the audio that is missing before `position`: from the redundancy in the packet after
    /// the hole if it has any, from what was said before the hole otherwise.
    fn conceal(
        &mut self,
        now: Instant,
        turn: &Turn,
        position: i64,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        let (Some(tail), Some(decoder)) = (self.frames.tail(), &mut self.decoder) else {
            return;
        };
        let Ok(hole) = usize::try_from(position - tail) else {
            return;
        };
        let heard = self.heard as usize;
        let missing = hole
            .min(heard.saturating_mul(turn.lost as usize))
            .min(MAX_CONCEALED);
        let mut pcm = [0; MAX_CONCEALED];
        let last = heard.min(missing);
        let (before, redundant) = pcm[..missing].split_at_mut(missing - last);
        decoder.conceal(before);
        if hole <= MAX_CONCEALED {
            decoder.recover(turn.payload, redundant);
        } else {
            decoder.conceal(redundant); // the redundancy belongs to the end of the hole, this is its beginning
        }
        from.counters.concealed += missing as u64;
        self.feed(now, tail, &pcm[..missing], from, to, queue);
    }

    /// Cuts PCM into the leg's frames, encodes and queues them.
    fn feed(
        &mut self,
        now: Instant,
        position: i64,
        pcm: &[i16],
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        if !self.frames.continues(position) {
            self.frames.pad(to.frame);
            self.encode(now, from, to, queue);
        }
        for (part, position) in pcm.chunks(PART).zip((position..).step_by(PART)) {
            let mut louder = [0; PART];
            let louder = &mut louder[..part.len()];
            louder.copy_from_slice(part);
            amplify(self.gain, louder);
            self.frames.push(position, louder);
            while self.encode(now, from, to, queue) {}
        }
    }

    fn encode(&mut self, now: Instant, from: &mut Leg, to: &mut Leg, queue: &mut Queue) -> bool {
        let Some((head, pcm)) = self.frames.first(to.frame) else {
            return false;
        };
        let ticks = to.ticks_per_sample();
        let place = to.tx.place(now, head * ticks, to.frame as i64 * ticks);
        from.counters.late += u32::from(place.is_none());
        if let (Some(place), Some(encoder), Some(slot)) = (place, &mut self.encoder, queue.vacant())
        {
            let marker = to.tx.begins();
            if let Some(len) = encoder.encode(pcm, &mut slot[HEADER..]) {
                commit(queue, to, to.agreed.audio.send_pt, place, marker, true, len);
            }
        }
        self.frames.consume(to.frame);
        true
    }
}

/// Makes samples louder or softer, where that is wanted.
pub(super) fn amplify(gain: Option<Gain>, pcm: &mut [i16]) {
    if let Some(gain) = gain {
        gain.apply(pcm);
    }
}
