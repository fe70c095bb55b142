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

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use b2bua::{CallId, MediaCommand, MediaEvent, Network, Record};
use bytes::Bytes;
use sdp::Side;
use sip::{Flow, FlowId, Slim, Transport};

use super::facts;
use super::follow::{By, Follow, Followed, Following, News, Told as Tells, told};
use super::ring::{Head, Kind, Ring};
use super::scan;
use super::seen::{Crossed, Gap, Seen, Story, Wanted, What};
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

    /// A message outside calls: told, and remembered by nobody here.
    fn tell_outside(&mut self, by: By, story: u64, what: Option<Tells>) {
        if let Some(what) = what {
            self.following.tell(Followed {
                by,
                story,
                call: None,
                outside: true,
                what,
            });
        }
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
        for (side, text) in facts::of_event(event) {
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

    /// The stories somebody asks for, newest first.
    pub fn find(&self, query: &str) -> Vec<Story> {
        let wanted = Wanted::of(query);
        let about = |told: &Told| {
            self.entries(told).any(|(position, head)| {
                matches!(head.kind, Kind::Message { .. })
                    && wanted.is_in(self.rings[told.pool()].text(position))
            })
        };
        let all = self.stories.iter();
        let mut found: Vec<u64> = all
            .filter(|(_, told)| about(told))
            .map(|(key, _)| *key)
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
            .into_iter()
            .filter_map(|key| self.story(key))
            .collect()
    }

    /// The story of a call, running or over.
    pub(crate) fn of_call(&self, call: CallId) -> Option<Story> {
        let mut all = self.stories.iter();
        let known = all.find(|(_, told)| told.call == Some(call))?;
        self.story(*known.0)
    }

    /// The story of the last call, or of the last INVITE where there was none.
    pub fn newest(&self) -> Option<Story> {
        let newest = |pool| {
            let all = self.stories.iter();
            let of_pool = all.filter(|(_, told)| told.pool() == pool);
            of_pool.map(|(key, _)| *key).max()
        };
        newest(CALLS)
            .or_else(|| newest(STRANGERS))
            .and_then(|key| self.story(key))
    }

    /// Somebody follows stories from now on, beside those named by [`Trace::follow_call`].
    pub(crate) fn follow(&mut self, by: By, follow: Follow) {
        self.following.begin(by, follow);
    }

    /// Stories that are followed.
    #[cfg(test)]
    pub(super) fn followed(&self) -> usize {
        self.following.stories()
    }

    /// Somebody follows the story of a call: all that is remembered of it is told, and what comes.
    pub(crate) fn follow_call(&mut self, call: CallId, by: By) {
        if let Some(&story) = self.by_call.get(&call) {
            self.follow_story(story, by & !self.following.by(story));
        }
    }

    /// These no longer follow anything.
    pub(crate) fn unfollow(&mut self, by: By) {
        self.following.end(by);
    }

    /// Who follows a call, and the side its carrier is on.
    pub(crate) fn followers(&self, call: CallId) -> Option<(By, Side)> {
        let story = self.by_call.get(&call)?;
        let by = self.following.by(*story);
        let carrier = self.stories.get(story)?.carrier?;
        (by != 0).then_some((by, carrier))
    }

    /// What followers are to be told since this was asked last.
    pub(crate) fn news(&mut self) -> Vec<News> {
        match self.following.is_idle() {
            true => Vec::new(),
            false => self.following.news(),
        }
    }

    fn follow_story(&mut self, story: u64, by: By) {
        let Some(known) = self.stories.get(&story).filter(|_| by != 0) else {
            return;
        };
        let (call, carrier) = (known.call, known.carrier);
        let ring = &self.rings[known.pool()];
        let mut past: Vec<Tells> = carrier.map(Tells::Carrier).into_iter().collect();
        let entries = self.entries(known);
        past.extend(entries.filter_map(|(at, head)| told(head.at, head.kind, ring.text(at))));
        self.following.add(story, by);
        for what in past {
            self.following.tell(Followed {
                by,
                story,
                call,
                outside: false,
                what,
            });
        }
        if let Some(call) = call {
            self.following.follows(by, call);
        }
    }

    /// Gives back the memory a busier hour needed; what the rings hold stays where it is.
    pub fn slim(&mut self) {
        self.by_call.slim();
        self.awaited.slim();
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
        self.stories.insert(self.next, Told::default());
        let hash = self.hasher.hash_one(call_id);
        self.by_call_id.insert(hash, (self.next, None));
        self.next
    }

    /// A story whose first entry is larger than the memory is none, nor is one that was in its own way.
    fn unless_empty(&mut self, story: u64, call_id: &str) {
        let is_told = |told: &Told| told.first.is_some();
        if self.stories.get(&story).is_some_and(is_told) {
            return;
        }
        let hash = self.hasher.hash_one(call_id);
        if self.belongs(hash, story) {
            self.by_call_id.remove(&hash);
        }
        self.forget(story);
    }

    /// A stranger's INVITE became a call: its story moves.
    fn promote(&mut self, story: u64, call: CallId) {
        let Some(told) = self.stories.get(&story) else {
            return;
        };
        let pool = told.pool();
        let ring = &mut self.rings[pool];
        let mut moving = Vec::new();
        let mut next = told.first;
        while let Some(position) = next {
            let head = ring.head(position);
            moving.push((head, ring.text(position).to_vec()));
            ring.change(position, |head| head.kind = Kind::Gone);
            next = head.next;
        }
        let by = self.following.by(story);
        let told = Told {
            call: Some(call),
            carrier: told.carrier,
            left_out: told.left_out,
            ..Told::default()
        };
        self.stories.insert(story, told);
        for (head, text) in moving {
            self.add_silently(story, head.at, head.kind, &text);
        }
        if by != 0 {
            self.following.follows(by, call);
        }
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

    /// Tells whoever follows the story.
    fn tell(&mut self, story: u64, what: Tells) {
        let by = self.following.by(story);
        if by != 0 {
            let call = self.stories.get(&story).and_then(|told| told.call);
            self.following.tell(Followed {
                by,
                story,
                call,
                outside: false,
                what,
            });
        }
    }

    fn add_silently(&mut self, story: u64, at: SystemTime, kind: Kind, text: &[u8]) {
        let Some(pool) = self.stories.get(&story).map(Told::pool) else {
            return;
        };
        if !self.rings[pool].holds(text.len()) {
            return;
        }
        while !self.rings[pool].has_room(text.len()) {
            self.forget_oldest(pool);
        }
        // It may have been the oldest itself.
        let Some(told) = self.stories.get_mut(&story) else {
            return;
        };
        let ring = &mut self.rings[pool];
        let head = Head {
            kind,
            at,
            story,
            next: None,
        };
        let position = ring.push(head, text);
        match told.first {
            None => told.first = Some(position),
            Some(_) => ring.change(told.last, |head| head.next = Some(position)),
        }
        told.last = position;
        if matches!(kind, Kind::Leg(_)) {
            return;
        }
        told.seen += 1;
        if told.seen == self.per_call / 4 {
            told.kept = Some(position);
        }
        if told.seen > self.per_call {
            thin(told, ring);
        }
    }

    /// Makes room; the story an entry leaves is forgotten with it.
    fn forget_oldest(&mut self, pool: usize) {
        let Some(position) = self.rings[pool].oldest() else {
            return;
        };
        let Head { kind, story, .. } = self.rings[pool].head(position);
        if kind != Kind::Gone {
            self.forget(story);
        }
        self.rings[pool].forget_oldest();
    }

    fn forget(&mut self, key: u64) {
        let Some(told) = self.stories.remove(&key) else {
            return;
        };
        self.following.forget(key);
        let ring = &self.rings[told.pool()];
        let mut next = told.first;
        while let Some(position) = next {
            let head = ring.head(position);
            let text = ring.text(position);
            let call_id = match head.kind {
                Kind::Message { .. } => scan::call_id(text),
                Kind::Leg(_) => std::str::from_utf8(text).ok(),
                Kind::Fact(_) | Kind::Gone => None,
            };
            if let Some(call_id) = call_id {
                let hash = self.hasher.hash_one(call_id);
                if self.belongs(hash, key) {
                    self.by_call_id.remove(&hash);
                }
            }
            next = head.next;
        }
        if let Some(call) = told.call {
            self.by_call.remove(&call);
        }
    }

    /// Whether a Call-ID is one of this story.
    fn belongs(&self, hash: u64, key: u64) -> bool {
        let known = self.by_call_id.get(&hash);
        known.is_some_and(|(story, _)| *story == key)
    }

    /// The entries of a story, in order.
    fn entries<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = (u64, Head)> {
        let ring = &self.rings[told.pool()];
        let mut next = told.first;
        std::iter::from_fn(move || {
            let position = next?;
            let head = ring.head(position);
            next = head.next;
            Some((position, head))
        })
    }

    /// A story for a reader.
    fn story(&self, key: u64) -> Option<Story> {
        let told = self.stories.get(&key)?;
        let ring = &self.rings[told.pool()];
        let mut legs = Vec::new();
        let mut seen = VecDeque::with_capacity(told.seen);
        for (position, head) in self.entries(told) {
            let text = ring.text(position);
            let words = || String::from_utf8_lossy(text).into_owned();
            let what = match head.kind {
                Kind::Message {
                    inward,
                    gap,
                    transport,
                    local,
                    remote,
                } => What::Message(Crossed {
                    inward,
                    gap,
                    transport,
                    local,
                    remote,
                    bytes: Bytes::copy_from_slice(text),
                }),
                Kind::Fact(gap) => What::Fact { gap, text: words() },
                Kind::Leg(side) => {
                    legs.push((side, words()));
                    continue;
                }
                Kind::Gone => continue,
            };
            seen.push_back(Seen { at: head.at, what });
        }
        Some(Story {
            call: told.call,
            legs,
            carrier: told.carrier,
            seen,
            left_out: told.left_out,
        })
    }
}

/// One thing too many is remembered of a call: how it began explains more than its middle does.
fn thin(told: &mut Told, ring: &mut Ring) {
    let after = |told: &Told, ring: &Ring| match told.kept {
        Some(kept) => ring.head(kept).next,
        None => told.first,
    };
    while let Some(position) = after(told, ring) {
        let Head { kind, next, .. } = ring.head(position);
        if matches!(kind, Kind::Leg(_)) {
            told.kept = Some(position);
            continue;
        }
        match told.kept {
            Some(kept) => ring.change(kept, |head| head.next = next),
            None => told.first = next,
        }
        ring.change(position, |head| head.kind = Kind::Gone);
        told.seen -= 1;
        told.left_out += 1;
        return;
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
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::samples::{flow, message};
    use super::*;

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
        trace.leg(UNIX_EPOCH, CallId(1), Side::A, "outgoing:wacid.ABCD=");
        let open = MediaCommand::Open {
            a: Network::Public,
            b: Network::Private,
        };
        trace.command(UNIX_EPOCH, CallId(1), &open);
        trace.leg(UNIX_EPOCH, CallId(1), Side::B, "b-1");
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
        trace.leg(UNIX_EPOCH, CallId(1), Side::A, "call");
        for number in 0..10_000 {
            see(
                &mut trace,
                true,
                Transport::Tls,
                &message("INVITE sip:x SIP/2.0", &format!("s{number}")),
            );
        }
        assert_eq!(trace.find("call").len(), 1, "the call is still there");
        assert!((100..1000).contains(&trace.len()), "{}", trace.len());
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
