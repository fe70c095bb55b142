//! A leg made of one SIP dialog.
//!
//! ```text
//!            uas: Offered ──200──► Answering ──ACK──┐
//!                    │ 3xx-6xx         │ no ACK     ▼
//!                    ▼                 └──────► Confirmed ──BYE──► Releasing ──► Gone
//!                   Gone                            ▲
//!            uac: Calling ──2xx, ACK────────────────┘
//!                    │ 3xx-6xx · lost · timeout ──► Gone
//! ```
//!
//! `uas` holds what is peculiar to the called leg's INVITE, `uac` to the calling one's (`again` when it is sent once more, `fork`
//! when several answer it), `indialog`
//! what both do once there is a dialog, `reoffer` the peer's offers in mid-call (hold among them), `info` the digits in INFO, `proof` answers challenges, `prack` reliable provisional
//! responses, `session_timer` and `refresh` what keeps a session alive, `replaces` whether somebody may take
//! its place, `nat` where requests go when the peer's address is not to be believed, `extensions` what a peer may use
//! of these, `words` the headers we write.

mod again;
mod early;
pub(crate) mod extensions;
mod fork;
mod indialog;
mod info;
mod nat;
mod prack;
mod proof;
mod refer;
mod refresh;
mod reoffer;
mod replaces;
mod session_timer;
mod tell;
mod uac;
mod uas;
pub(crate) mod words;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdp::Side;
use sip::{
    Answerer, ClientKey, Dialog, DialogId, Flow, FlowId, Request, Response, ServerKey, Target,
    Text, TimerSettings, Transport,
};

use super::LegEvent;
use crate::context::{Context, Hop};
use crate::late::Unwanted;
use crate::profile::PeerProfile;

use proof::Aside;
pub(crate) use refer::{Referral, Subscription};
use reoffer::Reoffer;
pub(crate) use replaces::Standing;
use session_timer::SessionTimer;
use tell::Telling;
pub(crate) use uac::{Calling, Outgoing};
pub(crate) use uas::Incoming;

/// A leg made of one SIP dialog.
#[derive(Debug)]
pub(crate) struct SipLeg {
    side: Side,
    profile: Arc<PeerProfile>,
    hop: Hop,
    way: Way,
    /// Where the peer's INVITE came from, if it called.
    source: Option<IpAddr>,
    /// Our address in the dialog: what follows the peer's Contact leaves from there too, because a
    /// peer knows us by it (RFC 3261 §18.1.1, RFC 3581 §4).
    from: Option<SocketAddr>,
    contact: Text,
    call_id: Text,
    dialog: Option<Dialog>,
    phase: Phase,
    // On the heap: what is rare, and large.
    reoffer: Option<Box<Reoffer>>,
    /// We were called: the Call-ID is the peer's.
    called: bool,
    /// A reliable provisional response of ours that waits for its PRACK.
    unacknowledged: Option<Box<prack::Unacknowledged>>,
    /// The number of our last one; 0 before the first.
    last_rseq: u32,
    session: SessionTimer,
    /// The peer takes UPDATE.
    takes_update: bool,
    /// A refresh of ours under way.
    refreshing: Option<Box<refresh::Refreshing>>,
    /// The ACK of our last re-INVITE's 2xx.
    reacked: Option<Box<Acked>>,
    /// Answers of other branches of a fork, hung up.
    unwanted: Unwanted,
    /// Digits the peer is told in INFO.
    telling: Option<Box<Telling>>,
    /// Requests that would only be asked again for a challenge.
    aside: Aside,
    /// What answers its challenges.
    answerer: Option<Box<Answerer>>,
}

/// Where the requests of a leg go once there is a dialog.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// By the dialog's first hop (RFC 3261 §12.2.1.1).
    ByDialog,
    /// To this target, whatever the dialog says.
    To(Box<Target>),
    /// Over this connection as long as it lives: it may be the only way to the peer (RFC 5626).
    Over(FlowId),
}

impl Way {
    /// To this target.
    pub(crate) fn to(target: Target) -> Way {
        Way::To(Box::new(target))
    }

    /// Back to where something came from: a peer behind a NAT is nowhere else.
    pub(crate) fn back(flow: &Flow) -> Way {
        match flow.transport {
            Transport::Udp => Way::to(Target {
                transport: flow.transport,
                host: flow.remote.ip().to_string(),
                port: flow.remote.port(),
                from: Some(flow.local),
                at: Some(flow.remote),
            }),
            Transport::Tcp | Transport::Tls => Way::Over(flow.id),
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// The peer's INVITE waits for our final answer.
    Offered {
        key: ServerKey,
        invite: Box<Request>,
        to_tag: String,
    },
    /// Our 200 waits for the peer's ACK.
    Answering(Box<Answering>),
    /// Our INVITE waits for the peer's final answer.
    Calling(Box<Calling>),
    /// Both sides agreed that there is a call; `invited` is the CSeq of our INVITE, if we called.
    Confirmed { invited: Option<u32> },
    /// Our BYE waits for its answer.
    Releasing {
        key: ClientKey,
        bye: Box<Request>,
        fresh: bool,
        invited: Option<u32>,
    },
    /// Nothing is left on the wire.
    Gone,
}

/// Our 200 on its way.
#[derive(Debug)]
struct Answering {
    key: ServerKey,
    ok: Response,
    repeat: Repeat,
    then: AfterAck,
}

/// What follows the ACK of our 200. Who was called may not hang up before it, or before nobody waits
/// for it any more (RFC 3261 §15).
#[derive(Clone, Debug)]
enum AfterAck {
    /// The call.
    Talk,
    /// The word that the caller had given up: his CANCEL crossed the 200.
    Cancelled,
    /// Our BYE, for this cause.
    Bye(Box<crate::Cause>),
}

/// The ACK we sent for a 2xx, for when the 2xx comes again (RFC 3261 §13.2.2.4).
#[derive(Debug)]
struct Acked {
    cseq: u32,
    flow: FlowId,
    bytes: Bytes,
}

/// Repetition of a 2xx until its ACK: T1 doubling to T2, 64·T1 in all (RFC 3261 §13.3.1.4),
/// over reliable transports too: the ACK may be lost behind the next proxy.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Instant,
    interval: Duration,
    until: Instant,
}

impl Repeat {
    fn new(now: Instant, timers: &TimerSettings) -> Self {
        Self {
            at: now + timers.t1,
            interval: timers.t1,
            until: now + timers.t1 * 64,
        }
    }

    fn next_timeout(&self) -> Instant {
        self.at.min(self.until)
    }

    /// The next time after one repetition.
    fn step(&mut self, timers: &TimerSettings) {
        self.interval = (self.interval * 2).min(timers.t2);
        self.at += self.interval;
    }
}

impl SipLeg {
    /// The Call-ID of the leg.
    pub(crate) fn call_id(&self) -> &Text {
        &self.call_id
    }

    /// How its peer wants to be treated.
    pub(crate) fn profile(&self) -> &Arc<PeerProfile> {
        &self.profile
    }

    /// Whether the peer's INVITE waits for our final answer.
    pub(crate) fn is_offered(&self) -> bool {
        matches!(self.phase, Phase::Offered { .. })
    }

    /// Whether nothing of the leg is left on the wire.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Whether a response is to a request of this leg.
    pub(crate) fn is_of(&self, response: &Response) -> bool {
        response.call_id() == Some(&self.call_id)
    }

    /// Whether a request of this leg in transaction `key` decides what becomes of it.
    pub(crate) fn waits_for(&self, key: ClientKey) -> bool {
        match &self.phase {
            Phase::Calling(calling) => calling.is(key),
            Phase::Releasing { key: bye, .. } => *bye == key,
            _ => false,
        }
    }

    /// Whether a request of the peer belongs to this leg's dialog.
    pub(crate) fn has_dialog_of(&self, request: &Request) -> bool {
        let id = DialogId::of_incoming(request);
        id.is_some() && self.dialog.as_ref().map(Dialog::id) == id.as_ref()
    }

    /// When the leg wants [`SipLeg::timeout`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Answering(answering) => Some(answering.repeat.next_timeout()),
            Phase::Calling(calling) => calling.next_timeout(),
            Phase::Confirmed { .. } => self.session.next_timeout(),
            _ => None,
        };
        let reoffer = self.reoffer.as_ref().and_then(|r| r.next_timeout());
        let progress = self.unacknowledged.as_ref();
        let progress = progress.map(|waiting| waiting.next_timeout());
        [phase, reoffer, progress].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        self.repeat_reoffer_answer(cx);
        match self.phase {
            Phase::Offered { .. } => self.repeat_progress(cx),
            Phase::Answering(_) => self.repeat_answer(cx),
            Phase::Calling(_) => self.calling_timeout(cx),
            Phase::Confirmed { .. } => self.session_timeout(cx),
            _ => None,
        }
    }

    /// A response to a request of this leg.
    pub(crate) fn response(
        &mut self,
        cx: &mut Context<'_>,
        key: ClientKey,
        response: Response,
    ) -> Option<LegEvent> {
        if self.refreshing.as_ref().is_some_and(|ours| ours.is(key)) {
            return self.refresh_response(cx, response);
        }
        if self.tells(key) {
            self.digit_told(cx, &response);
            return None;
        }
        if self.aside.has(key) {
            self.aside_answered(cx, key, &response);
            return None;
        }
        match &self.phase {
            Phase::Calling(calling) if calling.is(key) => self.calling_response(cx, response),
            Phase::Releasing { key: bye, .. } if *bye == key => self.bye_answered(cx, &response),
            _ => self.stray_response(cx, &response),
        }
    }

    /// A request of this leg got no response.
    pub(crate) fn failed(
        &mut self,
        cx: &mut Context<'_>,
        key: ClientKey,
        why: sip::Failure,
    ) -> Option<LegEvent> {
        if self.refreshing.as_ref().is_some_and(|ours| ours.is(key)) {
            return self.refresh_failed(cx, why);
        }
        if self.tells(key) {
            self.digit_untold(cx);
            return None;
        }
        if self.aside.take(key).is_some() {
            return None;
        }
        match &self.phase {
            Phase::Calling(calling) if calling.is(key) => self.calling_failed(cx, why),
            Phase::Releasing { key: bye, .. } if *bye == key => self.bye_failed(cx, why),
            _ => None,
        }
    }

    /// Ends the leg in whatever way its phase allows: a final status, CANCEL or BYE.
    pub(crate) fn release(
        &mut self,
        cx: &mut Context<'_>,
        cause: &crate::Cause,
    ) -> Option<LegEvent> {
        match &mut self.phase {
            Phase::Offered { .. } => Some(self.reject(cx, cause)),
            Phase::Calling(_) => {
                self.cancel(cx);
                None
            }
            Phase::Answering(answering) if cx.now < answering.repeat.until => {
                answering.then = AfterAck::Bye(Box::new(cause.clone()));
                None
            }
            Phase::Answering(_) | Phase::Confirmed { .. } => {
                self.bye(cx, cause);
                None
            }
            Phase::Releasing { .. } | Phase::Gone => None,
        }
    }

    fn gone(&mut self) -> LegEvent {
        self.phase = Phase::Gone;
        self.reoffer = None;
        self.unacknowledged = None;
        LegEvent::Gone
    }

    /// Where the next in-dialog request goes.
    fn in_dialog_hop(&mut self, cx: &mut Context<'_>) -> Hop {
        match self.dialog.as_ref().map(|d| d.first_hop().target()) {
            Some(target) => self.hop_to(cx, target),
            None => self.hop.clone(),
        }
    }

    /// The way to a dialog whose first hop is `target`.
    fn hop_to(&self, cx: &mut Context<'_>, mut target: Target) -> Hop {
        target.from = target.from.or(self.from);
        let target = match &self.way {
            Way::To(target) => Some((**target).clone()),
            Way::Over(_) => None,
            Way::ByDialog => {
                // Over a connection the flow of the INVITE is the way (RFC 5923): behind NAT it is
                // the only path open.
                let by_flow = self.is_behind_nat(cx, &target)
                    || self.hop.transport.is_reliable() && target.transport == self.hop.transport;
                (!by_flow).then_some(target)
            }
        };
        match target {
            Some(target) => Hop {
                flow: cx.flow_to(&target),
                transport: target.transport,
                sent_by: self.sent_by(target.transport),
            },
            None => self.hop.clone(),
        }
    }

    /// Our Via's host and port on a way of this transport.
    fn sent_by(&self, transport: Transport) -> Arc<str> {
        match transport == self.hop.transport {
            true => self.hop.sent_by.clone(),
            false => words::plain(&self.hop.sent_by).into(),
        }
    }

    /// The flow of the INVITE is dead: from now on the dialog's first hop is the way, or whichever
    /// address a name has.
    fn anchor_at_dialog(&mut self) {
        let first_hop = self.dialog.as_ref().map(|dialog| Target {
            from: self.from,
            ..dialog.first_hop().target()
        });
        match (&mut self.way, first_hop) {
            (Way::To(target), _) if target.transport.is_reliable() => target.at = None,
            (Way::To(_), _) => {}
            (way, Some(target)) => *way = Way::to(target),
            _ => {}
        }
    }
}
