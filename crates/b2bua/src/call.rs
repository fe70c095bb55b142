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
//! Hold is no state: it is a direction inside what leg B agreed on.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sdp::Side;
use sdp::plan::Gate;
use sdp::report::MediaReport;
use sip::{ClientKey, Failure, Flow, Request, Response, ServerKey, Target};

use crate::Cause;
use crate::admission::Admitted;
use crate::cause;
use crate::context::Context;
use crate::dial::{self, Inherited, Words};
use crate::draft::Draft;
use crate::io::{CallId, Level};
use crate::leg::LegEvent;
use crate::leg::sip::{Incoming, SipLeg};
use crate::limits::Left;
use crate::media::{LocalMedia, MediaCommand, MediaEvent, Network};
use crate::profile::Progress;
use crate::record::{Direction, Record, ReleasedBy};
use crate::settings::{Number, Trunk};
use crate::stream::{self, Stream};

/// How long binding ports may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(5);
/// How long a destination may say nothing before the next one is tried, if there is one.
const FIRST_WORD: Duration = Duration::from_secs(4);
/// How long a released call waits for its legs beyond 64·T1, and media for its last word.
const RELEASE_GRACE: Duration = Duration::from_secs(8);

/// A call: two legs and the story between them.
#[derive(Debug)]
pub(crate) struct Call {
    direction: Direction,
    number: Arc<Number>,
    trunk: Arc<Trunk>,
    user: String,
    inherited: Inherited,
    a: SipLeg,
    b: Option<SipLeg>,
    /// Earlier legs B that gave way to the present one and are not off the wire yet.
    former: Vec<SipLeg>,
    /// Where else leg B may be had.
    route: VecDeque<Target>,
    streams: [Stream; 2],
    /// The source address of leg A's signalling.
    signalling: IpAddr,
    state: State,
    media: Media,
    /// When the called side must have answered.
    answer_by: Instant,
    draft: Draft,
    /// It no longer counts against the limits.
    left: bool,
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
            user,
            ..
        } = admitted;
        let settings = cx.settings.clone();
        let carrier = &settings.carrier;
        let inherited = Inherited::from(&invite)?;
        let mut draft = Draft::new(cx.wall(), carrier.profile.metadata);
        let of_carrier = Stream::new(
            carrier.profile.clone(),
            stream::carrier_profile(carrier, &number),
        );
        let of_trunk = Stream::new(trunk.profile.clone(), stream::trunk_profile(&trunk));
        let (incoming, streams, limit) = match direction {
            Direction::UserInitiated => {
                draft.metadata.invited(&invite);
                let incoming = Incoming {
                    profile: carrier.profile.clone(),
                    sent_by: dial::carrier_sent_by(&number),
                    contact: dial::carrier_contact(&settings, &number),
                    anchor: Some(carrier.target.clone()),
                };
                (incoming, [of_carrier, of_trunk], number.no_answer)
            }
            Direction::BusinessInitiated => {
                let incoming = Incoming {
                    profile: trunk.profile.clone(),
                    sent_by: trunk.sent_by.as_str().into(),
                    contact: dial::trunk_contact(&trunk, &user, flow.transport),
                    anchor: None,
                };
                (incoming, [of_trunk, of_carrier], number.ring_limit)
            }
        };
        let a = SipLeg::uas(cx, Side::A, flow, key, invite, incoming)?;
        Some(Call {
            direction,
            number,
            trunk,
            user,
            inherited,
            a,
            b: None,
            former: Vec::new(),
            route: VecDeque::new(),
            streams,
            signalling: flow.remote.ip(),
            state: State::Preparing {
                until: cx.now + PREPARE_LIMIT,
            },
            media: Media::Open,
            answer_by: cx.now + limit,
            draft,
            left: false,
        })
    }

    /// Looks at leg A's offer and asks for ports. Apart from [`Call::open`], so that a call that
    /// fails here ends like any other: refused, and with a record.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, offer: &[u8]) {
        let mut networks = [Network::Private; 2];
        networks[self.direction.carrier().index()] = Network::Public;
        let [a, b] = networks;
        cx.media(MediaCommand::Open { a, b });
        cx.log(
            Level::Info,
            format!(
                "{} {}, trunk {}, reference {}",
                self.direction.label(),
                self.number.e164,
                self.trunk.name,
                self.draft.metadata.reference().unwrap_or("-"),
            ),
        );
        let stream = &mut self.streams[Side::A.index()];
        if let Err(cause) = stream.offered(offer) {
            self.release(cx, cause, ReleasedBy::Us);
        }
    }

    /// Whether nothing of the call is left but its record.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// What the call no longer takes up; said once, when it is over.
    pub(crate) fn leaves(&mut self) -> Option<Left> {
        let over = matches!(self.state, State::Releasing { .. } | State::Ended);
        if !over || std::mem::replace(&mut self.left, true) {
            return None;
        }
        let answered = self.draft.answered_at().is_some();
        Some(Left {
            number: self.number.e164.clone(),
            trunk: self.trunk.name.clone(),
            user: self.user.clone(),
            connected: answered && self.direction == Direction::BusinessInitiated,
        })
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
            .find(|leg| leg.has_dialog_of(&request))
        {
            let _ = leg.request(cx, key, request);
            return self.end_if_over(cx);
        }
        let event = self
            .leg_mut(side)
            .and_then(|leg| leg.request(cx, key, request));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_ack(&mut self, cx: &mut Context<'_>, side: Side, ack: &Request) {
        let event = self.leg_mut(side).and_then(|leg| leg.ack(ack));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_cancel(&mut self, cx: &mut Context<'_>, side: Side) {
        let event = self.leg_mut(side).and_then(|leg| leg.cancelled(cx));
        self.on_leg(cx, side, event);
    }

    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        key: ClientKey,
        response: Response,
    ) {
        if let Some(leg) = self.former.iter_mut().find(|leg| leg.waits_for(key)) {
            let _ = leg.response(cx, key, response);
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
            State::Ringing => Some(self.answer_by),
            State::Answering | State::Talking | State::Ended => None,
        };
        let legs = [Some(&self.a), self.b.as_ref()];
        let legs = legs.into_iter().flatten().filter_map(SipLeg::next_timeout);
        own.into_iter().chain(legs).min()
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>) {
        for leg in &mut self.former {
            let _ = leg.timeout(cx);
        }
        for side in Side::BOTH {
            let event = self.leg_mut(side).and_then(|leg| leg.timeout(cx));
            self.on_leg(cx, side, event);
        }
        let now = cx.now;
        match self.state {
            State::Preparing { until } if now >= until => {
                let cause = Cause::MediaFailed("no ports in time".into());
                self.release(cx, cause, ReleasedBy::Us);
            }
            State::Dialing { .. } | State::Ringing if now >= self.answer_by => {
                self.release(cx, Cause::NoAnswer, ReleasedBy::Us);
            }
            State::Dialing {
                patience: Some(at), ..
            } if now >= at => {
                self.dial_failed(cx, Cause::Timeout { leg: Side::B }, ReleasedBy::Us);
            }
            State::Releasing { until, .. } if now >= until => self.end(cx),
            _ => {}
        }
    }

    // ---- the story ----

    fn prepared(&mut self, cx: &mut Context<'_>, local: [LocalMedia; 2]) {
        if !matches!(self.state, State::Preparing { .. }) {
            return;
        }
        for side in Side::BOTH {
            self.streams[side.index()].open(cx.ident, &local[side.index()]);
        }
        self.route = match self.direction {
            Direction::UserInitiated => cx.health.order(cx.now, self.trunk.destinations()),
            Direction::BusinessInitiated => vec![cx.settings.carrier.target.clone()],
        }
        .into();
        self.dial(cx);
    }

    /// Calls the next destination of the route as leg B.
    fn dial(&mut self, cx: &mut Context<'_>) {
        let Some(target) = self.route.pop_front() else {
            return;
        };
        let offer = match self.streams[Side::B.index()].offer() {
            Ok(offer) => offer,
            Err(cause) => return self.release(cx, cause, ReleasedBy::Us),
        };
        let words = Words {
            settings: cx.settings,
            number: &self.number,
            user: &self.user,
            inherited: &self.inherited,
            offer,
        };
        let outgoing = match self.direction {
            Direction::UserInitiated => {
                dial::to_trunk(words, &self.trunk, target.clone(), &self.draft.metadata)
            }
            Direction::BusinessInitiated => dial::to_carrier(words),
        };
        let patience = (!self.route.is_empty()).then(|| cx.now + FIRST_WORD);
        self.state = State::Dialing { target, patience };
        self.former.extend(self.b.take());
        self.b = SipLeg::uac(cx, Side::B, outgoing);
        if self.b.is_none() {
            self.release(cx, Cause::UnknownNumber, ReleasedBy::Us);
        }
    }

    /// Leg B could not be had for `cause`: the next destination, if there is one and another
    /// destination may help; else the end.
    fn dial_failed(&mut self, cx: &mut Context<'_>, cause: Cause, by: ReleasedBy) {
        if let State::Dialing { target, .. } = &self.state
            && cause.is_of_the_way()
        {
            cx.health.unreachable(cx.now, target);
        }
        let waiting = matches!(self.state, State::Dialing { .. } | State::Ringing);
        if !waiting || self.route.is_empty() || !cause.is_of_the_destination() {
            return self.release(cx, cause, by);
        }
        cx.log(
            Level::Warn,
            format!("{cause}: trying the next destination of the trunk"),
        );
        if let Some(leg) = &mut self.b {
            let _ = leg.release(cx, &Cause::Cancelled);
        }
        self.dial(cx);
    }

    fn on_leg(&mut self, cx: &mut Context<'_>, side: Side, event: Option<LegEvent>) {
        let Some(event) = event else { return };
        match event {
            LegEvent::Trying => {
                if let State::Dialing { patience, .. } = &mut self.state {
                    *patience = None;
                }
            }
            LegEvent::Progress { status, headers } => {
                self.learn(side, &headers);
                self.progress(cx, status);
            }
            LegEvent::Answered { body, headers } => {
                self.learn(side, &headers);
                self.answered(cx, &body);
            }
            LegEvent::Confirmed { body } => self.confirmed(cx, &body),
            LegEvent::Cancelled => self.release(cx, Cause::Cancelled, self.party(side)),
            LegEvent::Refused { status, text } => {
                let rules = self.leg(side).map_or(&[][..], |leg| leg.profile().refusals);
                let meaning = cause::meaning(rules, status, &text);
                let cause = Cause::Refused {
                    by: side,
                    status,
                    text,
                    meaning,
                };
                self.dial_failed(cx, cause, self.party(side));
            }
            LegEvent::Failed(cause) => self.dial_failed(cx, cause, ReleasedBy::Us),
            LegEvent::NoAck => self.release(cx, Cause::NoAck, ReleasedBy::Us),
            LegEvent::Released { headers } => {
                self.learn(side, &headers);
                self.release(cx, Cause::Normal, self.party(side));
            }
            LegEvent::Reoffered { offer } => self.reoffered(cx, side, offer),
            LegEvent::Reanswered { body } => self.reanswered(cx, side, &body),
            LegEvent::Gone => {}
        }
        self.end_if_over(cx);
    }

    fn progress(&mut self, cx: &mut Context<'_>, status: u16) {
        let first = self.draft.rang(cx.wall());
        match (self.a.profile().progress, &self.state) {
            (Progress::RingingOnly, State::Dialing { .. }) => self.a.progress(cx, 180),
            (Progress::Pass, State::Dialing { .. } | State::Ringing) => self.a.progress(cx, status),
            _ => return,
        }
        if first {
            cx.log(Level::Info, "ringing");
        }
        self.state = State::Ringing;
    }

    /// Leg B answered: agree on both legs, start media, answer leg A, open its gate. In this
    /// order, because the first packet towards a gated leg *is* the answer for its user.
    ///
    /// A caller that made no offer gets ours in the 200; media then starts with its ACK.
    fn answered(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        if !matches!(self.state, State::Dialing { .. } | State::Ringing) {
            return;
        }
        let [a, b] = &mut self.streams;
        let codec = b.answered(body).map(|agreed| agreed.audio.codec);
        let words = codec.and_then(|codec| match a.was_offered() {
            true => a.answer(Some(codec)),
            false => a.offer(),
        });
        let words = match words {
            Ok(words) => words,
            Err(cause) => return self.release(cx, cause, ReleasedBy::Us),
        };
        let agreed = self.streams[Side::A.index()].agreed().is_some();
        if agreed {
            self.start_media(cx);
        }
        self.a.answer(cx, words);
        if agreed && self.a.profile().gated {
            cx.media(MediaCommand::OpenGate(Side::A));
        }
        self.draft.answered(cx.now, cx.wall());
        cx.log(Level::Info, "answered");
        self.state = State::Answering;
    }

    fn confirmed(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        if !matches!(self.state, State::Answering) {
            return;
        }
        self.state = State::Talking;
        let stream = &mut self.streams[Side::A.index()];
        if stream.agreed().is_none() {
            match stream.answered(body).map(drop) {
                Ok(()) => self.start_media(cx),
                Err(cause) => self.release(cx, cause, ReleasedBy::Us),
            }
        }
    }

    /// Both legs agreed: media may run. A gated leg A waits for its 200.
    fn start_media(&mut self, cx: &mut Context<'_>) {
        let gate = if self.a.profile().gated {
            Gate::Shut
        } else {
            Gate::Open
        };
        let plans = (
            self.streams[Side::A.index()].plan(gate, Some(self.signalling)),
            self.streams[Side::B.index()].plan(Gate::Open, None),
        );
        match plans {
            (Some(a), Some(b)) => cx.media(MediaCommand::Start {
                plans: Box::new([a, b]),
            }),
            _ => self.release(cx, Cause::Bug, ReleasedBy::Us),
        }
    }

    fn reoffered(&mut self, cx: &mut Context<'_>, side: Side, offer: Option<Bytes>) {
        let talking = matches!(self.state, State::Answering | State::Talking);
        let stream = &mut self.streams[side.index()];
        let (body, changed) = match offer {
            _ if !talking => (None, false),
            Some(offer) => (stream.reoffered(&offer).ok(), true),
            None => (stream.offer_again().ok(), false),
        };
        let agreed = stream
            .agreed()
            .filter(|_| body.is_some() && changed)
            .cloned();
        if let Some(leg) = self.leg_mut(side) {
            leg.answer_reoffer(cx, body);
        }
        if let Some(agreed) = agreed {
            cx.media(MediaCommand::Update {
                side,
                agreed: Box::new(agreed),
            });
        }
    }

    fn reanswered(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) {
        // An answer we cannot use leaves what was agreed before (RFC 3264 §8).
        if let Ok(agreed) = self.streams[side.index()].answered(body) {
            let agreed = Box::new(agreed.clone());
            cx.media(MediaCommand::Update { side, agreed });
        }
    }

    /// Ends the call for one cause; later causes are only consequences.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>, cause: Cause, by: ReleasedBy) {
        if matches!(self.state, State::Releasing { .. } | State::Ended) {
            return;
        }
        let level = if cause.is_alarm() {
            Level::Warn
        } else {
            Level::Info
        };
        let hint = cause.hint();
        let dash = if hint.is_empty() { "" } else { ": " };
        cx.log(
            level,
            format!("over, {cause}, by {}{dash}{hint}", by.label()),
        );
        for side in Side::BOTH {
            if let Some(leg) = self.leg_mut(side) {
                // What the release of a leg has to say is seen in `is_gone`.
                let _ = leg.release(cx, &cause);
            }
        }
        if matches!(self.media, Media::Open) {
            self.media = Media::Closing;
            cx.media(MediaCommand::Close);
        }
        self.draft.ended(cx.now, cx.wall());
        let until = cx.now + cx.settings.timers.t1 * 64 + RELEASE_GRACE;
        self.state = State::Releasing { cause, by, until };
        self.end_if_over(cx);
    }

    /// Ends the call at once after a bug of ours: what can still be said to the legs is said.
    pub(crate) fn abandon(&mut self, cx: &mut Context<'_>) {
        self.release(cx, Cause::Bug, ReleasedBy::Us);
        self.end(cx);
    }

    fn end_if_over(&mut self, cx: &mut Context<'_>) {
        self.former.retain(|leg| !leg.is_gone());
        let legs_gone = self.former.is_empty()
            && self.a.is_gone()
            && self.b.as_ref().is_none_or(SipLeg::is_gone);
        let over = matches!(self.state, State::Releasing { .. });
        if over && legs_gone && matches!(self.media, Media::Closed(_)) {
            self.end(cx);
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let State::Releasing { cause, by, .. } = std::mem::replace(&mut self.state, State::Ended)
        else {
            return;
        };
        let record = self.record(cx.call, cause, by);
        cx.out.push_back(crate::Output::Record(Box::new(record)));
    }

    fn record(&mut self, id: CallId, cause: Cause, released_by: ReleasedBy) -> Record {
        let media = match std::mem::replace(&mut self.media, Media::Closing) {
            Media::Closed(report) => *report,
            Media::Open | Media::Closing => MediaReport::default(),
        };
        let a = Some(self.a.call_id().as_str().into_owned());
        let b = self
            .b
            .as_ref()
            .map(|leg| leg.call_id().as_str().into_owned());
        let (carrier_call_id, pbx_call_id) = match self.direction {
            Direction::UserInitiated => (a, b),
            Direction::BusinessInitiated => (b, a),
        };
        let facts = self.draft.clone();
        let billable = facts.pulses(self.direction);
        Record {
            id,
            direction: self.direction,
            reference: facts.metadata.reference().map(str::to_owned),
            carrier_call_id,
            pbx_call_id,
            number: self.number.e164.clone(),
            user: self.user.clone(),
            trunk: self.trunk.name.clone(),
            started: facts.started,
            ringing: facts.ringing,
            answered: facts.answered_at(),
            ended: facts.ended_at(),
            duration: facts.duration(),
            carrier_duration: facts.metadata.duration(),
            pulses: billable,
            released_by,
            cause,
            legs: [self.streams[0].media(), self.streams[1].media()],
            metadata: facts.metadata.facts().clone(),
            media,
            digits: facts.digits,
        }
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

    fn learn(&mut self, side: Side, headers: &sip::Headers) {
        if side == self.direction.carrier() {
            self.draft.metadata.learn(headers);
        }
    }
}
