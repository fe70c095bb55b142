//! Transfer as a PBX does it: REFER, its NOTIFYs, and calls that replace a consultation.
//!
//! What the NOTIFYs have to look like is judged here, from the words of RFC 3515 and RFC 6665.

use std::time::Instant;

use sip::{Method, Name, Request, Response, ServerKey};

use super::{PbxPeer, Phase};
use crate::report::What;

/// Where an agent sends a call.
#[derive(Clone, Debug)]
pub struct Referral {
    /// User part of the target.
    pub to: String,
    /// The agent has spoken with the target before: it is to replace that call (RFC 3891).
    pub consulted: bool,
    /// No word of how it goes is wanted (RFC 4488).
    pub quiet: bool,
}

impl Referral {
    /// A blind transfer.
    pub fn blind(to: &str) -> Self {
        Self {
            to: to.into(),
            consulted: false,
            quiet: false,
        }
    }

    /// A transfer after a word with the target.
    pub fn attended(to: &str) -> Self {
        Self {
            consulted: true,
            ..Self::blind(to)
        }
    }
}

/// What the PBX remembers of its transfers.
#[derive(Debug, Default)]
pub(super) struct Referrals {
    /// Values of Replaces that name a call between two telephones here.
    consultations: Vec<String>,
    /// Calls whose REFER asked for no NOTIFY.
    quiet: Vec<u32>,
    /// Calls that had one which asked for it.
    told: Vec<u32>,
}

impl PbxPeer {
    /// The agent of this call, or of the oldest one, transfers it.
    pub fn refer(&mut self, now: Instant, call: Option<u32>, referral: &Referral) {
        let Some(id) = call.or_else(|| self.calls().next()) else {
            return;
        };
        let us = self.settings.address;
        let mut target = format!("sip:{}@{us}", referral.to);
        if referral.consulted {
            let tags = [self.ident.tag(), self.ident.tag()];
            let call_id = format!("{}@{us}", self.ident.tag());
            let replaces = format!("{call_id};to-tag={};from-tag={}", tags[0], tags[1]);
            let escaped = replaces
                .replace('@', "%40")
                .replace(';', "%3B")
                .replace('=', "%3D");
            target.push_str(&format!(
                "?Replaces={}&Require=replaces",
                escaped.replace(':', "%3a")
            ));
            self.referrals.consultations.push(replaces);
        }
        let Some(dialog) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase != Phase::Releasing)
            .and_then(|call| call.dialog.as_mut())
        else {
            return;
        };
        let mut request = dialog.request(Method::Refer);
        let headers = &mut request.headers;
        headers.push(Name::ReferTo, format!("<{target}>"));
        headers.push(Name::ReferredBy, format!("<sip:agent@{us}>"));
        headers.push(Name::Contact, self.contact("pbx"));
        if referral.quiet {
            request.headers.push("Refer-Sub", "false");
            request.headers.push(Name::Supported, "norefersub");
            self.referrals.quiet.push(id);
        } else {
            self.referrals.told.push(id);
        }
        self.send_in_dialog(now, id, request, Method::Refer);
        self.drain(now);
    }

    /// The value of a Replaces header that names this call, or the oldest one, as the far side knows it
    /// (RFC 3891 §6.1).
    pub fn replaces(&self, call: Option<u32>) -> Option<String> {
        let id = call.or_else(|| self.calls().next())?;
        let dialog = self.calls.get(&id)?.dialog.as_ref()?.id().clone();
        let (call_id, far, near) = (dialog.call_id, dialog.remote_tag, dialog.local_tag);
        Some(format!("{call_id};to-tag={far};from-tag={near}"))
    }

    /// A NOTIFY inside a call.
    pub(super) fn notified(&mut self, now: Instant, key: ServerKey, id: u32, request: &Request) {
        self.endpoint
            .respond(now, key, Response::to(request, 200, "OK"));
        let header = |name: Name| {
            let value = request.headers.first(&name);
            value.map_or_else(String::new, |value| value.as_str().into_owned())
        };
        let referrals = &self.referrals;
        if referrals.quiet.contains(&id) && !referrals.told.contains(&id) {
            return self.violation(now, id, "NOTIFY though Refer-Sub was false");
        }
        let event = header(Name::Event);
        if event.split(';').next() != Some("refer") {
            self.violation(now, id, format!("NOTIFY of the event {event:?}"));
        }
        if !header(Name::ContentType).starts_with("message/sipfrag") {
            self.violation(now, id, "NOTIFY without a sipfrag");
        }
        let state = header(Name::SubscriptionState);
        let over = state.starts_with("terminated");
        if !over && !state.starts_with("active") {
            self.violation(now, id, format!("NOTIFY in the state {state:?}"));
        }
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let status = body
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        match status {
            Some(status) if over == (status >= 200) => {
                self.report(now, id, What::Notified { status, over });
            }
            _ => self.violation(now, id, format!("NOTIFY {state:?} with {body:?}")),
        }
    }

    /// Whether an INVITE may replace what it names; `true` if it names nothing.
    pub(super) fn may_replace(&mut self, invite: &Request) -> bool {
        let Some(replaces) = invite.headers.first(&Name::Replaces) else {
            return true;
        };
        let replaces = replaces.as_str().into_owned();
        let consultations = &mut self.referrals.consultations;
        let before = consultations.len();
        consultations.retain(|known| *known != replaces);
        consultations.len() < before
    }
}
