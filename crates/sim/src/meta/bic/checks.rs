//! What Meta checks before an INVITE of a business becomes a call, in the order of `bic`.

use std::net::IpAddr;
use std::time::Instant;

use sip::{Flow, Name, Request};

use super::super::call::text;
use super::super::digest::{Hash, Inputs, Parameters, response};
use super::super::knobs::{BusinessNumber, PlusRule};
use super::super::print::Reply;
use super::super::{MetaPeer, Nonce};
use super::{Refusal, branch_of, user_of};
use crate::report::What;

impl MetaPeer {
    /// Request-URI and To (Meta reference 3.1).
    pub(super) fn check_address(&mut self, now: Instant, request: &Request) -> Result<(), Refusal> {
        let domain = self.settings.domain.clone();
        let host = request.uri.host().to_string();

        if !host.eq_ignore_ascii_case(&domain) || request.uri.scheme() != sip::Scheme::Sip {
            self.violation(
                now,
                0,
                format!("Request-URI {} is not sip:…@{domain}", request.uri.as_str()),
            );
            return Err(Refusal {
                status: 404,
                reason: "Not found".into(),
                warning: false,
            });
        }
        let user = user_of(request);
        let digits = user.trim_start_matches('+');
        if self.settings.plus
            && !user.starts_with('+')
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            self.violation(now, 0, format!("Request-URI user {user} without +"));
            return Err(Refusal {
                status: 500,
                reason: "Internal Server Error".into(),
                warning: false,
            });
        }
        let wanted = format!("sip:{user}@{domain};transport=tls");
        if request.uri.as_str() != wanted.as_str() {
            self.violation(
                now,
                0,
                format!(
                    "Request-URI is {}, should be {wanted}",
                    request.uri.as_str()
                ),
            );
        }
        let to = text(request.headers.first(&Name::To));
        let bare = format!("<sip:{user}@{domain}>");
        if !to.trim().ends_with(&bare) {
            self.violation(now, 0, format!("To is {to}, should end in {bare}"));
        }
        Ok(())
    }

    /// 407 or 401 until the credentials are right; `false` when the request was answered here.
    pub(super) fn check_digest(&mut self, now: Instant, flow: &Flow, request: &Request) -> bool {
        let name = match self.settings.challenge.status {
            401 => Name::Authorization,
            _ => Name::ProxyAuthorization,
        };
        let given: Vec<String> = request
            .headers
            .all(&name)
            .map(|v| v.as_str().into_owned())
            .collect();
        let ours: Vec<Parameters> = given
            .iter()
            .filter_map(|value| Parameters::read(value))
            .filter(|p| p.value("realm") == Some(self.settings.domain.as_str()))
            .collect();
        if given.len() > 1 {
            self.violation(now, 0, "credentials for more than one challenge");
        }
        let Some(credentials) = ours.first() else {
            if !given.is_empty() {
                self.violation(
                    now,
                    0,
                    "credentials for another realm, or none that can be read",
                );
            }
            self.challenge(now, flow, request, false);
            return false;
        };
        let value = |name: &str| credentials.value(name).unwrap_or_default().to_owned();
        let nonce = value("nonce");
        let per_connection = self.settings.nonce_per_connection;
        let known = self
            .nonces
            .get(&nonce)
            .filter(|known| !per_connection || known.flow == flow.id)
            .cloned();
        let Some(known) = known else {
            // Another server of the farm: it never heard of this nonce.
            self.violation(
                now,
                0,
                "credentials over another connection than the challenge",
            );
            self.challenge(now, flow, request, false);
            return false;
        };
        let style = self.settings.challenge.clone();
        if let Err(reason) = self.judge_credentials(now, request, credentials, &known) {
            let refusal = Refusal {
                status: 403,
                reason: reason.into(),
                warning: reason.starts_with("Invalid"),
            };
            self.refuse(now, 0, flow, request, &refusal);
            return false;
        }
        if style.insatiable || (style.stale_once && !known.worn) {
            self.challenge(now, flow, request, style.stale_once);
            return false;
        }
        self.nonces.remove(&nonce);
        true
    }

    /// Credentials against the challenge they answer.
    pub(super) fn judge_credentials(
        &mut self,
        now: Instant,
        request: &Request,
        credentials: &Parameters,
        known: &Nonce,
    ) -> Result<(), &'static str> {
        const INVALID: &str = "Invalid digest auth response";
        let value = |name: &str| credentials.value(name).unwrap_or_default();
        if let Some(name) = credentials.repeats() {
            self.violation(now, 0, format!("credentials with {name} twice"));
        }
        for bare in ["algorithm", "qop", "nc"] {
            if credentials.quoted(bare) {
                self.violation(now, 0, format!("credentials with {bare} in quotes"));
            }
        }
        if value("nc") != "00000001" {
            self.violation(
                now,
                0,
                format!("nc is {} on the first use of a nonce", value("nc")),
            );
        }
        if value("opaque") != known.opaque {
            self.violation(now, 0, "opaque is not the challenge's");
            return Err(INVALID);
        }
        if Hash::named(credentials.value("algorithm")) != Some(known.hash) {
            self.violation(
                now,
                0,
                "algorithm is not the one of the challenge with this nonce",
            );
            return Err(INVALID);
        }
        let uri = value("uri");
        let request_uri = request.uri.as_str().to_owned();
        let to = request
            .to()
            .map(|to| to.uri.as_str().to_owned())
            .unwrap_or_default();
        if user_and_host(uri) != user_and_host(&to) {
            return Err("Proxy auth uri does not match SIP 'to' uri");
        }
        if user_and_host(uri) != user_and_host(&request_uri)
            || (self.settings.strict_uri && uri != request_uri)
        {
            self.violation(
                now,
                0,
                format!("digest uri {uri} is not the Request-URI {request_uri}"),
            );
        }
        let from = from_user(request);
        let username = value("username");
        let digits = from.trim_start_matches('+');
        let spelled = match self.settings.username {
            PlusRule::Either => username.trim_start_matches('+') == digits,
            PlusRule::With => username == format!("+{digits}"),
            PlusRule::Without => username == digits,
        };
        let password = self
            .settings
            .numbers
            .iter()
            .find(|n| n.digits == digits)
            .map(|n| n.password.clone());
        let expected = response(&Inputs {
            hash: known.hash,
            username,
            realm: &self.settings.domain,
            password: password.as_deref().unwrap_or_default(),
            method: "INVITE",
            uri,
            nonce: value("nonce"),
            qop: (value("qop") == "auth").then(|| (value("nc"), value("cnonce"))),
        });
        // An unknown caller passes here and gets its 400 from the next check.
        if password.is_some() && (!spelled || expected != value("response")) {
            return Err(INVALID);
        }
        Ok(())
    }

    /// From user and domain (Meta reference 3.1).
    pub(super) fn check_caller(&mut self, request: &Request) -> Result<BusinessNumber, Refusal> {
        let user = from_user(request);
        let number = self
            .settings
            .numbers
            .iter()
            .find(|number| number.digits == user.trim_start_matches('+'));
        let Some(number) = number else {
            let reason = "Asset not found, invalid business phone number".into();
            return Err(Refusal {
                status: 400,
                reason,
                warning: true,
            });
        };
        if self.settings.plus && !user.starts_with('+') {
            return Err(Refusal {
                status: 500,
                reason: "Internal Server Error".into(),
                warning: false,
            });
        }
        let domain = request
            .from()
            .map(|from| from.uri.host().to_string())
            .unwrap_or_default();
        if !number.accepts_domain(&domain) {
            let reason = format!(
                "SIP server {domain} from INVITE does not match any SIP server configured for phone number id {}",
                number.id
            );
            return Err(Refusal {
                status: 403,
                reason,
                warning: true,
            });
        }
        Ok(number.clone())
    }

    /// Form of an INVITE that passed.
    pub(super) fn judge_invite(&mut self, now: Instant, id: u32, request: &Request) {
        let mut broken = Vec::new();
        match request.contact() {
            None => broken.push("INVITE without a readable Contact".to_owned()),
            Some(contact) => {
                let host = contact.uri.host().to_string();
                if host.parse::<IpAddr>().is_ok() {
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
        if text(request.headers.first(&Name::ContentType)) != "application/sdp" {
            broken.push("INVITE without Content-Type application/sdp".into());
        }
        for (name, label) in [
            (Name::PAssertedIdentity, "P-Asserted-Identity"),
            (Name::Route, "Route"),
        ] {
            if request.headers.first(&name).is_some() {
                broken.push(format!("INVITE with {label}"));
            }
        }
        for rule in broken {
            self.violation(now, id, rule);
        }
    }

    /// 407 or 401, one challenge per algorithm.
    pub(super) fn challenge(&mut self, now: Instant, flow: &Flow, request: &Request, stale: bool) {
        let style = self.settings.challenge.clone();
        let mut values = Vec::new();
        for hash in &style.hashes {
            let (nonce, opaque) = (self.dice.hex(16), self.dice.hex(16));
            let algorithm = match (hash, style.bare_md5, style.quoted_algorithm) {
                (Hash::Md5, true, _) => String::new(),
                (hash, _, true) => format!(",algorithm=\"{}\"", hash.name()),
                (hash, ..) => format!(",algorithm={}", hash.name()),
            };
            let stale = if stale { ",stale=true" } else { "" };
            values.push(format!(
                "Digest realm=\"{}\",nonce=\"{nonce}\",opaque=\"{opaque}\"{algorithm},qop=\"auth\"{stale}",
                self.settings.domain
            ));
            self.nonces.insert(
                nonce,
                Nonce {
                    opaque,
                    hash: *hash,
                    flow: flow.id,
                    worn: !stale.is_empty(),
                },
            );
        }
        let (name, reason) = match style.status {
            401 => ("WWW-Authenticate", "Unauthorized"),
            _ => ("Proxy-Authenticate", "Proxy Authentication Required"),
        };
        let lines = match style.joined {
            true => vec![format!("{name}: {}", values.join(", "))],
            false => values
                .iter()
                .map(|value| format!("{name}: {value}"))
                .collect(),
        };
        let branch = branch_of(request);
        let reply = Reply {
            status: style.status,
            reason,
            tag: Some(&branch),
            routes: &[],
            echo_routes: true,
            lines,
            body: "",
        };
        let mut bytes = reply.print(request, flow);
        if style.no_content_length {
            bytes = bytes::Bytes::from(
                String::from_utf8_lossy(&bytes).replace("Content-Length:  0\r\n", ""),
            );
        }
        self.send(flow.id, bytes);
        self.report(
            now,
            0,
            What::Challenged {
                status: style.status,
                by_far: false,
            },
        );
    }
}

/// User part of From.
fn from_user(request: &Request) -> String {
    request
        .from()
        .and_then(|from| from.uri.user().map(str::to_owned))
        .unwrap_or_default()
}

/// `user@host` of a URI, lower-case host, without scheme, port and parameters.
fn user_and_host(uri: &str) -> (String, String) {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let host = host.split([';', ':', '?']).next().unwrap_or_default();
    (user.to_owned(), host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_uris_compare_by_user_and_host() {
        assert_eq!(
            user_and_host("sip:+1219@wa.meta.vc;transport=tls"),
            user_and_host("sip:+1219@WA.meta.vc:5061")
        );
        assert_ne!(
            user_and_host("sip:+1219@wa.meta.vc"),
            user_and_host("sip:1219@wa.meta.vc")
        );
    }
}
