//! The way to Meta.

use super::handshake::{Objection, Trouble, shake};
use super::patient::port_of;
use super::{Check, Finding, Patient};

/// Calls of ours go to Meta's SIP server over TLS; its certificate is verified always.
pub(super) struct Meta;

impl Check for Meta {
    fn name(&self) -> &'static str {
        "meta"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let target = &patient.settings.core.carrier.target;
        let (host, port) = (target.host.as_str(), port_of(target));
        let addresses = match patient.servers(target) {
            Ok(addresses) if !addresses.is_empty() => addresses,
            other => {
                let why = other.err().unwrap_or_else(|| "it has no address".into());
                return vec![Finding::fail(
                    format!("{host} cannot be resolved: {why}"),
                    "check /etc/resolv.conf and whether this machine may ask a DNS server",
                )];
            }
        };
        let mut last = None;
        for address in &addresses {
            match shake(*address, host, patient.patience) {
                Ok(shown) => {
                    let own = patient.settings.authorities.get(&host.to_ascii_lowercase());
                    let authority = own.or(patient.authority.as_ref());
                    return vec![match shown.objection(
                        host,
                        authority.map(AsRef::as_ref),
                        patient.now,
                    ) {
                        Ok(None) => Finding::pass(format!(
                            "{host} answers at {address}, its certificate verifies, no application protocol was chosen"
                        )),
                        Ok(Some(Objection::Expired | Objection::NotYet)) => Finding::fail(
                            format!(
                                "by the clock of this machine the certificate of {host} is out of its time"
                            ),
                            "set the clock of this machine (timedatectl set-ntp true)",
                        ),
                        Ok(Some(Objection::Name(names))) => Finding::fail(
                            format!(
                                "what answers for {host} at {address} shows a certificate for {names}"
                            ),
                            "a box between us answers in its place: let TCP 5061 pass it untouched",
                        ),
                        Ok(Some(Objection::Chain(why))) => Finding::fail(
                            format!(
                                "the certificate of {host} at {address} does not verify: {why}"
                            ),
                            "a box between us opens TLS: exempt this machine from its inspection",
                        ),
                        Err(why) => Finding::fail(why, "look at [meta] extra_ca"),
                    }];
                }
                Err(trouble) => last = Some((address, trouble)),
            }
        }
        let Some((address, trouble)) = last else {
            return Vec::new();
        };
        vec![match trouble {
            Trouble::Unreachable(error) => Finding::fail(
                format!("{host} at {address} cannot be reached: {error}"),
                format!("let this machine open TCP connections to port {port} outside"),
            ),
            Trouble::Alpn(why) => Finding::fail(
                format!("{why}; we offer none, so a box between us adds one (ALPN)"),
                "exempt connections to Meta from TLS inspection or ALPN rewriting",
            ),
            Trouble::Failed(why) => Finding::fail(
                format!("no TLS handshake with {host} at {address}: {why}"),
                "look for a proxy or firewall that answers in its place",
            ),
        }]
    }
}
