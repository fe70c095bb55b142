//! Accounts both ways: the PBX registers with the SBC and answers its challenges, or the SBC is an
//! extension of the PBX's and has to register and prove itself.
//!
//! Digest is the judge's own here too (`meta/digest.rs`): it shares nothing with the code it judges.

use std::collections::BTreeMap;
use std::time::Instant;

use sip::{ClientKey, Flow, Method, Name, NameAddr, Request, Response, ServerKey, Uri};

use super::PbxPeer;
use crate::meta::digest::{self, Hash, Inputs, Parameters};

/// A REGISTER of the PBX.
#[derive(Clone, Debug)]
pub struct Registering {
    /// The values of Contact, whole.
    pub contacts: Vec<String>,
    /// The value of Expires, if there is one.
    pub expires: Option<u32>,
    /// The user of its address of record.
    pub user: String,
    /// Digest user name and password.
    pub account: (String, String),
    /// Which of the challenges it answers.
    pub hash: Hash,
}

impl Registering {
    /// One contact under this account, for as long as the registrar likes.
    pub fn new(user: &str, password: &str, contact: &str) -> Self {
        Self {
            contacts: vec![contact.into()],
            expires: None,
            user: user.into(),
            account: (user.into(), password.into()),
            hash: Hash::Md5,
        }
    }
}

/// What is going on about accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    ours: Option<(ClientKey, Registering, Request)>,
    /// One Call-ID for all our REGISTERs (RFC 3261 §10.2.4).
    call_id: Option<String>,
    cseq: u32,
    answers: Vec<Answer>,
    /// The nonces given out, and how often each was used.
    nonces: BTreeMap<String, u32>,
    /// Who is registered here.
    registered: Option<Guest>,
    taken: u32,
}

/// A final answer to a REGISTER of ours.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its Contacts.
    pub contacts: Vec<String>,
    /// Its Min-Expires.
    pub least: Option<String>,
    /// The algorithms of its challenges.
    pub algorithms: Vec<String>,
}

/// Who is registered with the PBX.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its contact.
    pub contact: Uri,
    /// Seconds it was granted.
    pub granted: u32,
}

impl Accounts {
    pub(super) fn is_ours(&self, key: ClientKey) -> bool {
        self.ours.as_ref().is_some_and(|(ours, ..)| *ours == key)
    }
}

impl PbxPeer {
    /// Registers with the SBC.
    pub fn register(&mut self, now: Instant, plan: Registering) {
        let us = self.settings.address;
        let call_id = self
            .accounts
            .call_id
            .get_or_insert_with(|| format!("reg-{}", us.port()))
            .clone();
        let host = &self.settings.sbc.host;
        let bracketed = match host.contains(':') {
            true => format!("sip:[{host}]"),
            false => format!("sip:{host}"),
        };
        let uri = Uri::parse(bracketed).expect("a host");
        let mut register = Request::new(Method::Register, uri.clone());
        let of_record = uri
            .as_str()
            .replacen("sip:", &format!("sip:{}@", plan.user), 1);
        let tag = self.ident.tag();
        let headers = &mut register.headers;
        headers.push(Name::From, format!("<{of_record}>;tag={tag}"));
        headers.push(Name::To, format!("<{of_record}>"));
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, "0 REGISTER");
        for contact in &plan.contacts {
            headers.push(Name::Contact, contact.as_str());
        }
        if let Some(expires) = plan.expires {
            headers.push(Name::Expires, expires.to_string());
        }
        self.send_register(now, plan, register);
        self.drain(now);
    }

    /// What our REGISTERs were answered, challenges included.
    pub fn register_answers(&self) -> &[Answer] {
        &self.accounts.answers
    }

    /// Who is registered here.
    pub fn guest(&self) -> Option<&Guest> {
        self.accounts.registered.as_ref()
    }

    /// REGISTERs that were answered 200 here.
    pub fn registrations(&self) -> u32 {
        self.accounts.taken
    }

    fn send_register(&mut self, now: Instant, plan: Registering, mut register: Request) {
        self.accounts.cseq += 1;
        let cseq = format!("{} REGISTER", self.accounts.cseq);
        register.headers.set(Name::CSeq, cseq);
        let flow = self.flow_to(&self.settings.sbc.clone());
        let key = self.request(now, flow, register.clone());
        self.accounts.ours = Some((key, plan, register));
    }

    pub(super) fn register_answered(&mut self, now: Instant, _flow: Flow, response: Response) {
        if response.status < 200 {
            return;
        }
        let Some((_, plan, mut register)) = self.accounts.ours.take() else {
            return;
        };
        let texts = |name: Name| {
            let all = response.headers.all(&name);
            all.map(|value| value.as_str().into_owned())
                .collect::<Vec<_>>()
        };
        let challenges = texts(Name::WwwAuthenticate);
        let algorithms = challenges
            .iter()
            .filter_map(|text| Some(Parameters::read(text)?.value("algorithm")?.to_owned()));
        self.accounts.answers.push(Answer {
            status: response.status,
            contacts: texts(Name::Contact),
            least: texts(Name::MinExpires).pop(),
            algorithms: algorithms.collect(),
        });
        let stale = challenges.iter().any(|text| text.contains("stale=true"));
        let answered = register.headers.first(&Name::Authorization).is_some();
        if response.status == 401 && (!answered || stale) {
            let uri = register.uri.to_string();
            let value = answer(&challenges, plan.hash, &plan.account, "REGISTER", &uri);
            if let Some(value) = value {
                register.headers.remove(&Name::Authorization);
                register.headers.push(Name::Authorization, value);
                self.send_register(now, plan, register);
                self.drain(now);
            }
        }
    }

    /// Whether a challenged call of ours goes out again, with an answer.
    pub(super) fn call_proves_itself(
        &mut self,
        now: Instant,
        id: u32,
        key: ClientKey,
        response: &Response,
    ) -> bool {
        let Some(account) = self.settings.account.clone() else {
            return false;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let invite = &mut call.invite;
        let challenges: Vec<String> = response
            .headers
            .all(&Name::ProxyAuthenticate)
            .map(|value| value.as_str().into_owned())
            .collect();
        let stale = challenges.iter().any(|text| text.contains("stale=true"));
        if invite.headers.first(&Name::ProxyAuthorization).is_some() && !stale {
            return false;
        }
        let uri = invite.uri.to_string();
        let value = answer(&challenges, Hash::Sha256, &account, "INVITE", &uri)
            .or_else(|| answer(&challenges, Hash::Md5, &account, "INVITE", &uri));
        let Some(value) = value else {
            return false;
        };
        let cseq = invite.cseq().map_or(1, |cseq| cseq.number) + 1;
        invite.headers.set(Name::CSeq, format!("{cseq} INVITE"));
        invite.headers.remove(&Name::ProxyAuthorization);
        invite.headers.push(Name::ProxyAuthorization, value);
        let (flow, again) = (call.flow, invite.clone());
        self.clients.remove(&key);
        let next = self.request(now, flow, again);
        self.clients.insert(next, (id, Method::Invite));
        if let Some(call) = self.calls.get_mut(&id) {
            call.client = Some(next);
        }
        true
    }

    /// Lets a request in that needs no proof or gave it; REGISTER is answered here altogether.
    pub(super) fn is_let_in(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: Request,
    ) -> Option<Request> {
        let Some(mut registrar) = self.settings.registrar.clone() else {
            return Some(request);
        };
        let registers = request.method == Method::Register;
        let calls = request.method == Method::Invite && request.to_tag().is_none();
        // RFC 3261 §22.1: neither of the two can be sent again.
        let again = !matches!(request.method, Method::Ack | Method::Cancel);
        let inside = request.to_tag().is_some() && again;
        let asks = registers
            || calls && registrar.challenges_calls
            || inside && registrar.challenges_requests;
        if !asks {
            return Some(request);
        }
        let respond = |peer: &mut PbxPeer, status, headers: Vec<(Name, String)>| {
            let mut response = Response::to(&request, status, sip::reason_phrase(status));
            if request.to_tag().is_none() {
                response.tag_to(&peer.ident.tag());
            }
            for (name, value) in headers {
                response.headers.push(name, value);
            }
            peer.endpoint.respond(now, key, response);
        };
        if registers && !registrar.refusals.is_empty() {
            let (status, lines) = registrar.refusals.remove(0);
            self.settings.registrar = Some(registrar);
            let lines = lines.into_iter();
            let lines = lines.map(|(name, value)| (Name::from(name.as_str()), value));
            respond(self, status, lines.collect());
            return None;
        }
        let (ask, reply, status) = match registers {
            true => (Name::WwwAuthenticate, Name::Authorization, 401),
            false => (Name::ProxyAuthenticate, Name::ProxyAuthorization, 407),
        };
        let given = request.headers.first(&reply);
        let proof = given
            .as_ref()
            .and_then(|text| Parameters::read(&text.as_str()));
        let known = |proof: &Parameters| self.accounts.nonces.get(proof.value("nonce")?).copied();
        let used = proof.as_ref().and_then(known);
        let stale = used.is_some_and(|used| used >= registrar.uses);
        let right = proof.as_ref().is_some_and(|proof| {
            let value = |name| proof.value(name).unwrap_or_default();
            let (username, password) = &registrar.account;
            value("username") == username
                && used.is_some()
                && value("uri") == request.uri.to_string()
                && value("response")
                    == digest::response(&Inputs {
                        hash: registrar.hash,
                        username,
                        realm: &registrar.realm,
                        password,
                        method: &request.method.as_str(),
                        uri: value("uri"),
                        nonce: value("nonce"),
                        qop: Some((value("nc"), value("cnonce"))),
                    })
        });
        if !right || stale {
            let nonce = format!("n{}", self.accounts.nonces.len() + 1);
            let stale = if right { ", stale=true" } else { "" };
            let challenge = format!(
                "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                registrar.realm,
                registrar.hash.name()
            );
            self.accounts.nonces.insert(nonce, 0);
            respond(self, status, vec![(ask, challenge)]);
            return None;
        }
        let nonce = proof.as_ref().and_then(|proof| proof.value("nonce"));
        if let Some(used) = nonce.and_then(|nonce| self.accounts.nonces.get_mut(nonce)) {
            *used += 1;
        }
        if !registers {
            return Some(request);
        }
        let contact = request.headers.first(&Name::Contact);
        let contact = contact.and_then(NameAddr::read);
        let asked = contact
            .as_ref()
            .and_then(|contact| contact.param("expires"));
        let asked = asked
            .map(str::to_owned)
            .or_else(|| {
                let general = request.headers.first(&Name::Expires)?;
                Some(general.as_str().into_owned())
            })
            .and_then(|text| text.trim().parse::<u32>().ok())
            .unwrap_or(registrar.grants);
        if asked > 0 && asked < registrar.least {
            let least = registrar.least.to_string();
            respond(self, 423, vec![(Name::MinExpires, least)]);
            return None;
        }
        let granted = asked.min(registrar.grants);
        self.accounts.taken += 1;
        self.accounts.registered = contact.filter(|_| granted > 0).map(|contact| Guest {
            contact: contact.uri.detached(),
            granted,
        });
        let holds = self.accounts.registered.iter();
        let holds = holds.map(|guest| {
            let value = format!("<{}>;expires={}", guest.contact, guest.granted);
            (Name::Contact, value)
        });
        let holds = holds.collect();
        respond(self, 200, holds);
        None
    }
}

/// The answer to one of these challenges, of the algorithm wanted.
fn answer(
    challenges: &[String],
    hash: Hash,
    (username, password): &(String, String),
    method: &str,
    uri: &str,
) -> Option<String> {
    let all = challenges.iter().filter_map(|text| Parameters::read(text));
    let challenge = all
        .into_iter()
        .find(|challenge| Hash::named(challenge.value("algorithm")) == Some(hash))?;
    let (realm, nonce) = (challenge.value("realm")?, challenge.value("nonce")?);
    let response = digest::response(&Inputs {
        hash,
        username,
        realm,
        password,
        method,
        uri,
        nonce,
        qop: Some(("00000001", "pbx")),
    });
    Some(format!(
        "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={}, cnonce=\"pbx\", qop=auth, nc=00000001",
        hash.name()
    ))
}
