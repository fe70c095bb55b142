//! The business calls a WhatsApp user: Meta as UAS (Meta reference 4.1, 7, 8 and 15 point 2;
//! fixtures `bic-*` and `error-*`).
//!
//! Checks in this order, each with its documented answer:
//! Request-URI host (404) · challenge (407) · digest (403) · From user (400) · From domain (403) ·
//! scripted refusals (403) · one call per pair (403) · SDP (403) · then 100 and the script.

mod answer;
mod checks;

use std::time::Instant;

use base64::Engine as _;
use sip::{Flow, Method, Name, Request};

use super::call::{Call, Kind, Phase, Received, text};
use super::knobs::Then;
use super::offer::{EVENTS, OPUS, PCMA, PCMU, Words};
use super::print::{self, Reply, wacid};
use super::rules;
use super::{Alarm, MetaPeer};
use crate::report::{What, extensions, millis};

/// Why an INVITE is refused.
struct Refusal {
    status: u16,
    reason: String,
    /// Whether the reason stands in a Warning too.
    warning: bool,
}

impl MetaPeer {
    /// An INVITE outside any dialog.
    pub(super) fn invited(&mut self, now: Instant, flow: Flow, request: Request) {
        if self.repeated(&flow, &request) {
            return;
        }
        let user = user_of(&request);
        if let Err(refusal) = self.check_address(now, &request) {
            return self.refuse(now, 0, &flow, &request, &refusal);
        }
        if !self.check_digest(now, &flow, &request) {
            return;
        }
        let number = match self.check_caller(&request) {
            Ok(number) => number,
            Err(refusal) => return self.refuse(now, 0, &flow, &request, &refusal),
        };
        let script = self
            .scripts
            .pop_front()
            .unwrap_or_else(|| self.settings.script.clone());
        let refusal = match &script.refuse {
            Some((status, reason)) => Some(Refusal {
                status: *status,
                reason: reason.clone(),
                warning: true,
            }),
            None => self
                .calls
                .values()
                .any(|call| {
                    !call.is_over() && call.number.digits == number.digits && user_in(call) == user
                })
                .then(|| Refusal {
                    status: 403,
                    reason: "Duplicate call".into(),
                    warning: true,
                }),
        };
        if let Some(refusal) = refusal {
            return self.refuse(now, 0, &flow, &request, &refusal);
        }
        let theirs = match rules::check(&request.body, number.g711, None) {
            Ok(theirs) => theirs,
            Err(broken) => {
                for rule in broken {
                    self.violation(now, 0, format!("offer: {rule}"));
                }
                let refusal = Refusal {
                    status: 403,
                    reason: "SDP Validation Error".into(),
                    warning: true,
                };
                return self.refuse(now, 0, &flow, &request, &refusal);
            }
        };
        let id = self.next_call();
        let address = self.voices.take_ports(id, &mut self.outputs);
        let (audio, map) = match theirs.audio.first() {
            Some((pt, map)) => (*pt, map.clone()),
            None => (111, OPUS.to_ascii_lowercase()),
        };
        let map = match map.split('/').next() {
            Some("pcma") => PCMA,
            Some("pcmu") => PCMU,
            _ => OPUS,
        };
        let mut formats = vec![(audio, map)];
        formats.extend(theirs.dtmf.map(|pt| (pt, EVENTS)));
        let words = Words {
            session: 1_746_657_286_595 + millis(now.saturating_duration_since(self.started)),
            stream: self.dice.uuid(),
            address,
            formats,
            crypto: theirs.crypto.clone(),
            key: base64::engine::general_purpose::STANDARD.encode(self.dice.bytes::<30>()),
            ssrc: self.dice.roll() as u32,
        };
        let cseq = request.cseq().map_or(0, |cseq| cseq.number);
        let partner_routes = request
            .headers
            .list(&Name::RecordRoute)
            .map(|r| r.as_str().trim().to_owned())
            .collect();
        let target = request
            .contact()
            .map(|c| c.uri.as_str().to_owned())
            .unwrap_or_default();
        let domain = &self.settings.domain;
        let call = Call {
            id,
            phase: Phase::Ringing,
            wacid: wacid(&mut self.dice, user.trim_start_matches('+'), &number.digits),
            call_id: text(request.headers.first(&Name::CallId)),
            us: text(request.headers.first(&Name::To)),
            our_tag: self.dice.uuid(),
            them: without_tag(&text(request.headers.first(&Name::From))),
            their_tag: request.from_tag().map(|tag| tag.as_str().into_owned()),
            contact: format!(
                "sip:{user}@{domain};transport=tls;ob;X-FB-Sip-Smc-Tier=collaboration.sip_gateway.sip.prod"
            ),
            target,
            partner_routes,
            our_cseq: self.dice.below(32_767) as u32,
            invite_cseq: cseq,
            their_cseq: cseq,
            flow: flow.id,
            words,
            theirs: Some(theirs),
            started: now,
            answered: None,
            confirmed: false,
            violations: 0,
            status: 0,
            bye: None,
            kind: Kind::Received(Box::new(Received {
                invite: request.clone(),
                flow,
                script: script.clone(),
                last: None,
            })),
            number,
        };
        let what = What::Started {
            placed: false,
            call_id: call.call_id.clone(),
            from: call.number.digits.clone(),
            to: user.clone(),
            headers: extensions(&request.headers),
        };
        self.calls.insert(id, call);
        self.report(now, id, what);
        self.judge_invite(now, id, &request);
        if script.trying {
            self.reply(now, id, 100, "Trying", Vec::new(), "");
        }
        if let Some((after, _)) = script.ring {
            self.alarms.set(now + after, Alarm::Ring(id));
        }
        match script.then {
            Then::Answer(after) | Then::Refuse(after, ..) => {
                self.alarms.set(now + after, Alarm::Decide(id))
            }
            Then::Never => {}
        }
    }

    /// The same INVITE again (same top branch): answered as before, never twice a call.
    fn repeated(&mut self, flow: &Flow, request: &Request) -> bool {
        let branch = branch_of(request);
        let known = self.calls.values().find_map(|call| match &call.kind {
            Kind::Received(received) if branch_of(&received.invite) == branch => {
                Some(received.last.clone())
            }
            _ => None,
        });
        if let Some(Some(last)) = &known {
            self.send(flow.id, last.clone());
        }
        known.is_some()
    }

    /// A final refusal before any call exists.
    fn refuse(&mut self, now: Instant, id: u32, flow: &Flow, request: &Request, refusal: &Refusal) {
        let tag = self.dice.uuid();
        let routes = self.response_routes();
        let mut lines = self.usual_lines();
        if refusal.warning {
            lines.push(format!(
                "Warning: 399 {} \"{}\"",
                self.settings.domain, refusal.reason
            ));
        }
        let reply = Reply {
            status: refusal.status,
            reason: &refusal.reason,
            tag: Some(&tag),
            routes: &routes,
            echo_routes: true,
            lines,
            body: "",
        };
        let bytes = reply.print(request, flow);
        self.send(flow.id, bytes);
        let reason = refusal.reason.clone();
        self.report(
            now,
            id,
            What::Refused {
                status: refusal.status,
                reason,
                cause: None,
            },
        );
    }

    /// A response in the script of a call.
    pub(super) fn reply(
        &mut self,
        now: Instant,
        id: u32,
        status: u16,
        reason: &str,
        lines: Vec<String>,
        body: &str,
    ) {
        let routes = if status == 100 {
            Vec::new()
        } else {
            self.response_routes()
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Received(received) = &mut call.kind else {
            return;
        };
        let tag = (status > 100).then_some(call.our_tag.as_str());
        let reply = Reply {
            status,
            reason,
            tag,
            routes: &routes,
            echo_routes: true,
            lines,
            body,
        };
        let bytes = reply.print(&received.invite, &received.flow);
        received.last = Some(bytes.clone());
        let flow = received.flow.id;
        self.send(flow, bytes);
        match status {
            100..200 => self.report(
                now,
                id,
                What::Progress {
                    status,
                    body: !body.is_empty(),
                },
            ),
            300.. => {
                call_status(&mut self.calls, id, status);
                self.report(
                    now,
                    id,
                    What::Refused {
                        status,
                        reason: reason.to_owned(),
                        cause: None,
                    },
                );
            }
            _ => {}
        }
    }

    /// Record-Routes on top of the partner's in a response: the inside first.
    fn response_routes(&self) -> Vec<String> {
        let [outer, inner] = &self.settings.routes;
        vec![inner.clone(), outer.clone()]
    }

    /// Lines that end most responses.
    fn usual_lines(&self) -> Vec<String> {
        vec![
            format!("Allow: {}", print::ALLOW),
            format!("X-FB-External-Domain: {}", self.settings.domain),
        ]
    }
}

/// Branch of the top Via.
pub(super) fn branch_of(request: &Request) -> String {
    request
        .top_via()
        .and_then(|via| via.branch().map(str::to_owned))
        .unwrap_or_default()
}

/// User part of the Request-URI.
fn user_of(request: &Request) -> String {
    request.uri.user().map(str::to_owned).unwrap_or_default()
}

/// The user a call is with.
fn user_in(call: &Call) -> String {
    let start = call.contact.find(':').map_or(0, |at| at + 1);
    call.contact[start..]
        .split('@')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A From or To value without its tag parameter.
fn without_tag(value: &str) -> String {
    let close = value.rfind('>').map_or(0, |at| at + 1);
    let (address, parameters) = value.split_at(close);
    let kept: String = parameters
        .split(';')
        .filter(|part| {
            !part.trim().is_empty() && !part.trim().to_ascii_lowercase().starts_with("tag=")
        })
        .map(|part| format!(";{part}"))
        .collect();
    format!("{address}{kept}")
}

/// Contact of a business-initiated call (Meta reference 5.2, point 4).
fn contact_line(call: &Call) -> String {
    format!("Contact: <{}>;isfocus", call.contact)
}

/// Whether a method may come to a dialog of ours at all.
pub(super) fn is_allowed(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite
            | Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Notify
            | Method::Options
    )
}

fn call_status(calls: &mut std::collections::BTreeMap<u32, Call>, id: u32, status: u16) {
    if let Some(call) = calls.get_mut(&id) {
        call.status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_off_and_nothing_else() {
        assert_eq!(
            without_tag("\"a;tag=x\" <sip:+1@b;c=d>;tag=1;e=f"),
            "\"a;tag=x\" <sip:+1@b;c=d>;e=f"
        );
    }
}
