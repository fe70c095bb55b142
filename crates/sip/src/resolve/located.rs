//! What a lookup came to, and the order in which its servers are tried.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Transport;

/// Where a host is: its servers, and for how long this is so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Servers of equal rank, the most wanted rank first.
    pub ranks: Vec<Vec<Server>>,
    /// How long it is good.
    pub ttl: Duration,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// How often it comes first among those of its rank, in proportion.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its addresses, in the order they are to be tried.
    pub addresses: Vec<IpAddr>,
}

impl Located {
    /// Every address in the order it is to be tried: by rank, within a rank drawn by weight
    /// (RFC 2782), within a server with the families alternating (RFC 8305 §4). `dice` gives any
    /// number.
    pub fn order(&self, mut dice: impl FnMut() -> u32) -> Vec<(Transport, SocketAddr)> {
        let mut order = Vec::new();
        for rank in &self.ranks {
            for server in drawn(rank, &mut dice) {
                let place = |address| {
                    let remote = SocketAddr::new(address, server.port);
                    (server.transport, remote)
                };
                order.extend(alternating(&server.addresses).map(place));
            }
        }
        order
    }
}

/// RFC 2782, "Weight": those without weight stand first, then a number up to the sum of all
/// weights falls on one of them; again until none is left.
fn drawn<'a>(rank: &'a [Server], dice: &mut impl FnMut() -> u32) -> Vec<&'a Server> {
    let mut left: Vec<&Server> = rank.iter().collect();
    left.sort_by_key(|server| server.weight != 0);
    let mut order = Vec::with_capacity(left.len());
    while left.len() > 1 {
        let sum: u64 = left.iter().map(|server| u64::from(server.weight)).sum();
        let fallen = u64::from(dice()) % (sum + 1);
        let mut running = 0;
        let chosen = left.iter().position(|server| {
            running += u64::from(server.weight);
            running >= fallen
        });
        order.push(left.remove(chosen.unwrap_or(0)));
    }
    order.extend(left);
    order
}

/// The families alternate, beginning with that of the first address.
fn alternating(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> + '_ {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let of = |v4: bool| addresses.iter().filter(move |one| one.is_ipv4() == v4);
    let (mut firsts, mut seconds) = (of(first_is_v4), of(!first_is_v4));
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        let next = match turn {
            true => firsts.next().or_else(|| seconds.next()),
            false => seconds.next().or_else(|| firsts.next()),
        };
        next.copied()
    })
}
