//! What both kinds of leg do once there is a dialog: requests in it, and its end (RFC 3261 §12.2, §15).

use sip::{Failure, Method, Name, Request, Response, ServerKey, Text};

use super::{Phase, SipLeg, extensions, words};
use crate::Cause;
use crate::context::Context;
use crate::io::Level;
use crate::leg::LegEvent;
use crate::number::Said;

impl SipLeg {
    /// A request of the peer in this dialog.
    pub(crate) fn request(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) -> Option<LegEvent> {
        let dialog = match self.early_of(&request) {
            Some(early) => Some(&mut early.dialog),
            None => self.dialog.as_mut(),
        };
        if let Some(dialog) = dialog
            && let Err(refusal) = dialog.accept(&request)
        {
            self.respond_in_dialog(cx, key, &request, refusal.status);
            return None;
        }
        if matches!(request.method, Method::Invite | Method::Update)
            && let Some(objection) = extensions::objection(&request, &self.profile.extensions)
        {
            let mut response =
                words::response(&request, objection.status, "", &cx.settings.product);
            let (name, value) = objection.header;
            response.headers.push(name, value);
            cx.respond(key, response);
            return None;
        }
        match request.method {
            Method::Bye => self.bye_received(cx, key, &request),
            Method::Invite => self.reoffered(cx, key, request),
            Method::Update if request.body.is_empty() => {
                self.updated(cx, key, &request);
                None
            }
            Method::Update => self.reoffered(cx, key, request),
            Method::Prack => {
                self.pracked(cx, key, &request);
                None
            }
            Method::Options | Method::Notify => {
                self.respond_in_dialog(cx, key, &request, 200);
                None
            }
            // Nothing of the peer's in-dialog vocabulary ever reaches the other leg.
            Method::Info => self.informed(cx, key, &request),
            Method::Refer => self.referred(cx, key, request),
            _ => {
                self.respond_in_dialog(cx, key, &request, 405);
                None
            }
        }
    }

    /// An UPDATE without an offer: a refresh of the session, or of the peer's address.
    fn updated(&mut self, cx: &mut Context<'_>, key: ServerKey, request: &Request) {
        let mut response = words::response(request, 200, "", &cx.settings.product);
        let headers = &mut response.headers;
        headers.push(Name::Allow, extensions::allow(&self.profile));
        headers.push(Name::Contact, self.contact.clone());
        extensions::put_supported(headers, &self.profile.extensions);
        self.session.grant(cx.now, request, &mut response);
        self.retarget(request);
        cx.respond(key, response);
    }

    fn bye_received(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        bye: &Request,
    ) -> Option<LegEvent> {
        self.respond_in_dialog(cx, key, bye, 200);
        match &mut self.phase {
            // A BYE in the early dialog ends it as CANCEL would (RFC 3261 §15.1.2).
            Phase::Offered { .. } => {
                self.reject(cx, &Cause::Cancelled);
                Some(LegEvent::Cancelled)
            }
            // Who was called may not say it before his 200 (RFC 3261 §15): that is still on its way.
            Phase::Calling(calling) => {
                calling.hung_up(bye);
                None
            }
            // Both sides hung up at once: ours still waits for its answer.
            Phase::Releasing { .. } | Phase::Gone => None,
            Phase::Answering(_) | Phase::Confirmed { .. } => {
                self.gone();
                Some(LegEvent::Released {
                    headers: bye.headers.clone(),
                })
            }
        }
    }

    /// Hangs up.
    pub(super) fn bye(&mut self, cx: &mut Context<'_>, cause: &Cause) {
        let invited = match self.phase {
            Phase::Confirmed { invited } => invited,
            _ => None,
        };
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let mut bye = dialog.request(Method::Bye);
        bye.headers.push(Name::Reason, words::reason(cause));
        if !cx.settings.product.is_empty() {
            bye.headers
                .push(Name::UserAgent, Text::from(cx.settings.product.as_str()));
        }
        let hop = self.in_dialog_hop(cx);
        let key = cx.request(self.side, &hop, bye.clone());
        self.reoffer = None;
        self.phase = Phase::Releasing {
            key,
            bye: Box::new(bye),
            fresh: false,
            invited,
        };
    }

    /// A BYE was answered: it is over, unless the peer wants to know who says so.
    pub(super) fn bye_answered(
        &mut self,
        cx: &mut Context<'_>,
        response: &Response,
    ) -> Option<LegEvent> {
        if response.is_provisional() {
            return None;
        }
        let asked = match &self.phase {
            Phase::Releasing { bye, .. } => bye.clone(),
            _ => return None,
        };
        let Some(again) = self.proved(cx, &asked, response) else {
            // 481: for the peer it is over already.
            if !response.is_success() && response.status != 481 {
                let (status, text) = (response.status, words::refusal_text(response));
                let how = format!("answered our BYE with {status} {}", Said(&text));
                self.goodbye_failed(cx, &how);
            }
            return Some(self.gone());
        };
        let hop = self.in_dialog_hop(cx);
        let next = cx.request(self.side, &hop, again.clone());
        if let Phase::Releasing { key, bye, .. } = &mut self.phase {
            (*key, **bye) = (next, again);
        }
        None
    }

    /// A BYE got no answer. A dead pooled connection is tried once more on a fresh one.
    pub(super) fn bye_failed(&mut self, cx: &mut Context<'_>, why: Failure) -> Option<LegEvent> {
        let Phase::Releasing {
            bye,
            fresh,
            invited,
            ..
        } = &self.phase
        else {
            return None;
        };
        if why == Failure::FlowLost && !fresh {
            let (bye, invited) = (bye.clone(), *invited);
            self.anchor_at_dialog();
            let hop = self.in_dialog_hop(cx);
            let key = cx.request(self.side, &hop, (*bye).clone());
            self.phase = Phase::Releasing {
                key,
                bye,
                fresh: true,
                invited,
            };
            return None;
        }
        self.goodbye_failed(cx, "never answered our BYE");
        Some(self.gone())
    }

    /// Whoever is behind the peer may go on hearing silence.
    fn goodbye_failed(&self, cx: &mut Context<'_>, how: &str) {
        let (side, name) = (self.side, self.profile.name);
        *cx.counters.byes_failed.entry(name).or_default() += 1;
        cx.log(Level::Warn, format!("leg {side:?} ({name}) {how}"));
    }

    pub(super) fn respond_in_dialog(
        &self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: &Request,
        status: u16,
    ) {
        let mut response = words::response(request, status, "", &cx.settings.product);
        if matches!(status, 405 | 200) {
            response
                .headers
                .push(Name::Allow, extensions::allow(&self.profile));
        }
        if let Some((name, value)) = super::info::refusal_header(&request.method, status) {
            response.headers.push(name, value);
        }
        cx.respond(key, response);
    }
}
