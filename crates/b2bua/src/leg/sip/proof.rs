//! Challenges to our requests inside a dialog (RFC 3261 §22.2, §22.3).
//!
//! Most peers ask at the INVITE only. One that asks again in mid-call gets its answer there too: a BYE
//! that is not let in would leave somebody on a dead line.

use sip::{Name, Request, Response};

use super::SipLeg;
use crate::context::Context;

impl SipLeg {
    /// The same request with the answer to its challenge, under the next number. `None` if it was no
    /// challenge, there is nothing to answer it with, or that was wrong.
    pub(super) fn proved(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        response: &Response,
    ) -> Option<Request> {
        let (answerer, dialog) = (self.answerer.as_mut()?, self.dialog.as_mut()?);
        let uri = request.uri.as_text().to_string();
        let cnonce = cx.ident.tag();
        let (name, value) = answerer
            .answer(response, &request.method, &uri, &request.body, cnonce)
            .ok()?;
        let mut again = request.clone();
        let next = dialog.request(request.method.clone());
        let headers = &mut again.headers;
        if let Some(number) = next.headers.first(&Name::CSeq) {
            headers.set(Name::CSeq, number.clone());
        }
        headers.remove(&Name::Authorization);
        headers.remove(&Name::ProxyAuthorization);
        headers.push(name, value);
        Some(again)
    }

    /// The peer let a request of ours in: its next challenge is a new one.
    pub(super) fn let_in(&mut self) {
        if let Some(answerer) = &mut self.answerer {
            answerer.accepted();
        }
    }
}
