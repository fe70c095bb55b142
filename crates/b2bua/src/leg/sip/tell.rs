//! Digits told to the peer in INFO requests, where it wants them so: one at a time, the next one
//! when the last was answered, so that they arrive in the order they were pressed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use sip::{ClientKey, Method, Name, Request, Response};

use super::{Phase, SipLeg};
use crate::context::Context;
use crate::io::Level;
use crate::profile::Digits;

/// Digits that may wait: more than anybody dials. Later ones are lost, as on a line that is cut.
const MOST: usize = 64;

/// Digits on their way.
#[derive(Debug, Default)]
pub(super) struct Telling {
    waiting: VecDeque<(char, Duration)>,
    /// The INFO that waits for its answer.
    asked: Option<(ClientKey, Box<Request>)>,
}

impl Telling {
    fn is(&self, key: ClientKey) -> bool {
        self.asked.as_ref().is_some_and(|(asked, _)| *asked == key)
    }
}

impl SipLeg {
    /// Whether an INFO of ours waits for the answer to request `key`.
    pub(super) fn tells(&self, key: ClientKey) -> bool {
        self.telling.as_ref().is_some_and(|telling| telling.is(key))
    }

    /// The other leg's peer pressed a key. Who takes telephone events hears it in the media.
    pub(crate) fn tell_digit(&mut self, cx: &mut Context<'_>, digit: char, duration: Duration) {
        let wants = self.profile.digits == Digits::Info;
        if !wants {
            return;
        }
        let telling = self.telling.get_or_insert_default();
        if telling.waiting.len() < MOST {
            telling.waiting.push_back((digit, duration));
            self.tell_next(cx);
        }
    }

    fn tell_next(&mut self, cx: &mut Context<'_>) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        if telling.asked.is_some() || !matches!(self.phase, Phase::Confirmed { .. }) {
            return;
        }
        let Some((digit, duration)) = telling.waiting.pop_front() else {
            return;
        };
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let mut info = dialog.request(Method::Info);
        info.headers
            .push(Name::ContentType, "application/dtmf-relay");
        let millis = duration.as_millis();
        info.body = Bytes::from(format!("Signal={digit}\r\nDuration={millis}\r\n"));
        self.tell(cx, info);
    }

    fn tell(&mut self, cx: &mut Context<'_>, info: Request) {
        let hop = self.in_dialog_hop(cx);
        let key = cx.request(self.side, &hop, info.clone());
        self.telling.get_or_insert_default().asked = Some((key, Box::new(info)));
    }

    /// The peer answered an INFO of ours; what it refuses is not told again.
    pub(super) fn digit_told(&mut self, cx: &mut Context<'_>, response: &Response) {
        if response.is_provisional() {
            return;
        }
        let asked = self.telling.as_mut().and_then(|t| t.asked.take());
        let again = asked.and_then(|(_, info)| self.proved(cx, &info, response));
        if let Some(info) = again {
            return self.tell(cx, info);
        }
        if response.is_success() {
            self.let_in();
        }
        if !response.is_success() {
            let (side, status) = (self.side, response.status);
            cx.log(
                Level::Warn,
                format!("leg {side:?} refuses a digit in INFO: {status}"),
            );
        }
        self.tell_next(cx);
    }

    /// The peer did not answer an INFO of ours: digits that come half a minute late help nobody.
    pub(super) fn digit_untold(&mut self, cx: &mut Context<'_>) {
        self.telling = None;
        let side = self.side;
        cx.log(Level::Warn, format!("leg {side:?} did not answer an INFO"));
    }
}
