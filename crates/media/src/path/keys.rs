//! Keys on their way from one leg to the other: telephone events (RFC 4733), keys told by word, and tones.

use std::time::{Duration, Instant};

use super::{Path, Turn, commit};
use crate::codec::SAMPLES_PER_MS;
use crate::dtmf::{self, Digit, Step};
use crate::keyboard::Keyboard;
use crate::leg::Leg;
use crate::queue::Queue;
use crate::rtp::HEADER;

impl Path {
    /// Presses a key toward the receiving leg. `false`: it is no key, or too many wait.
    pub(crate) fn press(&mut self, now: Instant, digit: char, duration: Duration) -> bool {
        let keyboard = self
            .keyboard
            .get_or_insert_with(|| Box::new(Keyboard::new()));
        keyboard.press(now, digit, duration)
    }

    /// A telephone event of the sending leg (RFC 4733).
    pub(super) fn event(
        &mut self,
        now: Instant,
        turn: &Turn,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let payload = dtmf::Payload::parse(turn.payload);
        let Some(payload) = payload.filter(|payload| payload.digit().is_some()) else {
            from.counters.malformed += 1;
            return None;
        };
        self.frames.clear();
        let mut digit = None;
        let mut start = None;
        if self
            .relay
            .continues(now, turn.position, payload, from.ticks_per_sample())
        {
            let length = 0xffff * to.ticks_per_sample();
            self.relay.segment(now, turn.position, length);
        } else if self.relay.begins(turn.position, payload) {
            while self.relay.active() {
                self.keyboard.iter_mut().for_each(|keys| keys.interrupted());
                let step = self.relay.finish(now);
                digit = digit.or(self.apply(now, step, from, to, queue));
            }
            if to.gate.is_none() {
                to.counters.clipped += 1;
            } else if to.sends() && from.agreed.direction.receives() {
                start = self.begin(now, payload, to);
            }
        }
        let step = self.relay.receive(now, turn.position, payload, start);
        digit.or(self.apply(now, step, from, to, queue))
    }

    /// Whether the other leg hears a key instead of the source's audio.
    pub(super) fn sounds(&self) -> bool {
        self.relay.sounds() || self.says()
    }

    /// Whether a key is being said to the other leg as tones.
    pub(super) fn says(&self) -> bool {
        self.inband.as_ref().is_some_and(|inband| inband.speaks())
    }

    /// An event begins for a leg that may be sent to: its place on that leg's line, or tones.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        payload: dtmf::Payload,
        to: &mut Leg,
    ) -> Option<i64> {
        if to.agreed.dtmf.is_some() {
            let length = to.frame as i64 * to.ticks_per_sample();
            return Some(to.tx.event(now, length));
        }
        if let Some(voice) = self.inband.as_mut().and_then(|inband| inband.voice()) {
            if !voice.speaks() {
                // Where the clock is, or frames would follow faster than it to catch up.
                to.tx.event(now, to.frame as i64 * to.ticks_per_sample());
            }
            self.frames.clear();
            voice.press(payload.event);
        }
        None
    }

    /// Does what a step of the relay asks for.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        step: Step,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let digit = apply(now, step, from, to, queue)?;
        if let Some(voice) = self.inband.as_mut().and_then(|inband| inband.voice()) {
            voice.release(digit.duration_ms as usize * SAMPLES_PER_MS);
        }
        Some(digit)
    }
}

/// Does what a step of the relay asks for.
fn apply(
    now: Instant,
    step: Step,
    from: &mut Leg,
    to: &mut Leg,
    queue: &mut Queue,
) -> Option<Digit> {
    if let Some(emission) = step.send
        && let (Some(start), Some(dtmf)) = (emission.start, &to.agreed.dtmf)
        && to.gate.is_some()
        && to.sends()
        && let Some(slot) = queue.vacant()
    {
        let pt = dtmf.send_pt;
        slot[HEADER..HEADER + 4].copy_from_slice(&emission.payload.to_bytes());
        commit(queue, to, pt, start, emission.marker, true, 4);
    }
    if let Some((Some(start), duration)) = step.over {
        let ticks = to.ticks_per_sample();
        let end = start + i64::from(duration) * ticks;
        to.tx.event_over(now, end, to.frame as i64 * ticks);
    }
    if step.digit.is_some() {
        from.counters.digits_received += 1;
    }
    step.digit
}
