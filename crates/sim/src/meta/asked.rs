//! What a Meta is asked: every request is judged by its form, and goes to whoever answers it.

use std::time::Instant;

use sip::{Flow, Method, Name, Request, Transport};

use super::MetaPeer;
use super::call::text;
use super::print::{self, Reply};
use crate::report::What;

impl MetaPeer {
    /// A request came.
    pub(super) fn request(&mut self, now: Instant, flow: Flow, request: Request) {
        let owner = self
            .calls
            .values()
            .find(|call| call.owns(&request))
            .map(|call| call.id);
        self.judge_form(now, owner.unwrap_or(0), &flow, &request);
        match (&request.method, request.to_tag().is_some()) {
            (Method::Invite, false) => self.invited(now, flow, request),
            (Method::Cancel, _) => self.cancelled(now, flow, &request),
            (Method::Register, _) => {
                self.report(
                    now,
                    0,
                    What::Forbidden {
                        method: "REGISTER".into(),
                    },
                );
                self.answer(now, 0, &flow, &request, 403, "Forbidden", Vec::new());
            }
            (Method::Options, _) => {
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    200,
                    "OK",
                    vec![format!("Allow: {}", print::ALLOW)],
                );
            }
            (Method::Ack | Method::Bye | Method::Invite, true)
            | (Method::Ack | Method::Bye, false) => {
                self.in_dialog(now, flow, request, owner);
            }
            (Method::Notify, _) if owner.is_some() => {
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    200,
                    "OK",
                    Vec::new(),
                );
            }
            (Method::Notify, _) => self.answer(
                now,
                0,
                &flow,
                &request,
                481,
                "Call/Transaction Does Not Exist",
                Vec::new(),
            ),
            (method, _) => {
                let method = method.to_string();
                self.report(now, owner.unwrap_or(0), What::Forbidden { method });
                let lines = vec![format!("Allow: {}", print::ALLOW)];
                self.answer(
                    now,
                    owner.unwrap_or(0),
                    &flow,
                    &request,
                    405,
                    "Method Not Allowed",
                    lines,
                );
            }
        }
    }

    /// Answers a request outside the script of a call.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer(
        &mut self,
        now: Instant,
        call: u32,
        flow: &Flow,
        request: &Request,
        status: u16,
        reason: &str,
        lines: Vec<String>,
    ) {
        // Stateless replies carry the top branch as To tag, as the documented 407 does.
        let tag = request
            .top_via()
            .and_then(|via| via.branch().map(str::to_owned));
        let reply = Reply {
            status,
            reason,
            tag: tag.as_deref(),
            routes: &[],
            echo_routes: true,
            lines,
            body: "",
        };
        let bytes = reply.print(request, flow);
        self.send(flow.id, bytes);
        if status >= 300 {
            let method = request.method.to_string();
            self.report(now, call, What::Rejected { method, status });
        }
    }

    /// What every request must be like, whatever it asks.
    fn judge_form(&mut self, now: Instant, call: u32, flow: &Flow, request: &Request) {
        let mut broken: Vec<String> = Vec::new();
        if flow.transport != Transport::Tls {
            broken.push(format!(
                "{} over {} instead of TLS",
                request.method,
                flow.transport.via_name()
            ));
        }
        match request.top_via() {
            None => broken.push("no readable Via".into()),
            Some(via) => {
                if !via
                    .branch()
                    .is_some_and(|branch| branch.starts_with("z9hG4bK"))
                {
                    broken.push("top Via without an RFC 3261 branch".into());
                }
                let line = text(request.headers.first(&Name::Via));
                if !line
                    .to_ascii_uppercase()
                    .replace(' ', "")
                    .starts_with("SIP/2.0/TLS")
                {
                    broken.push(format!("top Via is not TLS: {line}"));
                }
            }
        }
        for (name, label) in [
            (Name::ContentLength, "Content-Length"),
            (Name::MaxForwards, "Max-Forwards"),
            (Name::CallId, "Call-ID"),
            (Name::From, "From"),
            (Name::To, "To"),
            (Name::CSeq, "CSeq"),
        ] {
            match request.headers.all(&name).count() {
                1 => {}
                0 => broken.push(format!("{} without {label}", request.method)),
                _ => broken.push(format!("{} with several {label}", request.method)),
            }
        }
        if request
            .cseq()
            .is_none_or(|cseq| cseq.method != request.method)
        {
            broken.push("CSeq names another method".into());
        }
        if request.from_tag().is_none() {
            broken.push("From without a tag".into());
        }
        if request.headers.first(&Name::SessionExpires).is_some()
            || request.headers.first(&Name::MinSe).is_some()
        {
            broken.push("session timer headers, which nobody here can refresh".into());
        }
        let options = format!(
            "{},{}",
            text(request.headers.first(&Name::Supported)),
            text(request.headers.first(&Name::Require))
        );
        for option in ["timer", "100rel"] {
            if options.split(',').any(|o| o.trim() == option) {
                broken.push(format!("{option} in Supported or Require"));
            }
        }
        for rule in broken {
            self.violation(now, call, rule);
        }
    }
}
