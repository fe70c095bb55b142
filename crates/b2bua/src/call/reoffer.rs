//! What a peer changes in mid-call: answered on its own leg, never told to the other.

use std::time::Duration;

use bytes::Bytes;
use sdp::Side;

use super::{Call, State};
use crate::context::Context;
use crate::media::MediaCommand;

impl Call {
    pub(super) fn reoffered(&mut self, cx: &mut Context<'_>, side: Side, offer: Option<Bytes>) {
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

    pub(super) fn reanswered(&mut self, cx: &mut Context<'_>, side: Side, body: &[u8]) {
        // An answer we cannot use leaves what was agreed before (RFC 3264 §8).
        if let Ok(agreed) = self.streams[side.index()].answered(body) {
            let agreed = Box::new(agreed.clone());
            cx.media(MediaCommand::Update { side, agreed });
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
