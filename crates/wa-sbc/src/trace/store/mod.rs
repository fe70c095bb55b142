//! The memory of the last calls: bounded per call and in all, owned by the owner of the core.
//!
//! ```text
//!   came, left ─► Call-ID ─► story ◄─ leg (joins two Call-IDs), media events, log lines
//!                              │
//!                              └─► asked for by the control socket, kept on disk when a call failed
//! ```
//!
//! What is remembered lies in two rings of memory taken at the start, the entries of a story chained through
//! them. The story whose oldest entry is in the way of a new one is forgotten as a whole. INVITEs of strangers
//! have a ring of their own, a quarter of the memory, so that nobody can wash calls away.

mod followed;
mod recall;
mod room;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use b2bua::{CallId, MediaCommand, MediaEvent, Network, Record};
use bytes::Bytes;
use sdp::Side;
use sip::{Flow, FlowId, Transport};

use super::facts::{self, Hearing};
use super::follow::{Following, Told as Tells, told};
use super::ring::{Kind, Ring};
use super::scan;
use super::seen::{Gap, Story};
use crate::tap::{Moment, Tap};

/// Bytes of a usual story: two legs, each with INVITE, answer and BYE, and what media told.
const USUAL: usize = 16 << 10;
/// Connections on their way whose addresses are awaited.
const AWAITED: usize = 1024;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Things per call; 0: nothing is remembered at all.
    pub per_call: usize,
    /// Bytes in all.
    pub bytes: usize,
}

/// The memory of the last calls.
#[derive(Debug)]
pub struct Trace {
    per_call: usize,
    rings: [Ring; 2],
    stories: HashMap<u64, Told>,
    /// By a keyed hash of the Call-ID: 64 bits nobody outside can make collide.
    by_call_id: HashMap<u64, (u64, Option<Side>)>,
    hasher: RandomState,
    by_call: HashMap<CallId, u64>,
    next: u64,
    /// Stories that wait for the addresses of a connection.
    awaited: HashMap<FlowId, Vec<u64>>,
    following: Following,
    borrowed: bool,
}

/// Index of what is no call, or not yet.
const STRANGERS: usize = 1;
const CALLS: usize = 0;

/// What is known of a story beside its entries.
#[derive(Debug, Default)]
struct Told {
    call: Option<CallId>,
    carrier: Option<Side>,
    first: Option<u64>,
    last: u64,
    /// The last entry of the beginning, which stays.
    kept: Option<u64>,
    /// Entries a reader sees.
    seen: usize,
    left_out: u64,
    /// How the legs were last said to be received, by [`Side::index`].
    hearing: [Hearing; 2],
}

impl Told {
    fn pool(&self) -> usize {
        match self.call {
            Some(_) => CALLS,
            None => STRANGERS,
        }
    }
}
impl Trace {
    /// An empty memory.
    pub fn new(bounds: Bounds) -> Self {
        let strangers = bounds.bytes / 4;
        let bytes = match bounds.per_call {
            0 => [0, 0],
            _ => [bounds.bytes - strangers, strangers],
        };
        Self {
            per_call: bounds.per_call,
            rings: bytes.map(Ring::new),
            stories: HashMap::new(),
            by_call_id: HashMap::new(),
            hasher: RandomState::new(),
            by_call: HashMap::new(),
            next: 0,
            awaited: HashMap::new(),
            following: Following::default(),
            borrowed: false,
        }
    }

    /// A memory for as long as something is captured, where otherwise nothing is remembered.
    pub(crate) fn borrowed(bounds: Bounds) -> Self {
        let mut trace = Self::new(bounds);
        trace.borrowed = true;
        trace
    }

    /// Whether it is one of those.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.borrowed
    }

    /// Takes the whole memory from the system now: there is enough of it, or the program does not start.
    pub fn take(mut self) -> Self {
        self.rings.iter_mut().for_each(Ring::take);
        let stories = self.rings.iter().map(Ring::size).sum::<usize>() / USUAL;
        // Whatever is written once is there.
        for story in 0..stories as u64 {
            self.stories.insert(story, Told::default());
            self.by_call_id.insert(2 * story, (story, None));
            self.by_call_id.insert(2 * story + 1, (story, None));
        }
        self.stories.clear();
        self.by_call_id.clear();
        self
    }

    /// Whether anything is remembered.
    pub fn is_on(&self) -> bool {
        self.per_call > 0
    }

    /// A message crossed our border. `flow` is what is known of the connection it crosses on.
    pub fn message(
        &mut self,
        at: SystemTime,
        inward: bool,
        (id, flow): (FlowId, Option<Flow>),
        transport: Option<Transport>,
        bytes: &Bytes,
    ) {
        if !self.is_on() {
            return;
        }
        let Some(call_id) = scan::call_id(bytes) else {
            return;
        };
        let remote = flow.map(|flow| flow.remote.ip());
        let hash = self.hasher.hash_one(call_id);
        let (story, side, outside) = match self.by_call_id.get(&hash) {
            Some((story, side)) => (*story, *side, None),
            None if scan::is_invite(bytes) => (self.begin(call_id), None, None),
            None if self.following.is_idle() => return,
            None => match self.following.outside(hash, self.next + 1, remote, bytes) {
                Some((story, by)) => (story, None, Some(by)),
                None => return,
            },
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let transport = transport.or(flow.map(|flow| flow.transport));
        let transport = transport.unwrap_or(Transport::Udp);
        let gap = self.gap(story, side).unwrap_or(match transport {
            Transport::Tls if !self.following.is_pbx(remote) => Gap::Carrier,
            _ => Gap::Pbx,
        });
        if flow.is_none() && self.awaited.len() < AWAITED {
            let waiting = self.awaited.entry(id).or_default();
            if !waiting.contains(&story) {
                waiting.push(story);
            }
        }
        let kind = Kind::Message {
            inward,
            gap,
            transport,
            local: flow.map_or(nowhere, |flow| flow.local),
            remote: flow.map_or(nowhere, |flow| flow.remote),
        };
        if let Some(by) = outside {
            self.next = self.next.max(story);
            self.tell_outside(by, story, told(at, kind, bytes));
            return;
        }
        self.add(story, at, kind, bytes);
        if !self.following.is_idle() {
            let is_call = { self.stories.get(&story) }.is_some_and(|told| told.call.is_some());
            let by = self
                .following
                .wanted(story, is_call, (inward, remote), bytes);
            self.follow_story(story, by);
        }
        self.unless_empty(story, call_id);
    }

    /// A connection that was being opened is open: messages written before now have their addresses.
    pub fn opened(&mut self, flow: Flow) {
        let stories = self.awaited.remove(&flow.id).unwrap_or_default();
        self.following.opened(&stories, Some(flow));
        for story in stories {
            let Some(told) = self.stories.get(&story) else {
                continue;
            };
            let ring = &mut self.rings[told.pool()];
            let mut at = told.first;
            while let Some(position) = at {
                ring.change(position, |head| {
                    if let Kind::Message {
                        transport,
                        local,
                        remote,
                        ..
                    } = &mut head.kind
                        && remote.port() == 0
                        && *transport == flow.transport
                    {
                        (*local, *remote) = (flow.local, flow.remote);
                    }
                });
                at = ring.head(position).next;
            }
        }
    }

    /// A connection that was being opened never will be.
    pub fn failed(&mut self, at: SystemTime, id: FlowId, why: &str) {
        let stories = self.awaited.remove(&id).unwrap_or_default();
        self.following.opened(&stories, None);
        for story in stories {
            self.fact(at, story, None, &format!("no connection: {why}"));
        }
    }

    /// From now on a Call-ID belongs to a leg of a call.
    pub fn leg(&mut self, at: SystemTime, call: CallId, side: Side, call_id: &str) {
        if !self.is_on() {
            return;
        }
        let hash = self.hasher.hash_one(call_id);
        let own = self.by_call_id.get(&hash).map(|(story, _)| *story);
        let story = match (self.by_call.get(&call).copied(), own) {
            (Some(story), _) => story,
            (None, Some(story)) => story,
            (None, None) => self.begin(call_id),
        };
        let known = self.by_call_id.insert(hash, (story, Some(side)));
        if self.by_call.insert(call, story).is_none() {
            self.promote(story, call);
        }
        if known != Some((story, Some(side))) {
            self.add(story, at, Kind::Leg(side), call_id.as_bytes());
        }
        self.unless_empty(story, call_id);
    }

    /// Media was asked for something.
    pub fn command(&mut self, at: SystemTime, call: CallId, command: &MediaCommand) {
        let Some(&story) = self.by_call.get(&call) else {
            return;
        };
        if let MediaCommand::Open { a, .. } = command
            && let Some(told) = self.stories.get_mut(&story)
        {
            let carrier = if *a == Network::Public {
                Side::A
            } else {
                Side::B
            };
            told.carrier = Some(carrier);
            self.tell(story, Tells::Carrier(carrier));
        }
        for (side, text) in facts::of_command(command) {
            self.told(at, story, side, &text);
        }
    }

    /// Media told something.
    pub fn media(&mut self, at: SystemTime, call: CallId, event: &MediaEvent) {
        let Some(&story) = self.by_call.get(&call) else {
            return;
        };
        let words = match event {
            MediaEvent::Reported { side, report } => match self.stories.get_mut(&story) {
                Some(told) => facts::of_report(*side, report, &mut told.hearing[side.index()]),
                None => return,
            },
            other => facts::of_event(other),
        };
        for (side, text) in words {
            self.told(at, story, side, &text);
        }
    }

    /// A line of the log about a call.
    pub fn said(&mut self, at: SystemTime, call: CallId, text: &str) {
        if let Some(&story) = self.by_call.get(&call) {
            self.fact(at, story, None, text);
        }
    }

    /// A call is over; its story, if it should be kept on disk as one that failed.
    pub fn ended(&mut self, at: SystemTime, record: &Record) -> Option<Story> {
        let story = self.by_call.get(&record.id).copied()?;
        let hint = record.cause.hint();
        let dash = if hint.is_empty() { "" } else { " — " };
        let by = record.released_by.label();
        let text = format!("ended by {by}: {}{dash}{hint}", record.cause);
        self.fact(at, story, None, &text);
        self.by_call.remove(&record.id);
        facts::is_failure(record).then(|| self.story(story))?
    }

    fn begin(&mut self, call_id: &str) -> u64 {
        self.next += 1;
        self.stories.insert(self.next, Told::default());
        let hash = self.hasher.hash_one(call_id);
        self.by_call_id.insert(hash, (self.next, None));
        self.next
    }

    /// Between which posts the leg of a Call-ID lies.
    fn gap(&self, story: u64, side: Option<Side>) -> Option<Gap> {
        let carrier = self.stories.get(&story)?.carrier?;
        Some(match side? == carrier {
            true => Gap::Carrier,
            false => Gap::Pbx,
        })
    }

    fn told(&mut self, at: SystemTime, story: u64, side: Option<Side>, text: &str) {
        let gap = self.gap(story, side);
        self.fact(at, story, gap, text);
    }

    fn fact(&mut self, at: SystemTime, story: u64, gap: Option<Gap>, text: &str) {
        self.add(story, at, Kind::Fact(gap), text.as_bytes());
    }

    fn add(&mut self, story: u64, at: SystemTime, kind: Kind, text: &[u8]) {
        if self.following.by(story) != 0
            && let Some(what) = told(at, kind, text)
        {
            self.tell(story, what);
        }
        self.add_silently(story, at, kind, text);
    }
}

impl Tap for Trace {
    fn hear(&mut self, at: SystemTime, moment: &Moment<'_>) {
        match *moment {
            Moment::Message {
                inward,
                id,
                flow,
                transport,
                bytes,
            } => self.message(at, inward, (id, flow), transport, bytes),
            Moment::Opened(flow) => self.opened(flow),
            Moment::Failed { id, why } => self.failed(at, id, why),
            Moment::Leg {
                call,
                side,
                call_id,
            } => self.leg(at, call, side, call_id),
            Moment::Command { call, command } => self.command(at, call, command),
            Moment::Media { call, event } => self.media(at, call, event),
            Moment::Said { call, text } => self.said(at, call, text),
            Moment::Ended(record) => drop(self.ended(at, record)),
        }
    }

    fn is_listening(&self) -> bool {
        self.is_on()
    }
}

#[cfg(test)]
mod tests;
