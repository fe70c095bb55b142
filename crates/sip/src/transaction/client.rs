//! Non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! ```text
//!                  │ request sent            E: send again, ×2 up to T2 (UDP only)
//!                  ▼                         F: 64·T1, or flow lost → user told, Terminated
//!             ┌──────────┐
//!             │  Trying  │
//!             └──┬────┬──┘
//!       1xx told │    │ 200–699 told
//!         ┌──────▼───┐│
//!         │Proceeding││ 1xx told, stays; E: send again every T2; F, flow lost as above
//!         └──────┬───┘│
//!   200–699 told │    │
//!             ┌──▼────▼──┐
//!             │Completed │ 200–699 absorbed
//!             └────┬─────┘
//!                  │ K: T4 (UDP) · 0 (TCP, TLS)
//!                  ▼
//!              Terminated
//! ```

use std::time::Instant;

use super::ClientAction::{self, *};
use crate::TimerSettings;
use crate::timer::{Timer, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Provisional,
    Final,
    TimerE,
    TimerF,
    TimerK,
    FlowLost,
}

impl Event {
    /// The event a status means.
    pub(crate) fn of_status(status: u16) -> Event {
        if status < 200 {
            Event::Provisional
        } else {
            Event::Final
        }
    }

    /// The event a timer means.
    pub(crate) fn of_timer(timer: Timer) -> Option<Event> {
        Some(match timer {
            Timer::E => Event::TimerE,
            Timer::F => Event::TimerF,
            Timer::K => Event::TimerK,
            _ => return None,
        })
    }
}

impl State {
    /// The table; `None` is absorbed.
    pub(crate) fn next(self, event: Event) -> Option<(State, &'static [ClientAction])> {
        use {Event as E, State::*};
        Some(match (self, event) {
            (Trying | Proceeding, E::TimerE) => (self, &[Resend]),
            (Trying | Proceeding, E::TimerF) => (Terminated, &[TimedOut]),
            (Trying | Proceeding, E::FlowLost) => (Terminated, &[FlowLost]),
            (Trying | Proceeding, E::Provisional) => (Proceeding, &[Tell]),
            (Trying | Proceeding, E::Final) => (Completed, &[Tell]),
            (Completed, E::TimerK) => (Terminated, &[]),
            _ => return None,
        })
    }

    /// Starts the timers of a state just entered; Completed needs none over a reliable flow and
    /// is over at once. Proceeding goes on with what Trying started.
    pub(crate) fn enter(
        self,
        now: Instant,
        settings: &TimerSettings,
        reliable: bool,
        timers: &mut Timers,
    ) -> State {
        match self {
            State::Trying => {
                if !reliable {
                    timers.start(Timer::E, now + settings.t1);
                }
                timers.start(Timer::F, now + settings.timeout());
            }
            State::Completed if reliable => return State::Terminated,
            State::Completed => {
                timers.clear();
                timers.start(Timer::K, now + settings.t4);
            }
            State::Proceeding | State::Terminated => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use {Event as E, State as S};
        insta::assert_snapshot!(super::super::table(
            &[S::Trying, S::Proceeding, S::Completed, S::Terminated],
            &[
                E::Provisional,
                E::Final,
                E::TimerE,
                E::TimerF,
                E::TimerK,
                E::FlowLost
            ],
            S::next,
        ));
    }
}
