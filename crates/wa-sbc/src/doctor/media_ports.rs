//! The ports media uses.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, UdpSocket};

use super::{Check, Finding, Patient};

/// Pairs of ports have to be there to be bound, on both of our addresses.
pub(super) struct MediaPorts;

/// Pairs tried per address: enough to see how full the range is.
const TRIED: usize = 250;

impl Check for MediaPorts {
    fn name(&self) -> &'static str {
        "media-ports"
    }

    /// A port it tries is nobody else's for that moment.
    fn disturbs(&self) -> bool {
        true
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let media = &patient.settings.media;
        let addresses = BTreeSet::from([media.public_bind, media.private_bind]);
        let pairs: Vec<u16> = media.ports.pairs().collect();
        addresses
            .into_iter()
            .map(|address| look(address, &pairs))
            .collect()
    }
}

fn look(address: IpAddr, pairs: &[u16]) -> Finding {
    let step = pairs.len().div_ceil(TRIED).max(1);
    let (mut tried, mut free) = (0, 0);
    for port in pairs.iter().step_by(step) {
        tried += 1;
        match bind(address, *port) {
            Ok(()) => free += 1,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Finding::fail(
                    format!("media ports on {address} cannot be bound: {error}"),
                    "write an address of this machine to [media] public_bind or private_bind",
                );
            }
        }
    }
    let share = free * 100 / tried.max(1);
    let total = pairs.len();
    match share {
        0 => Finding::fail(
            format!("no media port of the range is free on {address}"),
            "widen [media] ports, or find what else uses them (ss -lunp)",
        ),
        1..25 => Finding::warn(
            format!("only {share} % of {total} pairs of media ports are free on {address}"),
            "widen [media] ports: a call takes two pairs, and a pair rests for 30 s after a call",
        ),
        _ => Finding::pass(format!(
            "{share} % of {total} pairs of media ports are free on {address}; how they look from outside, --stun asks, and a call shows"
        )),
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<()> {
    UdpSocket::bind((address, port))?;
    UdpSocket::bind((address, port + 1)).map(drop)
}
