//! In-dialog requests, both ways (Meta reference 5.2, 5.3 and 6.1).

use std::time::Instant;

use sip::{Flow, Method, Name, Request};

use super::bic::is_allowed;
use super::call::{Kind, Phase};
use super::print::{self, Reply, finish, vias};
use super::{Alarm, MetaPeer};
use crate::report::{What, millis};

impl MetaPeer {
    /// ACK, BYE or INVITE inside a dialog, or so it claims.
    pub(super) fn in_dialog(
        &mut self,
        now: Instant,
        flow: Flow,
        request: Request,
        owner: Option<u32>,
    ) {
        debug_assert!(
            is_allowed(&request.method),
            "other methods were answered before"
        );
        let Some(id) = owner else {
            return self.stray(now, &flow, &request);
        };
        let routes = self.settings.routes.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let misrouted = call.misrouted(&request, &routes);
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        match request.method {
            Method::Ack => {
                // An ACK to a refusal is hop by hop and ends here whatever it looks like.
                if call.phase != Phase::Answered {
                    return;
                }
                if let Some(why) = misrouted {
                    // Lost inside Meta: nobody sees it.
                    return self.violation(now, id, why);
                }
                let wanted = call.invite_cseq;
                if number != wanted {
                    return self.violation(
                        now,
                        id,
                        format!("ACK with CSeq {number}, INVITE had {wanted}"),
                    );
                }
                call.phase = Phase::Talking;
                call.confirmed = true;
                self.alarms.retain(
                    |alarm| !matches!(alarm, Alarm::Repeat(c, _) | Alarm::NoAck(c) if *c == id),
                );
                self.report(now, id, What::Confirmed);
            }
            Method::Bye => self.bye_came(now, id, &flow, &request, misrouted),
            _ => {
                self.report(
                    now,
                    id,
                    What::Forbidden {
                        method: "re-INVITE".into(),
                    },
                );
                let [outer, inner] = routes;
                let lines = vec![
                    format!("Allow: {}", print::ALLOW),
                    format!("X-FB-External-Domain: {}", self.settings.domain),
                ];
                let reply = Reply {
                    status: 500,
                    reason: "Internal Server Error",
                    tag: None,
                    routes: &[inner, outer],
                    echo_routes: true,
                    lines,
                    body: "",
                };
                let bytes = reply.print(&request, &flow);
                self.send(flow.id, bytes);
            }
        }
    }

    /// BYE of the far side.
    fn bye_came(
        &mut self,
        now: Instant,
        id: u32,
        flow: &Flow,
        request: &Request,
        misrouted: Option<String>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if let Some(why) = misrouted {
            self.violation(now, id, why);
            self.answer(now, id, flow, request, 404, "Not found", Vec::new());
            if self.settings.media.silent {
                // With media the user goes on hearing nothing until the media timer ends the call.
                self.end(now, id, "failed");
            }
            return;
        }
        let early = match (&call.kind, call.answered) {
            // The callee may not hang up before our ACK, or 64·T1 without one (RFC 3261 15).
            (Kind::Placed(_), Some(at)) => {
                !call.confirmed && now.saturating_duration_since(at) < self.settings.t1 * 62
            }
            (Kind::Placed(_), None) => true,
            (Kind::Received(_), _) => false,
        };
        let stepped = number > call.their_cseq;
        call.their_cseq = number.max(call.their_cseq);
        let new_connection = call.flow != flow.id;
        if early {
            self.violation(now, id, "BYE of the callee before the ACK");
        }
        if !stepped {
            self.violation(
                now,
                id,
                format!("BYE with CSeq {number}, not above the last one"),
            );
        }
        let cause = request
            .headers
            .first(&Name::Reason)
            .map(|text| text.as_str().into_owned());
        self.report(
            now,
            id,
            What::Bye {
                by_far: true,
                new_connection,
                cause,
            },
        );
        let domain = self.settings.domain.clone();
        let reply = Reply {
            status: 200,
            reason: "OK",
            tag: None,
            routes: &[],
            echo_routes: false,
            lines: vec![format!("X-FB-External-Domain: {domain}")],
            body: "",
        };
        let bytes = reply.print(request, flow);
        self.send(flow.id, bytes);
        self.end(now, id, "far");
    }

    /// A request for no dialog of ours.
    fn stray(&mut self, now: Instant, flow: &Flow, request: &Request) {
        match request.method {
            // To a refusal, or to a call that is over.
            Method::Ack => {}
            _ => {
                let crossed = request.method == Method::Bye;
                if !crossed {
                    self.report(
                        now,
                        0,
                        What::Forbidden {
                            method: "re-INVITE".into(),
                        },
                    );
                }
                self.answer(
                    now,
                    0,
                    flow,
                    request,
                    481,
                    "Call/Transaction Does Not Exist",
                    Vec::new(),
                );
            }
        }
    }

    /// Our BYE, over a new connection, with duration and wacid (Meta reference 6.1).
    pub(super) fn send_bye(&mut self, now: Instant, id: u32, cause: Option<String>) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        if call.bye.is_some() || call.is_over() {
            return;
        }
        let (host, port) = place(&call.partner_routes, &call.target, &call.number.hostname);
        let flow = self.connect(Some(id), &host, port);
        let vias = vias(&mut self.dice, &self.settings.edge);
        let [outer, inner] = self.settings.routes.clone();
        let domain = self.settings.domain.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.our_cseq += 1;
        let duration = call
            .answered
            .map_or(0, |at| millis(now.saturating_duration_since(at)) / 1_000);
        let mut lines = vec![
            format!("BYE {} SIP/2.0", call.target),
            format!("Via: {}", vias.values[0]),
            format!("Record-Route: {outer}"),
            format!("Record-Route: {inner}"),
            format!("Via: {}", vias.values[1]),
            format!("Via: {}", vias.values[2]),
        ];
        lines.extend(
            call.partner_routes
                .iter()
                .map(|route| format!("Route: {route}")),
        );
        lines.extend([
            "Max-Forwards: 69".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them_tagged()),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} BYE", call.our_cseq),
            format!("x-wa-meta-wacid: {}", call.wacid),
            format!("x-wa-meta-call-duration: {duration}"),
            format!("X-FB-External-Domain: {domain}"),
            format!("Allow: {}", print::ALLOW),
            "User-Agent: Facebook SipGateway".into(),
        ]);
        if let Some(cause) = &cause {
            lines.push(format!("Reason: {cause}"));
        }
        call.bye = Some(vias.branch.clone());
        call.phase = Phase::Releasing;
        self.pending
            .insert(vias.branch.clone(), (id, Method::Bye, flow));
        self.alarms
            .set(now + self.settings.t1 * 64, Alarm::Unanswered(vias.branch));
        self.send(flow, finish(lines, ""));
        self.report(
            now,
            id,
            What::Bye {
                by_far: false,
                new_connection: true,
                cause,
            },
        );
    }
}

/// Where a request for a dialog goes: the partner's own proxy, else its Contact, else the configured host.
fn place(routes: &[String], target: &str, hostname: &str) -> (String, u16) {
    let uri = routes
        .first()
        .map_or(target, String::as_str)
        .trim_start_matches('<');
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let authority = rest.split([';', '>', '?']).next().unwrap_or_default();
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().unwrap_or(5061)),
        _ => (authority, 5061),
    };
    match host.trim_matches(['[', ']']) {
        "" => (hostname.to_owned(), port),
        host => (host.to_owned(), port),
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_bye_goes_to_the_contact_or_to_the_partners_proxy() {
        assert_eq!(
            place(&[], "sip:+1@sbc.example.com:5081;transport=tls", "h"),
            ("sbc.example.com".into(), 5081)
        );
        assert_eq!(
            place(&[], "sip:+1@sbc.example.com;transport=tls", "h"),
            ("sbc.example.com".into(), 5061)
        );
        assert_eq!(
            place(&["<sip:1.2.3.4:5060;lr>".into()], "sip:x@y", "h"),
            ("1.2.3.4".into(), 5060)
        );
        assert_eq!(
            place(&[], "sip:x@[2001:db8::1]:5062", "h"),
            ("2001:db8::1".into(), 5062)
        );
        assert_eq!(place(&[], "", "h"), ("h".into(), 5061));
    }
}
