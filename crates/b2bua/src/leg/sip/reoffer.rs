//! An offer of the peer in mid-call, on either kind of leg: a re-INVITE (RFC 3261 §14.2) or an UPDATE with SDP (RFC 3311). Hold
//! is such an offer. The call answers it ([`SipLeg::answer_reoffer`]); the 200 to a re-INVITE is repeated until its ACK.

use std::time::Instant;

use bytes::Bytes;
use sip::{Method, Name, Request, Response, ServerKey, Text};

use super::{Phase, Repeat, SipLeg, words};
use crate::context::Context;
use crate::leg::LegEvent;

/// A re-INVITE or UPDATE of the peer that waits: for the call's answer, then for its ACK.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) key: ServerKey,
    pub(super) request: Request,
    /// The 200 being repeated, once the call has answered a re-INVITE.
    pub(super) ok: Option<(Response, Repeat)>,
    /// We made the offer; the ACK brings the answer.
    pub(super) awaits_answer: bool,
}

impl Reoffer {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ok.as_ref().map(|(_, repeat)| repeat.next_timeout())
    }
}

impl SipLeg {
    /// A re-INVITE, or an UPDATE with an offer: the call is asked what it makes of it, unless it comes at the wrong moment.
    pub(super) fn reoffered(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) -> Option<LegEvent> {
        if let Some(status) = self.refuses_offer(&request) {
            let mut refusal = words::response(&request, status, "", &cx.settings.product);
            if status == 500 {
                // RFC 3261 §14.2: some seconds, by chance, so that both do not meet again.
                let seconds = Text::from((cx.ident.u32() % 10 + 1).to_string());
                refusal.headers.push(Name::RetryAfter, seconds);
            }
            cx.respond(key, refusal);
            return None;
        }
        // A re-INVITE whose answer waits for its ACK has been answered; the peer goes on without it.
        self.reoffer = None;
        cx.owns_server(self.side, key);
        let offer = (!request.body.is_empty()).then(|| request.body.clone());
        let awaits_answer = offer.is_none();
        self.reoffer = Some(Box::new(Reoffer {
            key,
            request,
            ok: None,
            awaits_answer,
        }));
        Some(LegEvent::Reoffered { offer })
    }

    /// Answers the peer's pending re-INVITE or UPDATE: with SDP, or with 488.
    pub(crate) fn answer_reoffer(&mut self, cx: &mut Context<'_>, body: Option<Bytes>) {
        let Some(reoffer) = self.reoffer.as_mut() else {
            return;
        };
        let (key, is_invite) = (reoffer.key, reoffer.request.method == Method::Invite);
        let Some(body) = body else {
            let request = reoffer.request.clone();
            self.reoffer = None;
            self.respond_in_dialog(cx, key, &request, 488);
            return;
        };
        let mut ok = words::dialog_response(
            &reoffer.request,
            200,
            "",
            &self.contact,
            &self.profile,
            &cx.settings.product,
        );
        ok.headers.remove(&Name::RecordRoute);
        words::put_sdp(&mut ok.headers);
        ok.body = body;
        let request = reoffer.request.clone();
        self.session.grant(cx.now, &request, &mut ok);
        self.retarget(&request);
        cx.respond(key, ok.clone());
        match &mut self.reoffer {
            Some(reoffer) if is_invite => {
                reoffer.ok = Some((ok, Repeat::new(cx.now, &cx.settings.timers)));
            }
            _ => self.reoffer = None,
        }
    }

    /// The status an offer of the peer gets that comes at the wrong moment.
    fn refuses_offer(&mut self, request: &Request) -> Option<u16> {
        let invites = request.method == Method::Invite;
        // Our offer waits for its answer: in a refresh of ours, or in the 200 of an offerless one.
        let ours = self.refreshing.as_ref().is_some_and(|ours| ours.offers)
            || self.reoffer.as_ref().is_some_and(|r| r.awaits_answer);
        match &self.phase {
            // RFC 3261 §14.2: our own is in progress.
            Phase::Confirmed { .. } if ours => Some(491),
            // Its answer is not out yet: a second one has to wait (RFC 3261 §14.2, RFC 3311 §5.2).
            Phase::Confirmed { .. } => {
                let unanswered = self.reoffer.as_ref().is_some_and(|r| r.ok.is_none());
                unanswered.then_some(500)
            }
            Phase::Offered { .. } => Some(500),
            // The ACK was overtaken or is lost: asked again, it will be there.
            Phase::Answering(_) => Some(491),
            Phase::Calling(_) if invites => Some(481),
            // The first offer is ours; only what answered it reliably can be followed by another.
            Phase::Calling(_) => {
                let answered = self.early_of(request).is_some_and(|e| e.is_answered());
                (!answered).then_some(491)
            }
            Phase::Releasing { .. } | Phase::Gone => Some(481),
        }
    }

    /// Moves the remote target to where a request of the peer that succeeds says it is
    /// (RFC 3261 §12.2.2, RFC 3311 §5.2).
    pub(super) fn retarget(&mut self, request: &Request) {
        if let (Some(dialog), Some(contact)) =
            (&mut self.dialog, request.headers.first(&Name::Contact))
        {
            dialog.retarget(contact.clone());
        }
    }

    /// The 200 to a re-INVITE once more, until its ACK.
    pub(super) fn repeat_reoffer_answer(&mut self, cx: &mut Context<'_>) {
        let Some(Reoffer {
            key,
            ok: Some((ok, repeat)),
            ..
        }) = self.reoffer.as_deref_mut()
        else {
            return;
        };
        if cx.now >= repeat.until {
            // No ACK for a re-INVITE's answer: the old session goes on as far as we can tell;
            // media silence ends the call if the peer is dead.
            self.reoffer = None;
        } else if cx.now >= repeat.at {
            repeat.step(&cx.settings.timers);
            let (key, ok) = (*key, ok.clone());
            cx.respond(key, ok);
        }
    }
}
