//! Our certificate as Meta would judge it, in a handshake that really happens.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, Stream};

use super::handshake::{Objection, Shown, Trouble, shake};
use super::{Check, Finding, Patient};
use crate::net::tls;

/// Meta never sends an INVITE to a server it cannot verify: chain, name, dates.
pub(super) struct Certificate;

/// Warn this long before a certificate ends.
const SOON: Duration = Duration::from_secs(14 * 86_400);

impl Check for Certificate {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let Some(port) = &patient.settings.tls else {
            return vec![Finding::fail(
                "there is no TLS port, so Meta cannot call",
                "add tls = { listen, certificate, key } to [sip]",
            )];
        };
        if patient.lacks_ordered() {
            return vec![Finding::warn(
                "there is no certificate to be judged yet: [acme] orders it at the start",
                "start wa-sbc and ask again; the check acme says how the order goes",
            )];
        }
        let config = match tls::server(&port.certificate, &port.key) {
            Ok(config) => config,
            Err(error) => {
                return vec![Finding::fail(
                    error.to_string(),
                    "write the full chain to certificate and its key to key, readable for the user wa-sbc runs as",
                )];
            }
        };
        let hosts = patient.hosts();
        hosts
            .iter()
            .map(
                |(host, _)| match rehearse(&config, host, patient.patience) {
                    Ok(shown) => judge(patient, &shown, host),
                    Err(Trouble::Unreachable(error)) => Finding::warn(
                        format!("no handshake on this machine: {error}"),
                        "let this user open loopback sockets",
                    ),
                    Err(Trouble::Alpn(why) | Trouble::Failed(why)) => Finding::fail(
                        format!("a handshake for {host} fails: {why}"),
                        "look at certificate and key",
                    ),
                },
            )
            .collect()
    }
}

/// What Meta would say of a chain.
pub(super) fn judge(patient: &Patient, shown: &Shown, host: &str) -> Finding {
    let at = |now| shown.objection(host, patient.authority.as_deref(), now);
    let full_chain = "serve the full chain of a public authority, end entity first, as certbot's fullchain.pem has it";
    match at(patient.now) {
        Err(why) => Finding::fail(why, full_chain),
        Ok(Some(Objection::Expired)) => Finding::fail(
            format!("the certificate for {host} has expired"),
            "renew it and send SIGHUP (or set [reload] watch = true); if it is new, look at the clock of this machine",
        ),
        Ok(Some(Objection::NotYet)) => Finding::fail(
            format!("the certificate for {host} is not valid yet by the clock of this machine"),
            "set the clock of this machine; if it is right, wait or get another certificate",
        ),
        Ok(Some(Objection::Name(names))) => Finding::fail(
            format!("the certificate is not for {host} but for {names}"),
            format!("get a certificate for {host}, or set host to a name the certificate has"),
        ),
        Ok(Some(Objection::Chain(why))) => Finding::fail(
            format!("the chain for {host} does not verify: {why}"),
            full_chain,
        ),
        Ok(None) => match at(patient.now + SOON) {
            // One that renews itself may be short-lived; the check acme says when that is due.
            Ok(Some(Objection::Expired)) if patient.renews_in_time() => Finding::pass(format!(
                "Meta would accept the certificate for {host}, which renews itself"
            )),
            Ok(Some(Objection::Expired)) => Finding::warn(
                format!("the certificate for {host} ends within 14 days"),
                "renew it now; wa-sbc reads it again on SIGHUP",
            ),
            _ => Finding::pass(format!("Meta would accept the certificate for {host}")),
        },
    }
}

/// A handshake with a listener of our own that serves what the program would.
fn rehearse(config: &Arc<ServerConfig>, host: &str, patience: Duration) -> Result<Shown, Trouble> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.map_err(Trouble::Unreachable)?;
    let address = listener.local_addr().map_err(Trouble::Unreachable)?;
    let config = config.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let _ = stream.set_read_timeout(Some(patience));
            if let Ok(mut connection) = ServerConnection::new(config) {
                while connection.is_handshaking() {
                    if connection.complete_io(&mut stream).is_err() {
                        break;
                    }
                }
                let _ = Stream::new(&mut connection, &mut stream).flush();
            }
        });
        shake(address, host, patience)
    })
}
