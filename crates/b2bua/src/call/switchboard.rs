//! The switchboard of a call: what comes in, from a peer, from media or from the clock, and to whom it goes.

use std::time::{Duration, Instant};

use sdp::Side;
use sip::{ClientKey, Failure, Flow, FlowId, Request, Response, ServerKey};

use super::{Call, Media, State};
use crate::Cause;
use crate::cause;
use crate::context::Context;
use crate::event::Happened;
use crate::io::Level;
use crate::leg::LegEvent;
use crate::leg::sip::{SipLeg, words};
use crate::media::MediaEvent;
use crate::record::ReleasedBy;

impl Call {
    pub(crate) fn on_request(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        key: ServerKey,
        request: Request,
    ) {
        if let Some(leg) = self
            .former
            .iter_mut()
            .find(|leg| leg.has_any_dialog_of(&request))
        {
            let _ = leg.request(cx, key, request);
            return self.end_if_over(cx);
        }
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.has_dialog_of(&request))
        {
            return self.on_target_request(cx, key, request);
        }
        let present = self.leg_mut(side);
        let Some(leg) = present.filter(|leg| leg.has_any_dialog_of(&request)) else {
            // Of a leg that has left: whoever came in its place has nothing to do with it.
            let over = words::response(&request, 481, "", &cx.settings.product);
            return cx.respond(key, over);
        };
        let event = leg.request(cx, key, request);
        self.on_leg(cx, side, event);
    }

    /// A request has overtaken the answer that makes its dialog. It is none of ours yet (RFC 3261 §15.1.2);
    /// but who says goodbye so is gone when his answer comes.
    pub(crate) fn overtaken(&mut self, side: Side, request: &Request) {
        if let Some(leg) = self.leg_mut(side) {
            leg.overtaken(request);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.overtaken(request);
        }
    }

    /// A request of a leg's peer came this way.
    pub(crate) fn seen(&mut self, cx: &Context<'_>, side: Side, flow: &Flow) {
        if let Some(leg) = self.leg_mut(side) {
            leg.seen(cx, flow);
        }
    }

    /// The flow the caller's INVITE came on.
    pub(crate) fn caller_flow(&self) -> FlowId {
        self.caller
    }

    /// That flow is gone, and with it the way of any answer: nobody is to pick up for a caller who
    /// could not hear of it (ADR 31).
    pub(crate) fn caller_lost(&mut self, cx: &mut Context<'_>) {
        if self.a.is_offered() {
            let why = "the connection of its INVITE broke".into();
            let cause = Cause::Unreachable { leg: Side::A, why };
            self.release(cx, cause, self.party(Side::A));
        }
    }

    pub(crate) fn on_ack(&mut self, cx: &mut Context<'_>, side: Side, ack: &Request) {
        if let Some(leg) = self.former.iter_mut().find(|leg| leg.has_dialog_of(ack)) {
            let _ = leg.ack(cx, ack);
            return self.end_if_over(cx);
        }
        let event = self.leg_mut(side).and_then(|leg| leg.ack(cx, ack));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_cancel(&mut self, cx: &mut Context<'_>, side: Side) {
        let event = self.leg_mut(side).and_then(|leg| leg.cancelled(cx));
        self.on_leg(cx, side, event);
    }

    /// Whether a response is to a request of a leg that is still there.
    pub(crate) fn has_leg_of(&self, response: &Response) -> bool {
        let legs = [Some(&self.a), self.b.as_ref()].into_iter().flatten();
        let transfer = self.transfer.as_ref();
        legs.chain(&self.former).any(|leg| leg.is_of(response))
            || transfer.is_some_and(|transfer| transfer.has_leg_of(response))
    }

    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        key: ClientKey,
        response: Response,
    ) {
        // What comes once more, or from another branch of a fork, is known by its Call-ID alone.
        let of = |leg: &SipLeg| leg.waits_for(key) || leg.is_of(&response);
        if let Some(leg) = self.former.iter_mut().find(|leg| of(leg)) {
            let _ = leg.response(cx, key, response);
            return self.end_if_over(cx);
        }
        if self
            .transfer
            .as_ref()
            .is_some_and(|t| t.is_of(key, &response))
        {
            self.on_target_response(cx, key, response);
            return self.end_if_over(cx);
        }
        let event = self
            .leg_mut(side)
            .and_then(|leg| leg.response(cx, key, response));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_failure(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        key: ClientKey,
        why: Failure,
    ) {
        if let Some(leg) = self.former.iter_mut().find(|leg| leg.waits_for(key)) {
            let _ = leg.failed(cx, key, why);
            return self.end_if_over(cx);
        }
        if self.transfer.as_ref().is_some_and(|t| t.waits_for(key)) {
            self.on_target_failure(cx, key, why);
            return self.end_if_over(cx);
        }
        let event = self.leg_mut(side).and_then(|leg| leg.failed(cx, key, why));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_media(&mut self, cx: &mut Context<'_>, event: MediaEvent) {
        match event {
            MediaEvent::Opened { a, b } => self.prepared(cx, [a, b]),
            MediaEvent::Failed(why) => self.release(cx, Cause::MediaFailed(why), ReleasedBy::Us),
            MediaEvent::Silent { side, after } => {
                cx.log(
                    Level::Warn,
                    format!("nothing heard from leg {side:?} for {after:?}"),
                );
                self.release(cx, Cause::MediaSilent(side), ReleasedBy::Us);
            }
            MediaEvent::Quiet { side, after } => {
                let name = self.leg(side).map_or("no", |leg| leg.profile().name);
                cx.log(
                    Level::Warn,
                    format!("no audio from leg {side:?} ({name}) for {after:?}"),
                );
            }
            MediaEvent::Digit {
                from,
                digit,
                duration_ms,
            } => {
                self.draft.digits[from.index()] += 1;
                cx.log(
                    Level::Debug,
                    format!("leg {from:?} pressed {digit} for {duration_ms} ms"),
                );
                let duration = Duration::from_millis(duration_ms.into());
                if let Some(leg) = self.leg_mut(!from) {
                    leg.tell_digit(cx, digit, duration);
                }
            }
            MediaEvent::FirstReceived(side) => {
                cx.log(Level::Debug, format!("first packet from leg {side:?}"));
            }
            MediaEvent::FirstSent(side) => {
                cx.log(Level::Debug, format!("first packet to leg {side:?}"));
            }
            MediaEvent::Resumed(side) => {
                cx.log(Level::Info, format!("leg {side:?} is heard again"));
            }
            MediaEvent::Recut { side, begins } => {
                self.recut[side.index()] = begins;
                let name = self.leg(side).map_or("no", |leg| leg.profile().name);
                let what = match begins {
                    true => "is coded anew: its packets are not of the length we asked for",
                    false => "passes as it is again",
                };
                cx.log(
                    Level::Info,
                    format!("audio of leg {side:?} ({name}) {what}"),
                );
            }
            MediaEvent::Unopened { side, why, source } => {
                self.say(cx, Happened::Unopened { side, why, source });
            }
            MediaEvent::Reported { .. } => {}
            MediaEvent::Closed(report) => {
                self.media = Media::Closed(report);
                self.end_if_over(cx);
            }
        }
    }

    /// When the call wants [`Call::timeout`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Preparing { until } | State::Releasing { until, .. } => Some(until),
            State::Dialing { patience, .. } => {
                Some(patience.map_or(self.answer_by, |at| at.min(self.answer_by)))
            }
            State::Pausing { until, .. } => Some(until.min(self.answer_by)),
            State::Ringing => Some(self.answer_by),
            State::Answering | State::Talking | State::Ended => None,
        };
        let legs = [Some(&self.a), self.b.as_ref()].into_iter().flatten();
        let legs = legs.chain(&self.former).filter_map(SipLeg::next_timeout);
        let early = self.early.next_timeout();
        let transfer = self.transfer.as_ref().and_then(|t| t.next_timeout());
        own.into_iter()
            .chain(legs)
            .chain(early)
            .chain(transfer)
            .min()
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        for leg in &mut self.former {
            let _ = leg.timeout(cx);
        }
        self.end_if_over(cx);
        for side in Side::BOTH {
            let event = self.leg_mut(side).and_then(|leg| leg.timeout(cx));
            self.on_leg(cx, side, event);
        }
        self.ring_if_due(cx);
        self.transfer_timeout(cx);
        let now = cx.now;
        match self.state {
            State::Preparing { until } if now >= until => {
                let cause = Cause::MediaFailed("no ports in time".into());
                self.release(cx, cause, ReleasedBy::Us);
            }
            State::Dialing { .. } | State::Pausing { .. } | State::Ringing
                if now >= self.answer_by =>
            {
                // Who never gave a sign of life did not leave the telephone unanswered.
                match self.b.as_ref().is_some_and(SipLeg::is_unheard) {
                    true => {
                        self.dial_failed(cx, Cause::Timeout { leg: Side::B }, ReleasedBy::Us);
                    }
                    false => self.release(cx, Cause::NoAnswer, ReleasedBy::Us),
                }
            }
            State::Dialing {
                patience: Some(at), ..
            } if now >= at => {
                self.dial_failed(cx, Cause::Timeout { leg: Side::B }, ReleasedBy::Us);
            }
            State::Pausing { until, .. } if now >= until => self.dial_again(cx),
            State::Releasing { until, .. } if now >= until => self.end(cx),
            _ => {}
        }
    }

    fn on_leg(&mut self, cx: &mut Context<'_>, side: Side, event: Option<LegEvent>) {
        let Some(event) = event else { return };
        match event {
            LegEvent::Trying => {
                if let State::Dialing { patience, .. } = &mut self.state {
                    *patience = None;
                }
            }
            LegEvent::Progress {
                status,
                body,
                headers,
                answer,
            } => {
                self.learn(side, &headers);
                self.answered_early(side, &answer);
                self.progress(cx, status, &body);
            }
            LegEvent::Answered { body, headers } => {
                self.learn(side, &headers);
                self.answered(cx, &body);
            }
            LegEvent::Confirmed { body }
                if side == Side::A && !matches!(self.state, State::Talking) =>
            {
                self.confirmed(cx, &body);
            }
            LegEvent::Confirmed { body } => self.settled(cx, side, &body),
            LegEvent::Cancelled => self.release(cx, Cause::Cancelled, self.party(side)),
            LegEvent::Refused {
                status,
                text,
                retry_after,
            } => {
                let rules = self.leg(side).map_or(&[][..], |leg| leg.profile().refusals);
                let meaning = cause::meaning(rules, status, &text);
                let cause = Cause::Refused {
                    by: side,
                    status,
                    text,
                    meaning,
                };
                self.rest(cx, &cause, retry_after);
                if !self.calls_again(cx, &cause, retry_after) {
                    self.dial_failed(cx, cause, self.party(side));
                }
            }
            LegEvent::Failed(cause) => self.dial_failed(cx, cause, ReleasedBy::Us),
            LegEvent::WantsRefresh => self.refresh(cx, side),
            LegEvent::NoAck => self.release(cx, Cause::NoAck, ReleasedBy::Us),
            LegEvent::Released { headers } => {
                self.learn(side, &headers);
                match self.transfer.is_some() && side == self.pbx() {
                    true => self.orphan_transfer(cx),
                    false => self.release(cx, Cause::Normal, self.party(side)),
                }
            }
            LegEvent::Reoffered { offer } => self.reoffered(cx, side, offer),
            LegEvent::Reanswered { body } => self.reanswered(cx, side, &body),
            LegEvent::Pressed { digit, duration } => self.pressed(cx, side, digit, duration),
            LegEvent::Referred(referral) => self.referred(cx, side, referral),
            LegEvent::Gone => {}
        }
        self.end_if_over(cx);
    }
}
