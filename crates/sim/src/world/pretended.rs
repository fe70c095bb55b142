//! Media of a world without audio: nothing flows, but who has left is missed as on a real session.
//!
//! A peer that has bound the port its description names counts as speaking, RTP or RTCP, as long as
//! its link is up. Who says nothing for as long as the leg's plan allows is told to the core, the same
//! word a [`media::Session`] has for it: without it a call whose BYE was lost would last for ever.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use b2bua::MediaEvent;
use sdp::plan::LegPlan;
use sdp::{Agreed, Direction, Side};

/// How often is listened.
const PERIOD: Duration = Duration::from_secs(2);

/// One call's pretended media.
#[derive(Debug)]
pub(super) struct Pretended {
    legs: [Ear; 2],
    next: Instant,
}

#[derive(Debug)]
struct Ear {
    remote: SocketAddr,
    direction: Direction,
    patience: Option<Duration>,
    heard: Instant,
    /// Its silence was told.
    told: bool,
}

impl Ear {
    fn new(now: Instant, plan: &LegPlan) -> Self {
        Self {
            remote: plan.agreed.remote_rtp,
            direction: plan.agreed.direction,
            patience: plan.inactivity,
            heard: now,
            told: false,
        }
    }
}

impl Pretended {
    /// Media as if it began now.
    pub(super) fn start(now: Instant, plans: &[LegPlan; 2]) -> Self {
        Self {
            legs: [Ear::new(now, &plans[0]), Ear::new(now, &plans[1])],
            next: now + PERIOD,
        }
    }

    /// A leg agreed anew.
    pub(super) fn update(&mut self, side: Side, agreed: &Agreed) {
        let ear = &mut self.legs[side.index()];
        (ear.remote, ear.direction) = (agreed.remote_rtp, agreed.direction);
    }

    /// Another leg takes the place of this one.
    pub(super) fn replace(&mut self, now: Instant, side: Side, plan: &LegPlan) {
        self.legs[side.index()] = Ear::new(now, plan);
    }

    /// When to listen next.
    pub(super) fn next_timeout(&self) -> Instant {
        self.next
    }

    /// Listens; `speaks` says whether somebody is at an address.
    pub(super) fn listen(
        &mut self,
        now: Instant,
        speaks: &dyn Fn(SocketAddr) -> bool,
    ) -> Vec<MediaEvent> {
        self.next = now + PERIOD;
        let mut missed = Vec::new();
        for side in Side::BOTH {
            let ear = &mut self.legs[side.index()];
            // As in `media`: a leg on hold, in either direction, may be silent.
            if speaks(ear.remote) || ear.direction != Direction::SendRecv {
                (ear.heard, ear.told) = (now, false);
            }
            let after = now.saturating_duration_since(ear.heard);
            if !ear.told && ear.patience.is_some_and(|patience| after >= patience) {
                ear.told = true;
                missed.push(MediaEvent::Silent { side, after });
            }
        }
        missed
    }
}
