//! Whose message it is, and between which addresses: what has to be known before it can be sent on.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use b2bua::{CallId, LocalMedia, MediaEvent, Recent};
use bytes::Bytes;
use sdp::Side;
use sdp::report::SentReport;
use sip::{Flow, FlowId, Transport};

use super::send::Sender;
use super::{Item, TCP, UDP, What};
use crate::tap::{Moment, Tap};
use crate::trace::scan;

/// Messages that wait for the addresses of a connection, all connections together.
const WAITING: usize = 1024;
/// INVITEs that became no call and are remembered at least, so that their answers go along.
const STRANGERS: usize = 4096;
/// How long messages of a call that is over may be repeated (64·T1, RFC 3261 §17).
const ECHO: Duration = Duration::from_secs(32);

/// Hears everything, and hands on what a collector is to see.
#[derive(Debug)]
pub(crate) struct Mirror {
    sender: Sender,
    /// Messages that belong to no call too.
    all: bool,
    calls: HashMap<CallId, Call>,
    /// By a keyed hash of the Call-ID.
    names: HashMap<u64, CallId>,
    strangers: Recent<u64, ()>,
    hasher: RandomState,
    /// Calls that are over, and since when.
    over: VecDeque<(SystemTime, CallId)>,
    waiting: HashMap<FlowId, Vec<Waiting>>,
    waits: usize,
}

#[derive(Debug)]
struct Call {
    /// The Call-ID of the leg that was there first.
    correlation: Arc<str>,
    names: Vec<u64>,
    /// By [`Side::index`].
    local: Option<[LocalMedia; 2]>,
}

/// A message that left for a connection still being opened.
#[derive(Debug)]
struct Waiting {
    at: SystemTime,
    correlation: Option<Arc<str>>,
    bytes: Bytes,
}

impl Mirror {
    /// Nothing heard yet.
    pub(crate) fn new(sender: Sender, all: bool) -> Self {
        Self {
            sender,
            all,
            calls: HashMap::new(),
            names: HashMap::new(),
            strangers: Recent::new(STRANGERS),
            hasher: RandomState::new(),
            over: VecDeque::new(),
            waiting: HashMap::new(),
            waits: 0,
        }
    }

    fn message(
        &mut self,
        at: SystemTime,
        inward: bool,
        (id, flow): (FlowId, Option<Flow>),
        bytes: &Bytes,
    ) {
        self.forget(at);
        let Some(call_id) = scan::call_id(bytes) else {
            return;
        };
        let name = self.hasher.hash_one(call_id);
        let known = self.names.get(&name).and_then(|call| self.calls.get(call));
        let correlation = match known {
            Some(call) => Some(call.correlation.clone()),
            // The first leg of a call is known by the Call-ID it begins with.
            None if scan::is_invite(bytes) => {
                self.strangers.insert(name, ());
                Some(call_id.into())
            }
            None if self.strangers.get(&name).is_some() => Some(call_id.into()),
            None if self.all => None,
            None => return,
        };
        let bytes = bytes.clone();
        match flow {
            Some(flow) => self.hand_on(at, inward, &flow, correlation, bytes),
            None if self.waits < WAITING => {
                self.waits += 1;
                let waiting = Waiting {
                    at,
                    correlation,
                    bytes,
                };
                self.waiting.entry(id).or_default().push(waiting);
            }
            None => self.sender.drop_one(),
        }
    }

    fn hand_on(
        &self,
        at: SystemTime,
        inward: bool,
        flow: &Flow,
        correlation: Option<Arc<str>>,
        bytes: Bytes,
    ) {
        let (from, to) = match inward {
            true => (flow.remote, flow.local),
            false => (flow.local, flow.remote),
        };
        let protocol = match flow.transport {
            Transport::Udp => UDP,
            Transport::Tcp | Transport::Tls => TCP,
        };
        self.sender.send(Item {
            at,
            from,
            to,
            protocol,
            correlation,
            what: What::Sip(bytes),
        });
    }

    /// What was said before the connection was open.
    fn take(&mut self, id: FlowId) -> Vec<Waiting> {
        let waited = self.waiting.remove(&id).unwrap_or_default();
        self.waits -= waited.len();
        waited
    }

    fn leg(&mut self, call: CallId, call_id: &str) {
        let name = self.hasher.hash_one(call_id);
        self.strangers.remove(&name);
        let of = self.calls.entry(call).or_insert_with(|| Call {
            correlation: call_id.into(),
            names: Vec::new(),
            local: None,
        });
        if self.names.insert(name, call) != Some(call) {
            of.names.push(name);
        }
    }

    fn report(&self, at: SystemTime, call: CallId, side: Side, report: &SentReport) {
        let Some(call) = self.calls.get(&call) else {
            return;
        };
        let Some(local) = call.local.map(|local| local[side.index()]) else {
            return;
        };
        let port = match report.multiplexed {
            true => local.rtp_port,
            false => local.rtcp_port,
        };
        self.sender.send(Item {
            at,
            from: SocketAddr::new(local.address, port),
            to: report.to,
            protocol: UDP,
            correlation: Some(call.correlation.clone()),
            what: What::Rtcp(*report),
        });
    }

    /// Forgets the calls that have been over for long enough.
    fn forget(&mut self, now: SystemTime) {
        while let Some((at, call)) = self.over.front()
            && now.duration_since(*at).is_ok_and(|since| since > ECHO)
        {
            for name in self.calls.remove(call).into_iter().flat_map(|of| of.names) {
                if self.names.get(&name) == Some(call) {
                    self.names.remove(&name);
                }
            }
            self.over.pop_front();
        }
    }
}

impl Tap for Mirror {
    fn hear(&mut self, at: SystemTime, moment: &Moment<'_>) {
        match *moment {
            Moment::Message {
                inward,
                id,
                flow,
                bytes,
                ..
            } => self.message(at, inward, (id, flow), bytes),
            Moment::Opened(flow) => {
                for Waiting {
                    at,
                    correlation,
                    bytes,
                } in self.take(flow.id)
                {
                    self.hand_on(at, false, &flow, correlation, bytes);
                }
            }
            // It never left.
            Moment::Failed { id, .. } => drop(self.take(id)),
            Moment::Leg { call, call_id, .. } => self.leg(call, call_id),
            Moment::Media { call, event } => match event {
                MediaEvent::Opened { a, b } => {
                    if let Some(call) = self.calls.get_mut(&call) {
                        call.local = Some([*a, *b]);
                    }
                }
                MediaEvent::Reported { side, report } => self.report(at, call, *side, report),
                _ => {}
            },
            Moment::Ended(record) => self.over.push_back((at, record.id)),
            Moment::Command { .. } | Moment::Said { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::UNIX_EPOCH;

    use super::*;

    fn mirror(all: bool, queue: usize) -> (Mirror, Receiver<Item>) {
        let (items, receiver) = sync_channel(queue);
        (Mirror::new(Sender::to(items), all), receiver)
    }

    fn flow(id: u64) -> Flow {
        Flow {
            id: FlowId(id),
            transport: Transport::Tls,
            local: ([192, 0, 2, 1], 5061).into(),
            remote: ([192, 0, 2, 9], 40_000).into(),
        }
    }

    fn say(mirror: &mut Mirror, seconds: u64, id: u64, flow: Option<Flow>, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let moment = Moment::Message {
            inward: flow.is_some(),
            id: FlowId(id),
            flow,
            transport: None,
            bytes: &bytes,
        };
        mirror.hear(UNIX_EPOCH + Duration::from_secs(seconds), &moment);
    }

    fn leg(mirror: &mut Mirror, side: Side, call_id: &str) {
        let call = CallId(7);
        let moment = Moment::Leg {
            call,
            side,
            call_id,
        };
        mirror.hear(UNIX_EPOCH, &moment);
    }

    fn words(item: &Item) -> (String, String, Option<String>) {
        let What::Sip(bytes) = &item.what else {
            panic!("no SIP: {item:?}");
        };
        let text = String::from_utf8_lossy(bytes);
        let first = text.split(' ').next().unwrap_or_default().to_owned();
        let correlation = item.correlation.as_ref().map(ToString::to_string);
        (first, format!("{} > {}", item.from, item.to), correlation)
    }

    const CALLER: &str = "INVITE sip:x SIP/2.0\r\nCall-ID: caller\r\n\r\n";
    const CALLED: &str = "INVITE sip:y SIP/2.0\r\nCall-ID: called\r\n\r\n";
    const ANSWER: &str = "SIP/2.0 200 OK\r\nCall-ID: called\r\n\r\n";
    const OPTIONS: &str = "OPTIONS sip:x SIP/2.0\r\nCall-ID: ping\r\n\r\n";

    #[test]
    fn both_legs_carry_the_call_id_of_the_first_and_wait_for_their_addresses() {
        let (mut mirror, items) = mirror(false, 16);
        say(&mut mirror, 1, 2, Some(flow(2)), CALLER);
        leg(&mut mirror, Side::A, "caller");
        leg(&mut mirror, Side::B, "called");
        say(&mut mirror, 2, 5, None, CALLED);
        assert_eq!(items.try_iter().count(), 1, "the second has no addresses");
        mirror.hear(UNIX_EPOCH, &Moment::Opened(flow(5)));
        say(&mut mirror, 3, 5, Some(flow(5)), ANSWER);
        let all: Vec<_> = items.try_iter().map(|item| words(&item)).collect();
        let out = "192.0.2.1:5061 > 192.0.2.9:40000".to_owned();
        let back = "192.0.2.9:40000 > 192.0.2.1:5061".to_owned();
        assert_eq!(
            all,
            [
                ("INVITE".into(), out, Some("caller".into())),
                ("SIP/2.0".into(), back, Some("caller".into()))
            ]
        );
    }

    #[test]
    fn what_belongs_to_no_call_goes_along_only_if_asked_for() {
        for (all, count) in [(false, 2), (true, 3)] {
            let (mut mirror, items) = mirror(all, 16);
            say(&mut mirror, 1, 2, Some(flow(2)), OPTIONS);
            // An INVITE that is refused at the door, and its answer.
            say(&mut mirror, 1, 2, Some(flow(2)), CALLED);
            say(&mut mirror, 1, 2, Some(flow(2)), ANSWER);
            assert_eq!(items.try_iter().count(), count);
        }
    }

    #[test]
    fn a_connection_that_never_opens_leaves_nothing_behind() {
        let (mut mirror, items) = mirror(false, 16);
        say(&mut mirror, 1, 5, None, CALLED);
        let (id, why) = (FlowId(5), "refused");
        mirror.hear(UNIX_EPOCH, &Moment::Failed { id, why });
        mirror.hear(UNIX_EPOCH, &Moment::Opened(flow(5)));
        assert_eq!((items.try_iter().count(), mirror.waits), (0, 0));
    }

    #[test]
    fn a_call_that_is_over_is_known_for_as_long_as_messages_are_repeated() {
        let (mut mirror, items) = mirror(false, 16);
        leg(&mut mirror, Side::A, "called");
        mirror.over.push_back((UNIX_EPOCH, CallId(7)));
        say(&mut mirror, 20, 5, Some(flow(5)), ANSWER);
        assert_eq!(items.try_iter().count(), 1);
        say(&mut mirror, 33, 5, Some(flow(5)), ANSWER);
        assert_eq!(items.try_iter().count(), 0);
        assert!(mirror.calls.is_empty() && mirror.names.is_empty() && mirror.over.is_empty());
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (mut mirror, items) = mirror(false, 2);
        for _ in 0..5 {
            say(&mut mirror, 1, 2, Some(flow(2)), CALLER);
        }
        assert_eq!(items.try_iter().count(), 2);
        assert_eq!(mirror.sender.counts().dropped_now(), 3);
    }
}
