//! What a call may touch besides itself.
//!
//! A call writes to an outbox and to the transaction layer, never to another call, so whatever
//! goes wrong inside one call stays there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use sdp::Side;
use sip::{
    ClientKey, DialogId, Endpoint, FlowId, Ident, Method, Request, Response, ServerKey, Slim,
    Target, Text, Transport,
};

use crate::admission::limits::Limits;
use crate::call_id::CallId;
use crate::counters::Counters;
use crate::flows::Flows;
use crate::health::Health;
use crate::io::{Level, LogLine, Output};
use crate::late::Late;
use crate::locate::Locations;
use crate::media::MediaCommand;
use crate::registration::keep::Registrations;
use crate::registration::serve::Bindings;
use crate::settings::Settings;

/// The two clocks: `now` counts, `wall` is written into records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    anchor: Instant,
    wall_anchor: SystemTime,
}

impl Clock {
    pub(crate) fn new(now: Instant, wall: SystemTime) -> Self {
        Self {
            anchor: now,
            wall_anchor: wall,
        }
    }

    /// The time of day at `now`.
    pub(crate) fn wall(&self, now: Instant) -> SystemTime {
        self.wall_anchor + now.saturating_duration_since(self.anchor)
    }

    /// The time of day at `now` as a duration since 1970.
    pub(crate) fn since_epoch(&self, now: Instant) -> Duration {
        self.wall(now)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}

/// Which leg of which call a transaction or dialog belongs to.
pub(crate) type Owner = (CallId, Side);

/// Who owns which transaction and dialog.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    clients: HashMap<ClientKey, Owner>,
    servers: HashMap<ServerKey, Owner>,
    dialogs: HashMap<Arc<DialogId>, Owner>,
    of_call: BTreeMap<CallId, Box<Owned>>,
}

/// Transactions of one call that are known at once: far more than live at the same time. The oldest give way, so that a
/// peer that asks on and on within a call fills nothing.
const TRANSACTIONS: usize = 64;

/// Dialogs of one call that are over and known all the same: whoever still asks in them hears that they are over.
/// Legs that live are few; those that gave way, as when a PBX transfers again and again, are as many as it likes.
const OVER: usize = 16;

/// What a call owns.
#[derive(Debug, Default)]
struct Owned {
    transactions: VecDeque<Transaction>,
    dialogs: Vec<Arc<DialogId>>,
    over: VecDeque<Arc<DialogId>>,
}

#[derive(Clone, Copy, Debug)]
enum Transaction {
    Client(ClientKey),
    Server(ServerKey),
}

impl Registry {
    pub(crate) fn client(&self, key: ClientKey) -> Option<Owner> {
        self.clients.get(&key).copied()
    }

    pub(crate) fn server(&self, key: ServerKey) -> Option<Owner> {
        self.servers.get(&key).copied()
    }

    pub(crate) fn dialog(&self, id: &DialogId) -> Option<Owner> {
        self.dialogs.get(id).copied()
    }

    fn add_client(&mut self, key: ClientKey, owner: Owner) {
        self.clients.insert(key, owner);
        self.add(owner.0, Transaction::Client(key));
    }

    fn add_server(&mut self, key: ServerKey, owner: Owner) {
        self.servers.insert(key, owner);
        self.add(owner.0, Transaction::Server(key));
    }

    fn add(&mut self, call: CallId, transaction: Transaction) {
        let of_call = &mut self.of_call.entry(call).or_default().transactions;
        of_call.push_back(transaction);
        if of_call.len() > TRANSACTIONS
            && let Some(oldest) = of_call.pop_front()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, transaction: Transaction) {
        match transaction {
            Transaction::Client(key) => drop(self.clients.remove(&key)),
            Transaction::Server(key) => drop(self.servers.remove(&key)),
        }
    }

    fn add_dialog(&mut self, id: Arc<DialogId>, owner: Owner) {
        self.dialogs.insert(id.clone(), owner);
        self.of_call.entry(owner.0).or_default().dialogs.push(id);
    }

    /// No leg of the call has this Call-ID any more: its dialogs are over, and the oldest such give way.
    pub(crate) fn retire(&mut self, call: CallId, call_id: &Text) {
        let Some(owned) = self.of_call.get_mut(&call) else {
            return;
        };
        let over = owned.dialogs.extract_if(.., |id| id.call_id == *call_id);
        owned.over.extend(over);
        while owned.over.len() > OVER {
            if let Some(oldest) = owned.over.pop_front() {
                self.dialogs.remove(&oldest);
            }
        }
    }

    /// Forgets everything a call owned.
    pub(crate) fn forget(&mut self, call: CallId) {
        let Owned {
            transactions,
            dialogs,
            over,
        } = *self.of_call.remove(&call).unwrap_or_default();
        for transaction in transactions {
            self.remove(transaction);
        }
        for dialog in dialogs.into_iter().chain(over) {
            self.dialogs.remove(&dialog);
        }
    }

    /// Gives back the memory a busier hour needed.
    pub(crate) fn slim(&mut self) {
        self.clients.slim();
        self.servers.slim();
        self.dialogs.slim();
        if self.of_call.is_empty() {
            self.of_call = BTreeMap::new();
        }
    }

    /// Entries alive, for leak tests.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len() + self.dialogs.len()
    }
}

/// What a call may touch besides itself, lent to it for the length of one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) clock: Clock,
    pub(crate) call: CallId,
    pub(crate) settings: &'a Arc<Settings>,
    pub(crate) endpoint: &'a mut Endpoint,
    pub(crate) flows: &'a mut Flows,
    pub(crate) health: &'a mut Health,
    pub(crate) locations: &'a mut Locations,
    pub(crate) bindings: &'a Bindings,
    pub(crate) registrations: &'a Registrations,
    pub(crate) limits: &'a Limits,
    pub(crate) registry: &'a mut Registry,
    pub(crate) late: &'a mut Late,
    pub(crate) counters: &'a mut Counters,
    pub(crate) ident: &'a mut Ident,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) pending: &'a mut VecDeque<sip::Event>,
}

/// One end of a SIP conversation: the flow and how we name ourselves on it.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) flow: FlowId,
    pub(crate) transport: Transport,
    /// Host and port for our Via.
    pub(crate) sent_by: Arc<str>,
}

impl Context<'_> {
    pub(crate) fn wall(&self) -> SystemTime {
        self.clock.wall(self.now)
    }

    /// A flow to `target`, opened if there is none.
    pub(crate) fn flow_to(&mut self, target: &Target) -> FlowId {
        self.flows.open(target, self.out)
    }

    /// Sends a request in a transaction of its own.
    pub(crate) fn request(&mut self, side: Side, hop: &Hop, request: Request) -> ClientKey {
        if request.method == Method::Invite && request.to_tag().is_none() {
            self.names(side, request.call_id());
            if let Some(half) = half_of_invite(&request) {
                self.owns_dialog(side, half.into());
            }
        }
        let key = self
            .endpoint
            .request(self.now, hop.flow, hop.transport, &hop.sent_by, request);
        self.registry.add_client(key, (self.call, side));
        self.drain();
        key
    }

    /// Sends the ACK of a 2xx and returns its bytes, for when the 2xx comes again.
    pub(crate) fn ack(&mut self, hop: &Hop, ack: Request) -> Bytes {
        let bytes = self
            .endpoint
            .ack(hop.flow, hop.transport, &hop.sent_by, ack);
        self.drain();
        bytes
    }

    /// Sends bytes once more.
    pub(crate) fn resend(&mut self, flow: FlowId, bytes: Bytes) {
        self.out.push_back(Output::Send { flow, bytes });
    }

    pub(crate) fn cancel(&mut self, key: ClientKey) {
        self.endpoint.cancel(self.now, key);
        self.drain();
    }

    pub(crate) fn respond(&mut self, key: ServerKey, response: Response) {
        self.endpoint.respond(self.now, key, response);
        self.drain();
    }

    pub(crate) fn owns_server(&mut self, side: Side, key: ServerKey) {
        self.registry.add_server(key, (self.call, side));
    }

    /// Says by which Call-ID a leg is known outside.
    pub(crate) fn names(&mut self, side: Side, call_id: Option<&Text>) {
        if let Some(call_id) = call_id {
            self.out.push_back(Output::Leg {
                call: self.call,
                side,
                call_id: call_id.clone(),
            });
        }
    }

    pub(crate) fn owns_dialog(&mut self, side: Side, id: Arc<DialogId>) {
        self.registry.add_dialog(id, (self.call, side));
    }

    pub(crate) fn media(&mut self, command: MediaCommand) {
        self.out.push_back(Output::Media {
            call: self.call,
            command,
        });
    }

    pub(crate) fn log(&mut self, level: Level, text: impl Into<String>) {
        self.out.push_back(Output::Log(LogLine {
            level,
            call: Some(self.call),
            text: text.into(),
        }));
    }

    /// Moves what the endpoint has to say into the outbox at once, so that outputs leave in the
    /// order the call wrote them (the 200 before the gate opens).
    fn drain(&mut self) {
        drain(self.endpoint, self.out, self.pending);
    }
}

/// What is known of a dialog before its called side has said a word: all but the tag of that.
fn half_of_invite(invite: &Request) -> Option<DialogId> {
    Some(DialogId {
        call_id: invite.call_id()?.clone(),
        // The INVITE's own would keep its From.
        local_tag: invite.from_tag()?.detached(),
        remote_tag: Text::default(),
    })
}

/// Moves the endpoint's bytes into `out` and its events into `pending`.
pub(crate) fn drain(
    endpoint: &mut Endpoint,
    out: &mut VecDeque<Output>,
    pending: &mut VecDeque<sip::Event>,
) {
    while let Some(output) = endpoint.poll() {
        match output {
            sip::Output::Send { flow, bytes } => out.push_back(Output::Send { flow, bytes }),
            sip::Output::Event(event) => pending.push_back(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use sip::{Name, TimerSettings, Uri};

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn a_call_that_asks_on_and_on_owns_its_latest_requests_and_its_dialogs() {
        let now = Instant::now();
        let mut endpoint = Endpoint::new(TimerSettings::default(), Ident::new(1, [7; 32]));
        let mut registry = Registry::default();
        let owner = (CallId(1), Side::A);
        let dialog = Arc::new(DialogId {
            call_id: Text::fixed("1"),
            local_tag: Text::fixed("us"),
            remote_tag: Text::fixed("them"),
        });
        registry.add_dialog(dialog.clone(), owner);
        let mut ask = |registry: &mut Registry, cseq: u32| {
            let mut info = Request::new(Method::Info, Uri::sip("a", "b"));
            info.headers.push(Name::CSeq, format!("{cseq} INFO"));
            let key = endpoint.request(now, FlowId(1), Transport::Udp, "10.0.0.5:5060", info);
            registry.add_client(key, owner);
            key
        };
        let first = ask(&mut registry, 1);
        let last = (2..1_000).map(|cseq| ask(&mut registry, cseq)).last();
        assert_eq!(registry.client(first), None);
        assert_eq!(registry.client(last.expect("a request")), Some(owner));
        assert_eq!(registry.dialog(&dialog), Some(owner));
        assert_eq!(registry.len(), TRANSACTIONS + 1);
        registry.forget(owner.0);
        assert_eq!((registry.len(), registry.of_call.len()), (0, 0));
    }

    #[test]
    fn of_dialogs_that_are_over_a_call_owns_the_latest_and_of_those_that_live_all() {
        let mut registry = Registry::default();
        let owner = (CallId(1), Side::B);
        let dialog = |call: u32| {
            Arc::new(DialogId {
                call_id: Text::from(call.to_string().as_str()),
                local_tag: Text::fixed("us"),
                remote_tag: Text::fixed("them"),
            })
        };
        for call in 0..1_000 {
            registry.add_dialog(dialog(call), owner);
        }
        for call in 1..999 {
            registry.retire(owner.0, &dialog(call).call_id);
        }
        assert_eq!(registry.len(), OVER + 2);
        for call in [0, 999, 998, 999 - OVER as u32] {
            assert_eq!(registry.dialog(&dialog(call)), Some(owner), "{call}");
        }
        assert_eq!(registry.dialog(&dialog(998 - OVER as u32)), None);
        registry.forget(owner.0);
        assert_eq!((registry.len(), registry.of_call.len()), (0, 0));
    }
}
