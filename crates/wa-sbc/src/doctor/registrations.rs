//! Our registrations with PBXs: whether they would take them.

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use b2bua::settings::{Trunk, Upstream};
use sip::{Answerer, Method, Target, Text};

use super::line::{Line, objection};
use super::{Check, Finding, Patient};

/// The first server of every registration that can be reached is asked which contacts it knows: that takes the
/// same proof as a registration and changes nothing (RFC 3261 §10.2.3).
pub(super) struct Registrations;

/// What a server says.
enum Said {
    Takes,
    RefusesPassword,
    Answers(u16, String),
}

impl Check for Registrations {
    fn name(&self) -> &'static str {
        "registrations"
    }

    /// A PBX may forget the running registration for it.
    fn disturbs(&self) -> bool {
        true
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let asked = patient.trunks().filter_map(|trunk| {
            let upstream = trunk.access.upstream.as_ref()?;
            Some(examine(patient, trunk, upstream))
        });
        asked.collect()
    }
}

fn examine(patient: &Patient, trunk: &Trunk, upstream: &Upstream) -> Finding {
    let who = format!("trunk {}: extension {}", trunk.name, upstream.extension);
    let mut trouble = "no server of it can be resolved".to_owned();
    for server in &upstream.servers {
        let place = format!("{}:{}", server.host, server.port);
        let addresses = patient.servers(server);
        let Some(address) = addresses.ok().and_then(|all| all.first().copied()) else {
            continue;
        };
        match ask(patient, address, server, upstream) {
            Ok(Said::Takes) => return Finding::pass(format!("{who} may register with {place}")),
            Ok(Said::RefusesPassword) => {
                return Finding::fail(
                    format!("{who}: {place} refuses the password"),
                    "compare username and password of [trunk.register] with the account at the PBX",
                );
            }
            Ok(Said::Answers(status, reason)) => {
                return Finding::fail(
                    format!("{who}: {place} answers REGISTER with {status} {reason}"),
                    "does the PBX have that extension in that domain, and may it register from this machine?",
                );
            }
            Err(error) => {
                let why = objection(&error).unwrap_or_else(|| error.to_string());
                trouble = format!("{place}: {why}");
            }
        }
    }
    Finding::fail(
        format!("{who}: nobody takes its registration: {trouble}"),
        "is that the PBX's SIP port, and does a firewall let its answers through?",
    )
}

fn ask(
    patient: &Patient,
    address: SocketAddr,
    server: &Target,
    upstream: &Upstream,
) -> io::Result<Said> {
    let mut line = Line::to(patient, address, server)?;
    let local = line.local()?;
    let account = &upstream.account;
    let mut answerer = Answerer::new(account.username.clone(), account.password.clone());
    let unique = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let uri = format!("sip:{}", upstream.domain);
    let mut proof = String::new();
    // Once to be challenged, once to answer, once more for a stale nonce.
    for turn in 1..=3 {
        let response = line.ask(&format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};rport;branch=z9hG4bKdr{unique:x}{turn}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=dr{unique:x}\r\nTo: <sip:{user}@{domain}>\r\n\
             Call-ID: dr{unique:x}@{ip}\r\nCSeq: {turn} REGISTER\r\n{proof}User-Agent: wa-sbc doctor\r\nContent-Length: 0\r\n\r\n",
            transport = server.transport.via_name(),
            user = upstream.extension,
            domain = upstream.domain,
            ip = local.ip(),
        ))?;
        if response.is_success() {
            return Ok(Said::Takes);
        }
        let cnonce = format!("{unique:x}{turn}");
        match answerer.answer(&response, &Method::Register, &uri, &[], cnonce) {
            Ok((name, value)) => {
                let text = Text::as_str(&value);
                proof = format!("{name}: {text}\r\n");
            }
            Err(sip::Unanswerable::Refused) => return Ok(Said::RefusesPassword),
            Err(_) => {
                let reason = response.reason.as_str().into_owned();
                return Ok(Said::Answers(response.status, reason));
            }
        }
    }
    Ok(Said::RefusesPassword)
}
