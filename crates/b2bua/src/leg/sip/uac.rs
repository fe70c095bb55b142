//! The leg we call on: our INVITE (RFC 3261 §13.2), its challenge, its cancellation.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sdp::Side;
use sip::{
    Answerer, ClientKey, Dialog, Failure, Method, Name, Request, Response, Target, Text, Transport,
    Uri,
};

use super::prack::{EARLIES, Early};
use super::session_timer::SessionTimer;
use super::{Phase, SipLeg, Way, extensions, words};
use crate::Cause;
use crate::context::{Context, Hop};
use crate::late::Unwanted;
use crate::leg::LegEvent;
use crate::profile::PeerProfile;

/// Our INVITE on its way.
#[derive(Debug)]
pub(crate) struct Calling {
    pub(super) key: ClientKey,
    pub(super) invite: Request,
    /// Any response came.
    heard: bool,
    /// Where it goes over a connection older than the call, which may be dead.
    pooled: Option<Target>,
    /// Where it goes as a datagram after all, should the peer take no connections.
    datagrams: Option<Target>,
    /// The dialogs made before the answer, one per branch of a fork.
    pub(super) earlies: Vec<Early>,
    /// Whose BYE has overtaken its 200 on the way: his tag.
    hung_up: Vec<Text>,
    /// We no longer want the answer; until when we wait for the end of it.
    cancelled_until: Option<Instant>,
}

impl Calling {
    pub(super) fn is(&self, key: ClientKey) -> bool {
        self.key == key
    }

    /// Whether a request belongs to an early dialog of it.
    pub(super) fn has_early_of(&self, request: &Request) -> bool {
        let id = sip::DialogId::of_incoming(request);
        id.is_some_and(|id| self.earlies.iter().any(|early| *early.dialog.id() == id))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.cancelled_until
    }

    /// We no longer want its answer.
    pub(super) fn is_given_up(&self) -> bool {
        self.cancelled_until.is_some()
    }

    /// The dialog made with this tag of the called side.
    pub(super) fn early_with(&mut self, tag: &Text) -> Option<&mut Dialog> {
        let mut dialogs = self.earlies.iter_mut().map(|early| &mut early.dialog);
        dialogs.find(|dialog| dialog.id().remote_tag == *tag)
    }

    /// He has hung up before his answer came. A fork has few branches; of more, nobody need be remembered.
    pub(super) fn hung_up(&mut self, bye: &Request) {
        let tag = bye.from_tag().filter(|tag| !self.hung_up.contains(tag));
        if let Some(tag) = tag.filter(|_| self.hung_up.len() < EARLIES) {
            self.hung_up.push(tag.detached());
        }
    }

    /// The highest sequence number used in an early dialog.
    fn counted(&self) -> u32 {
        let used = self.earlies.iter().map(|early| early.dialog.local_cseq());
        used.max().unwrap_or(0)
    }
}

/// Whom to call, and how.
pub(crate) struct Outgoing {
    pub(crate) profile: Arc<PeerProfile>,
    pub(crate) target: Target,
    /// Host and port for our Via.
    pub(crate) sent_by: Arc<str>,
    /// Where in-dialog requests go; over a connection it names, the INVITE as well.
    pub(crate) way: Way,
    pub(crate) request_uri: String,
    /// The value of From, without a tag.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) contact: Text,
    pub(crate) call_id_host: String,
    pub(crate) max_forwards: u8,
    /// Facts to tell along.
    pub(crate) headers: Vec<(Name, Text)>,
    pub(crate) answerer: Option<Answerer>,
    pub(crate) offer: Bytes,
}

/// Bytes a request may have as a datagram while nobody knows what the path carries (RFC 3261
/// §18.1.1).
const DATAGRAM: usize = 1300;
/// More than the Via the endpoint adds on top.
const VIA: usize = 160;

/// Whether an INVITE has to go over TCP for its size.
fn outgrows_datagrams(invite: &Request, target: &Target) -> bool {
    target.transport == Transport::Udp && invite.to_bytes().len() + VIA > DATAGRAM
}

impl SipLeg {
    /// Calls.
    pub(crate) fn uac(cx: &mut Context<'_>, side: Side, out: Outgoing) -> Option<SipLeg> {
        let uri = Uri::parse(out.request_uri).ok()?;
        let call_id = Text::from(cx.ident.call_id(&out.call_id_host));
        let from = format!("{};tag={}", out.from, cx.ident.tag());
        // RFC 3261 §8.1.1.5: any start below 2^31; small ones are easier to read in a ladder.
        let cseq = cx.ident.u32() % 32_768 + 1;

        let mut invite = Request::new(Method::Invite, uri);
        let headers = &mut invite.headers;
        headers.push(Name::MaxForwards, out.max_forwards.to_string());
        headers.push(Name::From, from);
        headers.push(Name::To, out.to);
        headers.push(Name::CallId, call_id.clone());
        headers.push(Name::CSeq, format!("{cseq} INVITE"));
        headers.push(Name::Contact, out.contact.clone());
        headers.push(Name::Allow, extensions::allow(&out.profile));
        extensions::put_supported(headers, &out.profile.extensions);
        let session = SessionTimer::new(out.profile.extensions.session_timer);
        session.ask(headers);
        for (name, value) in out.headers {
            headers.push(name, value);
        }
        words::put_sdp(headers);
        invite.body = out.offer;

        // Who registered over UDP may take nothing else where it is.
        let may_move = matches!(out.way, Way::ByDialog);
        let datagrams =
            (may_move && outgrows_datagrams(&invite, &out.target)).then(|| out.target.clone());
        let target = match &datagrams {
            Some(target) => Target {
                transport: Transport::Tcp,
                ..target.clone()
            },
            None => out.target.clone(),
        };
        let (flow, pooled) = match out.way {
            Way::Over(connection) => (connection, None),
            _ => {
                let pooled = cx.flows.has(&target).then(|| target.clone());
                (cx.flow_to(&target), pooled)
            }
        };
        let hop = Hop {
            flow,
            transport: target.transport,
            sent_by: words::sent_by(&out.profile, target.transport, &out.sent_by),
        };
        let key = cx.request(side, &hop, invite.clone());
        let calling = Calling {
            key,
            invite,
            heard: false,
            pooled,
            datagrams,
            earlies: Vec::new(),
            hung_up: Vec::new(),
            cancelled_until: None,
        };
        Some(SipLeg {
            side,
            profile: out.profile,
            hop,
            way: out.way,
            source: None,
            from: out.target.from,
            contact: out.contact,
            call_id,
            dialog: None,
            phase: Phase::Calling(Box::new(calling)),
            reoffer: None,
            called: false,
            unacknowledged: None,
            last_rseq: 0,
            session,
            takes_update: false,
            refreshing: None,
            reacked: None,
            unwanted: Unwanted::default(),
            telling: None,
            aside: Default::default(),
            answerer: out.answerer.map(Box::new),
        })
    }

    /// A request has overtaken the answer to our INVITE that makes its dialog.
    pub(crate) fn overtaken(&mut self, request: &Request) {
        if let Phase::Calling(calling) = &mut self.phase
            && request.method == Method::Bye
            && request.call_id() == Some(&self.call_id)
        {
            calling.hung_up(request);
        }
    }

    /// No longer wants the answer (RFC 3261 §9.1). The leg ends with the 487, or with BYE should
    /// a 200 have crossed.
    pub(super) fn cancel(&mut self, cx: &mut Context<'_>) {
        if let Phase::Calling(calling) = &mut self.phase
            && calling.cancelled_until.is_none()
        {
            calling.cancelled_until = Some(cx.now + cx.settings.timers.t1 * 64);
            cx.cancel(calling.key);
        }
    }

    pub(super) fn calling_timeout(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        let Phase::Calling(calling) = &self.phase else {
            return None;
        };
        let over = calling.cancelled_until.is_some_and(|until| cx.now >= until);
        over.then(|| {
            self.expect_late(cx);
            self.gone()
        })
    }

    pub(super) fn calling_response(
        &mut self,
        cx: &mut Context<'_>,
        response: Response,
    ) -> Option<LegEvent> {
        if let Phase::Calling(calling) = &mut self.phase {
            calling.heard = true;
        }
        match response.status {
            100 => Some(LegEvent::Trying),
            101..=199 => self.calling_progress(cx, response),
            200..=299 => self.calling_answered(cx, response),
            422 if self.calls_with_longer_session(cx, &response) => None,
            401 | 407 => self.calling_challenged(cx, &response),
            _ => Some(self.calling_refused(&response)),
        }
    }

    /// Our INVITE got no final answer. One that met a dead pooled connection is sent once more on a
    /// fresh one, as RFC 3263 §4.3 does with the next server: the same request, another branch. So
    /// is one that left over TCP for its size, as a datagram (RFC 3261 §18.1.1).
    pub(super) fn calling_failed(
        &mut self,
        cx: &mut Context<'_>,
        why: Failure,
    ) -> Option<LegEvent> {
        let leg = self.side;
        if self.is_cancelled() {
            self.expect_late(cx);
            return Some(self.gone());
        }
        if let Phase::Calling(calling) = &mut self.phase
            && why == Failure::FlowLost
            && !calling.heard
            && let Some(target) = calling.pooled.take().or_else(|| calling.datagrams.take())
        {
            let sent_by = words::plain(&self.hop.sent_by).to_owned();
            self.hop = Hop {
                flow: cx.flow_to(&target),
                transport: target.transport,
                sent_by: words::sent_by(&self.profile, target.transport, &sent_by),
            };
            calling.key = cx.request(leg, &self.hop, calling.invite.clone());
            return None;
        }
        // It may come over another connection.
        self.expect_late(cx);
        self.gone();
        Some(LegEvent::Failed(match why {
            Failure::Timeout => Cause::Timeout { leg },
            Failure::FlowLost => Cause::Unreachable {
                leg,
                why: "connection failed".into(),
            },
        }))
    }

    /// From now on nobody waits for an answer to our INVITE; should one come all the same, it is hung
    /// up.
    fn expect_late(&mut self, cx: &mut Context<'_>) {
        if let Phase::Calling(calling) = &self.phase {
            let until = cx.now + cx.settings.timers.t1 * 64;
            let (transport, sent_by) = (self.hop.transport, self.hop.sent_by.clone());
            cx.late.expect(
                cx.now,
                until,
                &calling.invite,
                transport,
                sent_by,
                calling.counted(),
            );
        }
    }

    /// Whether the peer we call has given no sign of life.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if !calling.heard)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if calling.cancelled_until.is_some())
    }

    fn calling_progress(&mut self, cx: &mut Context<'_>, response: Response) -> Option<LegEvent> {
        // Acknowledged even when nobody wants it any more: else it would be repeated.
        let news = self.note_progress(cx, &response);
        if !news || self.is_cancelled() {
            return None;
        }
        let reliable = response.headers.lists(&Name::Require, "100rel");
        Some(LegEvent::Progress {
            status: response.status,
            body: response.body.clone(),
            headers: response.headers,
            answer: match reliable && self.profile.extensions.reliable {
                true => response.body,
                false => Bytes::new(),
            },
        })
    }

    fn calling_answered(&mut self, cx: &mut Context<'_>, response: Response) -> Option<LegEvent> {
        let cancelled = self.is_cancelled();
        // Another branch of a fork may answer too, when this call is over already.
        self.expect_late(cx);
        let Phase::Calling(calling) = &mut self.phase else {
            return None;
        };
        self.unwanted.count_from(calling.counted());
        let early = sip::DialogId::of_response(&response)
            .and_then(|id| calling.earlies.iter().position(|e| *e.dialog.id() == id))
            .map(|at| calling.earlies.swap_remove(at).dialog);
        let known = early.is_some();
        let dialog = match early {
            // It has counted the PRACKs; routes and target are those of the 2xx.
            Some(mut dialog) => {
                dialog.update_from_2xx(&response);
                Some(dialog)
            }
            None => Dialog::uac(&calling.invite, &response),
        };
        let Some(dialog) = dialog else {
            // A 200 without a To tag or Contact makes no dialog: there is nobody to send BYE to.
            let (leg, why) = (self.side, "its 200 lacks a To tag or a Contact".into());
            self.gone();
            return Some(if cancelled {
                LegEvent::Gone
            } else {
                LegEvent::Failed(Cause::Unreachable { leg, why })
            });
        };
        let cseq = calling.invite.cseq().map_or(0, |cseq| cseq.number);
        let hung_up = calling.hung_up.contains(&dialog.id().remote_tag);
        if !known {
            cx.owns_dialog(self.side, dialog.shared_id());
        }
        let ack = dialog.ack(cseq);
        self.dialog = Some(dialog);
        let hop = self.in_dialog_hop(cx);
        let bytes = cx.ack(&hop, ack);
        // Should it come once more, also when the call is over, it is acknowledged and not hung up.
        cx.late.ended(&response, hop.flow, bytes);
        self.phase = Phase::Confirmed {
            invited: Some(cseq),
        };
        self.let_in();
        if hung_up {
            self.gone();
            return Some(match cancelled {
                true => LegEvent::Gone,
                false => LegEvent::Refused {
                    status: 480,
                    text: "hung up before its answer came".into(),
                    retry_after: None,
                },
            });
        }
        if cancelled {
            // The 200 crossed our CANCEL: complete, then end.
            self.bye(cx, &Cause::Cancelled);
            return None;
        }
        self.note_allow(&response.headers);
        self.session.granted(cx.now, &response);
        Some(LegEvent::Answered {
            body: response.body,
            headers: response.headers,
        })
    }

    fn calling_refused(&mut self, response: &Response) -> LegEvent {
        let cancelled = self.is_cancelled();
        let gone = self.gone();
        if cancelled {
            return gone;
        }
        LegEvent::Refused {
            status: response.status,
            text: words::refusal_text(response),
            retry_after: words::retry_after(&response.headers),
        }
    }
}
