//! The memory of the last calls: bounded per call and in all, owned by the owner of the core.
//!
//! ```text
//!   came, left ─► Call-ID ─► Story ◄─ leg (joins two Call-IDs), media events, log lines
//!                              │
//!                              └─► asked for by the control socket, kept on disk when a call failed
//! ```
//!
//! INVITEs of strangers have a quarter of the memory at most, so that nobody can wash calls away.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use b2bua::{CallId, MediaCommand, MediaEvent, Network, Record};
use bytes::Bytes;
use sdp::Side;
use sip::{Flow, FlowId, Transport};

use super::facts;
use super::scan;
use super::seen::{Crossed, Gap, Seen, Story, What};

/// What a remembered thing costs beside its bytes, roughly.
const OVERHEAD: usize = 160;
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
    bounds: Bounds,
    stories: BTreeMap<u64, Story>,
    by_call_id: HashMap<String, u64>,
    by_call: HashMap<CallId, u64>,
    /// Stories of calls and of strangers, oldest first.
    order: [VecDeque<u64>; 2],
    bytes: [usize; 2],
    next: u64,
    /// Stories that wait for the addresses of a connection.
    awaited: HashMap<FlowId, Vec<u64>>,
}

/// Index of what is no call, or not yet.
const STRANGERS: usize = 1;
const CALLS: usize = 0;

impl Trace {
    /// An empty memory.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            stories: BTreeMap::new(),
            by_call_id: HashMap::new(),
            by_call: HashMap::new(),
            order: Default::default(),
            bytes: [0; 2],
            next: 0,
            awaited: HashMap::new(),
        }
    }

    /// Whether anything is remembered.
    pub fn is_on(&self) -> bool {
        self.bounds.per_call > 0
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
        let story = match self.by_call_id.get(call_id) {
            Some(story) => *story,
            None if scan::is_invite(bytes) => self.begin(call_id),
            None => return,
        };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let transport = transport.or(flow.map(|flow| flow.transport));
        let transport = transport.unwrap_or(Transport::Udp);
        let gap = self.gap(story, call_id, transport);
        if flow.is_none() && self.awaited.len() < AWAITED {
            let waiting = self.awaited.entry(id).or_default();
            if !waiting.contains(&story) {
                waiting.push(story);
            }
        }
        let crossed = Crossed {
            inward,
            gap,
            transport,
            local: flow.map_or(nowhere, |flow| flow.local),
            remote: flow.map_or(nowhere, |flow| flow.remote),
            bytes: bytes.clone(),
        };
        self.add(
            story,
            Seen {
                at,
                what: What::Message(crossed),
            },
        );
    }

    /// A connection that was being opened is open: messages written before now have their addresses.
    pub fn opened(&mut self, flow: Flow) {
        for story in self.awaited.remove(&flow.id).unwrap_or_default() {
            for seen in self
                .stories
                .get_mut(&story)
                .into_iter()
                .flat_map(|s| &mut s.seen)
            {
                if let What::Message(crossed) = &mut seen.what
                    && crossed.remote.port() == 0
                    && crossed.transport == flow.transport
                {
                    (crossed.local, crossed.remote) = (flow.local, flow.remote);
                }
            }
        }
    }

    /// A connection that was being opened never will be.
    pub fn failed(&mut self, at: SystemTime, id: FlowId, why: &str) {
        for story in self.awaited.remove(&id).unwrap_or_default() {
            self.fact(at, story, None, format!("no connection: {why}"));
        }
    }

    /// From now on a Call-ID belongs to a leg of a call.
    pub fn leg(&mut self, call: CallId, side: Side, call_id: &str) {
        if !self.is_on() {
            return;
        }
        let own = self.by_call_id.get(call_id).copied();
        let story = match (self.by_call.get(&call).copied(), own) {
            (Some(story), _) => story,
            (None, Some(story)) => story,
            (None, None) => self.begin(call_id),
        };
        self.by_call_id.insert(call_id.to_owned(), story);
        if self.by_call.insert(call, story).is_none() {
            self.promote(story);
        }
        if let Some(told) = self.stories.get_mut(&story) {
            told.call = Some(call);
            if !told.legs.iter().any(|(_, known)| known == call_id) {
                told.legs.push((side, call_id.to_owned()));
            }
        }
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
        }
        for (side, text) in facts::of_command(command) {
            self.told(at, story, side, text);
        }
    }

    /// Media told something.
    pub fn media(&mut self, at: SystemTime, call: CallId, event: &MediaEvent) {
        let Some(&story) = self.by_call.get(&call) else {
            return;
        };
        for (side, text) in facts::of_event(event) {
            self.told(at, story, side, text);
        }
    }

    /// A line of the log about a call.
    pub fn said(&mut self, at: SystemTime, call: CallId, text: &str) {
        if let Some(&story) = self.by_call.get(&call) {
            self.fact(at, story, None, text.to_owned());
        }
    }

    /// A call is over; its story, if it should be kept on disk as one that failed.
    pub fn ended(&mut self, at: SystemTime, record: &Record) -> Option<Story> {
        let story = self.by_call.get(&record.id).copied()?;
        let hint = record.cause.hint();
        let dash = if hint.is_empty() { "" } else { " — " };
        let by = record.released_by.label();
        self.fact(
            at,
            story,
            None,
            format!("ended by {by}: {}{dash}{hint}", record.cause),
        );
        self.by_call.remove(&record.id);
        facts::is_failure(record).then(|| self.stories.get(&story).cloned())?
    }

    /// The stories somebody asks for, newest first.
    pub fn find(&self, query: &str) -> Vec<Story> {
        let newest = self.stories.values().rev();
        newest
            .filter(|story| story.is_about(query))
            .cloned()
            .collect()
    }

    /// The story of the last call, or of the last INVITE where there was none.
    pub fn newest(&self) -> Option<Story> {
        let calls = self.order[CALLS].back().or(self.order[STRANGERS].back());
        calls.and_then(|key| self.stories.get(key)).cloned()
    }

    /// Stories remembered.
    pub fn len(&self) -> usize {
        self.stories.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.stories.is_empty()
    }

    fn begin(&mut self, call_id: &str) -> u64 {
        self.next += 1;
        self.stories.insert(self.next, Story::default());
        self.by_call_id.insert(call_id.to_owned(), self.next);
        self.order[STRANGERS].push_back(self.next);
        self.next
    }

    /// A stranger's INVITE became a call.
    fn promote(&mut self, story: u64) {
        let weight = self.stories.get(&story).map_or(0, weight);
        if let Some(at) = self.order[STRANGERS]
            .iter()
            .rposition(|other| *other == story)
        {
            self.order[STRANGERS].remove(at);
            self.order[CALLS].push_back(story);
            self.bytes[STRANGERS] = self.bytes[STRANGERS].saturating_sub(weight);
            self.bytes[CALLS] += weight;
        }
    }

    fn gap(&self, story: u64, call_id: &str, transport: Transport) -> Gap {
        let by_transport = match transport {
            Transport::Tls => Gap::Carrier,
            _ => Gap::Pbx,
        };
        let known = self.stories.get(&story).and_then(|story| {
            let side = story.legs.iter().find(|(_, known)| known == call_id)?.0;
            Some((side, story.carrier?))
        });
        known.map_or(by_transport, |(side, carrier)| match side == carrier {
            true => Gap::Carrier,
            false => Gap::Pbx,
        })
    }

    fn told(&mut self, at: SystemTime, story: u64, side: Option<Side>, text: String) {
        let carrier = self.stories.get(&story).and_then(|story| story.carrier);
        let gap = side
            .zip(carrier)
            .map(|(side, carrier)| match side == carrier {
                true => Gap::Carrier,
                false => Gap::Pbx,
            });
        self.fact(at, story, gap, text);
    }

    fn fact(&mut self, at: SystemTime, story: u64, gap: Option<Gap>, text: String) {
        self.add(
            story,
            Seen {
                at,
                what: What::Fact { gap, text },
            },
        );
    }

    fn add(&mut self, key: u64, seen: Seen) {
        let Some(story) = self.stories.get_mut(&key) else {
            return;
        };
        let pool = if story.call.is_some() {
            CALLS
        } else {
            STRANGERS
        };
        self.bytes[pool] += cost(&seen);
        story.seen.push_back(seen);
        if story.seen.len() > self.bounds.per_call {
            // How a call began explains more than its middle does.
            if let Some(gone) = story.seen.remove(self.bounds.per_call / 4) {
                story.left_out += 1;
                self.bytes[pool] = self.bytes[pool].saturating_sub(cost(&gone));
            }
        }
        while self.bytes[CALLS] + self.bytes[STRANGERS] > self.bounds.bytes {
            let strangers =
                self.bytes[STRANGERS] > self.bounds.bytes / 4 || self.order[CALLS].is_empty();
            let pool = if strangers { STRANGERS } else { CALLS };
            let Some(oldest) = self.order[pool].pop_front() else {
                return;
            };
            self.forget(oldest, pool);
        }
    }

    fn forget(&mut self, key: u64, pool: usize) {
        let Some(story) = self.stories.remove(&key) else {
            return;
        };
        self.bytes[pool] = self.bytes[pool].saturating_sub(weight(&story));
        let of_messages = story
            .messages()
            .filter_map(|(_, crossed)| scan::call_id(&crossed.bytes));
        let of_legs = story.legs.iter().map(|(_, call_id)| call_id.as_str());
        for call_id in of_legs.chain(of_messages) {
            if self.by_call_id.get(call_id) == Some(&key) {
                self.by_call_id.remove(call_id);
            }
        }
        if let Some(call) = story.call {
            self.by_call.remove(&call);
        }
    }
}

fn cost(seen: &Seen) -> usize {
    OVERHEAD
        + match &seen.what {
            What::Message(crossed) => crossed.bytes.len(),
            What::Fact { text, .. } => text.len(),
        }
}

fn weight(story: &Story) -> usize {
    story.seen.iter().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn message(start: &str, call_id: &str) -> Bytes {
        format!("{start}\r\nCall-ID: {call_id}\r\nFrom: <sip:+12195550714@h>\r\n\r\n").into()
    }

    fn flow(transport: Transport) -> Flow {
        Flow {
            id: FlowId(2),
            transport,
            local: "10.0.0.5:5060".parse().expect("an address"),
            remote: "10.0.0.20:5060".parse().expect("an address"),
        }
    }

    fn trace(per_call: usize, bytes: usize) -> Trace {
        Trace::new(Bounds { per_call, bytes })
    }

    fn see(trace: &mut Trace, inward: bool, transport: Transport, bytes: &Bytes) {
        let flow = flow(transport);
        trace.message(UNIX_EPOCH, inward, (flow.id, Some(flow)), None, bytes);
    }

    #[test]
    fn two_legs_are_one_story_found_by_call_id_reference_and_number() {
        let mut trace = trace(100, 1 << 20);
        let invite = message("INVITE sip:+17125550259@h SIP/2.0", "outgoing:wacid.ABCD=");
        see(&mut trace, true, Transport::Tls, &invite);
        trace.leg(CallId(1), Side::A, "outgoing:wacid.ABCD=");
        let open = MediaCommand::Open {
            a: Network::Public,
            b: Network::Private,
        };
        trace.command(UNIX_EPOCH, CallId(1), &open);
        trace.leg(CallId(1), Side::B, "b-1");
        see(
            &mut trace,
            false,
            Transport::Udp,
            &message("INVITE sip:x SIP/2.0", "b-1"),
        );
        trace.media(UNIX_EPOCH, CallId(1), &MediaEvent::FirstReceived(Side::A));
        for query in [
            "b-1",
            "outgoing:wacid.ABCD=",
            "wacid.ABCD=",
            "+1 219-555-0714",
            "17125550259",
        ] {
            if query.len() < 4 {
                continue;
            }
            assert_eq!(trace.find(query).len(), 1, "{query}");
        }
        assert!(trace.find("+1 219 555 0715").is_empty());
        let story = trace.find("wacid.ABCD=").remove(0);
        let gaps: Vec<Gap> = story.messages().map(|(_, crossed)| crossed.gap).collect();
        assert_eq!(gaps, [Gap::Carrier, Gap::Pbx]);
        let fact = story.seen.back().map(|seen| seen.what.clone());
        assert!(
            matches!(
                fact,
                Some(What::Fact {
                    gap: Some(Gap::Carrier),
                    ..
                })
            ),
            "{fact:?}"
        );
    }

    #[test]
    fn a_long_call_keeps_its_beginning_and_its_end() {
        let mut trace = trace(8, 1 << 20);
        see(
            &mut trace,
            true,
            Transport::Udp,
            &message("INVITE sip:x SIP/2.0", "c"),
        );
        for number in 0..100 {
            see(
                &mut trace,
                true,
                Transport::Udp,
                &message(&format!("INFO sip:{number} SIP/2.0"), "c"),
            );
        }
        let story = trace.find("+12195550714").remove(0);
        assert_eq!((story.seen.len(), story.left_out), (8, 93));
        let starts: Vec<String> = story
            .messages()
            .map(|(_, crossed)| String::from_utf8_lossy(&crossed.bytes[..9]).into_owned())
            .collect();
        assert_eq!(starts[0], "INVITE si");
        assert_eq!(starts[7], "INFO sip:");
        assert!(
            story
                .messages()
                .last()
                .is_some_and(|(_, c)| c.bytes.starts_with(b"INFO sip:99"))
        );
    }

    #[test]
    fn strangers_cannot_wash_calls_away_and_memory_stays_bounded() {
        let mut trace = trace(100, 100_000);
        see(
            &mut trace,
            true,
            Transport::Tls,
            &message("INVITE sip:x SIP/2.0", "call"),
        );
        trace.leg(CallId(1), Side::A, "call");
        for number in 0..10_000 {
            see(
                &mut trace,
                true,
                Transport::Tls,
                &message("INVITE sip:x SIP/2.0", &format!("s{number}")),
            );
        }
        assert_eq!(trace.find("call").len(), 1, "the call is still there");
        let all: usize = trace.stories.values().map(weight).sum();
        assert!(all <= 100_000, "{all}");
        assert_eq!(all, trace.bytes[CALLS] + trace.bytes[STRANGERS]);
        assert_eq!(trace.by_call_id.len(), trace.len());
    }

    #[test]
    fn nothing_is_remembered_when_it_is_switched_off_and_messages_outside_calls_never_are() {
        let mut off = trace(0, 1 << 20);
        see(
            &mut off,
            true,
            Transport::Udp,
            &message("INVITE sip:x SIP/2.0", "c"),
        );
        assert!(off.is_empty());
        let mut on = trace(10, 1 << 20);
        see(
            &mut on,
            true,
            Transport::Udp,
            &message("OPTIONS sip:x SIP/2.0", "c"),
        );
        assert!(on.is_empty());
    }

    #[test]
    fn a_message_written_before_its_connection_was_open_gets_its_addresses() {
        let mut trace = trace(10, 1 << 20);
        let invite = message("INVITE sip:x SIP/2.0", "calls");
        trace.message(
            UNIX_EPOCH,
            false,
            (FlowId(7), None),
            Some(Transport::Tls),
            &invite,
        );
        trace.opened(Flow {
            id: FlowId(7),
            ..flow(Transport::Tls)
        });
        let story = trace.find("calls").remove(0);
        assert!(
            story
                .messages()
                .all(|(_, crossed)| crossed.remote.port() == 5060)
        );
    }
}
