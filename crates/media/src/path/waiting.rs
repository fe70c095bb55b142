//! What waits until the way to the other leg is proven, and is played then.

use std::time::{Duration, Instant};

use sdp::plan::Proof;

use super::Path;
use crate::dtmf::Digit;
use crate::leg::Leg;
use crate::queue::{LONGEST, Queue};

/// What waited is caught up when it is late by less than this.
const PUNCTUAL: Duration = Duration::from_millis(15);

impl Path {
    /// The gate of the other leg is open.
    pub(crate) fn opened(&mut self, now: Instant, to: &mut Leg) {
        let Some(preroll) = &mut self.preroll else {
            return;
        };
        preroll.opened(now);
        if to.proof == Some(Proof::Gate) || to.heard {
            self.proven(now, to);
        }
    }

    /// The other leg was heard for the first time, or nobody waits for that any longer.
    pub(crate) fn proven(&mut self, now: Instant, to: &mut Leg) {
        let Some(preroll) = &mut self.preroll else {
            return;
        };
        if to.gate.is_some() {
            preroll.proven(now);
            to.counters.held = preroll.waited().into();
            if preroll.is_over() {
                self.preroll = None;
            }
        }
    }

    /// Plays what waited and is due.
    pub(super) fn play_out(
        &mut self,
        now: Instant,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let mut preroll = self.preroll.take()?;
        let mut bytes = [0; LONGEST];
        let due = preroll.due(now, from.ticks_per_sample(), &mut bytes);
        let over = preroll.is_over();
        let late = due.as_ref().map_or(Duration::ZERO, |due| due.late);
        let digit = due.and_then(|due| self.play(now, &due.turn, from, to, queue));
        if !over {
            self.preroll = Some(preroll);
            return digit;
        }
        self.shift += preroll.shift();
        if late > PUNCTUAL {
            // The source paused before all was caught up: it goes on where the clock is.
            to.tx.forget_source();
        }
        digit
    }
}
