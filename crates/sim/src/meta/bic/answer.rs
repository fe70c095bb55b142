//! What becomes of an INVITE of a business that Meta took: ringing, the user's answer, the cancellation.

use std::time::{Duration, Instant};

use sip::{Flow, Request};

use super::super::call::{Kind, Phase};
use super::super::knobs::Then;
use super::super::offer;
use super::super::print::{self, Reply};
use super::super::{Alarm, MetaPeer};
use super::{branch_of, contact_line};
use crate::report::{What, millis};

/// Longest interval between repeats of a 200: T2 of RFC 3261.
const T2: Duration = Duration::from_secs(4);

impl MetaPeer {
    /// The user's phone rings.
    pub(in super::super) fn ring(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let Kind::Received(received) = &call.kind else {
            return;
        };
        let Some((_, status)) = received.script.ring else {
            return;
        };
        let second = received.script.second_tag;
        let second_answers = received.script.second_answers;
        let contact = contact_line(call);
        let body = if status == 183 {
            offer::print(&call.words)
        } else {
            String::new()
        };
        let reason = if status == 183 {
            "Session Progress"
        } else {
            "Ringing"
        };
        let mut lines = vec![contact];
        lines.extend(self.usual_lines());
        self.reply(now, id, status, reason, lines.clone(), &body);
        if second {
            // Another phone of the same user: same dialog identifiers but the tag.
            let tag = self.dice.uuid();
            let first = self
                .calls
                .get_mut(&id)
                .map(|call| std::mem::replace(&mut call.our_tag, tag));
            self.reply(now, id, status, reason, lines, "");
            if let (Some(call), Some(first), false) =
                (self.calls.get_mut(&id), first, second_answers)
            {
                call.our_tag = first;
            }
        }
    }

    /// The user decides as scripted.
    pub(in super::super) fn decide_by_script(&mut self, now: Instant, id: u32) {
        let then = match self.calls.get(&id).map(|call| &call.kind) {
            Some(Kind::Received(received)) => received.script.then.clone(),
            _ => return,
        };
        match then {
            Then::Answer(_) => self.pick_up(now, id),
            Then::Refuse(_, status, reason) => self.decide(now, id, status, &reason),
            Then::Never => {}
        }
    }

    /// A final refusal of a ringing call.
    pub(in super::super) fn decide(&mut self, now: Instant, id: u32, status: u16, reason: &str) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.phase == Phase::Ringing)
        {
            let lines = self.usual_lines();
            self.reply(now, id, status, reason, lines, "");
            self.end(now, id, "refused");
        }
    }

    /// The user picks up: 200 with the answer, repeated until the ACK comes (RFC 3261 13.3.1.4).
    fn pick_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        call.phase = Phase::Answered;
        call.answered = Some(now);
        call.status = 200;
        let after_ms = millis(now.saturating_duration_since(call.started));
        let codec = call
            .words
            .formats
            .first()
            .map(|(_, map)| map.to_ascii_lowercase())
            .unwrap_or_default();
        let body = offer::print(&call.words);
        let contact = contact_line(call);
        let lines = vec![
            format!("Allow: {}", print::ALLOW),
            "Supported: timer".into(),
            format!("X-FB-External-Domain: {}", self.settings.domain),
            contact,
        ];
        self.reply(now, id, 200, "OK", lines, &body);
        self.report(now, id, What::Answered { after_ms, codec });
        let t1 = self.settings.t1;
        self.alarms.set(now + t1, Alarm::Repeat(id, t1));
        self.alarms.set(now + t1 * 64, Alarm::NoAck(id));
        self.start_voice(now, id);
        let hang_up = match self.calls.get(&id).map(|call| &call.kind) {
            Some(Kind::Received(received)) => received.script.talk.hang_up_after,
            _ => None,
        };
        if let Some(after) = hang_up {
            self.alarms.set(now + after, Alarm::HangUp(id));
        }
    }

    /// The 200 once more.
    pub(in super::super) fn repeat_answer(&mut self, now: Instant, id: u32, interval: Duration) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Answered)
        else {
            return;
        };
        let Kind::Received(received) = &call.kind else {
            return;
        };
        if let Some(last) = received.last.clone() {
            let flow = received.flow.id;
            self.send(flow, last);
        }
        let next = (interval * 2).min(T2);
        self.alarms.set(now + next, Alarm::Repeat(id, next));
    }

    /// No ACK: BYE (RFC 3261 13.3.1.4).
    pub(in super::super) fn no_ack(&mut self, now: Instant, id: u32) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.phase == Phase::Answered)
        {
            self.report(now, id, What::Unconfirmed { refused: false });
            self.violation(now, id, "no ACK to our 200 in 64·T1");
            self.send_bye(now, id, None);
        }
    }

    /// CANCEL: matched by the top branch alone (RFC 3261 9.2).
    pub(in super::super) fn cancelled(&mut self, now: Instant, flow: Flow, request: &Request) {
        let branch = branch_of(request);
        let found = self.calls.values().find(|call| match &call.kind {
            Kind::Received(received) => branch_of(&received.invite) == branch,
            Kind::Placed(_) => false,
        });
        let Some(call) = found else {
            self.violation(now, 0, "CANCEL that matches no INVITE");
            return self.answer(
                now,
                0,
                &flow,
                request,
                481,
                "Call/Transaction Does Not Exist",
                Vec::new(),
            );
        };
        let (id, phase, tag) = (call.id, call.phase, call.our_tag.clone());
        let Kind::Received(received) = &call.kind else {
            return;
        };
        let despite = received.script.answer_despite_cancel;
        let same_uri = received.invite.uri.as_str() == request.uri.as_str();
        let same_number =
            received.invite.cseq().map(|c| c.number) == request.cseq().map(|c| c.number);
        if !same_uri || !same_number {
            self.violation(
                now,
                id,
                "CANCEL with another Request-URI or CSeq than its INVITE",
            );
        }
        let ok = Reply {
            status: 200,
            reason: "OK",
            tag: Some(&tag),
            routes: &[],
            echo_routes: false,
            lines: Vec::new(),
            body: "",
        };
        let bytes = ok.print(request, &flow);
        self.send(flow.id, bytes);
        self.report(now, id, What::Cancelled { by_far: true });
        if phase == Phase::Ringing {
            if despite {
                self.pick_up(now, id);
            } else {
                let lines = self.usual_lines();
                self.reply(now, id, 487, "Request Terminated", lines, "");
                self.end(now, id, "far");
            }
        }
    }
}
