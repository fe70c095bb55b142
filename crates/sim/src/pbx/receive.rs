//! A call comes in: the PBX as UAS.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Dialog, Flow, Method, Name, Request, Response, ServerKey};

use super::description::{print, read};
use super::knobs::PbxThen;
use super::{ALLOW, Alarm, Call, PbxPeer, Phase};
use crate::report::{What, extensions, millis};

impl PbxPeer {
    /// A request came.
    pub(super) fn asked(&mut self, now: Instant, key: ServerKey, flow: Flow, request: Request) {
        let owner = self.owner(&request);
        let Some(request) = self.is_let_in(now, key, request) else {
            return;
        };
        match (&request.method, owner) {
            (Method::Invite, None) if request.to_tag().is_none() => {
                self.invited(now, key, flow, request)
            }
            (Method::Invite, Some(id)) => self.reoffered(now, key, id, &request),
            (Method::Prack, Some(id)) => self.pracked(now, key, id, &request),
            (Method::Update, Some(id)) => self.updated(now, key, id, &request),
            (Method::Bye, Some(id)) => {
                let response = Response::to(&request, 200, "OK");
                self.endpoint.respond(now, key, response);
                let cause = request
                    .headers
                    .first(&Name::Reason)
                    .map(|text| text.as_str().into_owned());
                let new_connection = self.calls.get(&id).is_some_and(|call| call.flow != flow.id);
                self.report(
                    now,
                    id,
                    What::Bye {
                        by_far: true,
                        new_connection,
                        cause,
                    },
                );
                self.end(now, id, "far");
            }
            (Method::Options, _) => {
                let mut response = Response::to(&request, 200, "OK");
                response.headers.push(Name::Allow, ALLOW);
                if request.to_tag().is_none() {
                    response.tag_to(&self.ident.tag());
                }
                self.endpoint.respond(now, key, response);
            }
            (Method::Info, Some(id)) => self.informed(now, key, id, &request),
            (Method::Notify, Some(id)) => self.notified(now, key, id, &request),
            (_, None) if self.fork_hung_up(now, key, &request) => {}
            (_, None) => {
                let status = 481;
                self.endpoint.respond(
                    now,
                    key,
                    Response::to(&request, status, "Call/Transaction Does Not Exist"),
                );
                self.report(
                    now,
                    0,
                    What::Rejected {
                        method: request.method.to_string(),
                        status,
                    },
                );
            }
            (_, Some(id)) => {
                let status = 501;
                self.endpoint
                    .respond(now, key, Response::to(&request, status, "Not Implemented"));
                self.report(
                    now,
                    id,
                    What::Rejected {
                        method: request.method.to_string(),
                        status,
                    },
                );
            }
        }
    }

    /// A digit told in words.
    fn informed(&mut self, now: Instant, key: ServerKey, id: u32, request: &Request) {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let value = |name: &str| {
            let line = body.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix('=').map(str::to_owned)
        };
        let digit = value("Signal").and_then(|text| text.chars().next());
        let duration_ms = value("Duration").and_then(|text| text.parse().ok());
        let status = self.settings.informed;
        self.endpoint.respond(
            now,
            key,
            Response::to(request, status, sip::reason_phrase(status)),
        );
        match (digit, duration_ms) {
            (Some(digit), Some(duration_ms)) if status == 200 => {
                self.report(now, id, What::Digit { digit, duration_ms });
            }
            (Some(_), Some(_)) => {}
            _ => self.violation(now, id, format!("INFO that tells no digit: {body}")),
        }
    }

    /// The call an in-dialog request belongs to.
    fn owner(&self, request: &Request) -> Option<u32> {
        let id = sip::DialogId::of_incoming(request)?;
        self.calls
            .values()
            .find(|call| call.dialog.as_ref().is_some_and(|d| d.id() == id))
            .map(|call| call.id)
    }

    /// Whether the same INVITE came before, in another transaction than that of the call `id`.
    fn has_seen(&self, invite: &Request, id: u32) -> bool {
        let same = |call: &Call| {
            call.invite.call_id() == invite.call_id()
                && call.invite.from_tag() == invite.from_tag()
                && call.invite.headers.first(&Name::CSeq) == invite.headers.first(&Name::CSeq)
        };
        self.calls.values().any(|call| call.id != id && same(call))
    }

    fn invited(&mut self, now: Instant, key: ServerKey, flow: Flow, request: Request) {
        let id = self.next_call();
        let script = self
            .scripts
            .pop_front()
            .unwrap_or_else(|| self.settings.script.clone());
        let address = self.ports.take(id, &mut self.outputs);
        let tag = self.ident.tag();
        let mut keys = super::secrecy::Keys::default();
        keys.make(&mut self.dice, &self.settings.srtp, true);
        let user = |value: Option<sip::NameAddr>| {
            value
                .and_then(|v| v.uri.user().map(str::to_owned))
                .unwrap_or_default()
        };
        let what = What::Started {
            placed: false,
            call_id: request
                .call_id()
                .map(|id| id.as_str().into_owned())
                .unwrap_or_default(),
            from: user(request.from()),
            to: request.uri.user().unwrap_or_default().to_owned(),
            headers: extensions(&request.headers),
        };
        let call = Call {
            id,
            phase: Phase::Ringing,
            dialog: Dialog::uas(&request, &tag),
            flow: flow.id,
            client: None,
            server: Some(key),
            tag,
            answer: None,
            ack: None,
            session: self.dice.roll() as u32,
            version: 1,
            address,
            keys,
            far: None,
            codec: None,
            direction: "sendrecv",
            give_up: false,
            offerless: false,
            rseq: None,
            never_pracks: false,
            reliable: None,
            refresh_refusals: Vec::new(),
            talk: script.talk.clone(),
            voice: None,
            started: now,
            answered: None,
            confirmed: false,
            violations: 0,
            status: 0,
            script: Some(script.clone()),
            invite: request.clone(),
        };
        // A connection the SBC opened leads back to it.
        self.flows.insert(
            (
                flow.transport,
                flow.remote.ip().to_string(),
                flow.remote.port(),
            ),
            flow.id,
        );
        let broken = call.dialog.is_none();
        self.calls.insert(id, call);
        self.servers.insert(key, id);
        self.report(now, id, what);
        if broken {
            self.violation(now, id, "INVITE that can make no dialog");
            return self.refuse(now, id, 400, "Bad Request");
        }
        if !self.may_replace(&request) {
            // A copy that took another way here (RFC 3261 §8.2.2.2) comes too late, but in good faith.
            if !self.has_seen(&request, id) {
                self.violation(now, id, "Replaces names no call of ours");
            }
            return self.refuse(now, id, 481, "Call/Transaction Does Not Exist");
        }
        if let Err(why) = read(&request.body, !self.settings.srtp.is_empty()) {
            self.violation(now, id, format!("offer: {why}"));
            return self.refuse(now, id, 488, "Not Acceptable Here");
        }
        if let Some((after, _)) = script.ring {
            self.alarms.set(now + after, Alarm::Ring(id));
        }
        match script.then {
            PbxThen::Answer(after) | PbxThen::Refuse(after, ..) => {
                self.alarms.set(now + after, Alarm::Decide(id))
            }
            PbxThen::Never => {}
        }
        self.fork(now, id, &script.forks);
    }

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

    /// An offer inside the call: answered as it is.
    fn reoffered(&mut self, now: Instant, key: ServerKey, id: u32, request: &Request) {
        let refusal = self
            .calls
            .get_mut(&id)
            .and_then(|call| call.refresh_refusals.pop());
        if let Some(status) = refusal {
            let response = Response::to(request, status, "");
            return self.endpoint.respond(now, key, response);
        }
        self.agree(now, id, &request.body);
        let mut response = Response::to(request, 200, "OK");
        super::midcall::grant(request, &mut response);
        response.headers.push(Name::Contact, self.contact("pbx"));
        if let Some(call) = self.calls.get_mut(&id) {
            call.version += 1;
        }
        self.set_answer(id, &mut response);
        self.endpoint.respond(now, key, response);
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
            direction,
        );
        let text = call.keys.add_to(text, &self.settings.srtp, Some(far));
        response.body = Bytes::from(text);
    }
}
