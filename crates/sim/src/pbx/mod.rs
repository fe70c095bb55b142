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
mod acts;
mod answering;
mod call;
mod description;
pub mod fork;
pub mod knobs;
mod media;
mod midcall;
mod placing;
mod receive;
pub mod refer;
mod secrecy;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sdp::Codec;
use sip::{
    ClientKey, DialogId, Endpoint, Event, Flow, FlowId, Ident, Message, Method, Request, ServerKey,
    Target, Transport,
};

use self::call::{Call, Phase};
use self::description::pt_of;
use self::knobs::{PbxScript, PbxSettings};
use crate::alarm::Alarms;
use crate::dice::Dice;
use crate::peer::{Output, Peer};
use crate::report::{Ended, Report, What, millis};
use crate::voice::Voices;

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
    voices: Voices,
    alarms: Alarms<Alarm>,
    outputs: VecDeque<Output>,
    ended: u64,
    answered: u64,
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
            voices: Voices::of(&settings.media),
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
        let heard = self.voices.end(now, id, address, &mut self.outputs);
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
        self.voices.receive(now, to, from, bytes);
        self.drain_voices(now);
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
        self.voices.timeout(now);
        self.drain_voices(now);
        self.drain(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let all = [
            self.alarms.next(),
            self.endpoint.next_timeout(),
            self.voices.next_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
