//! Transfer: somebody else takes the PBX's place in the call (RFC 3515, RFC 3891, RFC 5589).
//!
//! ```text
//!  PBX leg      REFER ──► 202, NOTIFY 100        NOTIFY 180           NOTIFY 200, BYE
//!  new leg                INVITE ───────► 180 ──────────────► 200 ──► takes the place
//!  other leg    ─────────────────────── hears nothing of it ─────────────────────────
//!
//!  new leg refused, silent  ──► NOTIFY 4xx: the PBX's leg goes on as if nothing had been
//!  PBX hangs up meanwhile   ──► nobody is at its place; the other leg hears ringing or music of ours
//!  other leg hangs up       ──► CANCEL, BYE: the call is over
//! ```
//!
//! The far side's leg is not touched: its SSRC, sequence and timestamps belong to it, not to whom it
//! talks with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdp::Side;
use sdp::plan::{Gate, LegPlan};
use sip::{ClientKey, Failure, Request, Response, Scheme, ServerKey, Target};

use super::{Call, State, Stop};
use crate::Cause;
use crate::cause;
use crate::context::Context;
use crate::dial;
use crate::io::Level;
use crate::leg::LegEvent;
use crate::leg::sip::{Referral, SipLeg, Subscription};
use crate::media::MediaCommand;
use crate::record::ReleasedBy;
use crate::settings::Trunk;
use crate::stream::Stream;

/// How long the new target may ring.
const LIMIT: Duration = Duration::from_secs(60);

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The leg to the new target.
    leg: SipLeg,
    stream: Stream,
    /// Where else the target may be had.
    route: VecDeque<Stop>,
    referral: Box<Referral>,
    /// Who wants to hear how it goes.
    subscription: Option<Subscription>,
    /// What was told last.
    told: u16,
    until: Instant,
    /// The PBX's leg is gone already: there is nobody to return to.
    orphaned: bool,
}

impl Transfer {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let leg = self.leg.next_timeout();
        Some(leg.map_or(self.until, |at| at.min(self.until)))
    }

    pub(super) fn has_leg_of(&self, response: &Response) -> bool {
        self.leg.is_of(response)
    }

    pub(super) fn is_of(&self, key: ClientKey, response: &Response) -> bool {
        self.waits_for(key) || self.has_leg_of(response)
    }

    pub(super) fn waits_for(&self, key: ClientKey) -> bool {
        self.leg.waits_for(key)
    }

    pub(super) fn has_dialog_of(&self, request: &Request) -> bool {
        self.leg.has_any_dialog_of(request)
    }

    pub(super) fn overtaken(&mut self, request: &Request) {
        self.leg.overtaken(request);
    }

    /// Whether the new target is all there is on the PBX's side.
    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned
    }
}

impl Call {
    /// The side the PBX is on.
    pub(crate) fn pbx(&self) -> Side {
        !self.direction.carrier()
    }

    /// A peer wants somebody else in its place.
    pub(super) fn referred(&mut self, cx: &mut Context<'_>, side: Side, referral: Box<Referral>) {
        let may = self
            .leg(side)
            .is_some_and(|leg| leg.profile().extensions.transfer);
        // Both its calls are ours: the PBX would end one of them by it, and join nobody.
        let joins_users = referral
            .replaces()
            .is_some_and(|dialog| cx.registry.dialog(&dialog).is_some());
        if joins_users {
            cx.log(Level::Info, "the PBX may not join two users by a transfer");
        }
        let refused = match may && !joins_users {
            _ if side != self.pbx() => Some(603),
            false => Some(603),
            true if self.transfer.is_some() || self.is_crowded() => Some(491),
            true if !matches!(self.state, State::Talking) => Some(491),
            true => None,
        };
        let again = self.referrals > 0;
        let Some(leg) = self.leg_mut(side) else {
            return;
        };
        if let Some(status) = refused {
            return leg.refuse_referral(cx, &referral, status);
        }
        let subscription = leg.accept_referral(cx, &referral, again);
        if let Some(about) = &subscription {
            leg.report(cx, about, 100);
        }
        self.referrals += 1;
        cx.log(Level::Info, "the PBX transfers the call");
        let route = route(cx, &self.trunk, &referral);
        self.call_target(cx, referral, subscription, route, cx.now + LIMIT);
    }

    /// Calls the new target at the next destination of its route.
    fn call_target(
        &mut self,
        cx: &mut Context<'_>,
        referral: Box<Referral>,
        subscription: Option<Subscription>,
        mut route: VecDeque<Stop>,
        until: Instant,
    ) {
        let side = self.pbx();
        let stream = self.streams[side.index()].successor(cx.ident);
        let offered = stream.and_then(|mut stream| {
            let offer = stream.offer().ok()?;
            Some((stream, offer))
        });
        let leg = offered.and_then(|(stream, offer)| {
            let words = self.words(cx.settings, offer);
            let Stop { target, place, .. } = route.pop_front()?;
            let metadata = &self.draft.metadata;
            let out = dial::to_referred(words, target, place.as_ref(), metadata, &referral);
            Some((SipLeg::uac(cx, side, out)?, stream))
        });
        match leg {
            Some((leg, stream)) => {
                self.transfer = Some(Box::new(Transfer {
                    leg,
                    stream,
                    route,
                    referral,
                    subscription,
                    told: 100,
                    until,
                    orphaned: false,
                }));
                self.sounds(cx);
            }
            None => {
                if let (Some(about), Some(leg)) = (&subscription, self.leg_mut(side)) {
                    leg.report(cx, about, 404);
                }
            }
        }
    }

    // ---- what comes in for the new leg ----

    pub(super) fn on_target_response(
        &mut self,
        cx: &mut Context<'_>,
        key: ClientKey,
        response: Response,
    ) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let event = transfer.leg.response(cx, key, response);
        self.on_target(cx, event);
    }

    pub(super) fn on_target_failure(&mut self, cx: &mut Context<'_>, key: ClientKey, why: Failure) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let event = transfer.leg.failed(cx, key, why);
        self.on_target(cx, event);
    }

    pub(super) fn on_target_request(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) {
        if let Some(transfer) = &mut self.transfer {
            let event = transfer.leg.request(cx, key, request);
            self.on_target(cx, event);
        }
    }

    pub(super) fn transfer_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let event = transfer.leg.timeout(cx);
        self.on_target(cx, event);
        if self.transfer.as_ref().is_some_and(|t| cx.now >= t.until) {
            self.transfer_failed(cx, 408, Cause::NoAnswer);
        }
    }

    fn on_target(&mut self, cx: &mut Context<'_>, event: Option<LegEvent>) {
        let (Some(event), Some(transfer)) = (event, &mut self.transfer) else {
            return;
        };
        let side = !self.direction.carrier();
        match event {
            LegEvent::Progress { status, answer, .. } => {
                if !answer.is_empty() {
                    // Reliable (RFC 3262 §5): it holds, though nobody hears it before the 200.
                    let _ = transfer.stream.answered(&answer);
                }
                self.report_progress(cx, status);
            }
            LegEvent::Answered { body, .. } => self.hand_over(cx, &body),
            LegEvent::Refused { status, text, .. } => {
                let meaning = cause::meaning(transfer.leg.profile().refusals, status, &text);
                let by = side;
                let cause = Cause::Refused {
                    by,
                    status,
                    text,
                    meaning,
                };
                self.target_failed(cx, status, cause);
            }
            LegEvent::Failed(cause) => self.target_failed(cx, cause.sip(), cause),
            _ => {}
        }
    }

    fn report_progress(&mut self, cx: &mut Context<'_>, status: u16) {
        let side = self.pbx();
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        if std::mem::replace(&mut transfer.told, status) == status {
            return;
        }
        let leg = match side {
            Side::A => Some(&mut self.a),
            Side::B => self.b.as_mut(),
        };
        if let (Some(about), Some(leg)) = (&transfer.subscription, leg) {
            leg.report(cx, about, status);
        }
    }

    /// The new target answered: it takes the PBX's place, and the leg before it ends.
    fn hand_over(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        let side = self.pbx();
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        let stream = &mut transfer.stream;
        let told = body.is_empty() && stream.agreed().is_some();
        let agreed = told || stream.answered(body).is_ok();
        let source = transfer.leg.peer_address(cx);
        let Some(plan) = stream.plan(Gate::Open, source).filter(|_| agreed) else {
            let cause = Cause::NoCommonMedia("the new target's answer does not fit".into());
            self.transfer = Some(transfer);
            return self.transfer_failed(cx, 488, cause);
        };
        cx.media(MediaCommand::Replace {
            side,
            plan: Box::new(plan),
        });
        self.streams[side.index()] = transfer.stream;
        let before = match side {
            Side::A => Some(std::mem::replace(&mut self.a, transfer.leg)),
            Side::B => self.b.replace(transfer.leg),
        };
        if let Some(mut before) = before {
            if let Some(about) = &transfer.subscription {
                before.report(cx, about, 200);
            }
            let _ = before.release(cx, &Cause::Normal);
            self.former.push(before);
        }
        self.referrals = 0;
        cx.log(Level::Info, "transferred");
        self.sounds(cx);
    }

    /// The target cannot be had at this destination: the next one, where that may help.
    fn target_failed(&mut self, cx: &mut Context<'_>, status: u16, cause: Cause) {
        let again = cause.is_of_the_destination();
        if let Some(transfer) = self.transfer.take_if(|t| again && !t.route.is_empty()) {
            let Transfer {
                mut leg,
                route,
                referral,
                subscription,
                until,
                orphaned,
                ..
            } = *transfer;
            let _ = leg.release(cx, &Cause::Cancelled);
            self.former.push(leg);
            self.call_target(cx, referral, subscription, route, until);
            if let Some(transfer) = &mut self.transfer {
                transfer.orphaned = orphaned;
            } else if orphaned {
                self.release(cx, cause, ReleasedBy::Us);
            }
            return;
        }
        self.transfer_failed(cx, status, cause);
    }

    /// The transfer is off: the PBX's leg goes on, and hears why. Where it is gone, so is the call.
    fn transfer_failed(&mut self, cx: &mut Context<'_>, status: u16, cause: Cause) {
        let Some(orphaned) = self.end_transfer(cx, status) else {
            return;
        };
        cx.log(Level::Info, format!("not transferred, {}", cause.said()));
        match orphaned {
            true => self.release(cx, cause, ReleasedBy::Pbx),
            false => self.sounds(cx),
        }
    }

    /// Takes the new leg off the wire and tells the PBX's leg how it ended, if that is still there;
    /// whether it is not.
    pub(super) fn end_transfer(&mut self, cx: &mut Context<'_>, status: u16) -> Option<bool> {
        let side = self.pbx();
        let mut transfer = self.transfer.take()?;
        let _ = transfer.leg.release(cx, &Cause::Cancelled);
        if let (Some(about), Some(leg)) = (&transfer.subscription, self.leg_mut(side)) {
            leg.report(cx, about, status);
        }
        self.former.push(transfer.leg);
        Some(transfer.orphaned)
    }

    /// The PBX hung up while its new target rings: nobody is at its place.
    pub(super) fn orphan_transfer(&mut self, cx: &mut Context<'_>) {
        let side = self.pbx();
        if let Some(transfer) = &mut self.transfer {
            transfer.orphaned = true;
            transfer.subscription = None;
            cx.media(MediaCommand::Replace {
                side,
                plan: Box::new(LegPlan::nobody()),
            });
            cx.log(Level::Info, "the PBX left before its new target answered");
            self.sounds(cx);
        }
    }
}

/// Where the new target is to be had: itself if it has registered or lies in the trunk's own networks,
/// else wherever the trunk's calls go. Never anywhere else, whatever a REFER says.
fn route(cx: &Context<'_>, trunk: &Arc<Trunk>, referral: &Referral) -> VecDeque<Stop> {
    let uri = &referral.uri;
    let stop = |target| Stop::at(trunk, target);
    let mut places = cx.bindings.places(cx.now, &trunk.name);
    if places.iter().any(|place| place.is_named_by(uri)) {
        places.retain(|place| place.is_named_by(uri));
        return places
            .into_iter()
            .map(|place| Stop::registered(trunk, place))
            .collect();
    }
    let host = uri.host();
    if uri.scheme() != Scheme::Tel && !trunk.is_us(host) {
        let same = |target: &&Target| target.host.eq_ignore_ascii_case(host);
        if uri.port().is_none()
            && let Some(target) = trunk.destinations().find(same)
        {
            return [stop(target.clone())].into();
        }
        let address = host.parse::<std::net::IpAddr>().ok();
        if address.is_some_and(|address| trunk.networks.iter().any(|net| net.contains(&address))) {
            let transport = trunk.target.transport;
            let target = Target {
                host: host.to_owned(),
                port: uri.port().unwrap_or(transport.default_port()),
                at: None,
                ..trunk.target.clone()
            };
            return [stop(target)].into();
        }
    }
    if trunk.access.registers {
        return places
            .into_iter()
            .map(|place| Stop::registered(trunk, place))
            .collect();
    }
    let destinations = cx.health.order(cx.now, trunk.destinations());
    destinations.into_iter().map(stop).collect()
}
