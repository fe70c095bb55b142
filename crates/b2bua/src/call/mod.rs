//! A call: two legs and the story between them.
//!
//! ```text
//!          A offered, admitted
//!                 │ Media Open
//!                 ▼
//!           ┌───────────┐
//!           │ Preparing ├───────────────── media failed · in time ────────┐
//!           └─────┬─────┘                                                │
//!  media Opened   │ B ◄ offer                                            │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │  Dialing  ├── B refuses · B silent · A cancels ────────────┤
//!           └─────┬─────┘                                                │
//!  B progress     │ A ◄ 180                                              │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │  Ringing  ├── idem ────────────────────────────────────────┤
//!           └─────┬─────┘                                                │
//!  B answered     │ B ◄ ACK · media Start · A ◄ 200 · gate open          │
//!                 ▼                                                      │
//!           ┌───────────┐                                                │
//!           │ Answering ├── no ACK in 64·T1 · either releases ───────────┤
//!           └─────┬─────┘                                                │
//!  A confirmed    │                                                      │
//!                 ▼                                                      ▼
//!           ┌───────────┐  release · media silent · operator     ┌────────────┐ both legs   ┌───────┐
//!           │  Talking  ├───────────────────────────────────────►│ Releasing  ├────────────►│ Ended │
//!           └───────────┘                                        └────────────┘ gone        └───────┘
//! ```
//!
//! This file is the switchboard: what comes in, and to whom it goes. The story itself is told in
//! `setup`, `progress`, `reoffer`, `transfer`, `replace` and `ending`.
//!
//! Hold is no state: it is a direction inside what leg B agreed on.

mod ending;
mod facts;
mod progress;
mod reoffer;
mod replace;
mod setup;
mod transfer;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdp::Side;
use sdp::plan::Sound;
use sdp::report::MediaReport;
use sip::{ClientKey, Failure, Flow, FlowId, Request, Response, ServerKey, Target};

use crate::Cause;
use crate::admission::Admitted;
use crate::cause;
use crate::comfort::Comfort;
use crate::context::Context;
use crate::dial::{self, Inherited};
use crate::draft::Draft;
use crate::event::Happened;
use crate::io::Level;
use crate::leg::LegEvent;
use crate::leg::sip::{Incoming, SipLeg, Way, words};
use crate::media::{LocalMedia, MediaCommand, MediaEvent, Network};
use crate::number::E164;
use crate::record::{Direction, ReleasedBy};
use crate::registration::serve::Place;
use crate::settings::{Number, Trunk};
use crate::stream::Stream;
use progress::Early;
use transfer::Transfer;

/// How long binding ports may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(5);

/// A call: two legs and the story between them.
#[derive(Debug)]
pub(crate) struct Call {
    direction: Direction,
    number: Arc<Number>,
    trunk: Arc<Trunk>,
    user: String,
    inherited: Inherited,
    /// The flow the caller's INVITE came on.
    caller: FlowId,
    a: SipLeg,
    b: Option<SipLeg>,
    /// Earlier legs B that gave way to the present one and are not off the wire yet.
    former: Vec<SipLeg>,
    /// The number of a user who has none.
    alias: Option<E164>,
    /// The trunks to try after this one.
    others: Vec<Arc<Trunk>>,
    /// Where else leg B may be had.
    route: VecDeque<Stop>,
    /// Where leg B was called last.
    called: Option<Target>,
    /// Leg B's ports, for when another trunk takes the call.
    local: Option<LocalMedia>,
    /// The trunk whose limit it counts against.
    counted: Arc<str>,
    streams: [Stream; 2],
    /// How often either side offered anew lately.
    insistence: [reoffer::Insistence; 2],
    /// The source address of leg A's signalling.
    signalling: IpAddr,
    state: State,
    media: Media,
    /// When the called side must have answered.
    answer_by: Instant,
    draft: Draft,
    /// The one more try after passing trouble is used up.
    called_again: bool,
    /// It no longer counts against the limits.
    left: bool,
    /// What was done before leg B answered.
    early: Early,
    /// The media session was started.
    running: bool,
    /// Leg B's own media has its place in the session.
    present: bool,
    /// The PBX sends its call elsewhere.
    transfer: Option<Box<Transfer>>,
    /// REFERs taken up in the PBX's present dialog.
    referrals: u32,
    /// What media plays to each leg.
    sounding: [Option<Sound>; 2],
}

#[derive(Debug)]
enum State {
    /// Ports are being bound.
    Preparing { until: Instant },
    /// Leg B was called, and has not said yet that it rings.
    Dialing {
        target: Target,
        /// When the next destination is tried unless a word of this one has come.
        patience: Option<Instant>,
    },
    /// The destination has passing trouble; it is called once more then.
    Pausing { target: Target, until: Instant },
    /// Leg B rings, and leg A knows.
    Ringing,
    /// Leg A was sent our 200.
    Answering,
    /// Both legs agreed.
    Talking,
    /// The call is over; its legs and its ports are not.
    Releasing {
        cause: Cause,
        by: ReleasedBy,
        until: Instant,
    },
    /// Nothing is left.
    Ended,
}

/// A place where leg B may be had.
#[derive(Clone, Debug)]
struct Stop {
    trunk: Arc<Trunk>,
    target: Target,
    /// The contact that is called there, if the trunk registers.
    place: Option<Place>,
}

impl Stop {
    /// One of the trunk's destinations.
    fn at(trunk: &Arc<Trunk>, target: Target) -> Stop {
        Stop {
            trunk: trunk.clone(),
            target,
            place: None,
        }
    }

    /// Where the trunk has registered.
    fn registered(trunk: &Arc<Trunk>, place: Place) -> Stop {
        Stop {
            trunk: trunk.clone(),
            target: place.target(),
            place: Some(place),
        }
    }
}

/// The media engine's part of the call.
#[derive(Debug)]
enum Media {
    Open,
    Closing,
    Closed(Box<MediaReport>),
}

impl Call {
    /// Takes an admitted INVITE. `None` if it cannot make a dialog.
    pub(crate) fn open(
        cx: &mut Context<'_>,
        admitted: Admitted,
        flow: Flow,
        key: ServerKey,
        invite: Request,
    ) -> Option<Call> {
        let Admitted {
            direction,
            number,
            trunk,
            others,
            user,
            alias,
            proved,
            ..
        } = admitted;
        let settings = cx.settings.clone();
        let carrier = &settings.carrier;
        let rules = match direction {
            Direction::UserInitiated => &trunk.policy.to_pbx,
            Direction::BusinessInitiated => &trunk.policy.to_carrier,
        };
        let inherited = Inherited::from(&invite)?.keeping(&invite, rules);
        let inherited = others.iter().fold(inherited, |kept, other| {
            kept.keeping(&invite, &other.policy.to_pbx)
        });
        let mut draft = Draft::new(cx.wall(), carrier.profile.metadata);
        let of_carrier = Stream::of_carrier(carrier, &number);
        let of_trunk = Stream::of_trunk(&trunk);
        let (incoming, streams, limit) = match direction {
            Direction::UserInitiated => {
                draft.metadata.invited(&invite);
                let incoming = Incoming {
                    profile: carrier.profile.clone(),
                    sent_by: dial::carrier_sent_by(&number),
                    contact: dial::carrier_contact(&settings, &number),
                    way: Way::To(carrier.target.clone()),
                    from: None,
                    answerer: dial::carrier_answerer(&number),
                };
                (incoming, [of_carrier, of_trunk], number.no_answer)
            }
            Direction::BusinessInitiated => {
                let incoming = Incoming {
                    profile: trunk.profile.clone(),
                    sent_by: dial::ours(&trunk, &flow),
                    contact: dial::trunk_contact(&trunk, &user, &flow),
                    from: dial::home(&trunk, &flow),
                    answerer: dial::trunk_answerer(&trunk),
                    way: match proved {
                        true => Way::back(&flow),
                        false => Way::ByDialog,
                    },
                };
                (incoming, [of_trunk, of_carrier], number.ring_limit)
            }
        };
        let counted = trunk.name.clone();
        let a = SipLeg::uas(cx, Side::A, flow, key, invite, incoming)?;
        Some(Call {
            direction,
            number,
            trunk,
            user,
            inherited,
            caller: flow.id,
            a,
            b: None,
            former: Vec::new(),
            alias,
            others,
            route: VecDeque::new(),
            called: None,
            local: None,
            counted,
            streams,
            insistence: Default::default(),
            signalling: flow.remote.ip(),
            state: State::Preparing {
                until: cx.now + PREPARE_LIMIT,
            },
            media: Media::Open,
            answer_by: cx.now + limit,
            draft,
            called_again: false,
            left: false,
            early: Early::default(),
            running: false,
            present: false,
            transfer: None,
            referrals: 0,
            sounding: [None, None],
        })
    }

    /// Looks at leg A's offer and asks for ports. Apart from [`Call::open`], so that a call that
    /// fails here ends like any other: refused, and with a record.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, offer: &[u8]) {
        let mut networks = [Network::Private; 2];
        networks[self.direction.carrier().index()] = Network::Public;
        let [a, b] = networks;
        cx.media(MediaCommand::Open { a, b });
        self.say(cx, Happened::Began);
        let stream = &mut self.streams[Side::A.index()];
        if let Err(cause) = stream.offered(offer) {
            self.release(cx, cause, ReleasedBy::Us);
        }
    }

    // ---- what comes in ----

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

    // ---- small things ----

    fn leg(&self, side: Side) -> Option<&SipLeg> {
        match side {
            Side::A => Some(&self.a),
            Side::B => self.b.as_ref(),
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut SipLeg> {
        match side {
            Side::A => Some(&mut self.a),
            Side::B => self.b.as_mut(),
        }
    }

    fn party(&self, side: Side) -> ReleasedBy {
        if side == self.direction.carrier() {
            ReleasedBy::Carrier
        } else {
            ReleasedBy::Pbx
        }
    }

    fn comfort(&self) -> &Comfort {
        &self.trunk.comfort
    }

    fn learn(&mut self, side: Side, headers: &sip::Headers) {
        if side == self.direction.carrier() {
            self.draft.metadata.learn(headers);
        }
    }
}
