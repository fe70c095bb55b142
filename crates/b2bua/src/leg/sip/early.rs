//! Early media towards the caller: a provisional response with our answer (RFC 3261 §13.3.1.1).

use bytes::Bytes;

use super::{Phase, SipLeg, words};
use crate::context::Context;

impl SipLeg {
    /// Tells the caller of progress it can hear: `body` is our answer to its offer, and will be that of
    /// the 200 too.
    pub(crate) fn progress_with(&mut self, cx: &mut Context<'_>, status: u16, body: Bytes) {
        let Phase::Offered {
            key,
            invite,
            to_tag,
        } = &self.phase
        else {
            return;
        };
        let mut response = words::dialog_response(
            invite,
            status,
            to_tag,
            &self.contact,
            &self.profile,
            &cx.settings.product,
        );
        words::put_sdp(&mut response.headers);
        response.body = body;
        let key = *key;
        match self.requires_reliable(invite) {
            true => self.progress_reliably(cx, key, response),
            false => cx.respond(key, response),
        }
    }
}
