//! Before the answer: who hears ringing, early media or our own tone, and who is answered early.
//!
//! ```text
//!  a user calls      PBX 18x ──────────────► 180 without SDP: the first packet would be the answer
//!                    PBX 18x with SDP ─────► answered early, where the trunk wants it: 200, and the
//!                                            user hears the PBX's early media
//!  the PBX calls     far 18x ──────────────► the same, without SDP
//!                    nothing for 3 s ──────► 180, or 183 with SDP and a tone of ours
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;
use sdp::plan::{LegPlan, Sound};
use sdp::{Codec, Side};

use super::{Call, State};
use crate::comfort::{EarlyAnswer, Ringback};
use crate::context::Context;
use crate::event::Happened;
use crate::io::Level;
use crate::leg::sip::SipLeg;
use crate::media::MediaCommand;
use crate::profile::Progress;
use crate::record::{Direction, ReleasedBy};

/// How long the far side may have our call without a word of ringing.
const SILENT_RINGING: Duration = Duration::from_secs(3);
/// How long the PBX may take to answer a user who was answered early: RFC 3261 timer C, because an
/// announcement before the answer is why he was.
const EARLY_LIMIT: Duration = Duration::from_secs(180);

/// What was done before leg B answered.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// When leg A is told of ringing unless leg B tells first.
    ring_at: Option<Instant>,
    /// Leg A hears a ringback tone of ours, by its 183.
    rings: bool,
    /// Leg A got its 200.
    answered: Option<Confirmed>,
}

/// Whether the ACK of an early 200 has come.
type Confirmed = bool;

impl Early {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ring_at
    }

    /// Whether leg A was answered before leg B answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// The ACK of leg A's early 200 came.
    pub(super) fn confirm(&mut self) {
        if let Some(confirmed) = &mut self.answered {
            *confirmed = true;
        }
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.answered == Some(true)
    }
}

impl Call {
    /// Leg B makes progress, perhaps with a description of its early media.
    pub(super) fn progress(&mut self, cx: &mut Context<'_>, status: u16, body: &Bytes) {
        if !matches!(self.state, State::Dialing { .. } | State::Ringing) {
            return;
        }
        if let State::Dialing { target, .. } = &self.state {
            cx.health.reached(target);
        }
        self.early.ring_at = None;
        let first = self.draft.rang(cx.wall());
        if !body.is_empty() && self.comfort().early_answer != EarlyAnswer::Never {
            self.early_media(cx, body);
        }
        match (self.a.profile().progress, &self.state) {
            // Who hears our tone, or the 200, needs no other word.
            _ if self.early.rings || self.early.is_answered() => {}
            (Progress::RingingOnly, State::Dialing { .. }) => self.a.progress(cx, 180),
            (Progress::RingingOnly, _) => return,
            (Progress::Pass, _) => self.a.progress(cx, status),
        }
        if matches!(self.state, State::Releasing { .. } | State::Ended) {
            return;
        }
        if first {
            self.say(cx, Happened::Rang);
        }
        self.state = State::Ringing;
    }

    // ---- the PBX calls ----

    /// Leg B was called: from now on leg A waits for ringing.
    pub(super) fn expect_ringing(&mut self, cx: &Context<'_>) {
        let waits = self.direction == Direction::BusinessInitiated
            && self.comfort().ringback != Ringback::Off
            && self.draft.ringing.is_none()
            && !self.early.rings;
        if waits {
            self.early.ring_at.get_or_insert(cx.now + SILENT_RINGING);
        }
    }

    /// Tells leg A that it rings though leg B said nothing of it, if that is due.
    pub(super) fn ring_if_due(&mut self, cx: &mut Context<'_>) {
        if self.early.ring_at.is_none_or(|at| cx.now < at) {
            return;
        }
        self.early.ring_at = None;
        if !matches!(self.state, State::Dialing { .. } | State::Pausing { .. }) {
            return;
        }
        if self.b.as_ref().is_some_and(SipLeg::is_unheard) {
            // Nobody has our call yet: nothing rings anywhere.
            self.early.ring_at = Some(cx.now + Duration::from_millis(500));
            return;
        }
        let offered = self.streams[Side::A.index()].was_offered();
        match self.comfort().ringback.clone() {
            Ringback::Off => {}
            Ringback::Tone(_) if offered => self.ring_aloud(cx),
            Ringback::Ringing | Ringback::Tone(_) => self.a.progress(cx, 180),
        }
    }

    /// 183 with our answer, and the tone as RTP.
    fn ring_aloud(&mut self, cx: &mut Context<'_>) {
        match self.streams[Side::A.index()].answer(None) {
            Ok(body) => {
                self.early.rings = true;
                self.start_media(cx);
                self.a.progress_with(cx, 183, body);
                self.sounds(cx);
            }
            Err(cause) => self.release(cx, cause, ReleasedBy::Us),
        }
    }

    // ---- a user calls ----

    /// Answers leg A before leg B is called, where the trunk wants that.
    pub(super) fn answer_at_once(&mut self, cx: &mut Context<'_>) {
        if self.comfort().early_answer == EarlyAnswer::AtOnce {
            self.answer_early(cx, None);
        }
    }

    /// Leg B described its early media: leg A is answered, if it is not yet, and hears it. A
    /// description we cannot use says nothing: the answer will bring another one.
    fn early_media(&mut self, cx: &mut Context<'_>, body: &[u8]) {
        if self.direction != Direction::UserInitiated {
            return;
        }
        let stream = &mut self.streams[Side::B.index()];
        let Ok(agreed) = stream.answered(body) else {
            return;
        };
        let codec = agreed.audio.codec;
        if self.early.is_answered() {
            self.start_media(cx);
            self.sounds(cx);
        } else {
            self.answer_early(cx, Some(codec));
        }
    }

    /// 200 to leg A while leg B has not answered.
    fn answer_early(&mut self, cx: &mut Context<'_>, codec: Option<Codec>) {
        if self.direction != Direction::UserInitiated {
            return;
        }
        let words = match self.streams[Side::A.index()].answer(codec) {
            Ok(words) => words,
            Err(cause) => return self.release(cx, cause, ReleasedBy::Us),
        };
        self.early.answered = Some(false);
        self.answer_by = self.answer_by.max(cx.now + EARLY_LIMIT);
        self.start_media(cx);
        self.a.answer(cx, words);
        if self.a.profile().gated {
            cx.media(MediaCommand::OpenGate(Side::A));
        }
        self.draft.answered(cx.now, cx.wall());
        cx.log(Level::Debug, "answered early");
        self.say(cx, Happened::Answered);
        self.sounds(cx);
    }

    /// Leg B is called anew: what its predecessor was heard with is over.
    pub(super) fn vacate(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.present) {
            cx.media(MediaCommand::Replace {
                side: Side::B,
                plan: Box::new(LegPlan::nobody()),
            });
            self.sounds(cx);
        }
    }

    // ---- our own sounds ----

    /// Has media play to each leg what it is to hear while nobody speaks to it.
    pub(super) fn sounds(&mut self, cx: &mut Context<'_>) {
        if !self.running {
            return;
        }
        for side in Side::BOTH {
            let wanted = if side == self.direction.carrier() {
                self.user_hears()
            } else {
                self.pbx_hears()
            };
            let playing = &mut self.sounding[side.index()];
            if *playing != wanted {
                playing.clone_from(&wanted);
                let sound = wanted;
                cx.media(MediaCommand::Sound { side, sound });
            }
        }
    }

    fn pbx_hears(&self) -> Option<Sound> {
        let rings = self.early.rings && !self.present;
        self.comfort().ringback.tone().filter(|_| rings).cloned()
    }

    fn user_hears(&self) -> Option<Sound> {
        let comfort = self.comfort();
        let pbx = &self.streams[self.pbx().index()];
        let deserted = self.transfer.as_ref().is_some_and(|t| t.is_orphaned());
        let early = !self.present && self.early.is_answered();
        if early || deserted {
            let waiting = comfort.ringback.tone().or(comfort.hold_music.as_ref());
            return waiting.cloned();
        }
        comfort.hold_music.clone().filter(|_| pbx.is_held())
    }
}
