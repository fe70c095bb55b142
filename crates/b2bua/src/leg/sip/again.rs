//! Our INVITE once more, because the peer asks for it with something else in it: a longer session (422), or a proof of who we are
//! (401, 407).

use sip::{Method, Name, Response};

use super::{Phase, SipLeg, words};
use crate::Cause;
use crate::context::Context;
use crate::io::Level;
use crate::leg::LegEvent;

impl SipLeg {
    /// The peer wants longer sessions (422): the same INVITE again, with what it asks for.
    pub(super) fn calls_with_longer_session(
        &mut self,
        cx: &mut Context<'_>,
        response: &Response,
    ) -> bool {
        if self.is_cancelled() || !self.session.refused(response) {
            return false;
        }
        if let Phase::Calling(calling) = &mut self.phase {
            self.session.ask(&mut calling.invite.headers);
            let cseq = calling.invite.cseq().map_or(1, |cseq| cseq.number) + 1;
            let headers = &mut calling.invite.headers;
            headers.set(Name::CSeq, format!("{cseq} INVITE"));
            calling.earlies.clear();
            calling.key = cx.request(self.side, &self.hop, calling.invite.clone());
        }
        true
    }

    /// 401 or 407: the same INVITE again with credentials, on the same flow, because another
    /// server behind the same name may not know the nonce.
    pub(super) fn calling_challenged(
        &mut self,
        cx: &mut Context<'_>,
        response: &Response,
    ) -> Option<LegEvent> {
        if self.is_cancelled() {
            return Some(self.gone());
        }
        let cnonce = cx.ident.tag();
        let leg = self.side;
        let Phase::Calling(calling) = &mut self.phase else {
            return None;
        };
        let uri = calling.invite.uri.as_text().to_string();
        let answer = self.answerer.as_mut().and_then(|answerer| {
            answerer
                .answer(
                    response,
                    &Method::Invite,
                    &uri,
                    &calling.invite.body,
                    cnonce,
                )
                .ok()
        });
        let Some((name, credentials)) = answer else {
            let text = words::refusal_text(response);
            cx.log(
                Level::Debug,
                format!("leg {leg:?}: cannot answer {} {text}", response.status),
            );
            self.gone();
            return Some(LegEvent::Failed(Cause::CredentialsRefused { by: leg }));
        };
        let cseq = calling.invite.cseq().map_or(1, |cseq| cseq.number) + 1;
        let headers = &mut calling.invite.headers;
        headers.set(Name::CSeq, format!("{cseq} INVITE"));
        headers.remove(&Name::Authorization);
        headers.remove(&Name::ProxyAuthorization);
        headers.push(name, credentials);
        let again = calling.invite.clone();
        calling.key = cx.request(leg, &self.hop, again);
        None
    }
}
