//! Where a peer is whose Contact lies behind a NAT: where it was seen (RFC 3581 §1, RFC 5626 §1).
//!
//! A Contact (or Record-Route) with a private address is of no use to us when the peer speaks from a
//! public one: nothing private can be reached from there. Then the flow of the INVITE is the way, the
//! only one its NAT keeps open. Between private addresses nobody can tell a NAT from a PBX of several
//! hosts; there the Contact is believed unless the trunk says otherwise.

use std::net::{IpAddr, SocketAddr};

use sip::{Flow, Target, Transport};

use super::{SipLeg, Way};
use crate::context::Context;
use crate::profile::Nat;

impl SipLeg {
    /// Whether the first hop of the dialog is an address only the peer can use.
    pub(super) fn is_behind_nat(&self, cx: &Context<'_>, hop: &Target) -> bool {
        match self.profile.nat {
            Nat::Never => false,
            Nat::Always => true,
            Nat::Seen => {
                let claimed = hop.host.parse().is_ok_and(is_private);
                claimed && self.peer_address(cx).is_some_and(|seen| !is_private(seen))
            }
        }
    }

    /// A request of the peer came this way. A NAT may have given it another port since the call began;
    /// a request from another address is no reason to follow it there.
    pub(crate) fn seen(&mut self, cx: &Context<'_>, flow: &Flow) {
        let known = self.peer_address(cx) == Some(flow.remote.ip().to_canonical());
        let over_udp = (flow.transport, self.hop.transport) == (Transport::Udp, Transport::Udp);
        if known && over_udp && matches!(self.way, Way::ByDialog) {
            self.hop.flow = flow.id;
            self.source = Some(flow.remote.ip().to_canonical());
        }
    }

    /// The far end of the flow we called on, once that is open.
    pub(crate) fn far_end(&self, cx: &Context<'_>) -> Option<SocketAddr> {
        cx.flows.remote(self.hop.flow)
    }

    /// Where the peer's signalling was seen to come from, or leads to.
    pub(crate) fn peer_address(&self, cx: &Context<'_>) -> Option<IpAddr> {
        let led = || Some(cx.flows.remote(self.hop.flow)?.ip().to_canonical());
        self.source.or_else(led)
    }
}

/// Addresses that mean something only where they are used: RFC 1918, RFC 6598, RFC 3927, RFC 4193,
/// link-local IPv6.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let private = |text: &str| is_private(text.parse().unwrap());
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.178.20",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(private(inside), "{inside}");
        }
        for outside in [
            "198.51.100.7",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "127.0.0.1",
        ] {
            assert!(!private(outside), "{outside}");
        }
    }
}
