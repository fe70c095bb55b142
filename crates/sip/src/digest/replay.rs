//! Nonce counts: the same credentials are not taken twice (RFC 7616 §3.4 `nc`, §5.10).

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use crate::{Credentials, Slim, Text};

/// Remembers the last count of every nonce still alive; bounded, the oldest nonce is forgotten
/// first.
///
/// A peer that starts at 2 is fine (Meta reference 4.1): only the order counts.
#[derive(Clone, Debug)]
pub struct NonceCounts {
    ttl: Duration,
    capacity: usize,
    last: BTreeMap<Mark, u32>,
    /// Nonces in the order they were first seen, with the time.
    seen: VecDeque<(Duration, Mark)>,
}

/// What is remembered of a nonce: 64 bits tell those apart that we gave, and only they are remembered.
type Mark = u64;

fn mark(nonce: &Text) -> Mark {
    let mut hasher = DefaultHasher::new();
    hasher.write(nonce.as_bytes());
    hasher.finish()
}

impl NonceCounts {
    /// Remembers at most `capacity` nonces for `ttl` each (the one of the
    /// [`Challenger`](super::Challenger)).
    pub fn new(ttl: Duration, capacity: usize) -> NonceCounts {
        NonceCounts {
            ttl,
            capacity: capacity.max(1),
            last: BTreeMap::new(),
            seen: VecDeque::new(),
        }
    }

    /// Whether these credentials, found valid at `wall` (time since the epoch), are used for the
    /// first time: their count is above the last one of their nonce. Without a count a nonce is
    /// good once.
    pub fn admit(&mut self, credentials: &Credentials, wall: Duration) -> bool {
        self.forget(wall);
        let count = match &credentials.nc {
            None => u32::MAX,
            Some(nc) => match nc.utf8().and_then(|nc| u32::from_str_radix(nc, 16).ok()) {
                Some(count) => count,
                None => return false,
            },
        };
        let nonce = mark(&credentials.nonce);
        if let Some(last) = self.last.get_mut(&nonce) {
            let fresh = count > *last;
            *last = count.max(*last);
            return fresh;
        }
        self.last.insert(nonce, count);
        self.seen.push_back((wall, nonce));
        true
    }

    /// Forgets the nonces whose time is over.
    pub fn forget(&mut self, wall: Duration) {
        while let Some((at, nonce)) = self.seen.front() {
            let old = wall.saturating_sub(*at) > self.ttl;
            if !old && self.seen.len() < self.capacity {
                break;
            }
            self.last.remove(nonce);
            self.seen.pop_front();
        }
        self.seen.slim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const WALL: Duration = Duration::from_secs(1_800_000_000);

    fn credentials(nonce: &str, nc: &str) -> Credentials {
        let nc = if nc.is_empty() {
            String::new()
        } else {
            format!(", nc={nc}")
        };
        let value = format!(
            "Digest username=\"u\", realm=\"r\", nonce=\"{nonce}\", uri=\"sip:h\", response=\"0\"{nc}"
        );
        Credentials::read(&Text::from(value)).unwrap()
    }

    #[test]
    fn a_count_is_good_once_and_only_upward() {
        let mut counts = NonceCounts::new(TTL, 10);
        for (nc, good) in [
            ("00000002", true),
            ("00000002", false),
            ("00000001", false),
            ("0000000a", true),
        ] {
            assert_eq!(counts.admit(&credentials("n", nc), WALL), good, "{nc}");
        }
        assert!(counts.admit(&credentials("m", "00000001"), WALL));
        assert!(!counts.admit(&credentials("o", "zz"), WALL));
    }

    #[test]
    fn a_nonce_without_count_is_good_once() {
        let mut counts = NonceCounts::new(TTL, 10);
        assert!(counts.admit(&credentials("n", ""), WALL));
        assert!(!counts.admit(&credentials("n", ""), WALL));
    }

    #[test]
    fn memory_ends_with_the_nonce_and_with_the_room() {
        let mut counts = NonceCounts::new(TTL, 3);
        for n in 0..100 {
            assert!(counts.admit(&credentials(&n.to_string(), "00000001"), WALL));
            assert!(counts.last.len() <= 3 && counts.seen.len() <= 3);
        }
        let later = WALL + Duration::from_secs(61);
        assert!(counts.admit(&credentials("x", "00000001"), later));
        assert_eq!(counts.last.len(), 1);
    }
}
