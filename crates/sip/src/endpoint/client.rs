//! The client half of the endpoint: requests of ours (RFC 3261 §17.1, §9.1).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ClientKey, Endpoint, Event, Failure, Output, Whose, same_hop};
use crate::timer::{Timer, Timers};
use crate::transaction::{ClientAction, MatchKey, client, client_key, invite_client};
use crate::{CSeq, Flow, FlowId, Method, Name, Request, Response, Text, Transport};

/// A client transaction.
#[derive(Debug)]
pub(super) struct Client {
    machine: Machine,
    owner: Owner,
    matched_by: MatchKey,
    flow: FlowId,
    transport: Transport,
    /// As sent: ACK and CANCEL are made from it. `None` once neither can be.
    request: Option<Box<Request>>,
    bytes: Bytes,
    /// The ACK to a failure.
    ack: Option<Bytes>,
    cancel: Cancel,
    /// Until the next retransmission.
    interval: Duration,
    timers: Timers,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Invite(invite_client::State),
    Other(client::State),
}

/// Who wants to hear how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    User,
    /// A CANCEL: nobody.
    Endpoint,
}

#[derive(Clone, Debug)]
enum Cancel {
    No,
    /// Waits for a provisional response; perhaps with a Reason.
    Wanted(Option<Text>),
    Sent,
}

/// What a machine is told.
#[derive(Clone, Copy, Debug)]
enum Input {
    Status(u16),
    Timer(Timer),
    FlowLost,
}

impl Machine {
    fn new(method: &Method) -> Machine {
        match method {
            Method::Invite => Machine::Invite(invite_client::State::Calling),
            _ => Machine::Other(client::State::Trying),
        }
    }

    fn next(self, input: Input) -> Option<(Machine, &'static [ClientAction])> {
        match self {
            Machine::Invite(state) => {
                let event = match input {
                    Input::Status(status) => invite_client::Event::of_status(status),
                    Input::Timer(timer) => invite_client::Event::of_timer(timer)?,
                    Input::FlowLost => invite_client::Event::FlowLost,
                };
                state
                    .next(event)
                    .map(|(state, actions)| (Machine::Invite(state), actions))
            }
            Machine::Other(state) => {
                let event = match input {
                    Input::Status(status) => client::Event::of_status(status),
                    Input::Timer(timer) => client::Event::of_timer(timer)?,
                    Input::FlowLost => client::Event::FlowLost,
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
            Machine::Invite(invite_client::State::Terminated)
                | Machine::Other(client::State::Terminated)
        )
    }
}

impl Endpoint {
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        flow: FlowId,
        transport: Transport,
        branch: String,
        request: Request,
        owner: Owner,
    ) -> u64 {
        let key = self.new_key();
        let cseq = request.cseq().unwrap_or(CSeq {
            number: 0,
            method: request.method.clone(),
        });
        let matched_by = client_key(&branch, &cseq);
        let bytes = request.to_bytes();
        let mut client = Client {
            machine: Machine::new(&request.method),
            owner,
            matched_by: matched_by.clone(),
            flow,
            transport,
            request: Some(Box::new(request)),
            bytes: bytes.clone(),
            ack: None,
            cancel: Cancel::No,
            interval: self.timers.t1,
            timers: Timers::default(),
            deadline: None,
        };
        client.enter(now, &self.timers);
        *self.client_count(&client.machine) += 1;
        self.deadlines.set(
            Whose::Client(key),
            &mut client.deadline,
            client.timers.next(),
        );
        self.clients.insert(key, Box::new(client));
        self.client_by_match.insert(matched_by, key);
        self.clients_on.insert((flow, key));
        self.resend(flow, bytes);
        key
    }

    pub(super) fn receive_response(&mut self, now: Instant, flow: Flow, response: Response) {
        let key = response
            .top_via()
            .zip(response.cseq())
            .and_then(|(via, cseq)| {
                self.client_by_match
                    .get(&client_key(via.branch()?, &cseq))
                    .copied()
            });
        match key {
            Some(key) => {
                let input = Input::Status(response.status);
                self.step_client(now, key, input, Some((flow, response)));
            }
            None => {
                self.noise.stray_responses += 1;
                let to_invite = response
                    .cseq()
                    .is_some_and(|cseq| cseq.method == Method::Invite);
                if to_invite && response.is_success() {
                    self.tell(Event::LateAnswer { flow, response });
                }
            }
        }
    }

    pub(super) fn client_flow_lost(&mut self, now: Instant, key: u64) {
        self.step_client(now, key, Input::FlowLost, None);
    }

    pub(super) fn client_timeout(&mut self, now: Instant, key: u64) {
        let due = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.timers.take_due(now));
        match due {
            Some(timer) => self.step_client(now, key, Input::Timer(timer), None),
            None => self.settle_client(key),
        }
    }

    pub(super) fn cancel_client(&mut self, now: Instant, key: u64, reason: Option<Text>) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if !matches!(client.cancel, Cancel::No) {
            return;
        }
        match client.machine {
            Machine::Invite(invite_client::State::Calling) => {
                client.cancel = Cancel::Wanted(reason);
            }
            Machine::Invite(invite_client::State::Proceeding) => {
                self.send_cancel(now, key, reason);
            }
            _ => {}
        }
    }

    fn send_cancel(&mut self, now: Instant, key: u64, reason: Option<Text>) {
        let patience = now + self.timers.timeout();
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        client.cancel = Cancel::Sent;
        client.timers.start(Timer::Patience, patience);
        let Some(request) = &client.request else {
            return;
        };
        let Some(to) = request.headers.first(&Name::To) else {
            return;
        };
        let mut cancel = same_hop(request, Method::Cancel, to);
        if let Some(reason) = reason {
            cancel.headers.push(Name::Reason, reason);
        }
        let branch = cancel
            .top_via()
            .and_then(|via| via.branch().map(str::to_owned));
        let (flow, transport) = (client.flow, client.transport);
        self.settle_client(key);
        let branch = branch.unwrap_or_default();
        self.start_client(now, flow, transport, branch, cancel, Owner::Endpoint);
    }

    /// One step of a machine and everything that follows from it.
    fn step_client(
        &mut self,
        now: Instant,
        key: u64,
        input: Input,
        mut response: Option<(Flow, Response)>,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let Some((machine, actions)) = client.machine.next(input) else {
            self.noise.repeated += u64::from(matches!(input, Input::Status(_)));
            return self.settle_client(key);
        };
        let entered = machine != client.machine;
        client.machine = machine;
        if entered {
            client.enter(now, &self.timers);
        }
        let mut told = None;
        let mut sent = None;
        for action in actions {
            match action {
                ClientAction::Resend => {
                    client.restart_resend(now, &self.timers);
                    sent = Some(client.bytes.clone());
                }
                ClientAction::Ack => {
                    sent = response
                        .as_ref()
                        .and_then(|(_, response)| client.ack_failure(response));
                }
                ClientAction::Tell => {
                    told = response.take().map(|(flow, response)| Event::Response {
                        key: ClientKey(key),
                        flow,
                        response,
                    });
                }
                ClientAction::TimedOut => {
                    told = Some(Event::Failed {
                        key: ClientKey(key),
                        why: Failure::Timeout,
                    });
                }
                ClientAction::FlowLost => {
                    told = Some(Event::Failed {
                        key: ClientKey(key),
                        why: Failure::FlowLost,
                    });
                }
            }
        }
        if entered && matches!(machine, Machine::Invite(invite_client::State::Accepted)) {
            client.forget();
        }
        let (flow, owner) = (client.flow, client.owner);
        let cancel_now = match (&client.cancel, client.machine) {
            (Cancel::Wanted(reason), Machine::Invite(invite_client::State::Proceeding)) => {
                Some(reason.clone())
            }
            _ => None,
        };
        if let Some(bytes) = sent {
            self.outputs.push_back(Output::Send { flow, bytes });
        }
        if let Some(event) = told.filter(|_| owner == Owner::User) {
            self.tell(event);
        }
        if let Some(reason) = cancel_now {
            self.send_cancel(now, key, reason);
        }
        self.settle_client(key);
    }

    /// Brings the deadline up to date, or lets the transaction go when it is over.
    fn settle_client(&mut self, key: u64) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let over = client.machine.is_terminated();
        let next = if over { None } else { client.timers.next() };
        self.deadlines
            .set(Whose::Client(key), &mut client.deadline, next);
        if over && let Some(client) = self.clients.remove(&key) {
            self.client_by_match.remove(&client.matched_by);
            self.clients_on.remove(&(client.flow, key));
            *self.client_count(&client.machine) -= 1;
        }
    }

    fn client_count(&mut self, machine: &Machine) -> &mut usize {
        match machine {
            Machine::Invite(_) => &mut self.counts.invite_clients,
            Machine::Other(_) => &mut self.counts.clients,
        }
    }
}

impl Client {
    /// An INVITE that was accepted is neither sent again nor cancelled, and its ACK is the user's.
    fn forget(&mut self) {
        self.request = None;
        self.bytes = Bytes::new();
    }

    /// Enters the current state: timers start, and a state that needs no time is left at once.
    fn enter(&mut self, now: Instant, settings: &crate::TimerSettings) {
        let reliable = self.transport.is_reliable();
        let timers = &mut self.timers;
        self.machine = match self.machine {
            Machine::Invite(state) => Machine::Invite(state.enter(now, settings, reliable, timers)),
            Machine::Other(state) => Machine::Other(state.enter(now, settings, reliable, timers)),
        };
    }

    /// Timers A and E: A doubles without end, E up to T2 and is T2 once a provisional response
    /// has come (RFC 3261 §17.1.1.2, §17.1.2.2).
    fn restart_resend(&mut self, now: Instant, settings: &crate::TimerSettings) {
        let timer = match self.machine {
            Machine::Invite(_) => {
                self.interval *= 2;
                Timer::A
            }
            Machine::Other(client::State::Proceeding) => {
                self.interval = settings.t2;
                Timer::E
            }
            Machine::Other(_) => {
                self.interval = settings.next_interval(self.interval);
                Timer::E
            }
        };
        self.timers.start(timer, now + self.interval);
    }

    fn ack_failure(&mut self, response: &Response) -> Option<Bytes> {
        let request = self.request.as_ref()?;
        let ack = self.ack.get_or_insert_with(|| {
            let to = response
                .headers
                .first(&Name::To)
                .cloned()
                .unwrap_or_default();
            same_hop(request, Method::Ack, &to).to_bytes()
        });
        Some(ack.clone())
    }
}
