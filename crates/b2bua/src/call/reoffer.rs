//! What a peer changes in mid-call: answered on its own leg, never told to the other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sdp::Side;

use super::{Call, State};
use crate::context::Context;
use crate::io::Level;
use crate::media::MediaCommand;

/// So many offers of one peer within [`HASTE`] are no conversation any more: two machines both want
/// the last word.
const TOO_MANY: u32 = 15;
/// See [`TOO_MANY`].
const HASTE: Duration = Duration::from_secs(10);

/// Counts the offers of a peer in mid-call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Insistence {
    since: Option<Instant>,
    offers: u32,
    named: bool,
}

impl Insistence {
    /// One more offer; whether it is the one to be told of, once a call.
    fn grows(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + HASTE) {
            (self.since, self.offers) = (Some(now), 0);
        }
        self.offers += 1;
        let is_told = self.offers >= TOO_MANY && !self.named;
        self.named |= is_told;
        is_told
    }
}

impl Call {
    pub(super) fn reoffered(&mut self, cx: &mut Context<'_>, side: Side, offer: Option<Bytes>) {
        let talking = matches!(self.state, State::Answering | State::Talking);
        if self.insistence[side.index()].grows(cx.now) {
            let name = self.leg(side).map_or("no", |leg| leg.profile().name);
            cx.log(
                Level::Warn,
                format!(
                    "leg {side:?} ({name}) offers again and again, {TOO_MANY} times within {HASTE:?}: two machines insist on \
                     different codecs, hold or session timers; each is answered here, the other leg hears nothing of it"
                ),
            );
        }
        let stream = &mut self.streams[side.index()];
        // Before the answer only a leg that has agreed already may agree on something else.
        let early = matches!(self.state, State::Dialing { .. } | State::Ringing)
            && stream.agreed().is_some();
        let (body, changed) = match offer {
            _ if !talking && !early => (None, false),
            Some(offer) => (stream.reoffered(cx.ident, &offer).ok(), true),
            None => (stream.offer_again(cx.ident).ok(), false),
        };
        let agreed = stream
            .agreed()
            .filter(|_| talking && body.is_some() && changed)
            .cloned();
        if matches!(self.state, State::Talking) {
            stream.rest();
        }
        if let Some(leg) = self.leg_mut(side) {
            leg.answer_reoffer(cx, body);
        }
        if let Some(agreed) = agreed {
            cx.media(MediaCommand::Update {
                side,
                agreed: Box::new(agreed),
            });
            self.sounds(cx);
        }
    }

    /// A reliable provisional response brought leg B's answer (RFC 3262 §5): it holds from now on,
    /// though media waits for the 200. One we cannot use is judged when the 200 comes.
    pub(super) fn answered_early(&mut self, side: Side, body: &[u8]) {
        if !body.is_empty() {
            let _ = self.streams[side.index()].answered(body);
        }
    }

    /// The leg refreshes its session with a re-INVITE: what holds is offered again.
    pub(super) fn refresh(&mut self, cx: &mut Context<'_>, side: Side) {
        if let Some(body) = self.streams[side.index()].current()
            && let Some(leg) = self.leg_mut(side)
        {
            leg.refresh_with(cx, body);
        }
    }

    pub(super) fn reanswered(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) {
        let stream = &mut self.streams[side.index()];
        if let Some(agreed) = stream.reanswered(body) {
            let agreed = Box::new(agreed.clone());
            stream.rest();
            cx.media(MediaCommand::Update { side, agreed });
            self.sounds(cx);
        }
    }

    /// A peer told a digit in its signalling: the other leg hears it on its audio's line. Before
    /// the answer nobody listens, and the digit is lost as a key pressed while it rings is.
    pub(super) fn pressed(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        digit: char,
        duration: Duration,
    ) {
        if matches!(self.state, State::Answering | State::Talking) {
            cx.media(MediaCommand::SendDigit {
                side: !side,
                digit,
                duration,
            });
        }
    }
}
