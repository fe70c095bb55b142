//! The owner of the core and the operator: what he wants, and how the end comes.
//!
//! ```text
//!  Running ── Stop ──► Draining ── no call left · its time is over · Stop once more ──► HangingUp ──► over
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use b2bua::{CallId, Input};
use tokio::sync::oneshot;

use super::{CoreTask, LAST_WORDS};
use crate::capture;
use crate::clock;
use crate::net::Event;
use crate::net::dial::Dialer;
use crate::net::listeners::Received;
use crate::trace::Story;

/// How long the last transactions may take after every call has been hung up.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the operator wants.
#[derive(Debug)]
pub(crate) enum Control {
    /// The stories remembered about a Call-ID, Meta's id of a call, or a number, newest first.
    Find {
        /// What is asked for.
        query: String,
        /// Where the stories go.
        answer: oneshot::Sender<Vec<Story>>,
    },
    /// Begin a capture.
    Capture {
        /// Of what.
        wish: Box<capture::Wish>,
        /// How it is doing, or why there is none.
        answer: oneshot::Sender<Result<Arc<capture::Status>, String>>,
    },
    /// The captures that run, and the last ones that ran.
    Captures(oneshot::Sender<Vec<Arc<capture::Status>>>),
    /// The story remembered of a call of ours.
    Story {
        /// Which.
        call: CallId,
        /// It, if it is remembered.
        answer: oneshot::Sender<Option<Story>>,
    },
    /// New settings for new calls.
    Reload(Box<Reload>),
    /// Take no new calls, let running calls end within this time, then hang up and stop. Said a
    /// second time it means: hang up now.
    Stop {
        /// How long running calls may go on.
        within: Duration,
    },
}

/// What a reload brings.
#[derive(Debug)]
pub(crate) struct Reload {
    pub(crate) core: b2bua::Settings,
    pub(crate) dialer: Arc<Dialer>,
    /// New UDP sockets; the dialer knows all that are to stay.
    pub(crate) opened: Vec<Received>,
}

/// How far the end has come.
pub(super) enum Phase {
    Running,
    Draining { until: Instant },
    HangingUp { until: Instant },
}

impl CoreTask {
    pub(super) fn control(&mut self, control: Option<Control>, phase: &mut Phase) {
        let now = clock::now();
        match (control, &phase) {
            // Of the answers: whoever asked may have gone.
            (Some(Control::Find { query, answer }), _) => {
                let _ = answer.send(self.trace.find(&query));
            }
            (Some(Control::Capture { wish, answer }), _) => {
                let _ = answer.send(self.begin_capture(*wish));
            }
            (Some(Control::Story { call, answer }), _) => {
                let _ = answer.send(self.trace.of_call(call));
            }
            (Some(Control::Captures(answer)), _) => {
                let _ = answer.send(self.captures.list());
            }
            (Some(Control::Reload(reload)), _) => self.reload(now, *reload),
            (Some(Control::Stop { within }), Phase::Running) => {
                tracing::info!(
                    calls = self.core.calls(),
                    within_s = within.as_secs(),
                    "taking no new calls"
                );
                self.core.handle(now, Input::Drain);
                *phase = Phase::Draining {
                    until: now + within,
                };
            }
            // Said twice, or whoever could say it is gone.
            (Some(Control::Stop { .. }) | None, Phase::Running | Phase::Draining { .. }) => {
                self.core.handle(now, Input::Drain);
                *phase = Phase::Draining { until: now };
            }
            (_, Phase::HangingUp { .. }) => *phase = Phase::HangingUp { until: now },
        }
    }

    /// Whether nobody is talking, and every PBX knows that we leave.
    fn is_done(&self) -> bool {
        self.core.calls() == 0 && !self.core.is_leaving()
    }

    /// Moves the end on; whether it has come.
    pub(super) fn over(&mut self, phase: &mut Phase) -> bool {
        let now = clock::now();
        match *phase {
            Phase::Running => false,
            Phase::Draining { until } => {
                if self.core.calls() == 0 || now >= until {
                    tracing::info!(calls = self.core.calls(), "hanging up");
                    self.core.handle(now, Input::HangUpAll);
                    self.perform();
                    *phase = Phase::HangingUp {
                        until: now + FAREWELL,
                    };
                    return self.is_done();
                }
                false
            }
            Phase::HangingUp { until } => self.is_done() || now >= until,
        }
    }

    /// Lets connections write what is queued and close.
    pub(super) async fn say_goodbye(&mut self) {
        let mut open = self.flows.let_go();
        let closing = async {
            while open > 0 {
                match self.net.recv().await {
                    Some(Event::Closed(_) | Event::Failed { .. }) => open -= 1,
                    Some(_) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, closing).await;
    }
}
