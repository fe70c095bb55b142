//! What signalling changes while media runs: who is at a leg, and what a leg hears of us.

use std::time::Instant;

use sdp::Side;
use sdp::plan::{LegPlan, Sound};
use sdp::report::LegReport;

use super::receive::Held;
use super::{Event, Session};
use crate::codec::Spare;
use crate::dtmf::Digit;
use crate::leg::Leg;
use crate::outbox::Outbox;
use crate::rtp::Clock;
use crate::rx::Receiver;
use crate::settings::StartError;

impl Session {
    /// Somebody else is at the leg from now on: another agreement, other keys, an SSRC of its own. For
    /// the other leg nothing breaks: its SSRC, sequence and timestamps go on. A plan without an audio
    /// codec is refused and changes nothing.
    pub fn replace(
        &mut self,
        now: Instant,
        side: Side,
        plan: &LegPlan,
        out: &mut Outbox,
    ) -> Result<(), StartError> {
        if self.stopped {
            return Ok(());
        }
        let (at, far) = (side.index(), (!side).index());
        let failed = |why| StartError { side, why };
        let (sequence, timestamp) = (self.chance.next() as u16, self.chance.next() as u32);
        let none = &mut Spare::none();
        let mut leg =
            Leg::new(now, side, plan, &self.opus, sequence, timestamp, none).map_err(failed)?;
        let (codec, other) = (leg.codec(), self.legs[far].codec());
        let (to_side, to_other) = (leg.opus(), self.legs[far].opus());
        self.paths[at]
            .agree(codec, other, self.legs[far].frame, &to_other)
            .map_err(failed)?;
        self.paths[far]
            .agree(other, codec, leg.frame, &to_side)
            .map_err(failed)?;
        leg.before = Some(Box::new(self.leg_report(side)));
        self.paths[at].forget_recut();
        leg.rtp_latch.follows(&self.legs[at].rtp_latch);
        leg.rtcp_latch.follows(&self.legs[at].rtcp_latch);
        self.legs[at] = leg;
        self.smooth = super::smooth::buffers(now, &self.legs);
        super::care(&self.legs, &mut self.paths)?;
        self.rx[at] = Receiver::new(now, Clock(codec.clock()));
        self.held[at] = Held::new(codec);
        self.paths[at].restart(&mut self.legs[far]);
        if self.legs[at].gate.is_some() {
            self.opened(now, side, out);
        }
        self.fill(now, out);
        Ok(())
    }

    /// What the leg hears from now on while the other leg has nothing to say; `None`: as its plan has it.
    /// What the other leg does say comes first.
    pub fn sound(
        &mut self,
        now: Instant,
        side: Side,
        sound: Option<Sound>,
        out: &mut Outbox,
    ) -> Result<(), StartError> {
        let played = self.legs[side.index()].play(sound);
        if !self.stopped {
            self.fill(now, out);
        }
        played.map_err(|why| StartError { side, why })
    }

    /// The path took a packet of the leg: tells a key that came of it, and how audio goes on from there if that is news.
    pub(super) fn taken(&mut self, side: Side, digit: Option<Digit>, out: &mut Outbox) {
        if let Some(digit) = digit {
            out.tell(Event::Digit {
                from: side,
                digit: digit.digit,
                duration_ms: digit.duration_ms,
            });
        }
        let begins = self.paths[side.index()].recuts();
        if begins != self.recut[side.index()] {
            self.recut[side.index()] = begins;
            out.tell(Event::Recut { side, begins });
        }
    }

    /// The figures of a leg, of all who were at it.
    pub(super) fn leg_report(&self, side: Side) -> LegReport {
        let leg = &self.legs[side.index()];
        let report =
            leg.counters
                .report(self.started, leg.gate, &self.rx[side.index()], leg.codec());
        let recut = self.paths[side.index()].recut_packets();
        let report = LegReport { recut, ..report };
        match &leg.before {
            Some(before) => report.after(before),
            None => report,
        }
    }
}
