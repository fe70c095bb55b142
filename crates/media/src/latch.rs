//! Symmetric RTP (RFC 4961): whose packets we believe, and where we answer to.
//!
//! ```text
//!            first believable source           another believable source,
//!   Open ────────────────────────────► Latched   held one quiet for 3 s ──► Latched (there)
//!     ▲                                   │      or the SDP's own, at once
//!     └──────── new address agreed ◄──────┘
//! ```
//!
//! Where nothing authenticates, the SDP's own address and port are the best proof there is: somebody
//! else on the PBX's host who was quicker gives way to it with its first packet.
//!
//! A source is asked twice: [`Latch::admits`] before the packet is opened, [`Latch::confirm`] after it
//! has authenticated (or needed no authentication). Only the second moves anything.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sdp::plan;

/// How long the source we hold must be quiet before another plausible one may take its place.
pub const HOLD: Duration = Duration::from_secs(3);

/// The latch of one port.
#[derive(Clone, Debug)]
pub struct Latch {
    policy: plan::Latch,
    /// Whether packets authenticate themselves (SRTP).
    authenticated: bool,
    agreed: SocketAddr,
    held: Option<(SocketAddr, Instant)>,
    /// Who was here before another one took the leg over: where it sent from, and what its SDP said.
    former: Option<Box<[Option<SocketAddr>; 2]>>,
}

impl Latch {
    /// An open latch. `agreed` is the address of the SDP.
    pub fn new(policy: plan::Latch, authenticated: bool, agreed: SocketAddr) -> Self {
        Self {
            policy,
            authenticated,
            agreed: canonical(agreed),
            held: None,
            former: None,
        }
    }

    /// The leg was another one's before: its late packets are nobody's, though they come from the same
    /// host.
    pub fn follows(&mut self, before: &Latch) {
        let held = before.held.map(|(source, _)| source);
        let former = [held, Some(before.agreed)].map(|of| of.filter(|of| *of != self.agreed));
        self.former = Some(Box::new(former));
    }

    /// A new agreement: opens the latch if the address is another one.
    pub fn agree(&mut self, authenticated: bool, agreed: SocketAddr) {
        let agreed = canonical(agreed);
        if agreed != self.agreed {
            self.held = None;
            self.former = None;
        }
        (self.agreed, self.authenticated) = (agreed, authenticated);
    }

    /// Whether a packet from `source` is worth opening.
    pub fn admits(&self, now: Instant, source: SocketAddr) -> bool {
        let source = canonical(source);
        let former = self.former.as_ref();
        if former.is_some_and(|former| former.contains(&Some(source))) {
            return false;
        }
        match self.policy {
            plan::Latch::Exact => source == self.agreed,
            // Without SRTP there is nothing that authenticates: only the SDP's address is plausible.
            plan::Latch::Authenticated if self.authenticated => true,
            plan::Latch::Authenticated => self.plausible(now, source, None),
            plan::Latch::Plausible { signalling } => self.plausible(now, source, signalling),
        }
    }

    /// A packet from `source` was admitted and has authenticated where it should. `newest`: it is the
    /// latest packet of its source, so it may move the latch.
    pub fn confirm(&mut self, now: Instant, source: SocketAddr, newest: bool) {
        let source = canonical(source);
        match &mut self.held {
            Some((held, last)) if *held == source => *last = now,
            // Of a source that took the PBX's place, the order of packets says nothing.
            _ if newest || (source == self.agreed && !self.authenticated) => {
                self.held = Some((source, now))
            }
            _ => {}
        }
    }

    /// Where packets to the far side go. `None`: nowhere, the far side is on hold (RFC 2543 §B.5).
    pub fn destination(&self) -> Option<SocketAddr> {
        if self.agreed.ip().is_unspecified() || self.agreed.port() == 0 {
            return None;
        }
        match self.policy {
            plan::Latch::Exact => Some(self.agreed),
            _ => Some(self.held.map_or(self.agreed, |(source, _)| source)),
        }
    }

    fn plausible(&self, now: Instant, source: SocketAddr, signalling: Option<IpAddr>) -> bool {
        match self.held {
            Some((held, _)) if held == source || source == self.agreed => true,
            Some((_, last)) if now.saturating_duration_since(last) < HOLD => false,
            _ => {
                source.ip() == self.agreed.ip()
                    || signalling.is_some_and(|ip| ip.to_canonical() == source.ip())
            }
        }
    }
}

/// IPv4 addresses as such, also where a dual-stack socket dresses them as IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_foreign_source_is_never_believed() {
        let signalling = Some("10.0.0.9".parse().unwrap());
        let latch = Latch::new(
            plan::Latch::Plausible { signalling },
            false,
            at("10.0.0.5:4000"),
        );
        let now = Instant::now();
        assert!(latch.admits(now, at("10.0.0.5:4000")));
        assert!(
            latch.admits(now, at("10.0.0.5:4002")),
            "any port of the SDP's address"
        );
        assert!(
            latch.admits(now, at("10.0.0.9:9")),
            "where signalling came from"
        );
        assert!(!latch.admits(now, at("10.0.0.6:4000")));
    }

    #[test]
    fn the_first_plausible_source_is_kept_until_it_has_been_quiet_for_three_seconds() {
        let mut latch = Latch::new(
            plan::Latch::Plausible { signalling: None },
            false,
            at("10.0.0.5:4000"),
        );
        let start = Instant::now();
        latch.confirm(start, at("10.0.0.5:5000"), true);
        assert_eq!(latch.destination(), Some(at("10.0.0.5:5000")));
        assert!(!latch.admits(start + Duration::from_millis(2_999), at("10.0.0.5:4002")));
        assert!(latch.admits(start + Duration::from_secs(3), at("10.0.0.5:4002")));
    }

    #[test]
    fn somebody_quicker_on_the_same_host_gives_way_to_the_address_of_the_sdp() {
        let (sdp, quicker) = (at("10.0.0.5:4000"), at("10.0.0.5:5000"));
        let mut latch = Latch::new(plan::Latch::Plausible { signalling: None }, false, sdp);
        let now = Instant::now();
        latch.confirm(now, quicker, true);
        assert!(latch.admits(now, sdp), "without waiting");
        latch.confirm(now, sdp, false);
        assert_eq!(latch.destination(), Some(sdp));
        assert!(!latch.admits(now, quicker));
    }

    #[test]
    fn an_authenticated_source_moves_the_latch_but_a_late_packet_does_not() {
        let mut latch = Latch::new(plan::Latch::Authenticated, true, at("203.0.113.1:3480"));
        let now = Instant::now();
        assert!(latch.admits(now, at("198.51.100.7:1")));
        assert_eq!(
            latch.destination(),
            Some(at("203.0.113.1:3480")),
            "asking moves nothing"
        );
        latch.confirm(now, at("198.51.100.7:1"), true);
        assert_eq!(latch.destination(), Some(at("198.51.100.7:1")));
        latch.confirm(now, at("198.51.100.8:1"), false);
        assert_eq!(latch.destination(), Some(at("198.51.100.7:1")));
    }

    #[test]
    fn a_new_agreed_address_opens_the_latch_and_the_same_one_does_not() {
        let mut latch = Latch::new(
            plan::Latch::Plausible { signalling: None },
            false,
            at("10.0.0.5:4000"),
        );
        latch.confirm(Instant::now(), at("10.0.0.5:5000"), true);
        latch.agree(false, at("10.0.0.5:4000"));
        assert_eq!(latch.destination(), Some(at("10.0.0.5:5000")));
        latch.agree(false, at("10.0.0.6:4000"));
        assert_eq!(latch.destination(), Some(at("10.0.0.6:4000")));
        latch.agree(false, at("0.0.0.0:4000"));
        assert_eq!(latch.destination(), None, "hold in the style of RFC 2543");
    }

    #[test]
    fn who_was_here_before_is_not_heard_again_though_it_lives_on_the_same_host() {
        let policy = plan::Latch::Plausible { signalling: None };
        let mut before = Latch::new(policy, false, at("10.0.0.5:4000"));
        let now = Instant::now();
        before.confirm(now, at("10.0.0.5:5000"), true);
        let mut after = Latch::new(policy, false, at("10.0.0.5:4010"));
        after.follows(&before);
        assert!(!after.admits(now, at("10.0.0.5:5000")));
        assert!(!after.admits(now, at("10.0.0.5:4000")));
        assert!(after.admits(now, at("10.0.0.5:4010")));
        assert!(after.admits(now, at("10.0.0.5:4011")), "any other port");

        let mut same = Latch::new(policy, false, at("10.0.0.5:4000"));
        same.follows(&before);
        assert!(same.admits(now, at("10.0.0.5:4000")), "the SDP says so");
    }

    #[test]
    fn an_ipv4_source_on_a_dual_stack_socket_is_the_same_source() {
        let latch = Latch::new(plan::Latch::Exact, false, at("10.0.0.5:4000"));
        assert!(latch.admits(Instant::now(), at("[::ffff:10.0.0.5]:4000")));
    }
}
