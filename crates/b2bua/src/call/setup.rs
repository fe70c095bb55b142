//! From the ports to the answer: whom leg B calls, and what leg A hears of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sdp::Side;
use sdp::plan::{Gate, LegPlan};
use sip::Target;

use super::{Call, State, Stop};
use crate::Cause;
use crate::context::Context;
use crate::dial::{self, Words};
use crate::event::Happened;
use crate::io::Level;
use crate::leg::sip::SipLeg;
use crate::media::{LocalMedia, MediaCommand};
use crate::record::{Direction, ReleasedBy};
use crate::settings::{Settings, Trunk};
use crate::stream::Stream;

/// How long a destination may say nothing before the next one is tried, if there is one.
const FIRST_WORD: Duration = Duration::from_secs(4);

/// Where the carrier is called: by its name, over the connection there is; but not at an address that had
/// better be avoided, while there is another one.
fn carrier(cx: &mut Context<'_>) -> Target {
    let name = cx.settings.carrier.target.clone();
    let live = cx.flows.remote_of(&name);
    if live.is_some_and(|address| !cx.locations.rests(cx.now, address)) {
        return name;
    }
    let detour = cx.locations.detour(cx.now, &name, || cx.ident.u32());
    detour.unwrap_or(name)
}

impl Call {
    pub(super) fn prepared(&mut self, cx: &mut Context<'_>, local: [LocalMedia; 2]) {
        if !matches!(self.state, State::Preparing { .. }) {
            return;
        }
        for side in Side::BOTH {
            self.streams[side.index()].open(cx.ident, &local[side.index()]);
        }
        let [_, b] = local;
        self.local = Some(b);
        self.route = match self.direction {
            Direction::UserInitiated => self.stops(cx),
            Direction::BusinessInitiated => [Stop::at(&self.trunk, carrier(cx))].into(),
        };
        self.answer_at_once(cx);
        if matches!(self.state, State::Preparing { .. }) {
            self.dial(cx);
        }
    }

    /// Every destination of every trunk that may take the call, those known to be dead last.
    fn stops(&self, cx: &mut Context<'_>) -> VecDeque<Stop> {
        let trunks = std::iter::once(&self.trunk).chain(&self.others);
        let all = trunks.flat_map(|trunk| {
            // The server that knows us as its extension takes our calls before all others.
            let server = cx.registrations.server(&trunk.name);
            let mut fixed: Vec<_> = trunk.destinations().collect();
            fixed.sort_by_key(|target| server.is_none_or(|at| !is_at(target, at)));
            let fixed = fixed
                .into_iter()
                .map(|target| Stop::at(trunk, target.clone()));
            let registered = cx.bindings.places(cx.now, &trunk.name).into_iter();
            let registered = registered.map(|place| Stop::registered(trunk, place));
            registered.chain(fixed)
        });
        let (mut stops, dead): (VecDeque<_>, VecDeque<_>) =
            all.partition(|stop| !cx.health.is_dead(cx.now, &stop.target));
        stops.extend(dead);
        let mut places = VecDeque::new();
        for Stop {
            trunk,
            target,
            place,
        } in stops
        {
            let found = cx.locations.expand(cx.now, vec![target], || cx.ident.u32());
            places.extend(found.into_iter().map(|target| Stop {
                trunk: trunk.clone(),
                target,
                place: place.clone(),
            }));
        }
        places
    }

    /// The next stop whose trunk has room.
    fn next_stop(&mut self, cx: &Context<'_>) -> Option<Stop> {
        while let Some(stop) = self.route.pop_front() {
            if stop.trunk.name == self.counted || !cx.limits.is_full(&stop.trunk) {
                return Some(stop);
            }
        }
        None
    }

    /// Another trunk takes the call: leg B is spoken with as that trunk wants it.
    fn move_to(&mut self, cx: &mut Context<'_>, trunk: Arc<Trunk>) {
        let mut stream = Stream::of_trunk(&trunk);
        if let Some(local) = &self.local {
            stream.open(cx.ident, local);
        }
        self.streams[Side::B.index()] = stream;
        self.trunk = trunk;
        cx.log(
            Level::Info,
            format!("trunk {} takes the call", self.trunk.name),
        );
    }

    /// From which trunk to which the call went, said once: limits count it where it is.
    pub(crate) fn moves(&mut self) -> Option<(Arc<str>, Arc<str>)> {
        if self.counted == self.trunk.name || self.left {
            return None;
        }
        let from = std::mem::replace(&mut self.counted, self.trunk.name.clone());
        Some((from, self.trunk.name.clone()))
    }

    /// Calls the next destination of the route as leg B.
    pub(super) fn dial(&mut self, cx: &mut Context<'_>) {
        let Some(Stop {
            trunk,
            target,
            place,
        }) = self.next_stop(cx)
        else {
            // Its last contact may have gone since the call was admitted.
            let cause = match cx.bindings.reach(cx.now, &self.trunk) {
                true => Cause::Limit("calls of the trunk at once"),
                false => Cause::NotRegistered,
            };
            return self.release(cx, cause, ReleasedBy::Us);
        };
        self.vacate(cx);
        self.streams[Side::B.index()].forget_agreement();
        if trunk.name != self.trunk.name {
            self.move_to(cx, trunk);
        }
        let offer = match self.streams[Side::B.index()].offer() {
            Ok(offer) => offer,
            Err(cause) => return self.release(cx, cause, ReleasedBy::Us),
        };
        let words = self.words(cx.settings, offer);
        let outgoing = match self.direction {
            Direction::UserInitiated => {
                let metadata = &self.draft.metadata;
                dial::to_trunk(words, target.clone(), place.as_ref(), metadata)
            }
            Direction::BusinessInitiated => dial::to_carrier(words, target.clone()),
        };
        let target = Arc::new(target);
        self.called = Some(target.clone());
        let patience = (!self.route.is_empty()).then(|| cx.now + FIRST_WORD);
        self.state = State::Dialing { target, patience };
        self.former.extend(self.b.take());
        self.b = SipLeg::uac(cx, Side::B, outgoing);
        self.expect_ringing(cx);
        if self.b.is_none() {
            self.release(cx, Cause::UnknownNumber, ReleasedBy::Us);
        }
    }

    /// What the INVITE of another leg says of this call.
    pub(super) fn words<'a>(&'a self, settings: &'a Settings, offer: Bytes) -> Words<'a> {
        Words {
            settings,
            number: &self.number,
            user: &self.user,
            alias: self.alias.as_ref(),
            trunk: &self.trunk,
            inherited: &self.inherited,
            offer,
        }
    }

    /// Leg B could not be had for `cause`: the next destination, if there is one and another
    /// destination may help; else the end.
    pub(super) fn dial_failed(&mut self, cx: &mut Context<'_>, cause: Cause, by: ReleasedBy) {
        if let State::Dialing { target, .. } = &self.state
            && cause.is_of_the_way()
        {
            match target.at {
                Some(address) => cx.locations.unreachable(cx.now, address),
                None => cx.health.unreachable(cx.now, target),
            }
        }
        let waiting = matches!(self.state, State::Dialing { .. } | State::Ringing);
        if !waiting || self.route.is_empty() || !cause.is_of_the_destination() {
            return self.release(cx, cause, by);
        }
        cx.log(
            Level::Warn,
            format!("{}: trying the next destination of the trunk", cause.said()),
        );
        if let Some(leg) = &mut self.b {
            let _ = leg.release(cx, &Cause::Cancelled);
        }
        self.dial(cx);
    }

    /// A destination that names a time to come back is left alone until then (RFC 3261 §21.5.4).
    pub(super) fn rest(&self, cx: &mut Context<'_>, cause: &Cause, retry_after: Option<Duration>) {
        let Cause::Refused { status: 503, .. } = cause else {
            return;
        };
        if let (Some(target), Some(pause)) = (&self.called, retry_after) {
            cx.health.asks_for_rest(cx.now, target, pause);
        }
        // The carrier has one name and many addresses: it is this one that has trouble.
        let address = self.b.as_ref().and_then(|leg| leg.far_end(cx));
        if let (Some(address), Direction::BusinessInitiated) = (address, self.direction) {
            cx.locations.asks_for_rest(cx.now, address, retry_after);
        }
    }

    /// Whether leg B's trouble passes, so that the same destination is called once more after a
    /// pause: between the two its rule names, and not before its Retry-After, unless there is another
    /// address of its name to call (RFC 3263 §4.3).
    pub(super) fn calls_again(
        &mut self,
        cx: &mut Context<'_>,
        cause: &Cause,
        retry_after: Option<Duration>,
    ) -> bool {
        let (State::Dialing { target, .. }, Cause::Refused { meaning, .. }) = (&self.state, cause)
        else {
            return false;
        };
        let Some((least, most)) = meaning.again.filter(|_| !self.called_again) else {
            return false;
        };
        let spread = most.saturating_sub(least).as_millis().max(1) as u32;
        let pause = least + Duration::from_millis(u64::from(cx.ident.u32() % spread));
        let elsewhere = self.elsewhere(cx, target);
        let pause = match elsewhere {
            Some(_) => pause,
            None => pause.max(retry_after.unwrap_or_default()),
        };
        if pause > most {
            return false;
        }
        cx.log(
            Level::Warn,
            format!(
                "{}: calling once more in {} ms",
                cause.said(),
                pause.as_millis()
            ),
        );
        self.called_again = true;
        self.state = State::Pausing {
            target: elsewhere.map_or_else(|| target.clone(), Arc::new),
            until: cx.now + pause,
        };
        true
    }

    /// Another address of the carrier than one that had better be avoided.
    fn elsewhere(&self, cx: &mut Context<'_>, target: &Target) -> Option<Target> {
        let name = Target {
            at: None,
            ..target.clone()
        };
        let of_carrier = self.direction == Direction::BusinessInitiated;
        let detour = cx.locations.detour(cx.now, &name, || cx.ident.u32());
        detour.filter(|_| of_carrier)
    }

    /// The pause is over.
    pub(super) fn dial_again(&mut self, cx: &mut Context<'_>) {
        if let State::Pausing { target, .. } = &self.state {
            let again = Stop::at(&self.trunk, (**target).clone());
            self.route.push_front(again);
            self.dial(cx);
        }
    }

    /// Leg B answered: agree on both legs, start media, answer leg A, open its gate. In this
    /// order, because the first packet towards a gated leg *is* the answer for its user.
    ///
    /// A caller that made no offer gets ours in the 200; media then starts with its ACK.
    pub(super) fn answered(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        if !matches!(self.state, State::Dialing { .. } | State::Ringing) {
            return;
        }
        let [a, b] = &mut self.streams;
        // An answer that was told before, reliably, need not come again (RFC 3261 §13.2.1).
        let told = b.agreed().filter(|_| body.is_empty()).cloned();
        let codec = match told {
            Some(agreed) => Ok(agreed.audio.codec),
            None => b.answered(body).map(|agreed| agreed.audio.codec),
        };
        let words = codec.and_then(|codec| match (a.agreed(), a.was_offered()) {
            // Our answer was told already: in a 183, or in an early 200.
            (Some(_), _) => a.answer_again(),
            (None, true) => a.answer(Some(codec)),
            (None, false) => a.offer(),
        });
        let words = match words {
            Ok(words) => words,
            Err(cause) => return self.release(cx, cause, ReleasedBy::Us),
        };
        let agreed = self.streams[Side::A.index()].agreed().is_some();
        if agreed {
            self.start_media(cx);
            self.sounds(cx);
        }
        if self.early.is_answered() {
            cx.log(Level::Info, "the PBX answered");
            match self.early.is_confirmed() {
                true => self.talks(),
                false => self.state = State::Answering,
            }
            return;
        }
        self.a.answer(cx, words);
        if agreed && self.a.profile().gated {
            cx.media(MediaCommand::OpenGate(Side::A));
        }
        self.draft.answered(cx.now, cx.wall());
        self.say(cx, Happened::Answered);
        self.state = State::Answering;
    }

    /// From now on it is only talked, for minutes: what was needed to get here takes as little room as it can.
    fn talks(&mut self) {
        self.state = State::Talking;
        self.route.shrink_to_fit();
        self.streams.iter_mut().for_each(Stream::rest);
    }

    pub(super) fn confirmed(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        self.early.confirm();
        if !matches!(self.state, State::Answering) {
            return;
        }
        self.talks();
        let stream = &mut self.streams[Side::A.index()];
        if stream.agreed().is_none() {
            match stream.answered(body).map(drop) {
                Ok(()) => self.start_media(cx),
                Err(cause) => self.release(cx, cause, ReleasedBy::Us),
            }
        }
    }

    /// Media runs with what is agreed by now, leg A's part at least. A gated leg A waits for its 200.
    pub(super) fn start_media(&mut self, cx: &mut Context<'_>) {
        let gate = if self.a.profile().gated {
            Gate::Shut
        } else {
            Gate::Open
        };
        let source = self.b.as_ref().and_then(|leg| leg.peer_address(cx));
        let b = self.streams[Side::B.index()].plan(Gate::Open, source);
        let (here, present) = (b.is_some(), self.present);
        let command = match b {
            _ if !self.running => {
                let a = self.streams[Side::A.index()].plan(gate, Some(self.signalling));
                let Some(a) = a else {
                    return self.release(cx, Cause::Bug, ReleasedBy::Us);
                };
                let plans = Box::new([a, b.unwrap_or_else(LegPlan::nobody)]);
                MediaCommand::Start { plans }
            }
            None => return,
            Some(plan) if present => MediaCommand::Update {
                side: Side::B,
                agreed: Box::new(plan.agreed),
            },
            Some(plan) => MediaCommand::Replace {
                side: Side::B,
                plan: Box::new(plan),
            },
        };
        cx.media(command);
        (self.running, self.present) = (true, here);
    }
}

/// Whether a place that was found for a destination is one of its.
fn is_at(target: &Target, place: &Target) -> bool {
    (target.transport, &target.host, target.port) == (place.transport, &place.host, place.port)
}
