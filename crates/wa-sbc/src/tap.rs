//! What is heard of calls as it happens: SIP as it came and left, legs, media. One place tells, whoever
//! wants to know listens.
//!
//! ```text
//!   core_task ── Moment ──► Trace         what `wa-sbc ladder` shows
//!                      └──► Tap, Tap, …   whoever was added to the task's taps
//! ```
//!
//! A tap runs on the core's task: it copies what it needs, hands it on without waiting, and returns.

use std::fmt;
use std::time::SystemTime;

use b2bua::{CallId, MediaCommand, MediaEvent, Record};
use bytes::Bytes;
use sdp::Side;
use sip::{Flow, FlowId, Transport};

/// Something that happened at our border, or to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment<'a> {
    /// A SIP message crossed our border.
    Message {
        /// Towards us.
        inward: bool,
        /// The connection, or the pair of UDP addresses.
        id: FlowId,
        /// Its addresses; `None` while it is still being opened: [`Moment::Opened`] or
        /// [`Moment::Failed`] will say.
        flow: Option<Flow>,
        /// How it is carried, as far as that is known.
        transport: Option<Transport>,
        /// The message as it is on the wire under TLS, secrets and all.
        bytes: &'a Bytes,
    },
    /// A connection that was being opened is open: what was said on it before leaves now.
    Opened(Flow),
    /// A connection that was being opened never will be: what was said on it never left.
    Failed {
        /// The connection.
        id: FlowId,
        /// In plain words.
        why: &'a str,
    },
    /// From now on messages with this Call-ID belong to a leg of this call. Said before the first of
    /// ours that has it, and after the first of a caller's.
    Leg {
        /// The call.
        call: CallId,
        /// Its leg.
        side: Side,
        /// The Call-ID.
        call_id: &'a str,
    },
    /// Media was asked for something.
    Command {
        /// By this call.
        call: CallId,
        /// This.
        command: &'a MediaCommand,
    },
    /// Media told something.
    Media {
        /// About this call.
        call: CallId,
        /// This.
        event: &'a MediaEvent,
    },
    /// A line of the log, INFO or above, about a call.
    Said {
        /// The call.
        call: CallId,
        /// The line.
        text: &'a str,
    },
    /// A call is over, with all its media; repeated messages of it may still come.
    Ended(&'a Record),
}

/// Somebody who listens.
pub(crate) trait Tap: Send {
    /// Hears one moment. Never waits.
    fn hear(&mut self, at: SystemTime, moment: &Moment<'_>);

    /// Whether there is anybody to hear: while nobody does, messages are not even printed.
    fn is_listening(&self) -> bool {
        true
    }
}

/// Everybody who listens beside the trace.
#[derive(Default)]
pub(crate) struct Taps(Vec<Box<dyn Tap>>);

impl Taps {
    /// One more.
    pub(crate) fn add(&mut self, tap: Box<dyn Tap>) {
        self.0.push(tap);
    }
}

impl Tap for Taps {
    fn hear(&mut self, at: SystemTime, moment: &Moment<'_>) {
        for tap in self.0.iter_mut().filter(|tap| tap.is_listening()) {
            tap.hear(at, moment);
        }
    }

    fn is_listening(&self) -> bool {
        self.0.iter().any(|tap| tap.is_listening())
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Taps({})", self.0.len())
    }
}
