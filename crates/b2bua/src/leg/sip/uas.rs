//! The leg we were called on: answering its INVITE (RFC 3261 §13.3).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sdp::Side;
use sip::{Answerer, Dialog, Flow, Name, Request, ServerKey, Text};

use super::session_timer::SessionTimer;
use super::{AfterAck, Answering, Phase, Repeat, SipLeg, Way, words};
use crate::Cause;
use crate::context::{Context, Hop};
use crate::late::Unwanted;
use crate::leg::LegEvent;
use crate::profile::PeerProfile;

/// How we answer a call on this leg.
pub(crate) struct Incoming {
    pub(crate) profile: Arc<PeerProfile>,
    /// Host and port for the Via of our in-dialog requests.
    pub(crate) sent_by: Arc<str>,
    /// The value of our Contact.
    pub(crate) contact: Text,
    /// Where our in-dialog requests go.
    pub(crate) way: Way,
    /// The address of ours it leaves from, wherever it goes.
    pub(crate) from: Option<SocketAddr>,
    /// What answers challenges of our requests.
    pub(crate) answerer: Option<Answerer>,
}

impl SipLeg {
    /// The leg of an INVITE that has been admitted. `None` if it cannot make a dialog
    /// (no From tag, no Contact, no Call-ID).
    pub(crate) fn uas(
        cx: &mut Context<'_>,
        side: Side,
        flow: Flow,
        key: ServerKey,
        invite: Request,
        incoming: Incoming,
    ) -> Option<SipLeg> {
        let to_tag = cx.ident.tag();
        let dialog = Dialog::uas(&invite, &to_tag)?;
        cx.owns_server(side, key);
        cx.owns_dialog(side, dialog.shared_id());
        cx.names(side, invite.call_id());
        let session = SessionTimer::new(incoming.profile.extensions.session_timer);
        let takes_update = invite.headers.lists(&Name::Allow, "UPDATE");
        Some(SipLeg {
            side,
            profile: incoming.profile,
            hop: Hop {
                flow: flow.id,
                transport: flow.transport,
                sent_by: incoming.sent_by,
            },
            way: incoming.way,
            source: Some(flow.remote.ip().to_canonical()),
            from: incoming.from,
            contact: incoming.contact,
            // The INVITE's own would keep the whole INVITE.
            call_id: dialog.id().call_id.clone(),
            dialog: Some(dialog),
            phase: Phase::Offered {
                key,
                invite: Box::new(invite),
                to_tag,
            },
            reoffer: None,
            called: true,
            unacknowledged: None,
            last_rseq: 0,
            session,
            takes_update,
            refreshing: None,
            reacked: None,
            unwanted: Unwanted::default(),
            telling: None,
            aside: Default::default(),
            answerer: incoming.answerer.map(Box::new),
        })
    }

    /// Tells the caller that the far side makes progress. Never carries SDP.
    pub(crate) fn progress(&mut self, cx: &mut Context<'_>, status: u16) {
        if let Phase::Offered {
            key,
            invite,
            to_tag,
        } = &self.phase
        {
            let response = words::dialog_response(
                invite,
                status,
                to_tag,
                &self.contact,
                &self.profile,
                &cx.settings.product,
            );
            let key = *key;
            if !self.requires_reliable(invite) {
                cx.respond(key, response);
            } else if !invite.body.is_empty() {
                self.progress_reliably(cx, key, response);
            }
            // The first reliable answer to an INVITE without an offer would have to carry ours
            // (RFC 3261 §13.2.1); the 200 does, so it is the first.
        }
    }

    /// Answers the call with 200 and our SDP answer.
    pub(crate) fn answer(&mut self, cx: &mut Context<'_>, body: Bytes) {
        let Phase::Offered {
            key,
            invite,
            to_tag,
        } = &self.phase
        else {
            return;
        };
        let key = *key;
        let mut ok = words::dialog_response(
            invite,
            200,
            to_tag,
            &self.contact,
            &self.profile,
            &cx.settings.product,
        );
        words::put_sdp(&mut ok.headers);
        ok.body = body;
        self.session.grant(cx.now, invite, &mut ok);
        self.unacknowledged = None;
        cx.respond(key, ok.clone());
        self.phase = Phase::Answering(Box::new(Answering {
            key,
            ok,
            repeat: Repeat::new(cx.now, &cx.settings.timers),
            then: AfterAck::Talk,
        }));
    }

    /// Refuses the call.
    pub(super) fn reject(&mut self, cx: &mut Context<'_>, cause: &Cause) -> LegEvent {
        if let Phase::Offered {
            key,
            invite,
            to_tag,
        } = &self.phase
        {
            let refusal = words::refusal(invite, cause, to_tag, &cx.settings.product);
            cx.respond(*key, refusal);
        }
        self.gone()
    }

    /// The caller's CANCEL came for `key`.
    pub(crate) fn cancelled(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        match &mut self.phase {
            Phase::Offered { .. } => {
                self.reject(cx, &Cause::Cancelled);
                Some(LegEvent::Cancelled)
            }
            // Our 200 crossed the CANCEL: the call is made complete, then ended.
            Phase::Answering(answering) => {
                if matches!(answering.then, AfterAck::Talk) {
                    answering.then = AfterAck::Cancelled;
                }
                None
            }
            _ => None,
        }
    }

    /// An ACK of this dialog came.
    pub(crate) fn ack(&mut self, cx: &mut Context<'_>, ack: &Request) -> Option<LegEvent> {
        if let Phase::Answering(answering) = &self.phase {
            let then = answering.then.clone();
            self.phase = Phase::Confirmed { invited: None };
            return match then {
                AfterAck::Talk => Some(LegEvent::Confirmed {
                    body: ack.body.clone(),
                }),
                AfterAck::Cancelled => Some(LegEvent::Cancelled),
                AfterAck::Bye(cause) => {
                    self.bye(cx, &cause);
                    None
                }
            };
        }
        // The ACK of an earlier one may come late.
        let number = ack.cseq().map(|cseq| cseq.number);
        let reoffer = self.reoffer.take_if(|reoffer| {
            reoffer.ok.is_some() && reoffer.request.cseq().map(|cseq| cseq.number) == number
        })?;
        reoffer.awaits_answer.then(|| LegEvent::Reanswered {
            body: ack.body.clone(),
        })
    }

    pub(super) fn repeat_answer(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        let Phase::Answering(answering) = &mut self.phase else {
            return None;
        };
        let Answering {
            key,
            ok,
            repeat,
            then,
        } = &mut **answering;
        if cx.now >= repeat.until {
            // RFC 3261 §13.3.1.4: the session is to be terminated with a BYE.
            let AfterAck::Bye(cause) = then else {
                return Some(LegEvent::NoAck);
            };
            let cause = cause.clone();
            self.bye(cx, &cause);
            return None;
        }
        if cx.now >= repeat.at {
            repeat.step(&cx.settings.timers);
            let (key, ok) = (*key, ok.clone());
            cx.respond(key, ok);
        }
        None
    }
}
