//! Our challenge to a user's INVITE, answered as Meta answers it.

use std::time::Instant;

use sip::{Name, Response};

use crate::meta::MetaPeer;
use crate::meta::call::Kind;
use crate::meta::digest::{Hash, Inputs, Parameters, response};
use crate::report::What;

impl MetaPeer {
    /// 401 or 407 (Meta reference 4.2): any realm, `uri` without transport, `nc=00000001`.
    pub(super) fn challenged(&mut self, now: Instant, id: u32, response: &Response) {
        let status = response.status;
        self.report(
            now,
            id,
            What::Challenged {
                status,
                by_far: true,
            },
        );
        let (name, header) = match status {
            401 => (Name::WwwAuthenticate, "Authorization"),
            _ => (Name::ProxyAuthenticate, "Proxy-Authorization"),
        };
        let all: Vec<Parameters> = response
            .headers
            .all(&name)
            .flat_map(|v| Parameters::read_challenges(&v.as_str()))
            .collect();
        if all.len() != 1 {
            self.violation(
                now,
                id,
                format!("{status} with {} challenges instead of one", all.len()),
            );
        }
        let cnonce = self.dice.letters(30);
        let challenge = all
            .into_iter()
            .find(|c| Hash::named(c.value("algorithm")) == Some(Hash::Md5));
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        let acceptable = challenge.and_then(|challenge| {
            let nonce = challenge.value("nonce")?.to_owned();
            let stale = challenge
                .value("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
            let again = placed.challenges > 0 && !stale
                || placed.challenges > 1
                || placed.nonces.contains(&nonce);
            (!again).then_some((challenge, nonce))
        });
        let (Some((challenge, nonce)), false) = (acceptable, placed.give_up) else {
            call.status = status;
            let reason = response.reason.as_str().into_owned();
            self.report(
                now,
                id,
                What::Refused {
                    status,
                    reason,
                    cause: None,
                },
            );
            self.end(now, id, "refused");
            return;
        };
        placed.challenges += 1;
        placed.nonces.push(nonce.clone());
        let password = placed
            .plan
            .wrong_password
            .clone()
            .unwrap_or_else(|| call.number.password.clone());
        let uri = format!("sip:+{}@{}", call.number.digits, call.number.hostname);
        let realm = challenge.value("realm").unwrap_or_default();
        let qop = challenge
            .value("qop")
            .is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth"));
        let answer = response_of(
            &call.number.digits,
            realm,
            &password,
            &uri,
            &nonce,
            qop.then_some(cnonce.as_str()),
        );
        let mut line = format!(
            "{header}: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{answer}\"",
            call.number.digits
        );
        if let Some(algorithm) = challenge.value("algorithm") {
            line.push_str(&format!(", algorithm={algorithm}"));
        }
        if qop {
            line.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = challenge.value("opaque") {
            line.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if qop {
            line.push_str(", qop=auth, nc=00000001");
        }
        call.our_cseq += 1;
        call.their_tag = None;
        let elsewhere = placed
            .plan
            .retry_elsewhere
            .then(|| (call.number.hostname.clone(), call.number.port));
        if let Some((host, port)) = elsewhere {
            let flow = self.connect(Some(id), &host, port);
            if let Some(call) = self.calls.get_mut(&id) {
                call.flow = flow;
            }
        }
        self.send_invite(now, id, Some(line));
    }
}

fn response_of(
    username: &str,
    realm: &str,
    password: &str,
    uri: &str,
    nonce: &str,
    cnonce: Option<&str>,
) -> String {
    response(&Inputs {
        hash: Hash::Md5,
        username,
        realm,
        password,
        method: "INVITE",
        uri,
        nonce,
        qop: cnonce.map(|cnonce| ("00000001", cnonce)),
    })
}
