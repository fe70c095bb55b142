//! What a PBX does beyond calling and hanging up: PRACK (RFC 3262), UPDATE (RFC 3311), refreshes
//! (RFC 4028), offers of every kind in mid-call.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Dialog, DialogId, Method, Name, Request, Response, ServerKey, SessionExpires};

use super::description::print;
use super::{Alarm, PbxPeer, Phase};

/// A reliable provisional response that waits for its PRACK.
#[derive(Debug)]
pub(super) struct Reliable {
    rseq: u32,
    response: Response,
}

impl PbxPeer {
    /// The agent's telephone changes: another port, and whatever codecs the settings name now.
    pub fn move_telephone(&mut self, now: Instant, call: Option<u32>) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        let address = self.voices.take_ports(id, &mut self.outputs);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut call.address, address);
        self.voices.end(now, id, before, &mut self.outputs);
        self.hold(now, Some(id), false);
    }

    /// A re-INVITE without an offer: the far side offers, our ACK answers.
    pub fn ask_for_offer(&mut self, now: Instant, call: Option<u32>) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.offerless = true;
        }
        let contact = self.contact("pbx");
        self.ask_with(now, Some(id), Method::Invite, &[("Contact", &contact)], "");
    }

    /// Our description of a call as it stands, in a new version if `changed`.
    pub fn description(&mut self, call: u32, changed: bool) -> String {
        let (formats, events) = (self.formats(), self.events());
        let Some(call) = self.calls.get_mut(&call) else {
            return String::new();
        };
        call.version += u32::from(changed);
        let text = print(
            call.address,
            call.session,
            call.version,
            &formats,
            events,
            (self.settings.ptime, call.direction),
        );
        call.keys
            .make(&mut self.dice, &self.settings.srtp, self.settings.rekeys);
        call.keys.add_to(text, &self.settings.srtp, None)
    }

    /// The SDP our ACK answers an offer of the far side with, if that was asked for.
    pub(super) fn late_answer(&mut self, id: u32) -> Option<Bytes> {
        let call = self.calls.get_mut(&id)?;
        if !std::mem::take(&mut call.offerless) {
            return None;
        }
        let (codec, far) = (call.codec?, call.far.clone()?);
        call.version += 1;
        let (address, session, version) = (call.address, call.session, call.version);
        let events = self.events().and(far.events);
        let text = print(
            address,
            session,
            version,
            &[codec],
            events,
            (self.settings.ptime, "sendrecv"),
        );
        let call = self.calls.get(&id)?;
        let text = call
            .keys
            .add_to(text, &self.settings.srtp, Some(&far.crypto));
        Some(Bytes::from(text))
    }

    /// A provisional response of the far side: its early dialog, and PRACK where it wants one.
    pub(super) fn progressed(&mut self, now: Instant, id: u32, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let made = DialogId::of_response(response);
        if call.dialog.as_ref().map(Dialog::id) != made.as_ref() {
            call.dialog = Dialog::uac(&call.invite, response).or(call.dialog.take());
        }
        let Some(rseq) = response.headers.first(&Name::RSeq).cloned() else {
            return;
        };
        let rseq = rseq.to_string();
        if call.rseq.as_ref() == Some(&rseq) {
            return;
        }
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let rack = format!("{rseq} {cseq} INVITE");
        call.rseq = Some(rseq);
        if call.never_pracks {
            return;
        }
        self.ask_with(now, Some(id), Method::Prack, &[("RAck", &rack)], "");
    }

    /// The dialog a 200 confirms: the early one if it is of the same branch.
    pub(super) fn confirmed_dialog(&mut self, id: u32, response: &Response) -> Option<Dialog> {
        let call = self.calls.get_mut(&id)?;
        match call.dialog.take() {
            Some(mut dialog) if Some(dialog.id()) == DialogId::of_response(response).as_ref() => {
                dialog.update_from_2xx(response);
                Some(dialog)
            }
            _ => Dialog::uac(&call.invite, response),
        }
    }

    /// Sends our 18x, reliably where the script says so.
    pub(super) fn send_progress(
        &mut self,
        now: Instant,
        id: u32,
        key: ServerKey,
        mut response: Response,
    ) {
        let t1 = self.settings.timers.t1;
        if let Some(call) = self.calls.get_mut(&id)
            && call.script.as_ref().is_some_and(|script| script.reliable)
        {
            let rseq = 1 + call.session % 1_000;
            response.headers.push(Name::Require, "100rel");
            response.headers.push(Name::RSeq, rseq.to_string());
            call.reliable = Some(Reliable {
                rseq,
                response: response.clone(),
            });
            self.alarms.set(now + t1, Alarm::RingAgain(id, t1));
        }
        self.endpoint.respond(now, key, response);
    }

    /// The 18x once more until its PRACK comes (RFC 3262 §3).
    pub(super) fn ring_again(&mut self, now: Instant, id: u32, interval: Duration) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let (Some(key), Some(reliable)) = (call.server, &call.reliable) else {
            return;
        };
        self.endpoint.respond(now, key, reliable.response.clone());
        self.alarms
            .set(now + interval * 2, Alarm::RingAgain(id, interval * 2));
    }

    /// PRACK: 200 if it fits, and no more of that 18x.
    pub(super) fn pracked(&mut self, now: Instant, key: ServerKey, id: u32, request: &Request) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let cseq = call.invite.cseq().map_or(0, |cseq| cseq.number);
        let rack = request.headers.first(&Name::RAck);
        let rack = rack.map(sip::Text::to_string);
        let fits = call
            .reliable
            .take_if(|it| rack == Some(format!("{} {cseq} INVITE", it.rseq)));
        let status = if fits.is_some() { 200 } else { 481 };
        if fits.is_none() {
            self.violation(now, id, format!("PRACK of {rack:?}, which waits for none"));
        }
        let response = Response::to(request, status, "");
        self.endpoint.respond(now, key, response);
    }

    /// UPDATE: granted as it asks, or refused as the script says.
    pub(super) fn updated(&mut self, now: Instant, key: ServerKey, id: u32, request: &Request) {
        let refusal = self
            .calls
            .get_mut(&id)
            .and_then(|call| call.refresh_refusals.pop());
        let mut response = Response::to(request, refusal.unwrap_or(200), "");
        if refusal.is_none() {
            response.headers.push(Name::Contact, self.contact("pbx"));
            grant(request, &mut response);
        }
        self.endpoint.respond(now, key, response);
    }

    /// The next refresh of the far side, UPDATE or re-INVITE, gets this status instead of 200.
    pub fn refuses_refresh(&mut self, call: u32, status: u16) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.refresh_refusals.push(status);
        }
    }
}

/// A session timer that is asked for is granted, in the same words.
pub(super) fn grant(request: &Request, response: &mut Response) {
    if let Some(asked) = SessionExpires::of(&request.headers) {
        response
            .headers
            .push(Name::SessionExpires, asked.to_string());
    }
}
