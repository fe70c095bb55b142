//! Non-INVITE server transaction (RFC 3261 §17.2.2).
//!
//! ```text
//!                  │ request → user
//!                  ▼
//!             ┌──────────┐
//!             │  Trying  │ request again: —
//!             └──┬────┬──┘
//!      user: 1xx │    │ user: 200–699
//!         ┌──────▼───┐│
//!         │Proceeding││ request again: last 1xx again
//!         └──────┬───┘│
//!   user: 200–699│    │                 no final response for 64·T1 (Patience): the client has
//!             ┌──▼────▼──┐              given up too → Terminated
//!             │Completed │ request again: response again
//!             └────┬─────┘
//!                  │ J: 64·T1 (UDP) · 0 (TCP, TLS)
//!                  ▼
//!              Terminated
//! ```

use std::time::Instant;

use super::ServerAction::{self, *};
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
    Request,
    Provisional,
    Final,
    TimerJ,
    Patience,
}

impl Event {
    /// The event the user's response means.
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
            Timer::J => Event::TimerJ,
            Timer::Patience => Event::Patience,
            _ => return None,
        })
    }
}

impl State {
    /// The table; `None` is absorbed.
    pub(crate) fn next(self, event: Event) -> Option<(State, &'static [ServerAction])> {
        use {Event as E, State::*};
        Some(match (self, event) {
            (Proceeding | Completed, E::Request) => (self, &[Repeat]),
            (Trying | Proceeding, E::Provisional) => (Proceeding, &[Send]),
            (Trying | Proceeding, E::Final) => (Completed, &[Send]),
            (Trying | Proceeding, E::Patience) => (Terminated, &[]),
            (Completed, E::TimerJ) => (Terminated, &[]),
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
        match self {
            State::Trying => timers.start(Timer::Patience, now + settings.timeout()),
            State::Completed if reliable => return State::Terminated,
            State::Completed => {
                timers.clear();
                timers.start(Timer::J, now + settings.timeout());
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
            &[E::Request, E::Provisional, E::Final, E::TimerJ, E::Patience],
            S::next,
        ));
    }
}
