//! A WhatsApp user calls the business: Meta as UAC (Meta reference 6, fixtures `uic-*`).

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine as _;
use bytes::Bytes;
use sip::{Flow, Method, Name, Response};

use super::call::{Call, Kind, Phase, Placed, text};
use super::digest::{Hash, Inputs, Parameters, response};
use super::knobs::UserCall;
use super::offer::{self, EVENTS, OPUS, PCMA, PCMU, Words};
use super::print::{self, finish, vias, wacid};
use super::rules::{self, Offered};
use super::{Alarm, MetaPeer};
use crate::report::{What, millis};

/// 64·T1 (RFC 3261 table 4).
const GIVE_UP: u32 = 64;

impl MetaPeer {
    /// The INVITE of a user's call.
    pub(super) fn place(&mut self, now: Instant, plan: UserCall) -> Option<u32> {
        let number = self
            .settings
            .numbers
            .iter()
            .find(|number| number.digits == plan.number)?
            .clone();
        let id = self.next_call();
        let digits = plan.caller.trim_start_matches('+').to_owned();
        let wacid = wacid(&mut self.dice, &digits, &number.digits);
        let display = plan.display.clone().unwrap_or(digits);
        let domain = self.settings.domain.clone();
        let address = self.take_place(id);
        let mut formats = vec![(111, OPUS)];
        if number.g711 {
            formats.extend([(8, PCMA), (0, PCMU)]);
        }
        if !plan.no_dtmf_offer {
            formats.push((126, EVENTS));
        }
        let words = Words {
            session: self.session_id(now),
            stream: self.dice.uuid(),
            address,
            formats,
            crypto: ("1".into(), plan.suite.clone()),
            key: base64::engine::general_purpose::STANDARD.encode(self.dice.bytes::<30>()),
            ssrc: self.dice.roll() as u32,
        };
        let flow = self.connect_for_invite(id, &number.hostname, number.port);
        let cseq = 1 + self.dice.below(32_766) as u32;
        let call = Call {
            id,
            phase: Phase::Inviting,
            call_id: format!("outgoing:{wacid}"),
            us: format!(
                "\"{}\" <sip:{}@{domain}>",
                display.replace('"', "\\\""),
                plan.caller
            ),
            our_tag: self.dice.uuid(),
            them: format!("<sip:+{}@{}>", number.digits, number.hostname),
            their_tag: None,
            contact: format!("sip:{}@{domain};transport=tls;ob", plan.caller),
            target: String::new(),
            partner_routes: Vec::new(),
            our_cseq: cseq,
            invite_cseq: cseq,
            their_cseq: 0,
            flow,
            words,
            theirs: None,
            started: now,
            answered: None,
            confirmed: false,
            voice: None,
            violations: 0,
            status: 0,
            bye: None,
            wacid,
            kind: Kind::Placed(Box::new(Placed {
                branch: String::new(),
                via: String::new(),
                provisional: false,
                challenges: 0,
                nonces: Vec::new(),
                give_up: false,
                cancelled: false,
                ack: None,
                plan: plan.clone(),
            })),
            number,
        };
        let what = What::Started {
            placed: true,
            call_id: call.call_id.clone(),
            from: plan.caller.clone(),
            to: call.number.digits.clone(),
            headers: BTreeMap::new(),
        };
        self.calls.insert(id, call);
        self.report(now, id, what);
        self.send_invite(now, id, None);
        self.alarms
            .set(now + self.settings.answer_window, Alarm::Window(id));
        if let Some(after) = plan.cancel_after {
            self.alarms.set(now + after, Alarm::GiveUp(id));
        }
        Some(id)
    }

    /// `INVITE` on the call's flow, with credentials or without.
    fn send_invite(&mut self, now: Instant, id: u32, authorization: Option<String>) {
        let vias = vias(&mut self.dice, &self.settings.edge);
        let [outer, inner] = self.settings.routes.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        placed.branch = vias.branch.clone();
        placed.via = vias.values[0].clone();
        placed.provisional = false;
        let mut lines = vec![
            format!("INVITE {} SIP/2.0", request_uri(call)),
            format!("Via: {}", vias.values[0]),
            format!("Record-Route: {outer}"),
            format!("Record-Route: {inner}"),
            format!("Via: {}", vias.values[1]),
            format!("Via: {}", vias.values[2]),
            "Max-Forwards: 69".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them),
            format!("Contact: <{}>;isfocus", call.contact),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} INVITE", call.our_cseq),
            format!("X-FB-External-Domain: {}", self.settings.domain),
            format!("Allow: {}", print::ALLOW),
            "User-Agent: Facebook SipGateway".into(),
        ];
        lines.extend(authorization);
        lines.push(format!("x-wa-meta-wacid: {}", call.wacid));
        lines.push(format!("x-wa-meta-phone-number-id: {}", call.number.id));
        if let Kind::Placed(placed) = &call.kind {
            if let Some(payload) = &placed.plan.cta_payload {
                lines.push(format!("x-wa-meta-cta-payload: {payload}"));
            }
            lines.extend(placed.plan.headers.iter().cloned());
        }
        call.invite_cseq = call.our_cseq;
        let (flow, bytes) = (call.flow, finish(lines, &offer::print(&call.words)));
        self.pending
            .insert(vias.branch.clone(), (id, Method::Invite, flow));
        self.alarms.set(
            now + self.settings.t1 * GIVE_UP,
            Alarm::Unanswered(vias.branch),
        );
        self.send(flow, bytes);
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        flow: Flow,
        branch: &str,
        response: Response,
    ) {
        let Some(id) = self
            .pending
            .get(branch)
            .map(|(id, ..)| *id)
            .or_else(|| self.call_of_branch(branch))
        else {
            return;
        };
        self.judge_echo(now, id, &response);
        match response.status {
            100..200 => self.progressed(now, id, branch, &response),
            200..300 => self.picked_up(now, id, flow, &response),
            401 | 407 => {
                self.acknowledge_refusal(id, &response);
                self.settled_quietly(branch);
                self.challenged(now, id, &response);
            }
            status => {
                self.acknowledge_refusal(id, &response);
                let first = self.pending.contains_key(branch);
                self.settled_quietly(branch);
                if !first {
                    return;
                }
                let cause = response
                    .headers
                    .first(&Name::Reason)
                    .map(|text| text.as_str().into_owned());
                let reason = response.reason.as_str().into_owned();
                if let Some(call) = self.calls.get_mut(&id) {
                    call.status = status;
                }
                self.report(
                    now,
                    id,
                    What::Refused {
                        status,
                        reason,
                        cause,
                    },
                );
                self.end(now, id, "refused");
            }
        }
    }

    /// The call whose live INVITE has this branch.
    fn call_of_branch(&self, branch: &str) -> Option<u32> {
        self.calls
            .values()
            .find(|call| matches!(&call.kind, Kind::Placed(placed) if placed.branch == branch))
            .map(|call| call.id)
    }

    /// Forgets a transaction but keeps the call.
    fn settled_quietly(&mut self, branch: &str) {
        self.pending.remove(branch);
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
    }

    /// Whatever is answered must come back as it was sent: Via, From, Call-ID, CSeq.
    fn judge_echo(&mut self, now: Instant, id: u32, response: &Response) {
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

    fn progressed(&mut self, now: Instant, id: u32, branch: &str, response: &Response) {
        // A provisional response stops Timer B (RFC 3261 17.1.1.2); the answer window goes on.
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Unanswered(b) if b == branch));
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        placed.provisional = true;
        let give_up = placed.give_up;
        let ringing = response.status == 180;
        let patience = placed.plan.cancel_ringing_after.filter(|_| ringing);
        if response.status > 100 && call.their_tag.is_none() {
            call.their_tag = response.to_tag().map(|tag| tag.as_str().into_owned());
        }
        let body = !response.body.is_empty();
        self.report(
            now,
            id,
            What::Progress {
                status: response.status,
                body,
            },
        );
        if body {
            self.violation(
                now,
                id,
                "SDP before the 200: the user's phone takes media for an answer",
            );
        }
        if response.status > 100 {
            self.judge_routes(now, id, response);
        }
        if give_up {
            self.send_cancel(now, id);
        } else if let Some(after) = patience {
            self.alarms.set(now + after, Alarm::GiveUp(id));
        }
    }

    /// Record-Routes of a dialog-creating response: ours last, byte for byte, in order. Whether they are.
    fn judge_routes(&mut self, now: Instant, id: u32, response: &Response) -> bool {
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

    /// 401 or 407 (Meta reference 4.2): any realm, `uri` without transport, `nc=00000001`.
    fn challenged(&mut self, now: Instant, id: u32, response: &Response) {
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

    /// ACK to a refusal: hop by hop, the INVITE's branch, one Via.
    fn acknowledge_refusal(&mut self, id: u32, response: &Response) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Kind::Placed(placed) = &call.kind else {
            return;
        };
        let number = response.cseq().map_or(call.invite_cseq, |cseq| cseq.number);
        let lines = vec![
            format!("ACK {} SIP/2.0", request_uri(call)),
            format!("Via: {}", placed.via),
            "Max-Forwards: 70".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", text(response.headers.first(&Name::To))),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {number} ACK"),
        ];
        let (flow, bytes) = (call.flow, finish(lines, ""));
        self.send(flow, bytes);
    }

    /// 200: judged, then acknowledged — or not.
    fn picked_up(&mut self, now: Instant, id: u32, flow: Flow, response: &Response) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if call.answered.is_some() {
            let ack = placed.ack.clone().filter(|_| call.phase != Phase::Spurned);
            if let Some(ack) = ack {
                self.send(flow.id, ack);
            }
            return;
        }
        let branch = placed.branch.clone();
        let given_up = placed.give_up;
        call.answered = Some(now);
        call.status = response.status;
        call.their_tag = response.to_tag().map(|tag| tag.as_str().into_owned());
        let after_ms = millis(now.saturating_duration_since(call.started));
        self.settled_quietly(&branch);
        self.alarms
            .retain(|alarm| !matches!(alarm, Alarm::Window(c) | Alarm::GiveUp(c) if *c == id));
        self.judge_answer_headers(now, id, response);
        let routed = self.judge_routes(now, id, response);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let offered = Offered {
            formats: &call.words.formats,
            crypto: &call.words.crypto,
            key: &call.words.key,
        };
        let agreed = rules::check(&response.body, call.number.g711, Some(&offered));
        let codec = match &agreed {
            Ok(theirs) => theirs
                .audio
                .first()
                .map(|(_, map)| map.clone())
                .unwrap_or_default(),
            Err(_) => String::new(),
        };
        self.report(now, id, What::Answered { after_ms, codec });
        let unacceptable = match agreed {
            Ok(theirs) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.theirs = Some(theirs);
                }
                false
            }
            Err(broken) => {
                for rule in broken {
                    self.violation(now, id, format!("200: {rule}"));
                }
                true
            }
        };
        if routed {
            self.send_ack(now, id, flow);
        } else {
            if let Some(call) = self.calls.get_mut(&id) {
                call.phase = Phase::Spurned;
            }
            self.report(now, id, What::Unconfirmed { refused: true });
        }
        if unacceptable {
            self.send_bye(
                now,
                id,
                Some("SIP;cause=488;text=\"Not Acceptable Here\"".into()),
            );
        } else if given_up {
            self.send_bye(now, id, None);
        } else {
            self.start_voice(now, id);
            let hang_up = match self.calls.get(&id).map(|call| &call.kind) {
                Some(Kind::Placed(placed)) => placed.plan.talk.hang_up_after,
                _ => None,
            };
            if let Some(after) = hang_up {
                self.alarms.set(now + after, Alarm::HangUp(id));
            }
        }
    }

    /// What a 200 must carry besides routes and SDP.
    fn judge_answer_headers(&mut self, now: Instant, id: u32, response: &Response) {
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

    /// ACK to the 200: end to end, new branch, three Vias, the partner's own routes only.
    fn send_ack(&mut self, now: Instant, id: u32, flow: Flow) {
        let vias = vias(&mut self.dice, &self.settings.edge);
        let domain = self.settings.domain.clone();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut lines = vec![format!("ACK {} SIP/2.0", call.target)];
        lines.extend(vias.values.iter().map(|via| format!("Via: {via}")));
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
            format!("CSeq: {} ACK", call.invite_cseq),
            format!("X-FB-External-Domain: {domain}"),
            "User-Agent: Facebook SipGateway".into(),
        ]);
        let bytes: Bytes = finish(lines, "");
        call.phase = Phase::Talking;
        call.confirmed = true;
        if let Kind::Placed(placed) = &mut call.kind {
            placed.ack = Some(bytes.clone());
        }
        self.send(flow.id, bytes);
        self.report(now, id, What::Confirmed);
    }

    /// The answer window closed, or the user gave up.
    pub(super) fn give_up(&mut self, now: Instant, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let phase = call.phase;
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if phase != Phase::Inviting || placed.give_up {
            return;
        }
        placed.give_up = true;
        if placed.provisional {
            self.send_cancel(now, id);
        }
    }

    /// CANCEL: the INVITE's branch and number, one Via (fixture `uic-cancel-01`).
    fn send_cancel(&mut self, now: Instant, id: u32) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let uri = request_uri(call);
        let Kind::Placed(placed) = &mut call.kind else {
            return;
        };
        if placed.cancelled {
            return;
        }
        placed.cancelled = true;
        let branch = placed.branch.clone();
        let lines = vec![
            format!("CANCEL {uri} SIP/2.0"),
            format!("Via: {}", placed.via),
            "Max-Forwards: 70".into(),
            format!("From: {}", call.us_tagged()),
            format!("To: {}", call.them),
            format!("Call-ID: {}", call.call_id),
            format!("CSeq: {} CANCEL", call.invite_cseq),
            "User-Agent: Facebook SipGateway".into(),
        ];
        let (flow, bytes) = (call.flow, finish(lines, ""));
        self.send(flow, bytes);
        self.report(now, id, What::Cancelled { by_far: false });
        // The INVITE must be answered in 64·T1 from now on (RFC 3261 9.1).
        self.alarms
            .set(now + self.settings.t1 * GIVE_UP, Alarm::Unanswered(branch));
    }

    /// The `o=` session id: milliseconds since a fixed day, so that a scene repeats exactly.
    fn session_id(&self, now: Instant) -> u64 {
        1_750_716_867_913 + millis(now.saturating_duration_since(self.started))
    }
}

/// The Request-URI of a user-initiated INVITE, user parameters in the user part.
fn request_uri(call: &Call) -> String {
    let mut user = format!("+{}", call.number.digits);
    for (key, value) in &call.number.user_params {
        user.push_str(&format!(";{key}={value}"));
    }
    format!("sip:{user}@{};transport=tls", call.number.hostname)
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
