//! Other telephones that ring for the same call: a proxy in front of them passes on what each says,
//! every one under a To tag of its own (RFC 3261 §16.7, §13.2.2.4).
//!
//! They ring before the call is answered, and one may pick up in the same moment as the telephone that
//! wins; its 200 is not repeated.

use std::time::{Duration, Instant};

use sip::{Dialog, DialogId, Method, Request, Response, ServerKey};

use super::{Alarm, PbxPeer, Phase};
use crate::report::What;

/// Another telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// It rings so long after the INVITE.
    pub rings: Duration,
    /// It picks up so long after the telephone that wins.
    pub answers: Option<Duration>,
}

impl PbxPeer {
    /// The other telephones of a call that came in.
    pub(super) fn fork(&mut self, now: Instant, id: u32, forks: &[Fork]) {
        for fork in forks {
            let tag = self.ident.tag();
            self.alarms
                .set(now + fork.rings, Alarm::ForkRings(id, tag.clone()));
        }
    }

    /// The telephone that wins picked up: the others may, a moment later.
    pub(super) fn forks_answer(&mut self, now: Instant, id: u32) {
        let script = self.calls.get(&id).and_then(|call| call.script.as_ref());
        let delays: Vec<Duration> = script
            .iter()
            .flat_map(|script| script.forks.iter().filter_map(|fork| fork.answers))
            .collect();
        for delay in delays {
            self.alarms.set(now + delay, Alarm::ForkAnswers(id));
        }
    }

    pub(super) fn fork_rings(&mut self, now: Instant, id: u32, tag: &str) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.phase == Phase::Ringing)
        {
            self.forked(now, id, 180, tag);
        }
    }

    pub(super) fn fork_answers(&mut self, now: Instant, id: u32) {
        let tag = self.ident.tag();
        let Some(invite) = self.calls.get(&id).map(|call| call.invite.clone()) else {
            return;
        };
        let dialog = Dialog::uas(&invite, &tag);
        self.forks.extend(dialog.map(|dialog| dialog.id().clone()));
        self.forked(now, id, 200, &tag);
    }

    /// A response of another telephone.
    fn forked(&mut self, now: Instant, id: u32, status: u16, tag: &str) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(key) = call.server else { return };
        let own = std::mem::replace(&mut call.tag, tag.to_owned());
        let mut response = self.dialog_response(id, status, "");
        if status == 200 {
            self.set_answer(id, &mut response);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.tag = own;
        }
        self.endpoint.respond(now, key, response);
    }

    /// The BYE to another telephone that picked up. Whether there was one.
    pub(super) fn fork_hung_up(&mut self, now: Instant, key: ServerKey, request: &Request) -> bool {
        let id = DialogId::of_incoming(request);
        let before = self.forks.len();
        self.forks.retain(|fork| Some(fork) != id.as_ref());
        if request.method != Method::Bye || self.forks.len() == before {
            return false;
        }
        let response = Response::to(request, 200, "OK");
        self.endpoint.respond(now, key, response);
        let new_connection = false;
        self.report(
            now,
            0,
            What::Bye {
                by_far: true,
                new_connection,
                cause: None,
            },
        );
        true
    }
}
