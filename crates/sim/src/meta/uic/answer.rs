//! Our 200 to a user's INVITE: judged, then acknowledged, or not.

use std::time::Instant;

use bytes::Bytes;
use sip::{Flow, Response};

use crate::meta::call::{Kind, Phase};
use crate::meta::print::{finish, vias};
use crate::meta::rules::{self, Offered};
use crate::meta::{Alarm, MetaPeer};
use crate::report::{What, millis};

impl MetaPeer {
    /// 200: judged, then acknowledged — or not.
    pub(super) fn picked_up(&mut self, now: Instant, id: u32, flow: Flow, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if call.answered.is_some() {
            let ack = placed.ack.clone().filter(|_| call.phase != Phase::Spurned);
            if let Some(ack) = ack {
                self.send(flow.id, ack);
            }
            return;
        }
        let branch = placed.branch.clone();
        let given_up = placed.give_up;
        call.answered = Some(now);
        call.status = response.status;
        call.their_tag = response.to_tag().map(|tag| tag.as_str().into_owned());
        let after_ms = millis(now.saturating_duration_since(call.started));
        self.settled_quietly(&branch);
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Window(c) | Alarm::GiveUp(c) if *c == id));
        self.judge_answer_headers(now, id, response);
        let routed = self.judge_routes(now, id, response);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let offered = Offered {
            formats: &call.words.formats,
            crypto: &call.words.crypto,
            key: &call.words.key,
        };
        let agreed = rules::check(&response.body, call.number.g711, Some(&offered));
        let codec = match &agreed {
            Ok(theirs) => theirs
                .audio
                .first()
                .map(|(_, map)| map.clone())
                .unwrap_or_default(),
            Err(_) => String::new(),
        };
        self.report(now, id, What::Answered { after_ms, codec });
        let unacceptable = match agreed {
            Ok(theirs) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.theirs = Some(theirs);
                }
                false
            }
            Err(broken) => {
                for rule in broken {
                    self.violation(now, id, format!("200: {rule}"));
                }
                true
            }
        };
        if routed {
            self.send_ack(now, id, flow);
        } else {
            if let Some(call) = self.calls.get_mut(&id) {
                call.phase = Phase::Spurned;
            }
            self.report(now, id, What::Unconfirmed { refused: true });
        }
        if unacceptable {
            self.send_bye(
                now,
                id,
                Some("SIP;cause=488;text=\"Not Acceptable Here\"".into()),
            );
        } else if given_up {
            self.send_bye(now, id, None);
        } else {
            self.start_voice(now, id);
            let hang_up = match self.calls.get(&id).map(|call| &call.kind) {
                Some(Kind::Placed(placed)) => placed.plan.talk.hang_up_after,
                _ => None,
            };
            if let Some(after) = hang_up {
                self.alarms.set(now + after, Alarm::HangUp(id));
            }
        }
    }

    /// ACK to the 200: end to end, new branch, three Vias, the partner's own routes only.
    fn send_ack(&mut self, now: Instant, id: u32, flow: Flow) {
        let vias = vias(&mut self.dice, &self.settings.edge);
        let domain = self.settings.domain.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut lines = vec![format!("ACK {} SIP/2.0", call.target)];
        lines.extend(vias.values.iter().map(|via| format!("Via: {via}")));
        lines.extend(
            call.partner_routes
                .iter()
                .map(|route| format!("Route: {route}")),
        );
        lines.extend([
            "Max-Forwards: 69".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them_tagged()),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} ACK", call.invite_cseq),
            format!("X-FB-External-Domain: {domain}"),
            "User-Agent: Facebook SipGateway".into(),
        ]);
        let bytes: Bytes = finish(lines, "");
        call.phase = Phase::Talking;
        call.confirmed = true;
        if let Kind::Placed(placed) = &mut call.kind {
            placed.ack = Some(bytes.clone());
        }
        self.send(flow.id, bytes);
        self.report(now, id, What::Confirmed);
    }
}
