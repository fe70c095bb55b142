//! A call an agent places: INVITE, what the far side answers, and giving it up.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use sip::{ClientKey, Flow, Method, Name, Request, Response, Uri};

use super::description::print;
use super::knobs::AgentCall;
use super::{ALLOW, Alarm, Call, PbxPeer, Phase, secrecy};
use crate::report::{What, millis};

impl PbxPeer {
    /// An agent places a call.
    pub fn call(&mut self, now: Instant, plan: AgentCall) -> u32 {
        let id = self.next_call();
        let address = self.voices.take_ports(id, &mut self.outputs);
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
            (self.settings.ptime, "sendrecv"),
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

    pub(super) fn give_up(&mut self, now: Instant, id: u32) {
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

    /// A response to a request of ours.
    pub(super) fn answered_by_far(
        &mut self,
        now: Instant,
        key: ClientKey,
        flow: Flow,
        response: Response,
    ) {
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
                if let Some(call) = self.calls.get_mut(&id) {
                    call.status = status;
                }
                self.report(now, id, What::refused(&response));
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
    pub(super) fn picked_up(&mut self, now: Instant, id: u32, flow: Flow, response: &Response) {
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
}
