//! A WhatsApp user calls the business: Meta as UAC (Meta reference 6, fixtures `uic-*`).

mod answer;
mod challenge;
mod checks;

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine as _;
use sip::{Flow, Method, Name, Response};

use super::call::{Call, Kind, Phase, Placed, text};
use super::knobs::UserCall;
use super::offer::{self, EVENTS, OPUS, PCMA, PCMU, Words};
use super::print::{self, finish, vias, wacid};
use super::{Alarm, MetaPeer};
use crate::report::{What, millis};

/// 64·T1 (RFC 3261 table 4).
const GIVE_UP: u32 = 64;

impl MetaPeer {
    /// The INVITE of a user's call.
    pub(super) fn place(&mut self, now: Instant, plan: UserCall) -> Option<u32> {
        let number = self
            .settings
            .numbers
            .iter()
            .find(|number| number.digits == plan.number)?
            .clone();
        let id = self.next_call();
        let digits = plan.caller.trim_start_matches('+').to_owned();
        let wacid = wacid(&mut self.dice, &digits, &number.digits);
        let display = plan.display.clone().unwrap_or(digits);
        let domain = self.settings.domain.clone();
        let address = self.voices.take_ports(id, &mut self.outputs);
        let mut formats = vec![(111, OPUS)];
        if number.g711 {
            formats.extend([(8, PCMA), (0, PCMU)]);
        }
        if !plan.no_dtmf_offer {
            formats.push((126, EVENTS));
        }
        let words = Words {
            session: self.session_id(now),
            stream: self.dice.uuid(),
            address,
            formats,
            crypto: ("1".into(), plan.suite.clone()),
            key: base64::engine::general_purpose::STANDARD.encode(self.dice.bytes::<30>()),
            ssrc: self.dice.roll() as u32,
        };
        let flow = self.connect_for_invite(id, &number.hostname, number.port);
        let cseq = 1 + self.dice.below(32_766) as u32;
        let call = Call {
            id,
            phase: Phase::Inviting,
            call_id: format!("outgoing:{wacid}"),
            us: format!(
                "\"{}\" <sip:{}@{domain}>",
                display.replace('"', "\\\""),
                plan.caller
            ),
            our_tag: self.dice.uuid(),
            them: format!("<sip:+{}@{}>", number.digits, number.hostname),
            their_tag: None,
            contact: format!("sip:{}@{domain};transport=tls;ob", plan.caller),
            target: String::new(),
            partner_routes: Vec::new(),
            our_cseq: cseq,
            invite_cseq: cseq,
            their_cseq: 0,
            flow,
            words,
            theirs: None,
            started: now,
            answered: None,
            confirmed: false,
            violations: 0,
            status: 0,
            bye: None,
            wacid,
            kind: Kind::Placed(Box::new(Placed {
                branch: String::new(),
                via: String::new(),
                provisional: false,
                challenges: 0,
                nonces: Vec::new(),
                give_up: false,
                cancelled: false,
                ack: None,
                plan: plan.clone(),
            })),
            number,
        };
        let what = What::Started {
            placed: true,
            call_id: call.call_id.clone(),
            from: plan.caller.clone(),
            to: call.number.digits.clone(),
            headers: BTreeMap::new(),
        };
        self.calls.insert(id, call);
        self.report(now, id, what);
        self.send_invite(now, id, None);
        self.alarms
            .set(now + self.settings.answer_window, Alarm::Window(id));
        if let Some(after) = plan.cancel_after {
            self.alarms.set(now + after, Alarm::GiveUp(id));
        }
        Some(id)
    }

    /// `INVITE` on the call's flow, with credentials or without.
    fn send_invite(&mut self, now: Instant, id: u32, authorization: Option<String>) {
        let vias = vias(&mut self.dice, &self.settings.edge);
        let [outer, inner] = self.settings.routes.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        placed.branch = vias.branch.clone();
        placed.via = vias.values[0].clone();
        placed.provisional = false;
        let mut lines = vec![
            format!("INVITE {} SIP/2.0", request_uri(call)),
            format!("Via: {}", vias.values[0]),
            format!("Record-Route: {outer}"),
            format!("Record-Route: {inner}"),
            format!("Via: {}", vias.values[1]),
            format!("Via: {}", vias.values[2]),
            "Max-Forwards: 69".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them),
            format!("Contact: <{}>;isfocus", call.contact),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} INVITE", call.our_cseq),
            format!("X-FB-External-Domain: {}", self.settings.domain),
            format!("Allow: {}", print::ALLOW),
            "User-Agent: Facebook SipGateway".into(),
        ];
        lines.extend(authorization);
        lines.push(format!("x-wa-meta-wacid: {}", call.wacid));
        lines.push(format!("x-wa-meta-phone-number-id: {}", call.number.id));
        if let Kind::Placed(placed) = &call.kind {
            if let Some(payload) = &placed.plan.cta_payload {
                lines.push(format!("x-wa-meta-cta-payload: {payload}"));
            }
            lines.extend(placed.plan.headers.iter().cloned());
        }
        call.invite_cseq = call.our_cseq;
        let (flow, bytes) = (call.flow, finish(lines, &offer::print(&call.words)));
        self.pending
            .insert(vias.branch.clone(), (id, Method::Invite, flow));
        self.alarms.set(
            now + self.settings.t1 * GIVE_UP,
            Alarm::Unanswered(vias.branch),
        );
        self.send(flow, bytes);
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        flow: Flow,
        branch: &str,
        response: Response,
    ) {
        let Some(id) = self
            .pending
            .get(branch)
            .map(|(id, ..)| *id)
            .or_else(|| self.call_of_branch(branch))
        else {
            return;
        };
        self.judge_echo(now, id, &response);
        match response.status {
            100..200 => self.progressed(now, id, branch, &response),
            200..300 => self.picked_up(now, id, flow, &response),
            401 | 407 => {
                self.acknowledge_refusal(id, &response);
                self.settled_quietly(branch);
                self.challenged(now, id, &response);
            }
            status => {
                self.acknowledge_refusal(id, &response);
                let first = self.pending.contains_key(branch);
                self.settled_quietly(branch);
                if !first {
                    return;
                }
                if let Some(call) = self.calls.get_mut(&id) {
                    call.status = status;
                }
                self.report(now, id, What::refused(&response));
                self.end(now, id, "refused");
            }
        }
    }

    /// The call whose live INVITE has this branch.
    fn call_of_branch(&self, branch: &str) -> Option<u32> {
        self.calls
            .values()
            .find(|call| matches!(&call.kind, Kind::Placed(placed) if placed.branch == branch))
            .map(|call| call.id)
    }

    /// Forgets a transaction but keeps the call.
    fn settled_quietly(&mut self, branch: &str) {
        self.pending.remove(branch);
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
    }

    fn progressed(&mut self, now: Instant, id: u32, branch: &str, response: &Response) {
        // A provisional response stops Timer B (RFC 3261 17.1.1.2); the answer window goes on.
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        placed.provisional = true;
        let give_up = placed.give_up;
        let ringing = response.status == 180;
        let patience = placed.plan.cancel_ringing_after.filter(|_| ringing);
        if response.status > 100 && call.their_tag.is_none() {
            call.their_tag = response.to_tag().map(|tag| tag.as_str().into_owned());
        }
        let body = !response.body.is_empty();
        self.report(
            now,
            id,
            What::Progress {
                status: response.status,
                body,
            },
        );
        if body {
            self.violation(
                now,
                id,
                "SDP before the 200: the user's phone takes media for an answer",
            );
        }
        if response.status > 100 {
            self.judge_routes(now, id, response);
        }
        if give_up {
            self.send_cancel(now, id);
        } else if let Some(after) = patience {
            self.alarms.set(now + after, Alarm::GiveUp(id));
        }
    }

    /// ACK to a refusal: hop by hop, the INVITE's branch, one Via.
    fn acknowledge_refusal(&mut self, id: u32, response: &Response) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Kind::Placed(placed) = &call.kind else {
            return;
        };
        let number = response.cseq().map_or(call.invite_cseq, |cseq| cseq.number);
        let lines = vec![
            format!("ACK {} SIP/2.0", request_uri(call)),
            format!("Via: {}", placed.via),
            "Max-Forwards: 70".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", text(response.headers.first(&Name::To))),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {number} ACK"),
        ];
        let (flow, bytes) = (call.flow, finish(lines, ""));
        self.send(flow, bytes);
    }

    /// The answer window closed, or the user gave up.
    pub(super) fn give_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let phase = call.phase;
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if phase != Phase::Inviting || placed.give_up {
            return;
        }
        placed.give_up = true;
        if placed.provisional {
            self.send_cancel(now, id);
        }
    }

    /// CANCEL: the INVITE's branch and number, one Via (fixture `uic-cancel-01`).
    fn send_cancel(&mut self, now: Instant, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let uri = request_uri(call);
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if placed.cancelled {
            return;
        }
        placed.cancelled = true;
        let branch = placed.branch.clone();
        let lines = vec![
            format!("CANCEL {uri} SIP/2.0"),
            format!("Via: {}", placed.via),
            "Max-Forwards: 70".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} CANCEL", call.invite_cseq),
            "User-Agent: Facebook SipGateway".into(),
        ];
        let (flow, bytes) = (call.flow, finish(lines, ""));
        self.send(flow, bytes);
        self.report(now, id, What::Cancelled { by_far: false });
        // The INVITE must be answered in 64·T1 from now on (RFC 3261 9.1).
        self.alarms
            .set(now + self.settings.t1 * GIVE_UP, Alarm::Unanswered(branch));
    }

    /// The `o=` session id: milliseconds since a fixed day, so that a scene repeats exactly.
    fn session_id(&self, now: Instant) -> u64 {
        1_750_716_867_913 + millis(now.saturating_duration_since(self.started))
    }
}

/// The Request-URI of a user-initiated INVITE, user parameters in the user part.
fn request_uri(call: &Call) -> String {
    let mut user = format!("+{}", call.number.digits);
    for (key, value) in &call.number.user_params {
        user.push_str(&format!(";{key}={value}"));
    }
    format!("sip:{user}@{};transport=tls", call.number.hostname)
}
