//! The simulated Meta: as strict as documented, written from Meta's documentation and samples alone.
//!
//! ```text
//!   UserCall ─► uic ──┐                 ┌── rules  (SDP)
//!                     ├─► call ─► judged ├── digest (RFC 7616)
//!   INVITE ──► bic ───┘      ▲          └── print  (PJSIP's spelling)
//!   ACK, BYE, re-INVITE ─► dialog
//!   every request: asked     every request of ours: asking
//!   SRTP, SRTCP ─► media ─► voice
//! ```
//!
//! It uses the parser of `sip` to read and nothing else of the code it judges.

mod asked;
mod asking;
mod bic;
mod call;
mod dialog;
pub mod digest;
pub mod knobs;
mod media;
pub mod offer;
mod print;
pub mod rules;
#[cfg(test)]
mod samples;
mod uic;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Flow, FlowId, Message, Method};

use self::call::{Call, Phase};
use self::digest::Hash;
use self::knobs::{BusinessScript, MetaSettings, UserCall};
use crate::alarm::Alarms;
use crate::dice::Dice;
use crate::peer::{Output, Peer};
use crate::report::{Ended, Report, What, millis};
use crate::voice::Voices;

/// The simulated Meta.
#[derive(Debug)]
pub struct MetaPeer {
    settings: MetaSettings,
    dice: Dice,
    started: Instant,
    calls: BTreeMap<u32, Call>,
    placed: u32,
    /// Our requests without a final answer: branch to call and method.
    pending: BTreeMap<String, (u32, Method, FlowId)>,
    /// Flows we opened and the call each serves; `None` for one that serves many.
    flows: BTreeMap<FlowId, Option<u32>>,
    /// The one connection for INVITEs, where there is one, with its host and port.
    shared: Option<(FlowId, String, u16)>,
    next_flow: u64,
    nonces: BTreeMap<String, Nonce>,
    scripts: VecDeque<BusinessScript>,
    voices: Voices,
    alarms: Alarms<Alarm>,
    outputs: VecDeque<Output>,
    counts: Counts,
}

/// What a Meta has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rules broken by the far side.
    pub violations: u64,
    /// Requests nobody may send it.
    pub forbidden: u64,
    /// Calls that are over.
    pub ended: u64,
    /// Of those, the answered ones.
    pub answered: u64,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Alarm {
    /// The answer window closed.
    Window(u32),
    /// The user gives up.
    GiveUp(u32),
    /// No final answer to the request of this branch.
    Unanswered(String),
    /// The user hangs up.
    HangUp(u32),
    /// The user's phone rings.
    Ring(u32),
    /// The user decides.
    Decide(u32),
    /// Our 200 is repeated, the next time after twice this long.
    Repeat(u32, Duration),
    /// No ACK in 64·T1.
    NoAck(u32),
}

/// A nonce we gave.
#[derive(Clone, Debug)]
struct Nonce {
    opaque: String,
    hash: Hash,
    flow: FlowId,
    /// It was answered rightly once, and we said `stale`.
    worn: bool,
}

impl MetaPeer {
    /// A Meta that starts now.
    pub fn new(settings: MetaSettings, now: Instant) -> Self {
        Self {
            dice: Dice::new(settings.seed),
            voices: Voices::of(&settings.media),
            settings,
            started: now,
            calls: BTreeMap::new(),
            placed: 0,
            pending: BTreeMap::new(),
            flows: BTreeMap::new(),
            shared: None,
            next_flow: 1,
            nonces: BTreeMap::new(),
            scripts: VecDeque::new(),
            alarms: Alarms::default(),
            outputs: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Its settings; changes hold for what happens next.
    pub fn settings_mut(&mut self) -> &mut MetaSettings {
        &mut self.settings
    }

    /// What it counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Calls that are not over.
    pub fn calls(&self) -> impl Iterator<Item = u32> {
        self.calls
            .values()
            .filter(|call| !call.is_over())
            .map(|call| call.id)
    }

    /// What happens to the next business-initiated call; later ones get the scripts queued after it,
    /// then the one of the settings.
    pub fn script(&mut self, script: BusinessScript) {
        self.scripts.push_back(script);
    }

    /// A WhatsApp user calls; gives the number of the call, or `None` for an unknown business number.
    pub fn call(&mut self, now: Instant, plan: UserCall) -> Option<u32> {
        self.place(now, plan)
    }

    /// The user of this call, or of the oldest one, gives up or hangs up.
    pub fn hang_up(&mut self, now: Instant, call: Option<u32>) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        match self.calls.get(&id).map(|call| call.phase) {
            Some(Phase::Inviting) => self.give_up(now, id),
            Some(Phase::Answered | Phase::Talking | Phase::Spurned) => self.send_bye(now, id, None),
            Some(Phase::Ringing) => self.decide(now, id, 486, "User declined the call"),
            _ => {}
        }
    }

    /// The user of this call, or of the oldest one, presses digits.
    pub fn press(&mut self, now: Instant, call: Option<u32>, digits: &str) {
        if let Some(id) = call.or_else(|| self.calls().next()) {
            self.voices.press(now, id, digits);
            self.drain_voices(now);
        }
    }

    /// The user of this call goes silent (no packet at all), or speaks again.
    pub fn mute(&mut self, now: Instant, call: Option<u32>, mute: bool) {
        if let Some(id) = call.or_else(|| self.calls().next()) {
            self.voices.mute(now, id, mute);
            self.drain_voices(now);
        }
    }

    // ── what all parts use ─────────────────────────────────────────────────────────────────────

    fn report(&mut self, now: Instant, call: u32, what: What) {
        match &what {
            What::Violation { .. } => self.counts.violations += 1,
            What::Forbidden { .. } => self.counts.forbidden += 1,
            _ => {}
        }
        let at_ms = millis(now.saturating_duration_since(self.started));
        self.outputs.push_back(Output::Report(Report {
            at_ms,
            peer: "meta",
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

    /// Number of the call placed next.
    fn next_call(&mut self) -> u32 {
        self.placed += 1;
        self.placed
    }

    fn send(&mut self, flow: FlowId, bytes: Bytes) {
        self.outputs.push_back(Output::Send { flow, bytes });
    }

    /// The last word about a call.
    fn end(&mut self, now: Instant, id: u32, by: &'static str) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.phase == Phase::Over {
            return;
        }
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
        let address = call.words.address;
        let heard = self.voices.end(now, id, address, &mut self.outputs);
        self.counts.ended += 1;
        self.counts.answered += u64::from(ended.answered);
        if let Some(heard) = heard {
            self.report(now, id, What::Heard(heard));
        }
        self.report(now, id, What::Ended(ended));
        self.alarms.retain(|alarm| match alarm {
            Alarm::Window(c)
            | Alarm::GiveUp(c)
            | Alarm::HangUp(c)
            | Alarm::Ring(c)
            | Alarm::Decide(c) => *c != id,
            Alarm::Repeat(c, _) | Alarm::NoAck(c) => *c != id,
            Alarm::Unanswered(_) => true,
        });
        // Kept while requests of it may still come or answers are out; then forgotten.
        self.forget(id);
    }

    /// Forgets a call that is over, with the connections opened for it.
    fn forget(&mut self, id: u32) {
        let over = self.calls.get(&id).is_some_and(Call::is_over);
        if !over || self.pending.values().any(|(call, ..)| *call == id) {
            return;
        }
        self.calls.remove(&id);
        let flows: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, call)| **call == Some(id))
            .map(|(flow, _)| *flow)
            .collect();
        for flow in flows {
            self.flows.remove(&flow);
            self.outputs.push_back(Output::Close { id: flow });
        }
    }
}

impl Peer for MetaPeer {
    fn receive(&mut self, now: Instant, flow: Flow, message: Message) {
        match message {
            Message::Request(request) => self.request(now, flow, request),
            Message::Response(response) => {
                let branch = response
                    .top_via()
                    .and_then(|via| via.branch().map(str::to_owned))
                    .unwrap_or_default();
                match response.cseq().map(|cseq| cseq.method) {
                    Some(Method::Invite) => self.invite_answered(now, flow, &branch, response),
                    Some(Method::Cancel) => self.cancel_answered(now, &branch, &response),
                    _ => self.answered(now, &branch, response),
                }
            }
        }
    }

    fn opened(&mut self, _now: Instant, _flow: Flow) {}

    fn failed(&mut self, now: Instant, id: FlowId, why: &str) {
        self.lost(now, id, why);
    }

    fn closed(&mut self, now: Instant, id: FlowId) {
        self.lost(now, id, "connection closed");
    }

    fn datagram(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.voices.receive(now, to, from, bytes);
        self.drain_voices(now);
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(alarm) = self.alarms.ring(now) {
            match alarm {
                Alarm::Window(id) | Alarm::GiveUp(id) => self.give_up(now, id),
                Alarm::Unanswered(branch) => self.unanswered(now, &branch, "no answer in 32 s"),
                Alarm::HangUp(id) => {
                    if self
                        .calls
                        .get(&id)
                        .is_some_and(|call| call.answered.is_some())
                    {
                        self.send_bye(now, id, None);
                    }
                }
                Alarm::Ring(id) => self.ring(now, id),
                Alarm::Decide(id) => self.decide_by_script(now, id),
                Alarm::Repeat(id, interval) => self.repeat_answer(now, id, interval),
                Alarm::NoAck(id) => self.no_ack(now, id),
            }
        }
        self.voices.timeout(now);
        self.drain_voices(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let both = [self.alarms.next(), self.voices.next_timeout()];
        both.into_iter().flatten().min()
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
