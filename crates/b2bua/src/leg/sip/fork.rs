//! Answers to our INVITE that come when it is answered already: the same one once more, or that of another branch of a fork
//! (RFC 3261 §13.2.2.4).

use sip::{Method, Name, Response};

use super::{Phase, SipLeg, words};
use crate::Cause;
use crate::context::Context;
use crate::late::Ending;
use crate::leg::LegEvent;

impl SipLeg {
    /// A response to a request that no longer waits: a repeated 2xx is acknowledged again, a 2xx
    /// of another branch of a fork is acknowledged and hung up (RFC 3261 §13.2.2.4).
    pub(super) fn stray_response(
        &mut self,
        cx: &mut Context<'_>,
        response: &Response,
    ) -> Option<LegEvent> {
        let cseq = response.cseq()?;
        let is_answer = response.is_success() && cseq.method == Method::Invite;
        let acked = match &self.phase {
            Phase::Confirmed { acked } | Phase::Releasing { acked, .. } => acked,
            // The telephone that won has hung up already; this one has not.
            Phase::Gone if is_answer && self.is_of_a_fork(response) => {
                self.refuse_fork(cx, response);
                return None;
            }
            _ => return None,
        };
        let acked = [acked, &self.reacked]
            .into_iter()
            .flatten()
            .find(|acked| is_answer && acked.cseq == cseq.number);
        let (Some(acked), Some(dialog)) = (acked, &self.dialog) else {
            return None;
        };
        if response
            .to_tag()
            .is_some_and(|tag| tag == dialog.id().remote_tag)
        {
            cx.resend(acked.flow, acked.bytes.clone());
        } else {
            self.refuse_fork(cx, response);
        }
        None
    }

    /// Whether a response is of another branch than the one whose dialog this leg had.
    fn is_of_a_fork(&self, response: &Response) -> bool {
        let ours = self.dialog.as_ref().map(|dialog| &dialog.id().remote_tag);
        let tag = response.to_tag();
        ours.zip(tag).is_some_and(|(ours, tag)| *ours != tag)
    }

    /// Another branch of a fork answered: one telephone is enough.
    fn refuse_fork(&mut self, cx: &mut Context<'_>, response: &Response) {
        match self.unwanted.end(response) {
            Some(Ending::Again { flow, ack }) => cx.resend(flow, ack),
            Some(Ending::New { ack, mut bye }) => {
                let bytes = cx.ack(&self.hop, *ack);
                self.unwanted.ended(response, self.hop.flow, bytes.clone());
                // It may come once more when this leg is over.
                cx.late.ended(response, self.hop.flow, bytes);
                bye.headers
                    .push(Name::Reason, words::reason(&Cause::Normal));
                let _ = cx.request(self.side, &self.hop, *bye);
            }
            None => {}
        }
    }
}
