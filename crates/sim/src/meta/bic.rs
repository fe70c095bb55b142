//! The business calls a WhatsApp user: Meta as UAS (Meta reference 4.1, 7, 8 and 15 point 2;
//! fixtures `bic-*` and `error-*`).
//!
//! Checks in this order, each with its documented answer:
//! Request-URI host (404) · challenge (407) · digest (403) · From user (400) · From domain (403) ·
//! scripted refusals (403) · one call per pair (403) · SDP (403) · then 100 and the script.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use sip::{Flow, Method, Name, Request};

use super::call::{Call, Kind, Phase, Received, text};
use super::digest::{Hash, Inputs, Parameters, response};
use super::knobs::{BusinessNumber, PlusRule, Then};
use super::offer::{self, EVENTS, OPUS, PCMA, PCMU, Words};
use super::print::{self, Reply, wacid};
use super::rules;
use super::{Alarm, MetaPeer, Nonce};
use crate::report::{What, extensions, millis};

/// Longest interval between repeats of a 200: T2 of RFC 3261.
const T2: Duration = Duration::from_secs(4);

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
        let address = self.take_place(id);
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
            voice: None,
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

    /// Request-URI and To (Meta reference 3.1).
    fn check_address(&mut self, now: Instant, request: &Request) -> Result<(), Refusal> {
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
    fn check_digest(&mut self, now: Instant, flow: &Flow, request: &Request) -> bool {
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
    fn judge_credentials(
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
    fn check_caller(&mut self, request: &Request) -> Result<BusinessNumber, Refusal> {
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
    fn judge_invite(&mut self, now: Instant, id: u32, request: &Request) {
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
    fn challenge(&mut self, now: Instant, flow: &Flow, request: &Request, stale: bool) {
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

    /// The user's phone rings.
    pub(super) fn ring(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        let Kind::Received(received) = &call.kind else {
            return;
        };
        let Some((_, status)) = received.script.ring else {
            return;
        };
        let second = received.script.second_tag;
        let second_answers = received.script.second_answers;
        let contact = contact_line(call);
        let body = if status == 183 {
            offer::print(&call.words)
        } else {
            String::new()
        };
        let reason = if status == 183 {
            "Session Progress"
        } else {
            "Ringing"
        };
        let mut lines = vec![contact];
        lines.extend(self.usual_lines());
        self.reply(now, id, status, reason, lines.clone(), &body);
        if second {
            // Another phone of the same user: same dialog identifiers but the tag.
            let tag = self.dice.uuid();
            let first = self
                .calls
                .get_mut(&id)
                .map(|call| std::mem::replace(&mut call.our_tag, tag));
            self.reply(now, id, status, reason, lines, "");
            if let (Some(call), Some(first), false) =
                (self.calls.get_mut(&id), first, second_answers)
            {
                call.our_tag = first;
            }
        }
    }

    /// The user decides as scripted.
    pub(super) fn decide_by_script(&mut self, now: Instant, id: u32) {
        let then = match self.calls.get(&id).map(|call| &call.kind) {
            Some(Kind::Received(received)) => received.script.then.clone(),
            _ => return,
        };
        match then {
            Then::Answer(_) => self.pick_up(now, id),
            Then::Refuse(_, status, reason) => self.decide(now, id, status, &reason),
            Then::Never => {}
        }
    }

    /// A final refusal of a ringing call.
    pub(super) fn decide(&mut self, now: Instant, id: u32, status: u16, reason: &str) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.phase == Phase::Ringing)
        {
            let lines = self.usual_lines();
            self.reply(now, id, status, reason, lines, "");
            self.end(now, id, "refused");
        }
    }

    /// The user picks up: 200 with the answer, repeated until the ACK comes (RFC 3261 13.3.1.4).
    fn pick_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self
            .calls
            .get_mut(&id)
            .filter(|call| call.phase == Phase::Ringing)
        else {
            return;
        };
        call.phase = Phase::Answered;
        call.answered = Some(now);
        call.status = 200;
        let after_ms = millis(now.saturating_duration_since(call.started));
        let codec = call
            .words
            .formats
            .first()
            .map(|(_, map)| map.to_ascii_lowercase())
            .unwrap_or_default();
        let body = offer::print(&call.words);
        let contact = contact_line(call);
        let lines = vec![
            format!("Allow: {}", print::ALLOW),
            "Supported: timer".into(),
            format!("X-FB-External-Domain: {}", self.settings.domain),
            contact,
        ];
        self.reply(now, id, 200, "OK", lines, &body);
        self.report(now, id, What::Answered { after_ms, codec });
        let t1 = self.settings.t1;
        self.alarms.set(now + t1, Alarm::Repeat(id, t1));
        self.alarms.set(now + t1 * 64, Alarm::NoAck(id));
        self.start_voice(now, id);
        let hang_up = match self.calls.get(&id).map(|call| &call.kind) {
            Some(Kind::Received(received)) => received.script.talk.hang_up_after,
            _ => None,
        };
        if let Some(after) = hang_up {
            self.alarms.set(now + after, Alarm::HangUp(id));
        }
    }

    /// The 200 once more.
    pub(super) fn repeat_answer(&mut self, now: Instant, id: u32, interval: Duration) {
        let Some(call) = self
            .calls
            .get(&id)
            .filter(|call| call.phase == Phase::Answered)
        else {
            return;
        };
        let Kind::Received(received) = &call.kind else {
            return;
        };
        if let Some(last) = received.last.clone() {
            let flow = received.flow.id;
            self.send(flow, last);
        }
        let next = (interval * 2).min(T2);
        self.alarms.set(now + next, Alarm::Repeat(id, next));
    }

    /// No ACK: BYE (RFC 3261 13.3.1.4).
    pub(super) fn no_ack(&mut self, now: Instant, id: u32) {
        if self
            .calls
            .get(&id)
            .is_some_and(|call| call.phase == Phase::Answered)
        {
            self.report(now, id, What::Unconfirmed { refused: false });
            self.violation(now, id, "no ACK to our 200 in 64·T1");
            self.send_bye(now, id, None);
        }
    }

    /// CANCEL: matched by the top branch alone (RFC 3261 9.2).
    pub(super) fn cancelled(&mut self, now: Instant, flow: Flow, request: &Request) {
        let branch = branch_of(request);
        let found = self.calls.values().find(|call| match &call.kind {
            Kind::Received(received) => branch_of(&received.invite) == branch,
            Kind::Placed(_) => false,
        });
        let Some(call) = found else {
            self.violation(now, 0, "CANCEL that matches no INVITE");
            return self.answer(
                now,
                0,
                &flow,
                request,
                481,
                "Call/Transaction Does Not Exist",
                Vec::new(),
            );
        };
        let (id, phase, tag) = (call.id, call.phase, call.our_tag.clone());
        let Kind::Received(received) = &call.kind else {
            return;
        };
        let despite = received.script.answer_despite_cancel;
        let same_uri = received.invite.uri.as_str() == request.uri.as_str();
        let same_number =
            received.invite.cseq().map(|c| c.number) == request.cseq().map(|c| c.number);
        if !same_uri || !same_number {
            self.violation(
                now,
                id,
                "CANCEL with another Request-URI or CSeq than its INVITE",
            );
        }
        let ok = Reply {
            status: 200,
            reason: "OK",
            tag: Some(&tag),
            routes: &[],
            echo_routes: false,
            lines: Vec::new(),
            body: "",
        };
        let bytes = ok.print(request, &flow);
        self.send(flow.id, bytes);
        self.report(now, id, What::Cancelled { by_far: true });
        if phase == Phase::Ringing {
            if despite {
                self.pick_up(now, id);
            } else {
                let lines = self.usual_lines();
                self.reply(now, id, 487, "Request Terminated", lines, "");
                self.end(now, id, "far");
            }
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

fn call_status(calls: &mut std::collections::BTreeMap<u32, Call>, id: u32, status: u16) {
    if let Some(call) = calls.get_mut(&id) {
        call.status = status;
    }
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

    #[test]
    fn a_tag_comes_off_and_nothing_else() {
        assert_eq!(
            without_tag("\"a;tag=x\" <sip:+1@b;c=d>;tag=1;e=f"),
            "\"a;tag=x\" <sip:+1@b;c=d>;e=f"
        );
    }
}
