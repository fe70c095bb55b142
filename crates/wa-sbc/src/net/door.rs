//! Who may come in at all: asked before a datagram is read as SIP and before a connection gets its
//! handshake. What stands here was decided by the core; only its copy is shared.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use b2bua::Source;
use ipnet::IpNet;

/// The most sources kept out at once. The core forgets what the ones beyond it say all the same.
const MOST: usize = 65_536;
/// Rest between two searches for bans that are over.
const SWEEP: Duration = Duration::from_secs(1);

/// The door of every listener.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    barred: RwLock<Barred>,
    known: RwLock<Vec<IpNet>>,
    turned_away: AtomicU64,
}

#[derive(Debug, Default)]
struct Barred {
    until: HashMap<Source, Instant>,
    swept: Option<Instant>,
}

impl Door {
    /// A door nobody is barred from; `known` are the networks of configured peers.
    pub fn new(known: Vec<IpNet>) -> Door {
        let door = Door::default();
        door.know(known);
        door
    }

    /// The networks of configured peers are these from now on.
    pub fn know(&self, networks: Vec<IpNet>) {
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = networks;
    }

    /// Whether an address is one of a configured peer.
    pub fn knows(&self, address: IpAddr) -> bool {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|network| network.contains(&address))
    }

    /// Nothing of this source is taken until then.
    pub fn bar(&self, now: Instant, source: Source, until: Instant) {
        let mut barred = self
            .0
            .barred
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if barred.until.len() >= MOST && barred.swept.is_none_or(|at| now >= at + SWEEP) {
            barred.swept = Some(now);
            barred.until.retain(|_, until| *until > now);
        }
        if barred.until.len() < MOST || barred.until.contains_key(&source) {
            barred.until.insert(source, until);
        }
    }

    /// Whether something from this address is taken; what is not is counted.
    pub fn admits(&self, now: Instant, address: IpAddr) -> bool {
        let barred = self.0.barred.read().unwrap_or_else(PoisonError::into_inner);
        if barred.until.is_empty() {
            return true;
        }
        let until = barred.until.get(&Source::of(address));
        let admitted = until.is_none_or(|until| *until <= now);
        if !admitted {
            self.0.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Datagrams and connections of barred sources so far.
    pub fn turned_away(&self) -> u64 {
        self.0.turned_away.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn a_barred_source_is_turned_away_until_its_time_is_over() {
        let (door, now) = (Door::default(), clock::now());
        let until = now + Duration::from_secs(10);
        door.bar(now, Source::of(address(1)), until);
        assert!(!door.admits(now, address(1)));
        assert!(door.admits(now, address(2)));
        assert!(door.admits(until, address(1)));
        assert_eq!(door.turned_away(), 1);
    }

    #[test]
    fn more_sources_than_fit_do_not_fill_the_memory_and_old_ones_make_room() {
        let (door, now) = (Door::default(), clock::now());
        let until = now + Duration::from_secs(10);
        for n in 0..100_000 {
            door.bar(now, Source::of(address(n)), until);
        }
        assert_eq!(door.0.barred.read().unwrap().until.len(), MOST);
        door.bar(until, Source::of(address(200_000)), until + SWEEP);
        assert_eq!(door.0.barred.read().unwrap().until.len(), 1);
    }

    #[test]
    fn known_networks_are_replaced_as_a_whole() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let door = Door::new(vec![net("10.0.0.0/8")]);
        assert!(door.knows("10.1.2.3".parse().unwrap()));
        door.know(vec![net("192.0.2.0/24")]);
        assert!(!door.knows("10.1.2.3".parse().unwrap()));
        assert!(door.knows("192.0.2.9".parse().unwrap()));
    }
}
