//! Packets for a leg without a jitter buffer of its own pass through ours.

use std::time::Instant;

use sdp::Side;

use super::{Session, pair};
use crate::jitter::JitterBuffer;
use crate::leg::Leg;
use crate::outbox::Outbox;
use crate::path::Turn;
use crate::queue::LONGEST;
use crate::rtp::{Clock, Header};
use crate::rx::Order;

/// One for the packets of each leg whose other leg wants them smooth.
pub(super) fn buffers(now: Instant, legs: &[Leg; 2]) -> [Option<Box<JitterBuffer>>; 2] {
    Side::BOTH.map(|from| {
        let bounds = legs[(!from).index()].care.smoothing?;
        Some(Box::new(JitterBuffer::new(now, bounds)))
    })
}

impl Session {
    /// A packet in its place among others waits for its moment.
    pub(super) fn smooth(
        &mut self,
        now: Instant,
        from: Side,
        (order, index): (Order, u64),
        turn: &Turn,
        out: &mut Outbox,
    ) {
        let (clock, codec) = (self.clock_of(from), self.legs[from.index()].codec());
        let Some(buffer) = &mut self.smooth[from.index()] else {
            return;
        };
        if order == Order::Restart {
            buffer.restart(now);
            self.paths[from.index()].restart(&mut self.legs[(!from).index()]);
        }
        let in_turn = matches!(order, Order::Next | Order::Restart);
        let late = buffer.put(now, clock, codec, (index, in_turn), turn);
        self.legs[from.index()].counters.late += u32::from(late);
        self.play_smooth(now, from, out);
    }

    /// A packet that is of no use any more came too late, unless it came twice.
    pub(super) fn came_late(&mut self, now: Instant, from: Side, header: &Header) {
        let clock = self.clock_of(from);
        let position = self.rx[from.index()].position(header);
        if let Some(buffer) = &mut self.smooth[from.index()] {
            buffer.given_up(now, clock, position);
            self.legs[from.index()].counters.late += 1;
        }
    }

    /// Plays what is due.
    pub(super) fn play_smooth(&mut self, now: Instant, from: Side, out: &mut Outbox) {
        let clock = self.clock_of(from);
        let at = from.index();
        let mut bytes = [0; LONGEST];
        while let Some(buffer) = &mut self.smooth[at]
            && buffer.next_timeout(clock).is_some_and(|due| due <= now)
        {
            let Some(ready) = buffer.take(now, clock, &mut bytes) else {
                continue; // a pause was made longer
            };
            let missing = match ready.in_turn {
                true => 0,
                false => self.rx[at].advance(ready.index),
            };
            if ready.cut {
                continue;
            }
            let turn = Turn {
                lost: ready.turn.lost + missing,
                ..ready.turn
            };
            let (leg, to) = pair(&mut self.legs, from);
            let digit = self.paths[at].take(now, &turn, leg, to, &mut out.queue);
            self.taken(from, digit, out);
        }
    }

    /// When the next packet of the leg is due.
    pub(super) fn smooth_at(&self, from: Side) -> Option<Instant> {
        let buffer = self.smooth[from.index()].as_ref()?;
        buffer.next_timeout(self.clock_of(from))
    }

    fn clock_of(&self, side: Side) -> Clock {
        Clock(self.legs[side.index()].codec().clock())
    }
}
