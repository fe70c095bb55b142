//! A call comes in: the PBX as UAS.

use std::time::Instant;

use sip::{Dialog, Flow, Method, Name, Request, Response, ServerKey};

use super::description::read;
use super::knobs::PbxThen;
use super::{ALLOW, Alarm, Call, PbxPeer, Phase};
use crate::report::{What, extensions};

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
    pub(super) fn owner(&self, request: &Request) -> Option<u32> {
        let id = sip::DialogId::of_incoming(request)?;
        self.calls
            .values()
            .find(|call| call.dialog.as_ref().is_some_and(|d| *d.id() == id))
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
        let address = self.voices.take_ports(id, &mut self.outputs);
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
}
