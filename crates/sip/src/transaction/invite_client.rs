//! INVITE client transaction (RFC 3261 §17.1.1 with RFC 6026 §7.2).
//!
//! ```text
//!                     │ INVITE sent             A: send again, ×2 (UDP only)
//!                     ▼                         B: 64·T1, or flow lost → user told, Terminated
//!               ┌───────────┐
//!               │  Calling  │
//!               └─────┬─────┘
//!       2xx told      │ 1xx told        300–699: ACK sent, told
//!    ┌────────────────┼────────────────────┐
//!    │          ┌─────▼──────┐             │   flow lost, or no final response 64·T1 after
//!    │◄─────────┤ Proceeding ├────────────►│   CANCEL (Patience) → user told, Terminated
//!    │   2xx    └────────────┘   300–699   │
//!    ▼           1xx told, stays           ▼
//! ┌──────────┐                       ┌───────────┐
//! │ Accepted │ 2xx told              │ Completed │ 300–699: ACK sent again
//! └────┬─────┘                       └─────┬─────┘
//!      │ M: 64·T1                          │ D: 32 s (UDP) · 0 (TCP, TLS)
//!      └────────────► Terminated ◄─────────┘
//! ```

use std::time::Instant;

use super::ClientAction::{self, *};
use crate::TimerSettings;
use crate::timer::{Timer, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Provisional,
    Success,
    Failure,
    TimerA,
    TimerB,
    TimerD,
    TimerM,
    Patience,
    FlowLost,
}

impl Event {
    /// The event a status means.
    pub(crate) fn of_status(status: u16) -> Event {
        match status {
            0..200 => Event::Provisional,
            200..300 => Event::Success,
            _ => Event::Failure,
        }
    }

    /// The event a timer means.
    pub(crate) fn of_timer(timer: Timer) -> Option<Event> {
        Some(match timer {
            Timer::A => Event::TimerA,
            Timer::B => Event::TimerB,
            Timer::D => Event::TimerD,
            Timer::M => Event::TimerM,
            Timer::Patience => Event::Patience,
            _ => return None,
        })
    }
}

impl State {
    /// The table; `None` is absorbed.
    pub(crate) fn next(self, event: Event) -> Option<(State, &'static [ClientAction])> {
        use {Event as E, State::*};
        Some(match (self, event) {
            (Calling, E::TimerA) => (Calling, &[Resend]),
            (Calling, E::TimerB) => (Terminated, &[TimedOut]),
            (Calling | Proceeding, E::Provisional) => (Proceeding, &[Tell]),
            (Calling | Proceeding, E::Success) => (Accepted, &[Tell]),
            (Calling | Proceeding, E::Failure) => (Completed, &[Ack, Tell]),
            (Calling | Proceeding, E::FlowLost) => (Terminated, &[FlowLost]),
            (Proceeding, E::Patience) => (Terminated, &[TimedOut]),
            (Accepted, E::Success) => (Accepted, &[Tell]),
            (Accepted, E::TimerM) => (Terminated, &[]),
            (Completed, E::Failure) => (Completed, &[Ack]),
            (Completed, E::TimerD) => (Terminated, &[]),
            _ => return None,
        })
    }

    /// Starts the timers of a state just entered; Completed needs none over a reliable flow and
    /// is over at once.
    pub(crate) fn enter(
        self,
        now: Instant,
        settings: &TimerSettings,
        reliable: bool,
        timers: &mut Timers,
    ) -> State {
        timers.clear();
        match self {
            State::Calling => {
                if !reliable {
                    timers.start(Timer::A, now + settings.t1);
                }
                timers.start(Timer::B, now + settings.timeout());
            }
            State::Accepted => timers.start(Timer::M, now + settings.timeout()),
            State::Completed if reliable => return State::Terminated,
            State::Completed => timers.start(Timer::D, now + settings.timer_d()),
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
            &[
                S::Calling,
                S::Proceeding,
                S::Accepted,
                S::Completed,
                S::Terminated
            ],
            &[
                E::Provisional,
                E::Success,
                E::Failure,
                E::TimerA,
                E::TimerB,
                E::TimerD,
                E::TimerM,
                E::Patience,
                E::FlowLost,
            ],
            S::next,
        ));
    }
}
