//! The simulated PBX: an ordinary SIP endpoint with plain RTP, patient where Meta is strict.
//!
//! ```text
//!   AgentCall ─► INVITE ──► 1xx ──► 200 ─► ACK ─┐
//!                                               ├─► talk (tone, digits, hold) ─► BYE
//!   INVITE ──► 100, 180 ──► 200 ──► ACK ────────┘
//! ```
//!
//! Transactions and dialogs are those of the crate `sip`: nothing is judged here but what a
//! telephone could not use.

pub mod account;
mod description;
pub mod fork;
pub mod knobs;
mod media;
mod midcall;
mod receive;
pub mod refer;
mod secrecy;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdp::Codec;
use sip::{
    ClientKey, Dialog, DialogId, Endpoint, Event, Flow, FlowId, Ident, Message, Method, Name,
    Request, Response, ServerKey, Target, Transport, Uri,
};

use self::description::{Far, print, pt_of};
use self::knobs::{AgentCall, PbxScript, PbxSettings};
use crate::alarm::Alarms;
use crate::dice::Dice;
use crate::meta::knobs::Talk;
use crate::peer::{Output, Peer};
use crate::report::{Ended, Report, What, millis};
use crate::voice::Voice;

/// The simulated PBX.
#[derive(Debug)]
pub struct PbxPeer {
    settings: PbxSettings,
    dice: Dice,
    started: Instant,
    endpoint: Endpoint,
    ident: Ident,
    calls: BTreeMap<u32, Call>,
    placed: u32,
    clients: BTreeMap<ClientKey, (u32, Method)>,
    servers: BTreeMap<ServerKey, u32>,
    /// Flows we opened or were called on, by where they lead.
    flows: BTreeMap<(Transport, String, u16), FlowId>,
    next_flow: u64,
    scripts: VecDeque<PbxScript>,
    referrals: refer::Referrals,
    accounts: account::Accounts,
    /// Dialogs of other telephones that picked up.
    forks: Vec<DialogId>,
    places: BTreeMap<SocketAddr, u32>,
    next_port: u16,
    alarms: Alarms<Alarm>,
    outputs: VecDeque<Output>,
    ended: u64,
    answered: u64,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Our INVITE is out.
    Inviting,
    /// We ring.
    Ringing,
    /// Our 200 is out, the ACK is not in.
    Answered,
    /// Both is done.
    Talking,
    /// Our BYE is out.
    Releasing,
    /// Nothing more is sent.
    Over,
}

/// One call.
#[derive(Debug)]
struct Call {
    id: u32,
    phase: Phase,
    invite: Request,
    flow: FlowId,
    client: Option<ClientKey>,
    server: Option<ServerKey>,
    dialog: Option<Dialog>,
    /// Our To tag when called.
    tag: String,
    answer: Option<Response>,
    ack: Option<Bytes>,
    session: u32,
    version: u32,
    address: SocketAddr,
    keys: secrecy::Keys,
    far: Option<Far>,
    codec: Option<(u8, Codec)>,
    direction: &'static str,
    give_up: bool,
    /// We asked for an offer in mid-call; our ACK answers it.
    offerless: bool,
    /// The last RSeq we acknowledged.
    rseq: Option<String>,
    /// We require reliable responses and acknowledge none.
    never_pracks: bool,
    reliable: Option<midcall::Reliable>,
    /// What the far side's next refreshes get, last first.
    refresh_refusals: Vec<u16>,
    script: Option<PbxScript>,
    talk: Talk,
    voice: Option<Voice>,
    started: Instant,
    answered: Option<Instant>,
    confirmed: bool,
    violations: u32,
    status: u16,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Alarm {
    GiveUp(u32),
    HangUp(u32),
    Ring(u32),
    Decide(u32),
    Repeat(u32, Duration),
    RingAgain(u32, Duration),
    ForkRings(u32, String),
    ForkAnswers(u32),
}

impl PbxPeer {
    /// A PBX that starts now.
    pub fn new(settings: PbxSettings, now: Instant) -> Self {
        let mut dice = Dice::new(settings.seed);
        let endpoint = Endpoint::new(settings.timers, Ident::new(900, dice.bytes()));
        Self {
            endpoint,
            ident: Ident::new(901, dice.bytes()),
            dice,
            started: now,
            calls: BTreeMap::new(),
            placed: 0,
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            flows: BTreeMap::new(),
            next_flow: 1,
            scripts: VecDeque::new(),
            referrals: refer::Referrals::default(),
            accounts: account::Accounts::default(),
            forks: Vec::new(),
            places: BTreeMap::new(),
            next_port: settings.media.first_port,
            alarms: Alarms::default(),
            outputs: VecDeque::new(),
            ended: 0,
            answered: 0,
            settings,
        }
    }

    /// Its settings; changes hold for what happens next.
    pub fn settings_mut(&mut self) -> &mut PbxSettings {
        &mut self.settings
    }

    /// Calls that are over, and the answered ones of them.
    pub fn ended(&self) -> (u64, u64) {
        (self.ended, self.answered)
    }

    /// Calls that are not over.
    pub fn calls(&self) -> impl Iterator<Item = u32> {
        self.calls
            .values()
            .filter(|call| call.phase != Phase::Over)
            .map(|call| call.id)
    }

    /// What happens to the next call that comes in; later ones get the scripts queued after it.
    pub fn script(&mut self, script: PbxScript) {
        self.scripts.push_back(script);
    }

    /// An agent places a call.
    pub fn call(&mut self, now: Instant, plan: AgentCall) -> u32 {
        let id = self.next_call();
        let address = self.take_place(id);
        let host = self.settings.sbc.host.clone();
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let target = match self.settings.sbc.port {
            5060 => host,
            port => format!("{host}:{port}"),
        };
        let uri = Uri::sip(&plan.to, &target);
        let mut invite = Request::new(Method::Invite, uri.clone());
        let tag = self.ident.tag();
        let us = self.settings.address;
        invite
            .headers
            .push(Name::From, format!("<sip:{}@{us}>;tag={tag}", plan.from));
        invite.headers.push(Name::To, format!("<{}>", uri.as_str()));
        invite
            .headers
            .push(Name::CallId, self.ident.call_id(&us.ip().to_string()));
        invite
            .headers
            .push(Name::CSeq, format!("{} INVITE", 1 + self.dice.below(1_000)));
        invite.headers.push(Name::Contact, self.contact(&plan.from));
        invite.headers.push(Name::Allow, ALLOW);
        for (name, value) in &plan.headers {
            invite
                .headers
                .push(Name::from(name.as_str()), value.as_str());
        }
        let session = self.dice.roll() as u32;
        invite.headers.push(Name::ContentType, "application/sdp");
        let mut keys = secrecy::Keys::default();
        keys.make(&mut self.dice, &self.settings.srtp, true);
        let text = print(
            address,
            session,
            1,
            &self.formats(),
            self.events(),
            "sendrecv",
        );
        invite.body = Bytes::from(keys.add_to(text, &self.settings.srtp, None));
        let flow = self.flow_to(&self.settings.sbc.clone());
        let what = What::Started {
            placed: true,
            call_id: invite
                .call_id()
                .map(|id| id.as_str().into_owned())
                .unwrap_or_default(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            headers: BTreeMap::new(),
        };
        let key = self.request(now, flow, invite.clone());
        self.clients.insert(key, (id, Method::Invite));
        let call = Call {
            id,
            phase: Phase::Inviting,
            invite,
            flow,
            client: Some(key),
            server: None,
            dialog: None,
            tag,
            answer: None,
            ack: None,
            session,
            version: 1,
            address,
            keys,
            far: None,
            codec: None,
            direction: "sendrecv",
            give_up: false,
            offerless: false,
            rseq: None,
            never_pracks: plan.never_pracks,
            reliable: None,
            refresh_refusals: Vec::new(),
            script: None,
            talk: plan.talk.clone(),
            voice: None,
            started: now,
            answered: None,
            confirmed: false,
            violations: 0,
            status: 0,
        };
        self.calls.insert(id, call);
        self.report(now, id, what);
        if let Some(after) = plan.cancel_after {
            self.alarms.set(now + after, Alarm::GiveUp(id));
        }
        self.drain(now);
        id
    }

    /// The agent of this call, or of the oldest one, gives up, hangs up, or declines.
    pub fn hang_up(&mut self, now: Instant, call: Option<u32>) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        match self.calls.get(&id).map(|call| call.phase) {
            Some(Phase::Inviting) => self.give_up(now, id),
            Some(Phase::Ringing) => self.refuse(now, id, 603, "Decline"),
            Some(Phase::Talking | Phase::Answered) => self.send_bye(now, id),
            _ => {}
        }
        self.drain(now);
    }

    /// The agent of this call, or of the oldest one, presses digits.
    pub fn press(&mut self, now: Instant, call: Option<u32>, digits: &str) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        if let Some(voice) = self.calls.get_mut(&id).and_then(|call| call.voice.as_mut()) {
            voice.press(now, digits);
        }
        self.drain_voice(now, id);
    }

    /// The agent's telephone sends nothing at all, or sends again.
    pub fn mute(&mut self, now: Instant, call: Option<u32>, mute: bool) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        if let Some(voice) = self.calls.get_mut(&id).and_then(|call| call.voice.as_mut()) {
            voice.mute(now, mute);
        }
        self.drain_voice(now, id);
    }

    /// The agent holds (re-INVITE `sendonly`) or takes the call back (`sendrecv`).
    pub fn hold(&mut self, now: Instant, call: Option<u32>, hold: bool) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        let (formats, events) = (self.formats(), self.events());
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Talking)
        else {
            return;
        };
        call.direction = if hold { "sendonly" } else { "sendrecv" };
        call.version += 1;
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        let mut request = dialog.request(Method::Invite);
        let text = print(
            call.address,
            call.session,
            call.version,
            &formats,
            events,
            call.direction,
        );
        call.keys
            .make(&mut self.dice, &self.settings.srtp, self.settings.rekeys);
        request.body = Bytes::from(call.keys.add_to(text, &self.settings.srtp, None));
        request.headers.push(
            Name::Contact,
            format!("<sip:{}@{}>", "pbx", self.settings.address),
        );
        request.headers.push(Name::ContentType, "application/sdp");
        self.send_in_dialog(now, id, request, Method::Invite);
        self.drain(now);
    }

    /// Sends any other request inside a call: UPDATE, INFO, REFER, OPTIONS.
    pub fn ask(&mut self, now: Instant, call: Option<u32>, method: Method) {
        self.ask_with(now, call, method, &[], "");
    }

    /// Sends any other request inside a call, with these headers and this body.
    pub fn ask_with(
        &mut self,
        now: Instant,
        call: Option<u32>,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        // Behind a BYE nothing follows in its dialog.
        let Some(dialog) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase != Phase::Releasing)
            .and_then(|call| call.dialog.as_mut())
        else {
            return;
        };
        let mut request = dialog.request(method.clone());
        for (name, value) in headers {
            request.headers.push(Name::from(*name), *value);
        }
        request.body = Bytes::from(body.to_owned());
        self.send_in_dialog(now, id, request, method);
        self.drain(now);
    }

    // ── what all parts use ─────────────────────────────────────────────────────────────────────

    fn report(&mut self, now: Instant, call: u32, what: What) {
        let at_ms = millis(now.saturating_duration_since(self.started));
        self.outputs.push_back(Output::Report(Report {
            at_ms,
            peer: "pbx",
            call,
            what,
        }));
    }

    fn violation(&mut self, now: Instant, call: u32, rule: impl Into<String>) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.violations += 1;
        }
        self.report(now, call, What::Violation { rule: rule.into() });
    }

    fn next_call(&mut self) -> u32 {
        self.placed += 1;
        self.placed
    }

    fn contact(&self, user: &str) -> String {
        let transport = match self.settings.sbc.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.param()),
        };
        format!("<sip:{user}@{}{transport}>", self.settings.address)
    }

    fn formats(&self) -> Vec<(u8, Codec)> {
        self.settings
            .codecs
            .iter()
            .filter(|codec| codec.is_audio())
            .map(|codec| (pt_of(*codec), *codec))
            .collect()
    }

    fn events(&self) -> Option<u8> {
        self.settings
            .codecs
            .contains(&Codec::TelephoneEvent)
            .then_some(pt_of(Codec::TelephoneEvent))
    }

    /// A living flow to a target, or a new one.
    fn flow_to(&mut self, target: &Target) -> FlowId {
        let key = (target.transport, target.host.clone(), target.port);
        if let Some(id) = self.flows.get(&key) {
            return *id;
        }
        let id = FlowId(self.next_flow);
        self.next_flow += 2;
        self.flows.insert(key, id);
        self.outputs.push_back(Output::Connect {
            id,
            target: target.clone(),
        });
        id
    }

    fn request(&mut self, now: Instant, flow: FlowId, request: Request) -> ClientKey {
        let (transport, sent_by) = (
            self.settings.sbc.transport,
            self.settings.address.to_string(),
        );
        self.endpoint
            .request(now, flow, transport, &sent_by, request)
    }

    /// A request inside a call's dialog, on the flow its route set asks for.
    fn send_in_dialog(&mut self, now: Instant, id: u32, request: Request, method: Method) {
        let Some(flow) = self.dialog_flow(id) else {
            return;
        };
        let key = self.request(now, flow, request);
        self.clients.insert(key, (id, method));
    }

    /// The flow of a call's dialog: where its first hop is (RFC 3261 §12.2.1.1, §8.1.2).
    fn dialog_flow(&mut self, id: u32) -> Option<FlowId> {
        let hop = self.calls.get(&id)?.dialog.as_ref()?.first_hop();
        let mut target = hop.target();
        if target.transport == Transport::Udp {
            target.transport = self.settings.sbc.transport;
        }
        Some(self.flow_to(&target))
    }

    fn give_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Inviting)
        else {
            return;
        };
        if std::mem::replace(&mut call.give_up, true) {
            return;
        }
        if let Some(key) = call.client {
            self.endpoint.cancel(now, key);
            self.report(now, id, What::Cancelled { by_far: false });
        }
    }

    fn send_bye(&mut self, now: Instant, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        if matches!(call.phase, Phase::Releasing | Phase::Over) {
            return;
        }
        call.phase = Phase::Releasing;
        let request = dialog.request(Method::Bye);
        self.send_in_dialog(now, id, request, Method::Bye);
        self.report(
            now,
            id,
            What::Bye {
                by_far: false,
                new_connection: false,
                cause: None,
            },
        );
    }

    fn end(&mut self, now: Instant, id: u32, by: &'static str) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase != Phase::Over)
        else {
            return;
        };
        call.phase = Phase::Over;
        let heard = call.voice.as_mut().map(|voice| voice.heard(now));
        let ended = Ended {
            answered: call.answered.is_some(),
            confirmed: call.confirmed,
            by,
            status: call.status,
            duration_ms: call
                .answered
                .map_or(0, |at| millis(now.saturating_duration_since(at))),
            violations: call.violations,
        };
        let address = call.address;
        self.unbind(address);
        self.ended += 1;
        self.answered += u64::from(ended.answered);
        if let Some(heard) = heard {
            self.report(now, id, What::Heard(heard));
        }
        self.report(now, id, What::Ended(ended));
        self.alarms.retain(|alarm| match alarm {
            Alarm::GiveUp(c)
            | Alarm::HangUp(c)
            | Alarm::Ring(c)
            | Alarm::Decide(c)
            | Alarm::Repeat(c, _)
            | Alarm::ForkRings(c, _)
            | Alarm::ForkAnswers(c)
            | Alarm::RingAgain(c, _) => *c != id,
        });
        self.calls.remove(&id);
        self.clients.retain(|_, (call, _)| *call != id);
        self.servers.retain(|_, call| *call != id);
    }

    /// Passes on what the endpoint wants, and takes what it found.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                sip::Output::Send { flow, bytes } => {
                    self.outputs.push_back(Output::Send { flow, bytes })
                }
                sip::Output::Event(event) => self.event(now, event),
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request { key, flow, request } => self.asked(now, key, flow, request),
            Event::Ack { request, .. } => self.acknowledged(now, &request),
            Event::Cancelled { key, .. } => self.cancelled(now, key),
            Event::Response {
                key,
                flow,
                response,
            } => self.answered_by_far(now, key, flow, response),
            Event::Failed { key, why } => {
                if let Some((id, method)) = self.clients.remove(&key) {
                    self.report(
                        now,
                        id,
                        What::Failed {
                            why: format!("{method}: {why:?}"),
                        },
                    );
                    if matches!(method, Method::Invite | Method::Bye) {
                        self.end(now, id, "failed");
                    }
                }
            }
            Event::LateAnswer { .. } => {}
            Event::CancelCrossed { .. } => {}
            Event::NoAck { key } => {
                if let Some(id) = self.servers.remove(&key) {
                    self.report(now, id, What::Unconfirmed { refused: false });
                }
            }
        }
    }

    /// A response to a request of ours.
    fn answered_by_far(&mut self, now: Instant, key: ClientKey, flow: Flow, response: Response) {
        if self.accounts.is_ours(key) {
            return self.register_answered(now, flow, response);
        }
        let Some((id, method)) = self.clients.get(&key).cloned() else {
            return;
        };
        if method == Method::Invite
            && self
                .calls
                .get(&id)
                .is_some_and(|call| call.client != Some(key))
        {
            return self.reoffer_answered(now, id, &response);
        }
        match (method, response.status) {
            (Method::Invite, status @ 100..200) => {
                let body = !response.body.is_empty();
                self.report(now, id, What::Progress { status, body });
                if status > 100 {
                    self.progressed(now, id, &response);
                }
                if body && status > 100 {
                    self.early_media(now, id, &response);
                }
            }
            (Method::Invite, 200..300) => self.picked_up(now, id, flow, &response),
            (Method::Invite, 401 | 407) if self.call_proves_itself(now, id, key, &response) => {}
            (Method::Invite, status) => {
                self.clients.remove(&key);
                let reason = response.reason.as_str().into_owned();
                let cause = response
                    .headers
                    .first(&Name::Reason)
                    .map(|text| text.as_str().into_owned());
                if let Some(call) = self.calls.get_mut(&id) {
                    call.status = status;
                }
                self.report(
                    now,
                    id,
                    What::Refused {
                        status,
                        reason,
                        cause,
                    },
                );
                self.end(now, id, "refused");
            }
            (_, 100..200) => {}
            (Method::Refer, 200..300) => drop(self.clients.remove(&key)),
            (Method::Bye, status) => {
                self.clients.remove(&key);
                self.report(now, id, What::ByeAnswered { status });
                self.end(now, id, "us");
            }
            (method, status) => {
                self.clients.remove(&key);
                self.report(
                    now,
                    id,
                    What::Refused {
                        status,
                        reason: format!("{method}"),
                        cause: None,
                    },
                );
            }
        }
    }

    /// 200 to our INVITE: ACK, once per 200.
    fn picked_up(&mut self, now: Instant, id: u32, flow: Flow, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(ack) = call.ack.clone() {
            self.endpoint.resend(flow.id, ack);
            return;
        }
        let Some(dialog) = self.confirmed_dialog(id, response) else {
            return self.violation(now, id, "200 that makes no dialog");
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let ack = dialog.ack(cseq);
        call.dialog = Some(dialog);
        call.answered = Some(now);
        call.status = response.status;
        call.phase = Phase::Talking;
        call.confirmed = true;
        let after_ms = millis(now.saturating_duration_since(call.started));
        let (given_up, hang_up) = (call.give_up, call.talk.hang_up_after);
        self.alarms.retain(|alarm| *alarm != Alarm::GiveUp(id));
        let ack_flow = self.dialog_flow(id).unwrap_or(flow.id);
        let (transport, sent_by) = (
            self.settings.sbc.transport,
            self.settings.address.to_string(),
        );
        let bytes = self.endpoint.ack(ack_flow, transport, &sent_by, ack);
        if let Some(call) = self.calls.get_mut(&id) {
            call.ack = Some(bytes);
        }
        let codec = self.agree(now, id, &response.body);
        self.report(now, id, What::Answered { after_ms, codec });
        self.report(now, id, What::Confirmed);
        if given_up {
            return self.send_bye(now, id);
        }
        self.start_voice(now, id);
        if let Some(after) = hang_up {
            self.alarms.set(now + after, Alarm::HangUp(id));
        }
    }

    /// The answer to a re-INVITE of ours.
    fn reoffer_answered(&mut self, now: Instant, id: u32, response: &Response) {
        if response.status < 200 {
            return;
        }
        if response.status >= 300 {
            let reason = response.reason.as_str().into_owned();
            return self.report(
                now,
                id,
                What::Refused {
                    status: response.status,
                    reason,
                    cause: None,
                },
            );
        }
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let Some(mut ack) = self
            .calls
            .get(&id)
            .and_then(|call| call.dialog.as_ref())
            .map(|dialog| dialog.ack(cseq))
        else {
            return;
        };
        let codec = self.agree(now, id, &response.body);
        if let Some(answer) = self.late_answer(id) {
            ack.headers.push(Name::ContentType, "application/sdp");
            ack.body = answer;
        }
        let Some(flow) = self.dialog_flow(id) else {
            return;
        };
        let (transport, sent_by) = (
            self.settings.sbc.transport,
            self.settings.address.to_string(),
        );
        self.endpoint.ack(flow, transport, &sent_by, ack);
        self.start_voice(now, id);
        self.report(now, id, What::Answered { after_ms: 0, codec });
    }
}

/// The value of Allow.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, PRACK";

impl Peer for PbxPeer {
    fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        self.endpoint.receive(now, flow, message);
        self.drain(now);
    }

    fn opened(&mut self, _now: Instant, _flow: Flow) {}

    fn failed(&mut self, now: Instant, id: FlowId, _why: &str) {
        self.closed(now, id);
    }

    fn closed(&mut self, now: Instant, id: FlowId) {
        self.flows.retain(|_, flow| *flow != id);
        self.endpoint.flow_lost(now, id);
        self.drain(now);
    }

    fn datagram(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let even = SocketAddr::new(to.ip(), to.port() & !1);
        let Some(&id) = self.places.get(&even) else {
            return;
        };
        if let Some(voice) = self.calls.get_mut(&id).and_then(|call| call.voice.as_mut()) {
            voice.receive(now, to, from, bytes);
        }
        self.drain_voice(now, id);
    }

    fn timeout(&mut self, now: Instant) {
        self.endpoint.timeout(now);
        while let Some(alarm) = self.alarms.ring(now) {
            match alarm {
                Alarm::GiveUp(id) => self.give_up(now, id),
                Alarm::HangUp(id) => self.send_bye(now, id),
                Alarm::Ring(id) => self.ring(now, id),
                Alarm::Decide(id) => self.decide(now, id),
                Alarm::ForkRings(id, tag) => self.fork_rings(now, id, &tag),
                Alarm::ForkAnswers(id) => self.fork_answers(now, id),
                Alarm::RingAgain(id, interval) => self.ring_again(now, id, interval),
                Alarm::Repeat(id, interval) => self.repeat_answer(now, id, interval),
            }
        }
        self.voices_due(now);
        self.drain(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let voices = self
            .calls
            .values()
            .filter_map(|call| call.voice.as_ref()?.next_timeout())
            .min();
        [self.alarms.next(), self.endpoint.next_timeout(), voices]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
