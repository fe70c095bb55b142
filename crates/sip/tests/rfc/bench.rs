//! An endpoint on the bench: a clock we turn, a network we play.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{
    Endpoint, Event, Flow, FlowId, Ident, Message, Method, Output, Request, Response, ServerKey,
    TimerSettings, Transport, parse,
};

pub(crate) struct Bench {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) flow: Flow,
}

pub(crate) const UDP: Transport = Transport::Udp;
pub(crate) const TLS: Transport = Transport::Tls;

impl Bench {
    pub(crate) fn new(transport: Transport) -> Bench {
        #[allow(clippy::disallowed_methods)] // the one origin of the turned clock
        let now = Instant::now();
        Bench {
            endpoint: Endpoint::new(TimerSettings::default(), Ident::new(1, [7; 32])),
            now,
            start: now,
            flow: flow(2, transport, "192.0.2.7:5070"),
        }
    }

    /// Turns the clock, firing every timer at its very instant; what happened meanwhile, as text
    /// with the milliseconds since the start.
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut log = Vec::new();
        while let Some(at) = self.endpoint.next_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.endpoint.timeout(at);
            let ms = at.duration_since(self.start).as_millis();
            log.extend(self.drain().into_iter().map(|what| format!("{ms} {what}")));
        }
        self.now = end;
        log
    }

    pub(crate) fn receive(&mut self, message: impl Into<Message>) {
        // Through the wire, so that only what can be received is.
        let bytes = message.into().to_bytes();
        self.receive_bytes(bytes, self.flow);
    }

    pub(crate) fn receive_bytes(&mut self, bytes: Bytes, flow: Flow) {
        let message = parse(bytes).expect("the test's own message is well formed");
        self.endpoint.receive(self.now, flow, message);
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.endpoint.poll()).collect()
    }

    /// What the endpoint wants, in short words.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        self.outputs().iter().map(short).collect()
    }

    /// The messages sent, everything else being no matter.
    pub(crate) fn sent(&mut self) -> Vec<Message> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send { bytes, .. } => Some(parse(bytes).expect("we send what parses")),
                Output::Event(_) => None,
            })
            .collect()
    }

    pub(crate) fn respond(&mut self, key: ServerKey, response: Response) {
        self.endpoint.respond(self.now, key, response);
    }

    /// Receives a request and gives its key, with what was sent thrown away.
    pub(crate) fn arrives(&mut self, request: &Request) -> (ServerKey, Request) {
        self.receive(request.clone());
        self.outputs()
            .into_iter()
            .find_map(|output| match output {
                Output::Event(Event::Request { key, request, .. }) => Some((key, request)),
                _ => None,
            })
            .expect("a new request reaches the user")
    }

    /// Sends a request of ours and gives it as it left.
    pub(crate) fn send(&mut self, request: Request) -> (sip::ClientKey, Request) {
        let Flow { id, transport, .. } = self.flow;
        let key = self
            .endpoint
            .request(self.now, id, transport, "192.0.2.1:5060", request);
        match self.sent().into_iter().next() {
            Some(Message::Request(request)) => (key, request),
            _ => panic!("a request leaves at once"),
        }
    }
}

pub(crate) fn flow(id: u64, transport: Transport, remote: &str) -> Flow {
    Flow {
        id: FlowId(id),
        transport,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

pub(crate) fn short(output: &Output) -> String {
    match output {
        Output::Send { bytes, .. } => match parse(bytes.clone()).expect("we send what parses") {
            Message::Request(request) => format!("send {}", request.method),
            Message::Response(response) => {
                format!(
                    "send {} {}",
                    response.status,
                    response.cseq().unwrap().method
                )
            }
        },
        Output::Event(Event::Request { request, .. }) => format!("request {}", request.method),
        Output::Event(Event::Ack { .. }) => "ack".into(),
        Output::Event(Event::Cancelled { .. }) => "cancelled".into(),
        Output::Event(Event::Response { response, .. }) => format!("response {}", response.status),
        Output::Event(Event::Failed { why, .. }) => format!("failed {why:?}"),
        Output::Event(Event::CancelCrossed { .. }) => "cancel crossed".into(),
        Output::Event(Event::NoAck { .. }) => "no ack".into(),
        Output::Event(Event::LateAnswer { .. }) => "late answer".into(),
    }
}

/// A request of a peer as it arrives.
pub(crate) fn incoming(method: &str, branch: &str) -> Request {
    let text = format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:peer@192.0.2.7>;tag=peer\r\nTo: <sip:us@192.0.2.1>\r\n\
         Call-ID: call@peer\r\nCSeq: 10 {method}\r\nContact: <sip:peer@192.0.2.7:5070>\r\n\r\n"
    );
    match parse(Bytes::from(text)).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

/// A request of ours before the endpoint has added to it.
pub(crate) fn outgoing(method: Method) -> Request {
    let mut request = Request::new(method, "sip:peer@192.0.2.7".parse().unwrap());
    request.headers.push("Route", "<sip:192.0.2.7:5070;lr>");
    request.headers.push("From", "<sip:us@192.0.2.1>;tag=us");
    request.headers.push("To", "<sip:peer@192.0.2.7>");
    request.headers.push("Call-ID", "call@us");
    request
        .headers
        .push("CSeq", format!("1 {}", request.method));
    request
}

/// A peer's answer.
pub(crate) fn answer(request: &Request, status: u16) -> Response {
    let mut response = Response::to(request, status, "");
    if status > 100 {
        response.tag_to("theirs");
    }
    response
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How often a property is tried; `PROPTEST_CASES` asks for more.
pub(crate) fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    proptest::test_runner::Config {
        cases: asked.unwrap_or(usual),
        ..proptest::test_runner::Config::default()
    }
}
