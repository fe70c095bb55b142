//! The endpoint: all transactions of one node (RFC 3261 §17, §18 without sockets).
//!
//! ```text
//!            receive ──┐                                 ┌──► Send     to the network
//!  network             ├──► match ─► machine ─► actions ─┤
//!            flow_lost ┘               ▲                 └──► Event    to the user
//!  clock     timeout ──────────────────┤
//!  user      request, cancel, respond ─┘
//! ```
//!
//! Every call may leave several [`Output`]s behind: drain [`Endpoint::poll`] after each, then wait
//! until [`Endpoint::next_timeout`]. Strays are absorbed and counted; nothing a stranger sends is
//! an error here.

mod client;
mod deadlines;
mod event;
mod server;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

pub use event::{ClientKey, Counts, Event, Failure, Noise, Output, ServerKey};

use crate::transaction::MatchKey;
use crate::{
    Flow, FlowId, Headers, Ident, Message, Method, Name, Request, Response, Slim, Text,
    TimerSettings, Transport,
};
use client::Client;
use deadlines::{Deadlines, Whose};
use server::Server;

/// All transactions of one node.
#[derive(Debug)]
pub struct Endpoint {
    timers: TimerSettings,
    ident: Ident,
    /// How many server transactions may live before new calls are refused.
    server_limit: usize,
    last_key: u64,
    /// On the heap, as below: a table has room for more than there are.
    clients: HashMap<u64, Box<Client>>,
    client_by_match: HashMap<MatchKey, u64>,
    clients_on: BTreeSet<(FlowId, u64)>,
    servers: HashMap<u64, Box<Server>>,
    server_by_match: HashMap<MatchKey, u64>,
    /// Bytes of responses kept for repetition.
    kept: usize,
    deadlines: Deadlines,
    outputs: VecDeque<Output>,
    counts: Counts,
    noise: Noise,
}

/// Server transactions that may live at once unless [`Endpoint::limit_servers`] says otherwise.
const SERVER_LIMIT: usize = 20_000;

/// Bytes of responses that may be kept for repetition: a stranger decides how long the headers
/// are that we echo.
const KEPT_LIMIT: usize = 64 << 20;

impl Endpoint {
    /// An endpoint without transactions.
    pub fn new(timers: TimerSettings, ident: Ident) -> Endpoint {
        Endpoint {
            timers,
            ident,
            server_limit: SERVER_LIMIT,
            last_key: 0,
            clients: HashMap::new(),
            client_by_match: HashMap::new(),
            clients_on: BTreeSet::new(),
            servers: HashMap::new(),
            server_by_match: HashMap::new(),
            kept: 0,
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            counts: Counts::default(),
            noise: Noise::default(),
        }
    }

    /// Sets how many server transactions may live at once (20,000 unless set). Beyond it, or with
    /// more than 64 MiB of responses kept for repetition, a new request outside a dialog gets 503
    /// with Retry-After; requests inside dialogs pass until it is twice as much, then they are
    /// dropped over UDP and refused elsewhere.
    pub fn limit_servers(&mut self, limit: usize) {
        self.server_limit = limit;
    }

    /// Takes a received message. Into the top Via of a request goes where it really came from
    /// (RFC 3261 §18.2.1, RFC 3581 §4), over every transport.
    pub fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        match message {
            Message::Request(request) => self.receive_request(now, flow, request),
            Message::Response(response) => self.receive_response(now, flow, response),
        }
    }

    /// Fails every request of ours that still waits for its final response on this flow.
    pub fn flow_lost(&mut self, now: Instant, flow: FlowId) {
        let lost: Vec<u64> = self
            .clients_on
            .range((flow, 0)..=(flow, u64::MAX))
            .map(|(_, key)| *key)
            .collect();
        for key in lost {
            self.client_flow_lost(now, key);
        }
    }

    /// Fires everything that is due.
    pub fn timeout(&mut self, now: Instant) {
        while let Some(whose) = self.deadlines.due(now) {
            match whose {
                Whose::Client(key) => self.client_timeout(now, key),
                Whose::Server(key) => self.server_timeout(now, key),
            }
        }
    }

    /// When [`Endpoint::timeout`] is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// What to do next; `None` when everything is done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a request of ours (not ACK, not CANCEL) and keeps at it until a final response.
    ///
    /// Our Via with a new branch goes on top (`;rport` over UDP, RFC 3581 §3), Max-Forwards is
    /// added if there is none, Content-Length is set. `sent_by` is `host:port` of ours, with what else
    /// our Via is to say behind it (`;alias`, RFC 5923 §5).
    pub fn request(
        &mut self,
        now: Instant,
        flow: FlowId,
        transport: Transport,
        sent_by: &str,
        mut request: Request,
    ) -> ClientKey {
        let branch = self.ident.branch();
        complete(&mut request, transport, sent_by, &branch);
        ClientKey(self.start_client(now, flow, transport, branch, request, client::Owner::User))
    }

    /// Cancels an INVITE of ours (RFC 3261 §9.1): at once when a provisional response has come,
    /// else as soon as one comes; not at all when a final one has. The answer to the CANCEL is
    /// absorbed; the INVITE ends by its own final response, or with [`Failure::Timeout`] when none
    /// comes for 64·T1.
    pub fn cancel(&mut self, now: Instant, key: ClientKey) {
        self.cancel_client(now, key.0, None);
    }

    /// [`Endpoint::cancel`] with a Reason header in the CANCEL (RFC 3326).
    pub fn cancel_because(&mut self, now: Instant, key: ClientKey, reason: impl Into<Text>) {
        self.cancel_client(now, key.0, Some(reason.into()));
    }

    /// Sends the ACK to a 2xx: our Via with a branch of its own (RFC 3261 §13.2.2.4), once. The
    /// bytes are for [`Endpoint::resend`] when the 2xx comes again.
    pub fn ack(
        &mut self,
        flow: FlowId,
        transport: Transport,
        sent_by: &str,
        mut ack: Request,
    ) -> Bytes {
        let branch = self.ident.branch();
        complete(&mut ack, transport, sent_by, &branch);
        let bytes = ack.to_bytes();
        self.resend(flow, bytes.clone());
        bytes
    }

    /// Sends bytes as they are.
    pub fn resend(&mut self, flow: FlowId, bytes: Bytes) {
        self.outputs.push_back(Output::Send { flow, bytes });
    }

    /// Answers a request of a peer: any number of provisional responses, then a final one.
    ///
    /// A 2xx to INVITE may be sent again with the same key until its transaction ends (64·T1);
    /// failures repeat themselves. Content-Length is set; a response above 100 without a To tag
    /// gets one, the same for every response to this request (RFC 3261 §8.2.6.2).
    pub fn respond(&mut self, now: Instant, key: ServerKey, response: Response) {
        self.respond_server(now, key.0, response);
    }

    /// Gives back the memory a busier hour needed.
    pub fn slim(&mut self) {
        self.clients.slim();
        self.client_by_match.slim();
        self.servers.slim();
        self.server_by_match.slim();
        self.outputs.slim();
    }

    /// Live transactions.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was ignored so far.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// The generator of this node's identifiers.
    pub fn ident(&mut self) -> &mut Ident {
        &mut self.ident
    }

    fn new_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Adds what every request of ours has: our Via on top, Max-Forwards, Content-Length.
fn complete(request: &mut Request, transport: Transport, sent_by: &str, branch: &str) {
    let rport = if transport == Transport::Udp {
        ";rport"
    } else {
        ""
    };
    let via = format!(
        "SIP/2.0/{} {sent_by}{rport};branch={branch}",
        transport.via_name()
    );
    request.headers.insert_first(Name::Via, via);
    if request.headers.first(&Name::MaxForwards).is_none() {
        request.headers.push(Name::MaxForwards, Text::fixed("70"));
    }
    set_length(&mut request.headers, &request.body);
}

/// Makes Content-Length say how long the body is; one that is right stays as it is written.
fn set_length(headers: &mut Headers, body: &[u8]) {
    let written = headers
        .first(&Name::ContentLength)
        .and_then(|value| crate::scan::number::<usize>(value.as_bytes()));
    if written != Some(body.len()) {
        headers.set(Name::ContentLength, body.len().to_string());
    }
}

/// A request with the routing of `invite` on its own hop: ACK to a failure (RFC 3261 §17.1.1.3),
/// CANCEL (§9.1). Same Request-URI, top Via, Route, From, Call-ID and CSeq number.
fn same_hop(invite: &Request, method: Method, to: &Text) -> Request {
    let mut request = Request::new(method, invite.uri.clone());
    let headers = &mut request.headers;
    if let Some(via) = invite.headers.first(&Name::Via) {
        headers.push(Name::Via, via);
    }
    headers.push(Name::MaxForwards, Text::fixed("70"));
    headers.copy(&Name::Route, &invite.headers);
    headers.copy(&Name::From, &invite.headers);
    headers.push(Name::To, to);
    headers.copy(&Name::CallId, &invite.headers);
    let number = invite.cseq().map_or(0, |cseq| cseq.number);
    headers.push(Name::CSeq, format!("{number} {}", request.method));
    set_length(headers, &[]);
    request
}
