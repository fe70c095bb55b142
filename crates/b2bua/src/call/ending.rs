//! The end of a call: one cause, both legs released, media closed, one record.

use std::time::Duration;

use sdp::Side;
use sdp::report::MediaReport;

use super::{Call, Media, State};
use crate::Cause;
use crate::admission::limits::{Entered, Left};
use crate::call_id::CallId;
use crate::context::Context;
use crate::event::{CallEvent, Happened};
use crate::io::{Level, Output};
use crate::leg::sip::SipLeg;
use crate::media::MediaCommand;
use crate::record::{Direction, Record, ReleasedBy};

/// How long a released call waits for its legs beyond 64·T1, and media for its last word.
const RELEASE_GRACE: Duration = Duration::from_secs(8);

/// Legs of a call that gave way and are not off the wire yet: more than any telephone that answers a BYE leaves.
const FORMER: usize = 8;

impl Call {
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
        Some(Left {
            number: self.number.e164.clone(),
            trunk: self.trunk.name.clone(),
            user: self.user.clone(),
            connected: self.is_answered() && self.direction == Direction::BusinessInitiated,
        })
    }

    /// What it takes up from its beginning on.
    pub(crate) fn enters(&self) -> Entered<'_> {
        Entered {
            direction: self.direction,
            number: &self.number.e164,
            trunk: &self.trunk.name,
            user: &self.user,
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
            Level::Debug
        };
        let hint = cause.hint();
        let dash = if hint.is_empty() { "" } else { ": " };
        cx.log(
            level,
            format!("over, {}, by {}{dash}{hint}", cause.said(), by.label()),
        );
        self.draft.ended(cx.now, cx.wall());
        self.say_over(cx, &cause, by);
        let _ = self.end_transfer(cx, 487);
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
        let until = cx.now + cx.settings.timers.t1 * 64 + RELEASE_GRACE;
        self.state = State::Releasing {
            cause: Box::new(cause),
            by,
            until,
        };
        self.end_if_over(cx);
    }

    /// Ends the call at once after a bug of ours: what can still be said to the legs is said.
    pub(crate) fn abandon(&mut self, cx: &mut Context<'_>) {
        self.release(cx, Cause::Bug, ReleasedBy::Us);
        self.end(cx);
    }

    pub(super) fn end_if_over(&mut self, cx: &mut Context<'_>) {
        self.forget_former(cx);
        let legs_gone = self.former.is_empty()
            && self.a.is_gone()
            && self.b.as_ref().is_none_or(SipLeg::is_gone);
        let over = matches!(self.state, State::Releasing { .. });
        if over && legs_gone && matches!(self.media, Media::Closed(_)) {
            self.end(cx);
        }
    }

    /// Lets go of the legs that are off the wire, and of their dialogs.
    fn forget_former(&mut self, cx: &mut Context<'_>) {
        let gone: Vec<SipLeg> = self.former.extract_if(.., |leg| leg.is_gone()).collect();
        for leg in &gone {
            let others = [Some(&self.a), self.b.as_ref()].into_iter().flatten();
            let mut others = others.chain(&self.former);
            // Whoever is called once more may be called under the same Call-ID.
            if others.all(|other| other.call_id() != leg.call_id()) {
                cx.registry.retire(cx.call, leg.call_id());
            }
        }
    }

    /// Whether so many legs are being hung up that the PBX has to wait before another one gives way.
    pub(super) fn is_crowded(&self) -> bool {
        self.former.len() >= FORMER
    }

    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        let State::Releasing { cause, by, .. } = std::mem::replace(&mut self.state, State::Ended)
        else {
            return;
        };
        let media = match std::mem::replace(&mut self.media, Media::Closing) {
            Media::Closed(report) => *report,
            Media::Open | Media::Closing => MediaReport::default(),
        };
        let record = self.record(cx.call, *cause, by, media);
        cx.out.push_back(Output::Record(Box::new(record)));
    }

    /// Goes out before anything else that is waiting to: the answer to the BYE that ends a call was
    /// written before the call heard of it.
    fn say_over(&mut self, cx: &mut Context<'_>, cause: &Cause, by: ReleasedBy) {
        let record = self.record(cx.call, cause.clone(), by, MediaReport::default());
        let event = CallEvent {
            facts: self.facts(cx.call),
            happened: Happened::Over(Box::new(record)),
        };
        cx.out.push_front(Output::Event(Box::new(event)));
    }

    fn record(
        &self,
        id: CallId,
        cause: Cause,
        released_by: ReleasedBy,
        media: MediaReport,
    ) -> Record {
        let draft = &self.draft;
        let facts = self.facts(id);
        Record {
            id,
            direction: facts.direction,
            reference: facts.reference,
            carrier_call_id: facts.carrier_call_id,
            pbx_call_id: facts.pbx_call_id,
            number: facts.number,
            user: facts.user,
            trunk: facts.trunk,
            pstn: self.trunk.pstn,
            started: facts.started,
            ringing: facts.ringing,
            answered: facts.answered,
            ended: draft.ended_at(),
            duration: draft.duration(),
            carrier_duration: draft.metadata.duration(),
            pulses: draft.pulses(self.direction),
            released_by,
            cause,
            legs: [self.streams[0].media(), self.streams[1].media()],
            metadata: draft.metadata.facts(),
            media,
            digits: draft.digits,
        }
    }
}
