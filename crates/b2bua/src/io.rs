//! What goes into a [`crate::Core`] and what comes out.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use sdp::Side;
use sip::{Flow, FlowId, Message, Target, Text};

use crate::admission::{Load, Source};
use crate::alias::Alias;
use crate::call_id::CallId;
use crate::event::CallEvent;
use crate::media::{MediaCommand, MediaEvent};
use crate::operator::{Reply, Wish};
use crate::record::Record;
use crate::registration::Whereabouts;
use crate::settings::Settings;

/// Something happened outside.
#[derive(Debug)]
pub enum Input {
    /// A message came.
    Sip {
        /// On this flow.
        flow: Flow,
        /// The message.
        message: Message,
    },
    /// A flow asked for by [`Output::Connect`] is up. Messages sent before are on their way.
    FlowOpened(Flow),
    /// A flow asked for could not be had; everything sent to it is lost.
    FlowFailed {
        /// Its name.
        id: FlowId,
        /// What the network said.
        why: String,
    },
    /// A flow is gone.
    FlowClosed(FlowId),
    /// What [`Output::Locate`] asked for; empty when nothing was found.
    Located {
        /// As it was asked for.
        target: Target,
        /// Where it is.
        found: sip::resolve::Located,
    },
    /// The media engine speaks.
    Media {
        /// Of this call.
        call: CallId,
        /// This.
        event: MediaEvent,
    },
    /// The aliases given in earlier lives, told before the first call.
    Aliases(Vec<Alias>),
    /// Where trunks had registered in earlier lives, told before the first call.
    Whereabouts(Vec<Whereabouts>),
    /// New settings for new calls.
    Reload(Box<Settings>),
    /// What the machine measured since it last told.
    Load(Load),
    /// Somebody sent what is no SIP.
    Malformed(IpAddr),
    /// Take no new calls.
    Drain,
    /// End every call.
    HangUpAll,
    /// The operator wants something; answered by one [`Output::Reply`] with the same ticket.
    Operator {
        /// Whose answer is waited for.
        ticket: u64,
        /// What is wanted.
        wish: Wish,
    },
    /// The time asked for by [`Output::Wait`] has come.
    Tick,
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// On this flow, which may still be connecting.
        flow: FlowId,
        /// One SIP message.
        bytes: Bytes,
    },
    /// Open a flow under this (odd) name.
    Connect {
        /// Its name.
        id: FlowId,
        /// Where to.
        target: Target,
    },
    /// Find out where a target is (RFC 3263).
    Locate {
        /// The target.
        target: Target,
        /// The transports the DNS may choose from, the most wanted first.
        transports: Vec<sip::Transport>,
    },
    /// Tell the media engine.
    Media {
        /// Of this call.
        call: CallId,
        /// This.
        command: MediaCommand,
    },
    /// From now on messages with this Call-ID belong to a leg of this call: for whoever keeps traces.
    /// Said before the first message of ours that has it.
    Leg {
        /// The call.
        call: CallId,
        /// Its leg.
        side: Side,
        /// The Call-ID of the leg's dialog.
        call_id: Text,
    },
    /// Hear nothing of this source until then: neither datagrams nor connections. Now: hear it again.
    Bar {
        /// The source.
        source: Source,
        /// When it may be heard again.
        until: Instant,
    },
    /// A call ended; written exactly once for every admitted INVITE.
    Record(Box<Record>),
    /// Something happened to a call.
    Event(Box<CallEvent>),
    /// The answer to an [`Input::Operator`].
    Reply {
        /// The ticket of the question.
        ticket: u64,
        /// The answer.
        reply: Reply,
    },
    /// A user got a number, for good: it has to be known at the next start.
    Alias(Alias),
    /// Where a trunk is from now on: has to be known at the next start.
    Whereabouts(Whereabouts),
    /// A line for the log.
    Log(LogLine),
    /// Nothing more to do until this time, or until the next input.
    Wait(Option<Instant>),
}

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever debugs one call; may name numbers.
    Debug,
    /// One line per event of a call.
    Info,
    /// Somebody should look.
    Warn,
}

/// A line for the log: at [`Level::Info`] and above it names no number in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: Level,
    /// Of which call, if of one.
    pub call: Option<CallId>,
    /// What happened.
    pub text: String,
}
