//! The PBXs.

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use sip::Target;

use super::line::{Line, is_silence, objection};
use super::patient::port_of;
use super::{Check, Finding, Patient};

/// Every destination of every trunk is asked with OPTIONS whether it lives; any answer will do.
pub(super) struct Trunks;

impl Check for Trunks {
    fn name(&self) -> &'static str {
        "trunks"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let mut findings = Vec::new();
        for trunk in patient.trunks() {
            for target in trunk.destinations() {
                findings.push(ask(patient, &trunk.name, target));
            }
        }
        findings
    }
}

fn ask(patient: &Patient, trunk: &str, target: &Target) -> Finding {
    let who = format!("trunk {trunk}: {}:{}", target.host, port_of(target));
    let addresses = patient.servers(target);
    let Some(address) = addresses.ok().and_then(|all| all.first().copied()) else {
        return Finding::fail(
            format!("{who} cannot be resolved"),
            "check the name in peer, and this machine's DNS",
        );
    };
    match status(patient, address, target) {
        Ok(status) => Finding::pass(format!("{who} answers OPTIONS with {status}")),
        Err(error) if is_silence(&error) => Finding::fail(
            format!(
                "{who} is silent: OPTIONS got no answer in {:?}",
                patient.patience
            ),
            "is that the PBX's SIP port, does it know this machine as a peer, does a firewall swallow what it sends back?",
        ),
        Err(error) => match objection(&error) {
            Some(why) => Finding::fail(
                format!("{who}: no TLS handshake: {why}"),
                "check port and certificate of the PBX, and extra_ca, certificate and key of the trunk",
            ),
            None => Finding::fail(
                format!("{who} cannot be reached: {error}"),
                "is the PBX running, and listening on that address, port and transport?",
            ),
        },
    }
}

/// What it answers to OPTIONS.
fn status(patient: &Patient, address: SocketAddr, target: &Target) -> io::Result<String> {
    let mut line = Line::to(patient, address, target)?;
    let question = options(target, line.local()?);
    let response = line.ask(&question)?;
    Ok(format!("{} {}", response.status, response.reason.as_str()))
}

fn options(target: &Target, local: SocketAddr) -> String {
    let unique = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let Target { host, port, .. } = target;
    let transport = target.transport.via_name();
    format!(
        "OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};rport;branch=z9hG4bKdr{unique:x}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:doctor@{local}>;tag=dr{unique:x}\r\nTo: <sip:{host}:{port}>\r\n\
         Call-ID: dr{unique:x}@{}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:doctor@{local}>\r\nUser-Agent: wa-sbc doctor\r\nContent-Length: 0\r\n\r\n",
        local.ip()
    )
}
