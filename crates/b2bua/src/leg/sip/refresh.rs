//! Our own requests in mid-call: the refresh of a session (RFC 4028 §7.4, §10).
//!
//! UPDATE where the peer allows it, because it disturbs nothing; else a re-INVITE that offers what
//! holds already, word for word. A peer that is busy with an offer of its own (491) is asked again
//! later; one that does not know the call any more (481) or does not answer has lost it.

use std::time::Duration;

use bytes::Bytes;
use sip::{ClientKey, Failure, Headers, Method, Name, Request, Response, Text};

use super::session_timer::Due;
use super::{Acked, Phase, SipLeg, words};
use crate::Cause;
use crate::context::Context;
use crate::leg::LegEvent;

/// How soon a refresh that failed for some passing reason is tried again.
const LATER: Duration = Duration::from_secs(5);

/// How long a peer may ask us to wait with the next try: a session that is not refreshed ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A refresh of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct Refreshing {
    key: ClientKey,
    cseq: u32,
    request: Request,
    /// A re-INVITE, with an offer.
    pub(super) offers: bool,
}

impl Refreshing {
    pub(super) fn is(&self, key: ClientKey) -> bool {
        self.key == key
    }
}

impl SipLeg {
    /// What a peer's message says about the methods it takes.
    pub(super) fn note_allow(&mut self, headers: &Headers) {
        if headers.first(&Name::Allow).is_some() {
            self.takes_update = headers.lists(&Name::Allow, "UPDATE");
        }
    }

    /// Does what the session timer asks for.
    pub(super) fn session_timeout(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        if !matches!(self.phase, Phase::Confirmed { .. }) {
            return None;
        }
        match self.session.due(cx.now)? {
            Due::Expiry => Some(LegEvent::Failed(Cause::SessionExpired(self.side))),
            Due::Refresh if self.refreshing.is_some() => None,
            Due::Refresh if self.reoffer.is_some() => {
                // Our offer would meet one of the peer's: later.
                self.session.again_at(cx.now + LATER);
                None
            }
            Due::Refresh if self.takes_update => {
                self.refresh(cx, Method::Update, Bytes::new());
                None
            }
            Due::Refresh => Some(LegEvent::WantsRefresh),
        }
    }

    /// Refreshes with a re-INVITE that offers `body`, which holds already.
    pub(crate) fn refresh_with(&mut self, cx: &mut Context<'_>, body: Bytes) {
        self.refresh(cx, Method::Invite, body);
    }

    fn refresh(&mut self, cx: &mut Context<'_>, method: Method, body: Bytes) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let offers = method == Method::Invite;
        let mut request = dialog.request(method);
        let cseq = dialog.local_cseq();
        let headers = &mut request.headers;
        headers.push(Name::Contact, self.contact.clone());
        headers.push(Name::Allow, super::extensions::allow(&self.profile));
        super::extensions::put_supported(headers, &self.profile.extensions);
        self.session.ask(headers);
        if !cx.settings.product.is_empty() {
            headers.push(Name::UserAgent, Text::from(cx.settings.product.as_str()));
        }
        if offers {
            words::put_sdp(headers);
            request.body = body;
        }
        let hop = self.in_dialog_hop(cx);
        let key = cx.request(self.side, &hop, request.clone());
        self.refreshing = Some(Box::new(Refreshing {
            key,
            cseq,
            request,
            offers,
        }));
    }

    /// The peer wants to know who refreshes: the same again, with the answer. Whether that was done.
    fn refresh_proved(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Refreshing,
        answer: &Response,
    ) -> bool {
        let Some(again) = self.proved(cx, &asked.request, answer) else {
            return false;
        };
        let cseq = again.cseq().map_or(asked.cseq, |cseq| cseq.number);
        let hop = self.in_dialog_hop(cx);
        let key = cx.request(self.side, &hop, again.clone());
        self.refreshing = Some(Box::new(Refreshing {
            key,
            cseq,
            request: again,
            offers: asked.offers,
        }));
        true
    }

    /// A response to our refresh.
    pub(super) fn refresh_response(
        &mut self,
        cx: &mut Context<'_>,
        response: Response,
    ) -> Option<LegEvent> {
        if response.is_provisional() {
            return None;
        }
        let refreshing = self.refreshing.take()?;
        let status = response.status;
        if response.is_success() && refreshing.offers {
            self.acknowledge_refresh(cx, refreshing.cseq, &response);
        }
        if !matches!(self.phase, Phase::Confirmed { .. }) {
            return None;
        }
        if self.refresh_proved(cx, &refreshing, &response) {
            return None;
        }
        let soon = match status {
            200..=299 => {
                self.let_in();
                self.session.granted(cx.now, &response);
                self.note_allow(&response.headers);
                let answered = refreshing.offers && !response.body.is_empty();
                return answered.then_some(LegEvent::Reanswered {
                    body: response.body,
                });
            }
            408 | 481 => return Some(LegEvent::Failed(Cause::SessionExpired(self.side))),
            422 if self.session.refused(&response) => Duration::ZERO,
            491 => self.glare_pause(cx),
            500..=599 => {
                let wish = words::retry_after(&response.headers);
                wish.unwrap_or(LATER).min(PATIENCE)
            }
            _ if !refreshing.offers => {
                // It says it takes UPDATE and does not: there is the other way.
                self.takes_update = false;
                Duration::ZERO
            }
            _ => LATER,
        };
        self.session.again_at(cx.now + soon);
        None
    }

    /// Our refresh got no response.
    pub(super) fn refresh_failed(
        &mut self,
        cx: &mut Context<'_>,
        why: Failure,
    ) -> Option<LegEvent> {
        self.refreshing = None;
        if !matches!(self.phase, Phase::Confirmed { .. }) {
            return None;
        }
        match why {
            // RFC 4028 §10: who does not answer has lost the call.
            Failure::Timeout => Some(LegEvent::Failed(Cause::SessionExpired(self.side))),
            Failure::FlowLost => {
                // The next one goes over a fresh connection.
                self.anchor_at_dialog();
                self.session.again_at(cx.now);
                None
            }
        }
    }

    fn acknowledge_refresh(&mut self, cx: &mut Context<'_>, cseq: u32, response: &Response) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        if let Some(contact) = response.headers.first(&Name::Contact) {
            dialog.retarget(contact.clone());
        }
        let ack = dialog.ack(cseq);
        let hop = self.in_dialog_hop(cx);
        let bytes = cx.ack(&hop, ack);
        self.reacked = Some(Box::new(Acked {
            cseq,
            flow: hop.flow,
            bytes,
        }));
    }

    /// How long to wait after a 491 (RFC 3261 §14.1): 2.1 to 4 s for who made the Call-ID, else 0
    /// to 2 s, in steps of 10 ms.
    fn glare_pause(&self, cx: &mut Context<'_>) -> Duration {
        let (least, spread) = match self.called {
            true => (0, 200),
            false => (210, 190),
        };
        Duration::from_millis(u64::from(least + cx.ident.u32() % spread) * 10)
    }
}
