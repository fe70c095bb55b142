//! Challenges to our requests inside a dialog (RFC 3261 §22.2, §22.3).
//!
//! Most peers ask at the INVITE only. One that asks again in mid-call gets its answer there too: a BYE
//! that is not let in would leave somebody on a dead line.

use sip::{ClientKey, Dialog, Name, Request, Response};

use super::{Phase, SipLeg};
use crate::context::Context;

/// Requests that wait aside at once; of more, the oldest is not asked for again.
const ASIDE: usize = 8;

/// Requests of ours whose answers tell nothing (PRACK, NOTIFY), kept as long as one may be a challenge.
#[derive(Debug, Default)]
pub(super) struct Aside(Vec<(ClientKey, Box<Request>)>);

impl Aside {
    pub(super) fn has(&self, key: ClientKey) -> bool {
        self.0.iter().any(|(asked, _)| *asked == key)
    }

    fn keep(&mut self, key: ClientKey, request: Request) {
        if self.0.len() >= ASIDE {
            self.0.remove(0);
        }
        self.0.push((key, Box::new(request)));
    }

    /// Takes a request out: it was answered, or never will be.
    pub(super) fn take(&mut self, key: ClientKey) -> Option<Box<Request>> {
        let at = self.0.iter().position(|(asked, _)| *asked == key)?;
        Some(self.0.remove(at).1)
    }
}

impl SipLeg {
    /// Sends a request whose answer tells nothing, unless it is a challenge.
    pub(super) fn ask_aside(&mut self, cx: &mut Context<'_>, request: Request) {
        let Some(target) = self.dialog_of(&request).map(|d| d.first_hop().target()) else {
            return;
        };
        let hop = self.hop_to(cx, target);
        let key = cx.request(self.side, &hop, request.clone());
        if self.answerer.is_some() {
            self.aside.keep(key, request);
        }
    }

    /// Such a request was answered.
    pub(super) fn aside_answered(
        &mut self,
        cx: &mut Context<'_>,
        key: ClientKey,
        response: &Response,
    ) {
        if response.is_provisional() {
            return;
        }
        let Some(asked) = self.aside.take(key) else {
            return;
        };
        if response.is_success() {
            self.let_in();
        } else if let Some(again) = self.proved(cx, &asked, response) {
            self.ask_aside(cx, again);
        }
    }

    /// The dialog a request of ours is in: that of the leg, or one its INVITE may still become.
    fn dialog_of(&mut self, request: &Request) -> Option<&mut Dialog> {
        let tag = request.to_tag()?;
        let early = match &mut self.phase {
            Phase::Calling(calling) => calling.early_with(&tag),
            _ => None,
        };
        early.or(self.dialog.as_mut())
    }

    /// The same request with the answer to its challenge, under the next number. `None` if it was no
    /// challenge, there is nothing to answer it with, or that was wrong.
    pub(super) fn proved(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        response: &Response,
    ) -> Option<Request> {
        let answerer = self.answerer.as_mut()?;
        let has = |name| request.headers.first(name).is_some();
        if !has(&Name::Authorization) && !has(&Name::ProxyAuthorization) {
            // It gave no answer, so none was wrong: that of another request may still be on its way.
            answerer.accepted();
        }
        let uri = request.uri.as_text().to_string();
        let cnonce = cx.ident.tag();
        let (name, value) = answerer
            .answer(response, &request.method, &uri, &request.body, cnonce)
            .ok()?;
        let mut again = request.clone();
        let next = self.dialog_of(request)?.request(request.method.clone());
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
