//! The addresses Meta is told, and those its calls come from.

use std::net::IpAddr;

use super::{Check, Finding, Patient};

/// What we tell Meta has to be reachable from outside; what Meta calls from has to be let in.
pub(super) struct Addresses;

impl Check for Addresses {
    fn name(&self) -> &'static str {
        "addresses"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let media = &patient.settings.media;
        let mut findings = vec![if is_private(media.public) {
            Finding::warn(
                format!(
                    "Meta is told to send media to {}, which no packet from outside reaches",
                    media.public
                ),
                "write the public address to [media] public; behind a NAT bind the private one with public_bind",
            )
        } else {
            Finding::pass(format!("Meta is told to send media to {}", media.public))
        }];
        let carrier = &patient.settings.core.carrier;
        findings.push(match carrier.networks.len() {
            0 => Finding::warn(
                "calls are taken from any address",
                "leave [meta] networks out to let in Meta's networks only, and keep challenge = true",
            ),
            count => {
                let from = format!("calls are taken from {count} networks of Meta");
                let private = carrier.networks.iter().any(|net| is_private(net.network()));
                match private {
                    true => Finding::warn(
                        "calls are taken as Meta's from private networks",
                        "that is for labs: leave [meta] networks out in production",
                    ),
                    false => Finding::pass(from),
                }
            }
        });
        findings
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || (v6.segments()[0] & 0xFE00) == 0xFC00,
    }
}
