//! The server half of the endpoint: requests of peers (RFC 3261 §17.2, §9.2, §18.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Endpoint, Event, Output, ServerKey, Whose, set_length};
use crate::header::stamped;
use crate::timer::{Timer, Timers};
use crate::transaction::{MatchKey, ServerAction, invite_server, server, server_key};
use crate::{Flow, FlowId, Method, Name, Request, Response, Text, Transport};

/// A server transaction.
#[derive(Debug)]
pub(super) struct Server {
    machine: Machine,
    matched_by: MatchKey,
    flow: FlowId,
    transport: Transport,
    /// The To tag of our responses, once one has it.
    tag: Option<Text>,
    last: Option<Bytes>,
    /// Until the next retransmission.
    interval: Duration,
    timers: Timers,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Invite(invite_server::State),
    Other(server::State),
}

/// What a machine is told.
#[derive(Clone, Copy, Debug)]
enum Input {
    Request,
    Ack,
    Status(u16),
    Timer(Timer),
}

/// What comes along with an input.
enum With {
    Nothing,
    Request(Flow, Request),
    Response(Response),
}

/// Seconds a peer refused for overload is told to wait.
const RETRY_AFTER: &str = "5";

impl Machine {
    fn new(method: &Method) -> Machine {
        match method {
            Method::Invite => Machine::Invite(invite_server::State::Proceeding),
            _ => Machine::Other(server::State::Trying),
        }
    }

    fn next(self, input: Input) -> Option<(Machine, &'static [ServerAction])> {
        match self {
            Machine::Invite(state) => {
                let event = match input {
                    Input::Request => invite_server::Event::Invite,
                    Input::Ack => invite_server::Event::Ack,
                    Input::Status(status) => invite_server::Event::of_status(status),
                    Input::Timer(timer) => invite_server::Event::of_timer(timer)?,
                };
                state
                    .next(event)
                    .map(|(state, actions)| (Machine::Invite(state), actions))
            }
            Machine::Other(state) => {
                let event = match input {
                    Input::Request => server::Event::Request,
                    Input::Ack => return None,
                    Input::Status(status) => server::Event::of_status(status),
                    Input::Timer(timer) => server::Event::of_timer(timer)?,
                };
                state
                    .next(event)
                    .map(|(state, actions)| (Machine::Other(state), actions))
            }
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_server::State::Terminated)
                | Machine::Other(server::State::Terminated)
        )
    }

    fn is_accepted(self) -> bool {
        matches!(self, Machine::Invite(invite_server::State::Accepted))
    }

    fn can_be_cancelled(self) -> bool {
        matches!(self, Machine::Invite(invite_server::State::Proceeding))
    }
}

impl Endpoint {
    pub(super) fn receive_request(&mut self, now: Instant, flow: Flow, mut request: Request) {
        let Some(top) = request.headers.list(&Name::Via).next() else {
            return;
        };
        let Some(via) = request.top_via() else { return };
        let of_invite = matches!(request.method, Method::Ack | Method::Cancel);
        let invite = of_invite.then(|| server_key(&request, &via, &top, &Method::Invite));
        let own = server_key(&request, &via, &top, &request.method);
        if let Some(stamped) = stamped(&top, flow.remote) {
            request.headers.replace_first_value(&Name::Via, stamped);
        }
        let invite = invite.and_then(|matched_by| self.server_by_match.get(&matched_by).copied());
        if request.method == Method::Ack {
            return match invite {
                Some(key) => {
                    self.step_server(now, key, Input::Ack, With::Request(flow, request));
                }
                None => self.tell(Event::Ack { flow, request }),
            };
        }
        if let Some(key) = self.server_by_match.get(&own).copied() {
            self.noise.repeated += 1;
            return self.step_server(now, key, Input::Request, With::Request(flow, request));
        }
        if request.method == Method::Cancel {
            return self.receive_cancel(now, flow, own, request, invite);
        }
        if !self.has_room_for(&flow, &request) {
            return;
        }
        let key = self.start_server(now, &flow, own, &request.method);
        if request.method == Method::Invite {
            let mut trying = Response::to(&request, 100, "");
            trying.headers.copy(&Name::Timestamp, &request.headers);
            self.respond_server(now, key, trying);
        }
        self.tell(Event::Request {
            key: ServerKey(key),
            flow,
            request,
        });
    }

    /// A CANCEL we have not seen (RFC 3261 §9.2): 200 when its INVITE lives, else 481.
    fn receive_cancel(
        &mut self,
        now: Instant,
        flow: Flow,
        own: MatchKey,
        cancel: Request,
        invite: Option<u64>,
    ) {
        let known = invite.and_then(|key| self.servers.get(&key).map(|invite| (key, invite)));
        let Some((key, invite)) = known else {
            self.noise.stray_cancels += 1;
            let mut response = Response::to(&cancel, 481, "");
            response.tag_to(&self.ident.tag());
            return self.send_stateless(&flow, response);
        };
        let pending = invite.machine.can_be_cancelled();
        let crossed = invite.machine.is_accepted();
        // RFC 3261 §9.2: the To tag of the answer is the one the INVITE's answers have.
        let tag = match &invite.tag {
            Some(tag) => tag.clone(),
            None => Text::from(self.ident.tag()),
        };
        if let Some(invite) = self.servers.get_mut(&key) {
            invite.tag = Some(tag.clone());
        }
        let mut response = Response::to(&cancel, 200, "");
        response.tag_to(&tag.as_str());
        let own = self.start_server(now, &flow, own, &Method::Cancel);
        self.respond_server(now, own, response);
        if pending {
            self.tell(Event::Cancelled {
                key: ServerKey(key),
                cancel,
            });
        } else if crossed {
            self.tell(Event::CancelCrossed {
                key: ServerKey(key),
            });
        }
    }

    /// Whether a new request may become a transaction; if not, it is refused or dropped here.
    fn has_room_for(&mut self, flow: &Flow, request: &Request) -> bool {
        let in_dialog = request.to_tag().is_some();
        let times = if in_dialog { 2 } else { 1 };
        if self.servers.len() < self.server_limit.saturating_mul(times)
            && self.kept < super::KEPT_LIMIT * times
        {
            return true;
        }
        if in_dialog && !flow.transport.is_reliable() {
            // It will be sent again, and there may be room then.
            self.noise.dropped += 1;
            return false;
        }
        self.noise.refused += 1;
        let mut response = Response::to(request, 503, "");
        response.tag_to(&self.ident.tag());
        response
            .headers
            .push(Name::RetryAfter, Text::fixed(RETRY_AFTER));
        self.send_stateless(flow, response);
        false
    }

    fn send_stateless(&mut self, flow: &Flow, mut response: Response) {
        set_length(&mut response.headers, &response.body);
        self.resend(flow.id, response.to_bytes());
    }

    fn start_server(
        &mut self,
        now: Instant,
        flow: &Flow,
        matched_by: MatchKey,
        method: &Method,
    ) -> u64 {
        let key = self.new_key();
        let mut server = Server {
            machine: Machine::new(method),
            matched_by: matched_by.clone(),
            flow: flow.id,
            transport: flow.transport,
            tag: None,
            last: None,
            interval: self.timers.t1,
            timers: Timers::default(),
            deadline: None,
        };
        server.enter(now, &self.timers);
        *self.server_count(&server.machine) += 1;
        self.deadlines.set(
            Whose::Server(key),
            &mut server.deadline,
            server.timers.next(),
        );
        self.servers.insert(key, Box::new(server));
        self.server_by_match.insert(matched_by, key);
        key
    }

    pub(super) fn respond_server(&mut self, now: Instant, key: u64, mut response: Response) {
        let Some(server) = self.servers.get_mut(&key) else {
            self.noise.late_answers += 1;
            return;
        };
        if response.status > 100 {
            match response.to_tag() {
                Some(tag) => server.tag = Some(tag),
                None => {
                    let ident = &mut self.ident;
                    let tag = server.tag.get_or_insert_with(|| Text::from(ident.tag()));
                    response.tag_to(&tag.as_str());
                }
            }
        }
        set_length(&mut response.headers, &response.body);
        let input = Input::Status(response.status);
        self.step_server(now, key, input, With::Response(response));
    }

    pub(super) fn server_timeout(&mut self, now: Instant, key: u64) {
        let due = self
            .servers
            .get_mut(&key)
            .and_then(|server| server.timers.take_due(now));
        match due {
            Some(timer) => self.step_server(now, key, Input::Timer(timer), With::Nothing),
            None => self.settle_server(key),
        }
    }

    /// One step of a machine and everything that follows from it.
    fn step_server(&mut self, now: Instant, key: u64, input: Input, with: With) {
        let Some(server) = self.servers.get_mut(&key) else {
            return;
        };
        if let (Input::Request, With::Request(flow, _)) = (input, &with) {
            // The peer sends again from where it can be reached now.
            server.flow = flow.id;
        }
        let Some((machine, actions)) = server.machine.next(input) else {
            self.noise.late_answers += u64::from(matches!(input, Input::Status(_)));
            return self.settle_server(key);
        };
        let entered = machine != server.machine;
        server.machine = machine;
        if entered {
            server.enter(now, &self.timers);
        }
        let (mut sent, mut told) = (None, None);
        for action in actions {
            match (action, &with) {
                (ServerAction::Send, With::Response(response)) => {
                    let bytes = response.to_bytes();
                    self.kept += bytes.len();
                    self.kept -= server.last.replace(bytes).map_or(0, |last| last.len());
                    sent = server.last.clone();
                }
                (ServerAction::Repeat, _) => {
                    if matches!(input, Input::Timer(_)) {
                        server.restart_repeat(now, &self.timers);
                    }
                    sent = server.last.clone();
                }
                (ServerAction::PassAck, With::Request(flow, request)) => {
                    told = Some(Event::Ack {
                        flow: *flow,
                        request: request.clone(),
                    });
                }
                (ServerAction::NoAck, _) => {
                    told = Some(Event::NoAck {
                        key: ServerKey(key),
                    })
                }
                (ServerAction::Send | ServerAction::PassAck, _) => {}
            }
        }
        if matches!(machine, Machine::Invite(invite_server::State::Accepted))
            && let Some(last) = server.last.take()
        {
            // The user repeats the 2xx: nobody asks the transaction for it again.
            self.kept -= last.len();
        }
        let flow = server.flow;
        if let Some(bytes) = sent {
            self.outputs.push_back(Output::Send { flow, bytes });
        }
        if let Some(event) = told {
            self.tell(event);
        }
        self.settle_server(key);
    }

    /// Brings the deadline up to date, or lets the transaction go when it is over.
    fn settle_server(&mut self, key: u64) {
        let Some(server) = self.servers.get_mut(&key) else {
            return;
        };
        let over = server.machine.is_terminated();
        let next = if over { None } else { server.timers.next() };
        self.deadlines
            .set(Whose::Server(key), &mut server.deadline, next);
        if over && let Some(server) = self.servers.remove(&key) {
            self.server_by_match.remove(&server.matched_by);
            self.kept -= server.last.as_ref().map_or(0, Bytes::len);
            *self.server_count(&server.machine) -= 1;
        }
    }

    fn server_count(&mut self, machine: &Machine) -> &mut usize {
        match machine {
            Machine::Invite(_) => &mut self.counts.invite_servers,
            Machine::Other(_) => &mut self.counts.servers,
        }
    }
}

impl Server {
    /// Enters the current state: timers start, and a state that needs no time is left at once.
    fn enter(&mut self, now: Instant, settings: &crate::TimerSettings) {
        let reliable = self.transport.is_reliable();
        let timers = &mut self.timers;
        self.machine = match self.machine {
            Machine::Invite(state) => Machine::Invite(state.enter(now, settings, reliable, timers)),
            Machine::Other(state) => Machine::Other(state.enter(now, settings, reliable, timers)),
        };
    }

    /// Timer G (RFC 3261 §17.2.1).
    fn restart_repeat(&mut self, now: Instant, settings: &crate::TimerSettings) {
        self.interval = settings.next_interval(self.interval);
        self.timers.start(Timer::G, now + self.interval);
    }
}
