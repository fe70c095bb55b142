//! What both kinds of leg do once there is a dialog: requests in it, and its end (RFC 3261 §12.2, §15).

use sip::{Failure, Method, Name, Request, ServerKey, Text};

use super::{Phase, SipLeg, words};
use crate::Cause;
use crate::context::Context;
use crate::io::Level;
use crate::leg::LegEvent;

impl SipLeg {
    /// A request of the peer in this dialog.
    pub(crate) fn request(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) -> Option<LegEvent> {
        if let Some(dialog) = &mut self.dialog
            && let Err(refusal) = dialog.accept(&request)
        {
            self.respond_in_dialog(cx, key, &request, refusal.status);
            return None;
        }
        match request.method {
            Method::Bye => self.bye_received(cx, key, &request),
            Method::Invite => self.reinvited(cx, key, request),
            Method::Update if request.body.is_empty() => {
                self.respond_in_dialog(cx, key, &request, 200);
                None
            }
            Method::Update => self.reoffered(cx, key, request),
            Method::Options | Method::Notify => {
                self.respond_in_dialog(cx, key, &request, 200);
                None
            }
            // Nothing of the peer's in-dialog vocabulary ever reaches the other leg.
            Method::Info => self.informed(cx, key, &request),
            Method::Refer => {
                self.respond_in_dialog(cx, key, &request, 603);
                None
            }
            _ => {
                self.respond_in_dialog(cx, key, &request, 405);
                None
            }
        }
    }

    fn reinvited(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) -> Option<LegEvent> {
        if let (Some(dialog), Some(contact)) =
            (&mut self.dialog, request.headers.first(&Name::Contact))
        {
            dialog.retarget(contact.clone());
        }
        self.reoffered(cx, key, request)
    }

    fn bye_received(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        bye: &Request,
    ) -> Option<LegEvent> {
        self.respond_in_dialog(cx, key, bye, 200);
        match &self.phase {
            // A BYE in the early dialog ends it as CANCEL would (RFC 3261 §15.1.2).
            Phase::Offered { .. } => {
                self.reject(cx, &Cause::Cancelled);
                Some(LegEvent::Cancelled)
            }
            // Both sides hung up at once: ours still waits for its answer.
            Phase::Releasing { .. } | Phase::Gone | Phase::Calling(_) => None,
            Phase::Answering { .. } | Phase::Confirmed { .. } => {
                self.gone();
                Some(LegEvent::Released {
                    headers: bye.headers.clone(),
                })
            }
        }
    }

    /// Hangs up.
    pub(super) fn bye(&mut self, cx: &mut Context<'_>, cause: &Cause) {
        let acked = match &self.phase {
            Phase::Confirmed { acked } => acked.clone(),
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
            acked,
        };
    }

    /// A BYE got no answer. A dead pooled connection is tried once more on a fresh one.
    pub(super) fn bye_failed(&mut self, cx: &mut Context<'_>, why: Failure) -> Option<LegEvent> {
        let Phase::Releasing {
            bye, fresh, acked, ..
        } = &self.phase
        else {
            return None;
        };
        if why == Failure::FlowLost && !fresh {
            let (bye, acked) = (bye.clone(), acked.clone());
            if self.anchor.is_none() {
                self.anchor = self
                    .dialog
                    .as_ref()
                    .map(|dialog| dialog.first_hop().target());
            }
            let hop = self.in_dialog_hop(cx);
            let key = cx.request(self.side, &hop, (*bye).clone());
            self.phase = Phase::Releasing {
                key,
                bye,
                fresh: true,
                acked,
            };
            return None;
        }
        cx.log(
            Level::Warn,
            format!(
                "leg {:?} ({}) never answered our BYE",
                self.side, self.profile.name
            ),
        );
        Some(self.gone())
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
                .push(Name::Allow, Text::from(self.profile.allow));
        }
        if let Some((name, value)) = super::info::refusal_header(&request.method, status) {
            response.headers.push(name, value);
        }
        if request.method == Method::Update && status == 200 {
            response.headers.push(Name::Contact, self.contact.clone());
        }
        cx.respond(key, response);
    }
}
