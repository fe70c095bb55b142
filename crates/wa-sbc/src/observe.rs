//! What the core tells of calls, handed to whoever watches: the log, listeners over HTTP, the metrics.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use b2bua::event::{CallEvent, Facts, Happened};
use b2bua::operator::{Reply, Wish};
use b2bua::{Input, Level, LogLine, Record};
use sdp::Side;
use sdp::report::Unopened;
use tokio::sync::{broadcast, oneshot};

use crate::log::TRACED;
use crate::meters::Meters;
use crate::records::{facts, line};
use crate::traced::Traced;

/// A wish of the operator, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// A step of a call, as listeners get it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) happened: &'static str,
    /// JSON.
    pub(crate) data: String,
}

/// Who watches.
#[derive(Debug)]
pub(crate) struct Observers {
    pub(crate) node: u16,
    pub(crate) meters: Arc<Meters>,
    pub(crate) traced: Arc<Traced>,
    pub(crate) listeners: broadcast::Sender<Arc<Told>>,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    tickets: u64,
}

impl Observers {
    pub(crate) fn new(node: u16, answer_alarm: u8) -> Self {
        Self {
            node,
            meters: Arc::new(Meters::new(answer_alarm)),
            traced: Arc::default(),
            listeners: broadcast::Sender::new(1_024),
            waiting: HashMap::new(),
            tickets: 0,
        }
    }

    /// What the core is asked for it.
    pub(crate) fn ask(&mut self, asked: Asked) -> Input {
        self.tickets += 1;
        self.waiting.insert(self.tickets, asked.reply);
        Input::Operator {
            ticket: self.tickets,
            wish: asked.wish,
        }
    }

    /// The core answered.
    pub(crate) fn answer(&mut self, ticket: u64, reply: Reply) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            // Who no longer waits does not need it.
            let _ = waiting.send(reply);
        }
    }

    /// Something happened to a call: one line of the log, one event.
    pub(crate) fn event(&self, event: &CallEvent) {
        self.traced.follow(event);
        let CallEvent {
            facts: of,
            happened,
        } = event;
        let happened_label = happened.label();
        if let Happened::Unopened { side, why, source } = happened {
            self.fails(of, *side, *why, *source);
            return self.tell(happened_label, || {
                let mut value = facts(self.node, of);
                value["leg"] = party(of, *side).into();
                value["reason"] = why.label().into();
                value["source"] = source.to_string().into();
                value.to_string()
            });
        }
        let (cause, by) = match happened {
            Happened::Over(record) => (Some(record.cause.said()), Some(record.released_by.label())),
            _ => (None, None),
        };
        tracing::info!(
            call = of.id.0,
            direction = of.direction.label(),
            number = %of.number,
            trunk = &*of.trunk,
            reference = of.reference.as_deref(),
            carrier_call_id = of.carrier_call_id.as_deref(),
            pbx_call_id = of.pbx_call_id.as_deref(),
            cause,
            by,
            "{happened_label}"
        );
        if matches!(happened, Happened::Began | Happened::Over(_)) {
            tracing::debug!(
                call = of.id.0,
                reference = of.reference.as_deref(),
                carrier_call_id = of.carrier_call_id.as_deref(),
                "its ids in full"
            );
        }
        self.tell(happened_label, || {
            let mut value = facts(self.node, of);
            if let Happened::Over(record) = happened {
                value["cause"] = record.cause.label().into();
                value["text"] = record.cause.to_string().into();
                value["released_by"] = record.released_by.label().into();
            }
            value.to_string()
        });
    }

    /// SRTP of a leg cannot be opened: somebody should look. What came twice, networks do that.
    fn fails(&self, of: &Facts, side: Side, why: Unopened, source: SocketAddr) {
        let (leg, reason) = (party(of, side), why.label());
        let (call, reference) = (of.id.0, of.reference.as_deref());
        match why {
            Unopened::Tag | Unopened::Mki => {
                tracing::warn!(call, leg, reason, %source, trunk = &*of.trunk, reference, "SRTP cannot be opened: {why}");
            }
            Unopened::Replay => {
                tracing::info!(call, leg, reason, %source, trunk = &*of.trunk, reference, "SRTP cannot be opened: {why}");
            }
        }
    }

    /// A call has its final record.
    pub(crate) fn recorded(&self, record: &Record) {
        self.meters.ended(record);
        self.traced.forget(record.id.0);
        self.tell("recorded", || line(self.node, record));
    }

    /// A line of the core's for the log; of a traced call, at any level.
    pub(crate) fn log(&self, line: &LogLine) {
        let LogLine { level, call, text } = line;
        let call = call.map(|call| call.0);
        match level {
            Level::Debug if call.is_some_and(|call| self.traced.has(call)) => {
                tracing::debug!(target: TRACED, call, "{text}");
            }
            Level::Debug => tracing::debug!(call, "{text}"),
            Level::Info => tracing::info!(call, "{text}"),
            Level::Warn => tracing::warn!(call, "{text}"),
        }
    }

    fn tell(&self, happened: &'static str, data: impl FnOnce() -> String) {
        if self.listeners.receiver_count() > 0 {
            let told = Told {
                happened,
                data: data(),
            };
            let _ = self.listeners.send(Arc::new(told));
        }
    }
}

/// Whose a leg is.
fn party(of: &Facts, side: Side) -> &'static str {
    match side == of.direction.carrier() {
        true => "carrier",
        false => "pbx",
    }
}
