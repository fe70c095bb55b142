//! How a call that came in is answered: ringing, the agent's decision, the 200 until its ACK, refusals, CANCEL.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Name, Request, Response, ServerKey};

use super::description::print;
use super::knobs::PbxThen;
use super::{ALLOW, Alarm, PbxPeer, Phase};
use crate::report::{What, millis};

impl PbxPeer {
    /// 180, or 183 with SDP and media at once.
    pub(super) fn ring(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let Some(status) = call
            .script
            .as_ref()
            .and_then(|script| script.ring)
            .map(|(_, status)| status)
        else {
            return;
        };
        let Some(key) = call.server else { return };
        let mut response = self.dialog_response(
            id,
            status,
            if status == 180 {
                "Ringing"
            } else {
                "Session Progress"
            },
        );
        if status == 183 {
            let offer = self
                .calls
                .get(&id)
                .map(|call| call.invite.body.clone())
                .unwrap_or_default();
            self.agree(now, id, &offer);
            self.set_answer(id, &mut response);
            self.start_voice(now, id);
        }
        let body = !response.body.is_empty();
        self.send_progress(now, id, key, response);
        self.report(now, id, What::Progress { status, body });
    }

    /// The agent decides as scripted.
    pub(super) fn decide(&mut self, now: Instant, id: u32) {
        match self
            .calls
            .get(&id)
            .and_then(|call| call.script.as_ref())
            .map(|script| script.then.clone())
        {
            Some(PbxThen::Answer(_)) => self.pick_up(now, id),
            Some(PbxThen::Refuse(_, status, reason)) => self.refuse(now, id, status, &reason),
            _ => {}
        }
    }

    /// The agent picks up.
    pub(super) fn pick_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let Some(key) = call.server else { return };
        call.phase = Phase::Answered;
        call.answered = Some(now);
        call.status = 200;
        let after_ms = millis(now.saturating_duration_since(call.started));
        let offer = call.invite.body.clone();
        let hang_up = call.talk.hang_up_after;
        let codec = self.agree(now, id, &offer);
        let mut response = self.dialog_response(id, 200, "OK");
        self.set_answer(id, &mut response);
        self.add_headers(id, &mut response);
        if let Some(call) = self.calls.get_mut(&id) {
            call.answer = Some(response.clone());
        }
        self.endpoint.respond(now, key, response);
        self.report(now, id, What::Answered { after_ms, codec });
        let t1 = self.settings.timers.t1;
        self.alarms.set(now + t1, Alarm::Repeat(id, t1));
        self.start_voice(now, id);
        self.forks_answer(now, id);
        if let Some(after) = hang_up {
            self.alarms.set(now + after, Alarm::HangUp(id));
        }
    }

    /// The 200 once more, until the ACK comes or 64·T1 are over (RFC 3261 §13.3.1.4).
    pub(super) fn repeat_answer(&mut self, now: Instant, id: u32, interval: Duration) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Answered)
        else {
            return;
        };
        let (Some(key), Some(answer), Some(at)) = (call.server, call.answer.clone(), call.answered)
        else {
            return;
        };
        if now.saturating_duration_since(at) >= self.settings.timers.t1 * 64 {
            self.report(now, id, What::Unconfirmed { refused: false });
            return self.send_bye(now, id);
        }
        self.endpoint.respond(now, key, answer);
        let next = (interval * 2).min(self.settings.timers.t2);
        self.alarms.set(now + next, Alarm::Repeat(id, next));
    }

    /// A final refusal.
    pub(super) fn refuse(&mut self, now: Instant, id: u32, status: u16, reason: &str) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let Some(key) = call.server else { return };
        call.status = status;
        let mut response = Response::to(&call.invite, status, reason);
        response.tag_to(&call.tag);
        self.add_headers(id, &mut response);
        self.endpoint.respond(now, key, response);
        self.report(
            now,
            id,
            What::Refused {
                status,
                reason: reason.to_owned(),
                cause: None,
            },
        );
        self.end(now, id, "refused");
    }

    /// The ACK to our 200.
    pub(super) fn acknowledged(&mut self, now: Instant, request: &Request) {
        let Some(id) = self.owner(request) else {
            return;
        };
        if let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Answered)
        {
            call.phase = Phase::Talking;
            call.confirmed = true;
            self.report(now, id, What::Confirmed);
        }
    }

    /// CANCEL; 200 to it has gone out already.
    pub(super) fn cancelled(&mut self, now: Instant, key: ServerKey) {
        let Some(id) = self.servers.get(&key).copied() else {
            return;
        };
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let despite = call
            .script
            .as_ref()
            .is_some_and(|script| script.answer_despite_cancel);
        let ringing = call.phase == Phase::Ringing;
        self.report(now, id, What::Cancelled { by_far: true });
        if !ringing {
            return;
        }
        if despite {
            return self.pick_up(now, id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.status = 487;
            let mut response = Response::to(&call.invite, 487, "Request Terminated");
            response.tag_to(&call.tag);
            self.endpoint.respond(now, key, response);
        }
        self.end(now, id, "far");
    }

    /// The headers the script adds to a final response.
    fn add_headers(&self, id: u32, response: &mut Response) {
        let script = self.calls.get(&id).and_then(|call| call.script.as_ref());
        for (name, value) in script.into_iter().flat_map(|script| &script.headers) {
            response
                .headers
                .push(Name::from(name.as_str()), value.as_str());
        }
    }

    /// A response that makes or keeps the dialog of a call.
    pub(super) fn dialog_response(&self, id: u32, status: u16, reason: &str) -> Response {
        let Some(call) = self.calls.get(&id) else {
            return Response::new(status);
        };
        let mut response = Response::to(&call.invite, status, reason);
        response.tag_to(&call.tag);
        for route in call.invite.headers.all(&Name::RecordRoute) {
            response.headers.push(Name::RecordRoute, route);
        }
        response.headers.push(
            Name::Contact,
            self.contact(call.invite.uri.user().unwrap_or("pbx")),
        );
        response.headers.push(Name::Allow, ALLOW);
        response
    }

    /// Our answer to the offer agreed on last.
    pub(super) fn set_answer(&self, id: u32, response: &mut Response) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let (Some(codec), Some(far)) = (call.codec, &call.far) else {
            return;
        };
        let events = self.events().and(far.events);
        let direction = match far.direction.as_str() {
            "sendonly" => "recvonly",
            "recvonly" => "sendonly",
            "inactive" => "inactive",
            _ => call.direction,
        };
        response.headers.push(Name::ContentType, "application/sdp");
        let text = print(
            call.address,
            call.session,
            call.version,
            &[codec],
            events,
            (self.settings.ptime, direction),
        );
        let text = call
            .keys
            .add_to(text, &self.settings.srtp, Some(&far.crypto));
        response.body = Bytes::from(text);
    }
}
