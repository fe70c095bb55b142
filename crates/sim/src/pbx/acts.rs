//! What an agent does in mid-call: holds, presses keys, falls silent, asks, hangs up.

use std::time::Instant;

use bytes::Bytes;
use sip::{Method, Name, Response};

use super::{PbxPeer, Phase};
use crate::report::What;

impl PbxPeer {
    /// The agent of this call, or of the oldest one, gives up, hangs up, or declines.
    pub fn hang_up(&mut self, now: Instant, call: Option<u32>) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        match self.calls.get(&id).map(|call| call.phase) {
            Some(Phase::Inviting) => self.give_up(now, id),
            Some(Phase::Ringing) => self.refuse(now, id, 603, "Decline"),
            Some(Phase::Talking | Phase::Answered) => self.send_bye(now, id),
            _ => {}
        }
        self.drain(now);
    }

    /// The agent of this call, or of the oldest one, presses digits.
    pub fn press(&mut self, now: Instant, call: Option<u32>, digits: &str) {
        if let Some(id) = call.or_else(|| self.calls().next()) {
            self.voices.press(now, id, digits);
            self.drain_voices(now);
        }
    }

    /// The agent's telephone sends nothing at all, or sends again.
    pub fn mute(&mut self, now: Instant, call: Option<u32>, mute: bool) {
        if let Some(id) = call.or_else(|| self.calls().next()) {
            self.voices.mute(now, id, mute);
            self.drain_voices(now);
        }
    }

    /// The agent holds (re-INVITE `sendonly`) or takes the call back (`sendrecv`).
    pub fn hold(&mut self, now: Instant, call: Option<u32>, hold: bool) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Talking)
        else {
            return;
        };
        call.direction = if hold { "sendonly" } else { "sendrecv" };
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        let mut request = dialog.request(Method::Invite);
        request.body = Bytes::from(self.description(id, true));
        request.headers.push(
            Name::Contact,
            format!("<sip:{}@{}>", "pbx", self.settings.address),
        );
        request.headers.push(Name::ContentType, "application/sdp");
        self.send_in_dialog(now, id, request, Method::Invite);
        self.drain(now);
    }

    /// Sends any other request inside a call: UPDATE, INFO, REFER, OPTIONS.
    pub fn ask(&mut self, now: Instant, call: Option<u32>, method: Method) {
        self.ask_with(now, call, method, &[], "");
    }

    /// Sends any other request inside a call, with these headers and this body.
    pub fn ask_with(
        &mut self,
        now: Instant,
        call: Option<u32>,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        // Behind a BYE nothing follows in its dialog.
        let Some(dialog) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase != Phase::Releasing)
            .and_then(|call| call.dialog.as_mut())
        else {
            return;
        };
        let mut request = dialog.request(method.clone());
        for (name, value) in headers {
            request.headers.push(Name::from(*name), *value);
        }
        request.body = Bytes::from(body.to_owned());
        self.send_in_dialog(now, id, request, method);
        self.drain(now);
    }

    /// The answer to a re-INVITE of ours.
    pub(super) fn reoffer_answered(&mut self, now: Instant, id: u32, response: &Response) {
        if response.status < 200 {
            return;
        }
        if response.status >= 300 {
            let reason = response.reason.as_str().into_owned();
            return self.report(
                now,
                id,
                What::Refused {
                    status: response.status,
                    reason,
                    cause: None,
                },
            );
        }
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let Some(mut ack) = self
            .calls
            .get(&id)
            .and_then(|call| call.dialog.as_ref())
            .map(|dialog| dialog.ack(cseq))
        else {
            return;
        };
        let codec = self.agree(now, id, &response.body);
        if let Some(answer) = self.late_answer(id) {
            ack.headers.push(Name::ContentType, "application/sdp");
            ack.body = answer;
        }
        let Some(flow) = self.dialog_flow(id) else {
            return;
        };
        let (transport, sent_by) = (
            self.settings.sbc.transport,
            self.settings.address.to_string(),
        );
        self.endpoint.ack(flow, transport, &sent_by, ack);
        self.start_voice(now, id);
        self.report(now, id, What::Answered { after_ms: 0, codec });
    }
}
