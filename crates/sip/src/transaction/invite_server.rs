//! INVITE server transaction (RFC 3261 §17.2.1 with RFC 6026 §7.1).
//!
//! ```text
//!                      │ INVITE → user           100 sent at once
//!                      ▼
//!                ┌────────────┐
//!                │ Proceeding │  INVITE again: last 1xx again
//!                └──┬──────┬──┘
//!      user: 2xx    │      │    user: 300–699
//!     ┌─────────────┘      └─────────────┐
//!     ▼                                  ▼
//! ┌──────────┐                     ┌───────────┐  G: response again, ×2 up to T2 (UDP only)
//! │ Accepted │ INVITE again: —     │ Completed │  INVITE again: response again
//! └────┬─────┘ ACK → user          └──┬─────┬──┘
//!      │       user: 2xx again    ACK │     │ H: 64·T1 → user: no ACK
//!      │ L: 64·T1                     ▼     │
//!      │                       ┌───────────┐│
//!      │                       │ Confirmed ││  ACK again: —
//!      │                       └─────┬─────┘│
//!      │               I: T4 · 0     │      │
//!      └──────────► Terminated ◄─────┴──────┘
//! ```
//!
//! The user repeats the 2xx itself until the ACK comes, over every transport (RFC 3261
//! §13.3.1.4).

use std::time::Instant;

use super::ServerAction::{self, *};
use crate::TimerSettings;
use crate::timer::{Timer, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Invite,
    Ack,
    Provisional,
    Success,
    Failure,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
}

impl Event {
    /// The event the user's response means.
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
            Timer::G => Event::TimerG,
            Timer::H => Event::TimerH,
            Timer::I => Event::TimerI,
            Timer::L => Event::TimerL,
            _ => return None,
        })
    }
}

impl State {
    /// The table; `None` is absorbed.
    pub(crate) fn next(self, event: Event) -> Option<(State, &'static [ServerAction])> {
        use {Event as E, State::*};
        Some(match (self, event) {
            (Proceeding | Completed, E::Invite) => (self, &[Repeat]),
            (Proceeding, E::Provisional) => (Proceeding, &[Send]),
            (Proceeding | Accepted, E::Success) => (Accepted, &[Send]),
            (Proceeding, E::Failure) => (Completed, &[Send]),
            (Accepted, E::Ack) => (Accepted, &[PassAck]),
            (Accepted, E::TimerL) => (Terminated, &[]),
            (Completed, E::TimerG) => (Completed, &[Repeat]),
            (Completed, E::Ack) => (Confirmed, &[]),
            (Completed, E::TimerH) => (Terminated, &[NoAck]),
            (Confirmed, E::TimerI) => (Terminated, &[]),
            _ => return None,
        })
    }

    /// Starts the timers of a state just entered; Confirmed needs none over a reliable flow and
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
            State::Accepted => timers.start(Timer::L, now + settings.timeout()),
            State::Completed => {
                if !reliable {
                    timers.start(Timer::G, now + settings.t1);
                }
                timers.start(Timer::H, now + settings.timeout());
            }
            State::Confirmed if reliable => return State::Terminated,
            State::Confirmed => timers.start(Timer::I, now + settings.t4),
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
                S::Proceeding,
                S::Accepted,
                S::Completed,
                S::Confirmed,
                S::Terminated
            ],
            &[
                E::Invite,
                E::Ack,
                E::Provisional,
                E::Success,
                E::Failure,
                E::TimerG,
                E::TimerH,
                E::TimerI,
                E::TimerL,
            ],
            S::next,
        ));
    }
}
