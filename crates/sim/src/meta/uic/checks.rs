//! What Meta looks at in the answers to a user's INVITE: what must come back as it was sent, routes, the headers of a 200.

use std::time::Instant;

use sip::{Name, Response};

use crate::meta::MetaPeer;
use crate::meta::call::{Kind, text};

impl MetaPeer {
    /// Whatever is answered must come back as it was sent: Via, From, Call-ID, CSeq.
    pub(super) fn judge_echo(&mut self, now: Instant, id: u32, response: &Response) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let mut broken = Vec::new();
        if text(response.headers.first(&Name::From)) != call.us_tagged() {
            broken.push(format!(
                "{}: From is not ours: {}",
                response.status,
                text(response.headers.first(&Name::From))
            ));
        }
        if text(response.headers.first(&Name::CallId)) != call.call_id {
            broken.push(format!("{}: Call-ID is not ours", response.status));
        }
        let to = text(response.headers.first(&Name::To));
        if !to.starts_with(&call.them) {
            broken.push(format!("{}: To is not ours: {to}", response.status));
        }
        if response.status > 100 && response.to_tag().is_none() {
            broken.push(format!("{} without a To tag", response.status));
        }
        if let Kind::Placed(placed) = &call.kind {
            let got: Vec<String> = response
                .headers
                .list(&Name::Via)
                .map(|v| v.as_str().trim().to_owned())
                .collect();
            if got.len() != 3 {
                broken.push(format!(
                    "{} with {} Vias instead of 3",
                    response.status,
                    got.len()
                ));
            } else if bare(&got[0]) != bare(&placed.via) {
                broken.push(format!(
                    "{}: top Via is {}, was {}",
                    response.status, got[0], placed.via
                ));
            } else if !got[0].contains("received=") || !got[0].contains("rport=") {
                broken.push(format!(
                    "{}: no received and rport in the top Via",
                    response.status
                ));
            }
        }
        if response.headers.all(&Name::ContentLength).count() != 1 {
            broken.push(format!(
                "{} without exactly one Content-Length",
                response.status
            ));
        }
        for rule in broken {
            self.violation(now, id, rule);
        }
    }

    /// Record-Routes of a dialog-creating response: ours last, byte for byte, in order. Whether they are.
    pub(super) fn judge_routes(&mut self, now: Instant, id: u32, response: &Response) -> bool {
        let got: Vec<String> = response
            .headers
            .list(&Name::RecordRoute)
            .map(|r| r.as_str().trim().to_owned())
            .collect();
        let ours = &self.settings.routes;
        let intact = got.len() >= 2 && got[got.len() - 2..] == ours[..];
        if intact {
            if let Some(call) = self.calls.get_mut(&id) {
                call.partner_routes = got[..got.len() - 2].iter().rev().cloned().collect();
            }
        } else {
            self.violation(
                now,
                id,
                format!(
                    "{}: Record-Route is {got:?}, must end in {ours:?}",
                    response.status
                ),
            );
        }
        intact
    }

    /// What a 200 must carry besides routes and SDP.
    pub(super) fn judge_answer_headers(&mut self, now: Instant, id: u32, response: &Response) {
        let mut broken: Vec<String> = Vec::new();
        let contact = response.contact();
        match &contact {
            None => broken.push("200 without a readable Contact".into()),
            Some(contact) => {
                let host = contact.uri.host().to_string();
                if host.parse::<std::net::IpAddr>().is_ok() {
                    broken.push(format!(
                        "Contact host {host} is an address; our certificate check needs a name"
                    ));
                }
                if !contact
                    .uri
                    .param("transport")
                    .is_some_and(|t| t.eq_ignore_ascii_case("tls"))
                {
                    broken.push("Contact without transport=tls".into());
                }
            }
        }
        if text(response.headers.first(&Name::ContentType)) != "application/sdp" {
            broken.push("200 without Content-Type application/sdp".into());
        }
        if response.headers.first(&Name::SessionExpires).is_some() {
            broken.push("200 with Session-Expires".into());
        }
        if text(response.headers.first(&Name::Require)).contains("100rel") {
            broken.push("200 requires 100rel".into());
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.target = contact
                .map(|contact| contact.uri.as_str().to_owned())
                .unwrap_or_default();
        }
        for rule in broken {
            self.violation(now, id, rule);
        }
    }
}

/// A Via without `received` and `rport`, in pieces that compare.
fn bare(via: &str) -> Vec<String> {
    via.split(';')
        .map(str::trim)
        .filter(|part| {
            let name = part.split('=').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("received") && !name.eq_ignore_ascii_case("rport")
        })
        .map(str::to_owned)
        .collect()
}
