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
        let invited = match self.phase {
            Phase::Confirmed { invited } | Phase::Releasing { invited, .. } => invited,
            // The telephone that won has hung up already; this one has not.
            Phase::Gone if is_answer && self.is_of_a_fork(response) => {
                self.refuse_fork(cx, response);
                return None;
            }
            _ => return None,
        };
        let number = Some(cseq.number).filter(|_| is_answer)?;
        let reacked = self.reacked.as_ref().filter(|ack| ack.cseq == number);
        if invited != Some(number) && reacked.is_none() {
            return None;
        }
        let ours = self.dialog.as_ref().map(|dialog| &dialog.id().remote_tag);
        if ours.is_none() || response.to_tag().as_ref() != ours {
            self.refuse_fork(cx, response);
        } else if let Some(ack) = reacked {
            cx.resend(ack.flow, ack.bytes.clone());
        } else {
            self.acknowledge_again(cx, number, response);
        }
        None
    }

    /// Our INVITE's 2xx once more. The ACK is kept for as long as it usually may come; after that, a new one is made.
    fn acknowledge_again(&mut self, cx: &mut Context<'_>, invited: u32, response: &Response) {
        if let Some((Ending::Again { flow, ack }, _)) = cx.late.answered(cx.now, response) {
            return cx.resend(flow, ack);
        }
        if let Some(ack) = self.dialog.as_ref().map(|dialog| dialog.ack(invited)) {
            let hop = self.in_dialog_hop(cx);
            cx.ack(&hop, ack);
        }
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
