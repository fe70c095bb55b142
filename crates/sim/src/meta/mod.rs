//! The simulated Meta: as strict as documented, written from Meta's documentation and samples alone.
//!
//! ```text
//!   UserCall ─► uic ──┐                 ┌── rules  (SDP)
//!                     ├─► call ─► judged ├── digest (RFC 7616)
//!   INVITE ──► bic ───┘      ▲          └── print  (PJSIP's spelling)
//!   ACK, BYE, re-INVITE ─► dialog
//!   SRTP, SRTCP ─► media ─► voice
//! ```
//!
//! It uses the parser of `sip` to read and nothing else of the code it judges.

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
use sip::{Flow, FlowId, Message, Method, Name, Request, Target, Transport};

use self::call::{Call, Phase, text};
use self::digest::Hash;
use self::knobs::{BusinessScript, MetaSettings, UserCall};
use self::print::Reply;
use crate::alarm::Alarms;
use crate::dice::Dice;
use crate::peer::{Output, Peer};
use crate::report::{Ended, Report, What, millis};
use crate::voice::{Lines, Ports};

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
    ports: Ports,
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
            ports: Ports::of(&settings.media),
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
        self.press_keys(now, call, digits);
    }

    /// The user of this call goes silent (no packet at all), or speaks again.
    pub fn mute(&mut self, now: Instant, call: Option<u32>, mute: bool) {
        self.hush(now, call, mute);
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

    fn send(&mut self, flow: FlowId, bytes: Bytes) {
        self.outputs.push_back(Output::Send { flow, bytes });
    }

    /// A connection for the INVITEs of a call.
    fn connect_for_invite(&mut self, call: u32, host: &str, port: u16) -> FlowId {
        match &self.shared {
            Some((id, h, p)) if h == host && *p == port => *id,
            _ => {
                let shared = self.settings.shared_connection;
                let id = self.connect((!shared).then_some(call), host, port);
                self.shared = shared.then(|| (id, host.to_owned(), port));
                id
            }
        }
    }

    /// A new connection.
    fn connect(&mut self, call: Option<u32>, host: &str, port: u16) -> FlowId {
        let id = FlowId(self.next_flow);
        self.next_flow += 2;
        self.flows.insert(id, call);
        let target = Target {
            transport: Transport::Tls,
            host: host.to_owned(),
            port,
            from: None,
            at: None,
        };
        self.outputs.push_back(Output::Connect { id, target });
        id
    }

    /// Answers a request outside the script of a call.
    #[allow(clippy::too_many_arguments)]
    fn answer(
        &mut self,
        now: Instant,
        call: u32,
        flow: &Flow,
        request: &Request,
        status: u16,
        reason: &str,
        lines: Vec<String>,
    ) {
        // Stateless replies carry the top branch as To tag, as the documented 407 does.
        let tag = request
            .top_via()
            .and_then(|via| via.branch().map(str::to_owned));
        let reply = Reply {
            status,
            reason,
            tag: tag.as_deref(),
            routes: &[],
            echo_routes: true,
            lines,
            body: "",
        };
        let bytes = reply.print(request, flow);
        self.send(flow.id, bytes);
        if status >= 300 {
            let method = request.method.to_string();
            self.report(now, call, What::Rejected { method, status });
        }
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
        let address = call.words.address;
        self.ports.give_back(address, &mut self.outputs);
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

    /// A request of ours got its final answer, or never will.
    fn settled(&mut self, branch: &str) {
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
        if let Some((id, ..)) = self.pending.remove(branch) {
            self.forget(id);
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
        if let Some(id) = self.ports.call_at(to) {
            self.heard(now, id, to, from, bytes);
        }
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
        self.voices_due(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let voices = self
            .calls
            .values()
            .filter_map(|call| call.voice.as_ref()?.next_timeout())
            .min();
        match (self.alarms.next(), voices) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

impl MetaPeer {
    /// A request came.
    fn request(&mut self, now: Instant, flow: Flow, request: Request) {
        let owner = self
            .calls
            .values()
            .find(|call| call.owns(&request))
            .map(|call| call.id);
        self.judge_form(now, owner.unwrap_or(0), &flow, &request);
        match (&request.method, request.to_tag().is_some()) {
            (Method::Invite, false) => self.invited(now, flow, request),
            (Method::Cancel, _) => self.cancelled(now, flow, &request),
            (Method::Register, _) => {
                self.report(
                    now,
                    0,
                    What::Forbidden {
                        method: "REGISTER".into(),
                    },
                );
                self.answer(now, 0, &flow, &request, 403, "Forbidden", Vec::new());
            }
            (Method::Options, _) => {
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    200,
                    "OK",
                    vec![format!("Allow: {}", print::ALLOW)],
                );
            }
            (Method::Ack | Method::Bye | Method::Invite, true)
            | (Method::Ack | Method::Bye, false) => {
                self.in_dialog(now, flow, request, owner);
            }
            (Method::Notify, _) if owner.is_some() => {
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    200,
                    "OK",
                    Vec::new(),
                );
            }
            (Method::Notify, _) => self.answer(
                now,
                0,
                &flow,
                &request,
                481,
                "Call/Transaction Does Not Exist",
                Vec::new(),
            ),
            (method, _) => {
                let method = method.to_string();
                self.report(now, owner.unwrap_or(0), What::Forbidden { method });
                let lines = vec![format!("Allow: {}", print::ALLOW)];
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    405,
                    "Method Not Allowed",
                    lines,
                );
            }
        }
    }

    /// What every request must be like, whatever it asks.
    fn judge_form(&mut self, now: Instant, call: u32, flow: &Flow, request: &Request) {
        let mut broken: Vec<String> = Vec::new();
        if flow.transport != Transport::Tls {
            broken.push(format!(
                "{} over {} instead of TLS",
                request.method,
                flow.transport.via_name()
            ));
        }
        match request.top_via() {
            None => broken.push("no readable Via".into()),
            Some(via) => {
                if !via
                    .branch()
                    .is_some_and(|branch| branch.starts_with("z9hG4bK"))
                {
                    broken.push("top Via without an RFC 3261 branch".into());
                }
                let line = text(request.headers.first(&Name::Via));
                if !line
                    .to_ascii_uppercase()
                    .replace(' ', "")
                    .starts_with("SIP/2.0/TLS")
                {
                    broken.push(format!("top Via is not TLS: {line}"));
                }
            }
        }
        for (name, label) in [
            (Name::ContentLength, "Content-Length"),
            (Name::MaxForwards, "Max-Forwards"),
            (Name::CallId, "Call-ID"),
            (Name::From, "From"),
            (Name::To, "To"),
            (Name::CSeq, "CSeq"),
        ] {
            match request.headers.all(&name).count() {
                1 => {}
                0 => broken.push(format!("{} without {label}", request.method)),
                _ => broken.push(format!("{} with several {label}", request.method)),
            }
        }
        if request
            .cseq()
            .is_none_or(|cseq| cseq.method != request.method)
        {
            broken.push("CSeq names another method".into());
        }
        if request.from_tag().is_none() {
            broken.push("From without a tag".into());
        }
        if request.headers.first(&Name::SessionExpires).is_some()
            || request.headers.first(&Name::MinSe).is_some()
        {
            broken.push("session timer headers, which nobody here can refresh".into());
        }
        let options = format!(
            "{},{}",
            text(request.headers.first(&Name::Supported)),
            text(request.headers.first(&Name::Require))
        );
        for option in ["timer", "100rel"] {
            if options.split(',').any(|o| o.trim() == option) {
                broken.push(format!("{option} in Supported or Require"));
            }
        }
        for rule in broken {
            self.violation(now, call, rule);
        }
    }

    /// A flow is gone: what was asked on it fails.
    fn lost(&mut self, now: Instant, id: FlowId, why: &str) {
        self.flows.remove(&id);
        self.shared = self.shared.take().filter(|(flow, ..)| *flow != id);
        self.nonces.retain(|_, nonce| nonce.flow != id);
        let branches: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, (.., flow))| *flow == id)
            .map(|(branch, _)| branch.clone())
            .collect();
        for branch in branches {
            self.unanswered(now, &branch, why);
        }
    }

    /// A request of ours will never be answered.
    fn unanswered(&mut self, now: Instant, branch: &str, why: &str) {
        let Some((id, method, _)) = self.pending.get(branch).cloned() else {
            return;
        };
        self.report(
            now,
            id,
            What::Failed {
                why: format!("{method}: {why}"),
            },
        );
        self.settled(branch);
        if matches!(method, Method::Invite | Method::Bye) {
            self.end(now, id, "failed");
        }
    }

    /// A response to something else than INVITE.
    fn answered(&mut self, now: Instant, branch: &str, response: sip::Response) {
        let Some((id, method, _)) = self.pending.get(branch).cloned() else {
            return;
        };
        if response.status < 200 {
            return;
        }
        self.settled(branch);
        if method == Method::Bye {
            self.report(
                now,
                id,
                What::ByeAnswered {
                    status: response.status,
                },
            );
            if response.status >= 300 {
                self.violation(now, id, format!("our BYE was answered {}", response.status));
            }
            self.end(now, id, "us");
        }
    }

    /// A response to our CANCEL: 200, or 481 when the INVITE was over already.
    fn cancel_answered(&mut self, now: Instant, branch: &str, response: &sip::Response) {
        let waiting = self.pending.get(branch).map(|(id, ..)| *id);
        if let (Some(id), false) = (waiting, (200..300).contains(&response.status)) {
            self.violation(
                now,
                id,
                format!("our CANCEL was answered {}", response.status),
            );
        }
    }

    /// Number of the call placed next.
    fn next_call(&mut self) -> u32 {
        self.placed += 1;
        self.placed
    }
}
