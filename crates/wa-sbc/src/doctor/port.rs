//! The TLS port, as somebody finds it who calls our name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::certificate::{Certificate, judge};
use super::handshake::{Trouble, shake};
use super::{Check, Finding, Patient, Verdict};

/// Whether Meta could connect, as far as that can be known from here.
pub(super) struct Port;

impl Check for Port {
    fn name(&self) -> &'static str {
        "port"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let Some(port) = &patient.settings.tls else {
            return Vec::new(); // the certificate's finding says so
        };
        let local = within(port.listen);
        let is_ordered = patient.lacks_ordered();
        let mut findings = Vec::new();
        // Let go of at once: what answers below must not be this.
        let is_free = TcpListener::bind(port.listen).map(drop);
        // What is wrong with the file, its own finding says.
        let file = Certificate.run(patient);
        let file_fails = file.iter().any(|finding| finding.verdict == Verdict::Fail);
        for (host, port) in patient.hosts() {
            let here = shake(local, &host, patient.patience);
            findings.push(match (here, &is_free) {
                (Err(Trouble::Unreachable(_)), Ok(())) => Finding::warn(
                    format!("nothing listens at {local}: wa-sbc does not run"),
                    "start it (systemctl start wa-sbc) and ask again; the port is free",
                ),
                (Err(Trouble::Unreachable(error)), Err(bind)) => Finding::fail(
                    format!("{local} cannot be reached ({error}) nor bound ({bind})"),
                    "is the address in [sip.tls] listen one of this machine's?",
                ),
                (Err(Trouble::Failed(_)), Err(_)) if is_ordered => Finding::warn(
                    format!("{local} is open, and no certificate is there to be shown yet"),
                    "the authority has not given it yet: look at what the check acme says",
                ),
                (Err(Trouble::Failed(why) | Trouble::Alpn(why)), _) => Finding::fail(
                    format!("another program seems to hold {local}: {why}"),
                    "stop it, or give wa-sbc another port (and Meta's settings of the number the same)",
                ),
                (Ok(shown), _) => {
                    let judged = judge(patient, &shown, &host);
                    match judged.verdict {
                        Verdict::Fail if !file_fails => Finding::fail(
                            format!("the running program still serves another certificate: {}", judged.found),
                            "send it SIGHUP (systemctl reload wa-sbc)",
                        ),
                        _ => self.outside(patient, &host, port, local),
                    }
                }
            });
        }
        findings
    }
}

/// Where somebody on this machine finds what listens there.
pub(super) fn within(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl Port {
    /// By the name and port Meta uses; a NAT may keep us from our own public address.
    fn outside(&self, patient: &Patient, host: &str, port: u16, local: SocketAddr) -> Finding {
        let addresses = patient.resolve(host, port).unwrap_or_default();
        for address in &addresses {
            if *address == local || shake(*address, host, patient.patience).is_ok() {
                return Finding::pass(format!("{host}:{port} answers at {address}"));
            }
        }
        Finding::warn(
            format!("wa-sbc answers at {local}, but {host}:{port} cannot be reached from here"),
            format!(
                "forward TCP {port} to this machine and open it in the firewall; if this network cannot reach its own public address, try from outside: openssl s_client -connect {host}:{port} -verify_hostname {host}"
            ),
        )
    }
}
