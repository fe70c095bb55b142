//! What a Meta asks: the connections it opens, its requests without a final answer, and what becomes of them. The answers
//! to INVITE have their own story (`uic`).

use std::time::Instant;

use sip::{FlowId, Method, Response, Target, Transport};

use super::{Alarm, MetaPeer};
use crate::peer::Output;
use crate::report::What;

impl MetaPeer {
    /// A connection for the INVITEs of a call.
    pub(super) fn connect_for_invite(&mut self, call: u32, host: &str, port: u16) -> FlowId {
        match &self.shared {
            Some((id, h, p)) if h == host && *p == port => *id,
            _ => {
                let shared = self.settings.shared_connection;
                let id = self.connect((!shared).then_some(call), host, port);
                self.shared = shared.then(|| (id, host.to_owned(), port));
                id
            }
        }
    }

    /// A new connection.
    pub(super) fn connect(&mut self, call: Option<u32>, host: &str, port: u16) -> FlowId {
        let id = FlowId(self.next_flow);
        self.next_flow += 2;
        self.flows.insert(id, call);
        let target = Target {
            transport: Transport::Tls,
            host: host.to_owned(),
            port,
            from: None,
            at: None,
        };
        self.outputs.push_back(Output::Connect { id, target });
        id
    }

    /// A request of ours got its final answer, or never will.
    pub(super) fn settled(&mut self, branch: &str) {
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
        if let Some((id, ..)) = self.pending.remove(branch) {
            self.forget(id);
        }
    }

    /// A flow is gone: what was asked on it fails.
    pub(super) fn lost(&mut self, now: Instant, id: FlowId, why: &str) {
        self.flows.remove(&id);
        self.shared = self.shared.take().filter(|(flow, ..)| *flow != id);
        self.nonces.retain(|_, nonce| nonce.flow != id);
        let branches: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, (.., flow))| *flow == id)
            .map(|(branch, _)| branch.clone())
            .collect();
        for branch in branches {
            self.unanswered(now, &branch, why);
        }
    }

    /// A request of ours will never be answered.
    pub(super) fn unanswered(&mut self, now: Instant, branch: &str, why: &str) {
        let Some((id, method, _)) = self.pending.get(branch).cloned() else {
            return;
        };
        self.report(
            now,
            id,
            What::Failed {
                why: format!("{method}: {why}"),
            },
        );
        self.settled(branch);
        if matches!(method, Method::Invite | Method::Bye) {
            self.end(now, id, "failed");
        }
    }

    /// A response to something else than INVITE.
    pub(super) fn answered(&mut self, now: Instant, branch: &str, response: Response) {
        let Some((id, method, _)) = self.pending.get(branch).cloned() else {
            return;
        };
        if response.status < 200 {
            return;
        }
        self.settled(branch);
        if method == Method::Bye {
            self.report(
                now,
                id,
                What::ByeAnswered {
                    status: response.status,
                },
            );
            if response.status >= 300 {
                self.violation(now, id, format!("our BYE was answered {}", response.status));
            }
            self.end(now, id, "us");
        }
    }

    /// A response to our CANCEL: 200, or 481 when the INVITE was over already.
    pub(super) fn cancel_answered(&mut self, now: Instant, branch: &str, response: &Response) {
        let waiting = self.pending.get(branch).map(|(id, ..)| *id);
        if let (Some(id), false) = (waiting, (200..300).contains(&response.status)) {
            self.violation(
                now,
                id,
                format!("our CANCEL was answered {}", response.status),
            );
        }
    }
}
