//! Answers that come when nobody waits for them any more: each is acknowledged and hung up, else a
//! telephone stays off the hook until its own side loses patience (RFC 3261 §13.2.2.4).
//!
//! Only INVITEs of ours that are remembered here are answered so: whoever sends a 2xx to anything
//! else gets nothing from us, least of all a BYE to an address of his choice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sip::{Dialog, FlowId, Method, Name, Request, Response, Slim, Text, Transport};

/// INVITEs remembered at once; the oldest give way.
const REMEMBERED: usize = 4_096;
/// Branches of one fork that are hung up.
const BRANCHES: usize = 8;

/// INVITEs of ours whose answers may still come.
#[derive(Debug, Default)]
pub(crate) struct Late {
    invites: HashMap<Arc<Key>, Box<Invite>>,
    order: VecDeque<(Instant, Arc<Key>)>,
}

/// Call-ID and From tag.
type Key = (Text, Text);

#[derive(Debug)]
struct Invite {
    until: Instant,
    transport: Transport,
    sent_by: Arc<str>,
    unwanted: Unwanted,
}

/// Dialogs of one INVITE that nobody wants, by their To tags.
#[derive(Debug, Default)]
pub(crate) struct Unwanted {
    ended: Vec<(Text, FlowId, Bytes)>,
    /// The highest sequence number used in any early dialog of the INVITE: a PRACK may have been asked
    /// in the very dialog that is hung up.
    counted: u32,
}

/// What an unwanted 2xx is answered with.
pub(crate) enum Ending {
    /// It is new: ACK, and BYE.
    New {
        ack: Box<Request>,
        bye: Box<Request>,
    },
    /// It came again: the same ACK again.
    Again { flow: FlowId, ack: Bytes },
}

/// How to send it: on the flow the 2xx came on.
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) sent_by: Arc<str>,
}

impl Late {
    /// An INVITE of ours whose answers may come until `until`, whatever becomes of its call; `counted`
    /// is the highest sequence number used in its early dialogs.
    pub(crate) fn expect(
        &mut self,
        now: Instant,
        until: Instant,
        invite: &Request,
        transport: Transport,
        sent_by: Arc<str>,
        counted: u32,
    ) {
        self.forget(now);
        if self.order.len() >= REMEMBERED {
            self.forget_oldest();
        }
        let key = key(invite.call_id(), invite.from_tag());
        let Some(key) = key.map(Arc::new) else {
            return;
        };
        self.order.push_back((until, key.clone()));
        let fresh = Invite {
            until,
            transport,
            sent_by,
            unwanted: Unwanted::default(),
        };
        let known = self.invites.entry(key).or_insert_with(|| fresh.into());
        known.until = until;
        known.unwanted.count_from(counted);
    }

    /// Forgets the INVITEs whose answers can come no more.
    pub(crate) fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| *at <= now) {
            self.forget_oldest();
        }
        self.invites.slim();
        self.order.slim();
    }

    fn forget_oldest(&mut self) {
        let Some((at, key)) = self.order.pop_front() else {
            return;
        };
        // It may have been expected anew meanwhile.
        if self.invites.get(&key).is_some_and(|it| it.until <= at) {
            self.invites.remove(&key);
        }
    }

    /// A 2xx to an INVITE came that no call waits for.
    pub(crate) fn answered(&mut self, now: Instant, response: &Response) -> Option<(Ending, Way)> {
        let key = key(response.call_id(), response.from_tag())?;
        let invite = self.invites.get(&key).filter(|it| now < it.until)?;
        let way = Way {
            transport: invite.transport,
            sent_by: invite.sent_by.clone(),
        };
        Some((invite.unwanted.end(response)?, way))
    }

    /// Its new ACK was sent so.
    pub(crate) fn ended(&mut self, response: &Response, flow: FlowId, ack: Bytes) {
        let key = key(response.call_id(), response.from_tag());
        if let Some(invite) = key.and_then(|key| self.invites.get_mut(&key)) {
            invite.unwanted.ended(response, flow, ack);
        }
    }
}

impl Unwanted {
    /// Sequence numbers up to this one are used up.
    pub(crate) fn count_from(&mut self, cseq: u32) {
        self.counted = self.counted.max(cseq);
    }

    /// What this 2xx is answered with. `None`: it makes no dialog, or too many did.
    pub(crate) fn end(&self, response: &Response) -> Option<Ending> {
        let tag = response.to_tag()?;
        if let Some((_, flow, ack)) = self.ended.iter().find(|(known, ..)| *known == tag) {
            return Some(Ending::Again {
                flow: *flow,
                ack: ack.clone(),
            });
        }
        if self.ended.len() >= BRANCHES {
            return None;
        }
        // The INVITE may be long gone; what a dialog takes from it is in the response too.
        let mut invite = Request::new(Method::Invite, response.to_header()?.uri);
        for name in [Name::From, Name::CallId, Name::CSeq] {
            invite.headers.copy(&name, &response.headers);
        }
        let mut dialog = Dialog::uac(&invite, response)?;
        let ack = dialog.ack(response.cseq()?.number);
        dialog.count_from(self.counted);
        Some(Ending::New {
            ack: Box::new(ack),
            bye: Box::new(dialog.request(Method::Bye)),
        })
    }

    /// Its new ACK was sent so.
    pub(crate) fn ended(&mut self, response: &Response, flow: FlowId, ack: Bytes) {
        if let Some(tag) = response.to_tag() {
            // Nearly always it is the only one.
            self.ended.reserve_exact(1);
            self.ended.push((tag.detached(), flow, ack));
        }
    }
}

fn key(call_id: Option<&Text>, from_tag: Option<Text>) -> Option<Key> {
    Some((call_id?.detached(), from_tag?.detached()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use std::time::Duration;

    use sip::Uri;

    use super::*;

    fn invite(n: usize) -> Request {
        let mut invite = Request::new(Method::Invite, Uri::sip("a", "b"));
        invite.headers.push(Name::From, "<sip:a@b>;tag=ours");
        invite.headers.push(Name::To, "<sip:c@d>");
        invite.headers.push(Name::CallId, format!("call-{n}"));
        invite.headers.push(Name::CSeq, "7 INVITE");
        invite
    }

    fn answer(n: usize, tag: &str) -> Response {
        let mut response = Response::to(&invite(n), 200, "");
        response.tag_to(tag);
        response.headers.push(Name::Contact, "<sip:c@10.0.0.9>");
        response
    }

    fn expect(late: &mut Late, now: Instant, n: usize) {
        let until = now + Duration::from_secs(32);
        late.expect(now, until, &invite(n), Transport::Udp, "us:5060".into(), 0);
    }

    #[test]
    fn an_answer_is_hung_up_once_and_acknowledged_as_often_as_it_comes() {
        let (mut late, now) = (Late::default(), Instant::now());
        expect(&mut late, now, 1);
        let Some((Ending::New { ack, bye }, _)) = late.answered(now, &answer(1, "x")) else {
            panic!("it is new")
        };
        assert_eq!(ack.uri.to_string(), "sip:c@10.0.0.9");
        assert_eq!(ack.cseq().unwrap().number, 7);
        assert_eq!(bye.cseq().unwrap().number, 8);
        late.ended(&answer(1, "x"), FlowId(3), Bytes::from_static(b"ACK"));
        let again = late.answered(now, &answer(1, "x"));
        assert!(matches!(
            again,
            Some((
                Ending::Again {
                    flow: FlowId(3),
                    ..
                },
                _
            ))
        ));
        let other = late.answered(now, &answer(1, "y"));
        assert!(matches!(other, Some((Ending::New { .. }, _))));
    }

    #[test]
    fn what_was_never_asked_or_too_long_ago_gets_nothing() {
        let (mut late, now) = (Late::default(), Instant::now());
        expect(&mut late, now, 1);
        assert!(late.answered(now, &answer(2, "x")).is_none());
        let then = now + Duration::from_secs(33);
        assert!(late.answered(then, &answer(1, "x")).is_none());
    }

    #[test]
    fn once_no_answer_can_come_any_more_nothing_is_left() {
        let (mut late, now) = (Late::default(), Instant::now());
        for n in 0..1000 {
            expect(&mut late, now, n);
        }
        late.forget(now + Duration::from_secs(31));
        assert_eq!(late.invites.len(), 1000);
        late.forget(now + Duration::from_secs(32));
        assert_eq!((late.invites.len(), late.order.len()), (0, 0));
        assert!(late.invites.capacity() < 1000 && late.order.capacity() < 1000);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut late, now) = (Late::default(), Instant::now());
        for n in 0..2 * REMEMBERED {
            expect(&mut late, now, n);
        }
        assert!(late.invites.len() <= REMEMBERED && late.order.len() <= REMEMBERED);
        assert!(late.answered(now, &answer(0, "x")).is_none());
        assert!(
            late.answered(now, &answer(2 * REMEMBERED - 1, "x"))
                .is_some()
        );
    }
}
