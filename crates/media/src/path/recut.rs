//! Opus in packets of another length than the other leg insists on.
//!
//! Between two Opus legs payloads pass, whatever their length: nothing is decoded, and there are no coders. From the first
//! packet on that a leg of [exact](sdp::plan::Care::exact_ptime) ptime would not take, what comes is decoded and encoded anew,
//! in frames of that ptime, until another source speaks or something else is agreed on.
//!
//! ```text
//!   source    ├─ 20 ─┤├─ 20 ─┤├────── 40 ─────┤├─ 10 ─┤├─ 10 ─┤├─ 20 ─┤
//!              passes  passes  coded anew from here on
//!   the leg   ├─ 20 ─┤├─ 20 ─┤├─ 20 ─┤├─ 20 ─┤├──── 20 ───────┤├─ 20 ─┤   one SSRC, one sequence, one line of timestamps
//! ```

use super::Path;
use super::coders::codes;
use crate::codec::Spare;
use crate::leg::Leg;

/// How what comes goes on.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Course {
    /// As its codecs and its gain have it.
    #[default]
    Usual,
    /// Coded anew, because some of it was not of the length the other leg takes.
    Anew,
    /// As usual: it should be coded anew, but no coders were to be had. None are asked for again.
    Stuck,
}

impl Path {
    /// Whether audio is coded anew for its length.
    pub(crate) fn recuts(&self) -> bool {
        self.course == Course::Anew
    }

    /// Packets coded anew for their length, or that should have been.
    pub(crate) fn recut_packets(&self) -> u64 {
        self.recut.into()
    }

    /// Somebody else is at the leg, with figures of his own.
    pub(crate) fn forget_recut(&mut self) {
        self.recut = 0;
    }

    /// Takes note of a packet of so many samples. `true`: it is the first of those that would pass that the other leg does not
    /// take, and with it audio is coded anew. This is the one moment in the life of a path at which something is allocated: two
    /// coders, unless it has them, and the room for a frame.
    pub(super) fn turns(&mut self, samples: usize, to: &Leg) -> bool {
        let passes = self.gain.is_none() && !codes(self.from, self.to);
        let fits = samples == to.frame || !to.care.exact_ptime;
        match self.course {
            Course::Usual if passes && !fits => {}
            Course::Usual => return false,
            Course::Anew => {
                self.recut += 1;
                return false;
            }
            Course::Stuck => {
                self.recut += u32::from(!fits);
                return false;
            }
        }
        self.recut += 1;
        self.course = Course::Anew;
        let made = self.make_coders(&to.opus(), false, false, &mut Spare::none());
        if made.is_err() {
            self.course = Course::Stuck;
            return false;
        }
        self.frames.make_room(to.frame);
        true
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use std::time::Instant;

    use sdp::plan::LegPlan;
    use sdp::{Codec, Side};

    use super::*;
    use crate::EngineSettings;
    use crate::path::Mode;

    #[test]
    fn without_coders_packets_of_any_length_pass_and_are_counted() {
        let (opus, spare) = (EngineSettings::default().opus(), &mut Spare::none());
        let mut plan = LegPlan::nobody();
        plan.agreed.audio.codec = Codec::Opus;
        plan.care.exact_ptime = true;
        let to = Leg::new(Instant::now(), Side::A, &plan, &opus, 0, 0, spare).unwrap();
        let codec = Codec::Opus;
        let mut path = Path::new(codec, codec, to.frame, &opus, None, spare).unwrap();
        path.course = Course::Stuck;
        for samples in [160, 320, 80, 160, 480] {
            assert!(!path.turns(samples, &to));
        }
        assert_eq!((path.recut_packets(), path.mode()), (3, Mode::Aware));
        assert!(path.encoder.is_none());
        // Another agreement, and they are asked for again.
        path.agree(codec, codec, to.frame, &opus).unwrap();
        assert!(path.turns(320, &to) && !path.turns(320, &to));
        assert_eq!((path.recut_packets(), path.mode()), (5, Mode::Terminate));
        assert!(path.encoder.is_some());
    }
}
