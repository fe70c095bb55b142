//! Ports for media: leased, drained, leased again.
//!
//! ```text
//!  free ──lease──► leased ──release──► draining ──30 s quiet, or 10 min──► free
//!                                         │  ▲
//!                                         └──┘ a packet of the old peer
//! ```
//!
//! The far side of a call that ended goes on sending for a while. Its packets must not leak into
//! the next call, so a port stays bound and its packets are thrown away until it has been quiet.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sip::Slim;

/// A released port is free again after it has been quiet for this long.
pub const QUIET: Duration = Duration::from_secs(30);
/// A released port is free again after this long, whatever it still hears.
pub const DRAIN_AT_MOST: Duration = Duration::from_secs(600);
/// A port somebody else has bound is tried again after this long.
pub const TAKEN: Duration = Duration::from_secs(60);

/// An inclusive range of UDP ports: `20000-29999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Takes the first and the last port; `None` unless at least one even port and the odd one
    /// behind it lie within (RFC 3550 §11: RTP even, RTCP the next odd port).
    pub fn new(first: u16, last: u16) -> Option<Self> {
        let range = Self { first, last };
        (first > 0 && range.pairs().next().is_some()).then_some(range)
    }

    /// The even ports whose odd neighbour is in the range as well.
    pub fn pairs(self) -> impl Iterator<Item = u16> {
        let even = u32::from(self.first).next_multiple_of(2);
        (even..u32::from(self.last))
            .step_by(2)
            .map(|port| port as u16)
    }

    /// Takes the first `count` pairs out of the range; what is left. `None`: nothing would be left.
    pub fn set_aside(self, count: usize) -> Option<(Vec<u16>, PortRange)> {
        let aside: Vec<u16> = self.pairs().take(count).collect();
        let first = self.pairs().nth(count)?;
        Some((aside, PortRange { first, ..self }))
    }

    /// Cuts the range into `parts` ranges of about the same size that do not overlap. Fewer come
    /// back when there are fewer pairs than parts.
    pub fn split(self, parts: usize) -> Vec<PortRange> {
        let pairs: Vec<u16> = self.pairs().collect();
        let parts = parts.clamp(1, pairs.len());
        (0..parts)
            .map(|part| {
                let from = part * pairs.len() / parts;
                let to = (part + 1) * pairs.len() / parts;
                PortRange {
                    first: pairs[from],
                    last: pairs[to - 1] + 1,
                }
            })
            .collect()
    }
}

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').ok_or("it is not written FIRST-LAST")?;
        let port = |text: &str| {
            text.trim()
                .parse::<u16>()
                .map_err(|_| "a port is a number from 1 to 65535")
        };
        PortRange::new(port(first)?, port(last)?)
            .ok_or("it holds no even port followed by an odd one")
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The ports of one local address. Ports are named by the even one of the pair.
#[derive(Debug)]
pub struct Ports {
    free: VecDeque<u16>,
    resting: HashMap<u16, Resting>,
    checks: BinaryHeap<Reverse<(Instant, u16)>>,
    leased: usize,
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    until: Instant,
    at_most: Instant,
}

impl Ports {
    /// All pairs of the range, all free.
    pub fn new(range: PortRange) -> Self {
        Self {
            free: range.pairs().collect(),
            resting: HashMap::new(),
            checks: BinaryHeap::new(),
            leased: 0,
        }
    }

    /// Leases the pair that has been free for the longest time; `None` when there is none.
    pub fn lease(&mut self) -> Option<u16> {
        let port = self.free.pop_front()?;
        self.leased += 1;
        Some(port)
    }

    /// Ends a lease: the pair drains from now on and has to stay bound meanwhile.
    pub fn release(&mut self, now: Instant, port: u16) {
        self.rest(now, port, QUIET, DRAIN_AT_MOST);
    }

    /// Ends a lease that could not be used because somebody else has bound one of the two ports.
    pub fn taken(&mut self, now: Instant, port: u16) {
        self.rest(now, port, TAKEN, TAKEN);
    }

    /// A packet came in on a draining pair.
    pub fn heard(&mut self, now: Instant, port: u16) {
        if let Some(resting) = self.resting.get_mut(&port) {
            resting.until = (now + QUIET).min(resting.at_most);
        }
    }

    /// Takes one pair whose rest is over. It is free from then on: unbind it before the next lease.
    pub fn expire(&mut self, now: Instant) -> Option<u16> {
        while let Some(&Reverse((at, port))) = self.checks.peek() {
            if at > now {
                return None;
            }
            self.checks.pop();
            match self.resting.get(&port) {
                Some(resting) if resting.until > now => {
                    self.checks.push(Reverse((resting.until, port)))
                }
                Some(_) => {
                    self.resting.remove(&port);
                    self.free.push_back(port);
                    return Some(port);
                }
                None => {}
            }
        }
        None
    }

    /// When [`Ports::expire`] has something to look at.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.checks.peek().map(|Reverse((at, _))| *at)
    }

    /// Gives back the memory a busier hour needed.
    pub fn slim(&mut self) {
        self.resting.slim();
        self.checks.slim();
    }

    /// How many pairs are free, leased and resting.
    pub fn counts(&self) -> Counts {
        Counts {
            free: self.free.len(),
            leased: self.leased,
            resting: self.resting.len(),
        }
    }

    fn rest(&mut self, now: Instant, port: u16, quiet: Duration, at_most: Duration) {
        self.leased = self.leased.saturating_sub(1);
        let resting = Resting {
            until: now + quiet,
            at_most: now + at_most,
        };
        self.resting.insert(port, resting);
        self.checks.push(Reverse((resting.until, port)));
    }
}

/// How many pairs of ports are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready to be leased.
    pub free: usize,
    /// In use by a call.
    pub leased: usize,
    /// Draining, or taken by somebody else.
    pub resting: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(range: &str) -> Ports {
        Ports::new(range.parse().expect("a range of the test"))
    }

    #[test]
    fn rtp_is_even_and_rtcp_the_odd_port_behind_it() {
        let pairs = |text: &str| {
            text.parse::<PortRange>()
                .map(|range| range.pairs().collect::<Vec<_>>())
        };
        assert_eq!(pairs("20000-20005"), Ok(vec![20000, 20002, 20004]));
        assert_eq!(pairs("20001-20004"), Ok(vec![20002]));
        assert_eq!(pairs("65534-65535"), Ok(vec![65534]));
        assert!(pairs("20001-20002").is_err());
        assert!(pairs("30000-20000").is_err());
        assert!(pairs("0-1").is_err());
        assert!(pairs("20000").is_err());
        assert!(pairs("20000-70000").is_err());
    }

    #[test]
    fn pairs_set_aside_are_the_first_and_no_longer_in_the_range() {
        let range: PortRange = "20001-20008".parse().expect("a range");
        let (aside, rest) = range.set_aside(2).expect("three pairs");
        assert_eq!(aside, [20002, 20004]);
        assert_eq!(rest.pairs().collect::<Vec<_>>(), [20006]);
        assert_eq!(range.set_aside(3), None);
    }

    #[test]
    fn parts_of_a_range_cover_it_and_do_not_overlap() {
        let range: PortRange = "20000-20019".parse().expect("a range");
        for parts in 1..12 {
            let mut all: Vec<u16> = range
                .split(parts)
                .into_iter()
                .flat_map(PortRange::pairs)
                .collect();
            assert_eq!(range.split(parts).len(), parts.min(10));
            all.sort_unstable();
            assert_eq!(all, range.pairs().collect::<Vec<_>>(), "{parts} parts");
        }
    }

    #[test]
    fn a_port_of_an_ended_call_is_not_given_to_the_next_one_before_it_was_quiet_for_30_s() {
        let start = Instant::now();
        let mut ports = ports("20000-20001");
        let port = ports.lease().expect("one pair");
        ports.release(start, port);
        assert_eq!(ports.lease(), None);
        assert_eq!(ports.next_timeout(), Some(start + QUIET));
        assert_eq!(ports.expire(start + QUIET - Duration::from_millis(1)), None);
        assert_eq!(ports.lease(), None);
        assert_eq!(ports.expire(start + QUIET), Some(port));
        assert_eq!(ports.lease(), Some(port));
        assert_eq!(ports.next_timeout(), None);
    }

    #[test]
    fn each_late_packet_starts_the_quiet_time_again_but_never_beyond_10_min() {
        let start = Instant::now();
        let mut ports = ports("20000-20001");
        let port = ports.lease().expect("one pair");
        ports.release(start, port);
        let mut now = start;
        while now < start + DRAIN_AT_MOST - Duration::from_secs(10) {
            ports.heard(now, port);
            assert_eq!(ports.expire(now), None);
            now += Duration::from_secs(10);
        }
        ports.heard(now, port);
        assert_eq!(
            ports.expire(start + DRAIN_AT_MOST - Duration::from_millis(1)),
            None
        );
        assert_eq!(ports.expire(start + DRAIN_AT_MOST), Some(port));
        assert_eq!(
            ports.counts(),
            Counts {
                free: 1,
                leased: 0,
                resting: 0
            }
        );
    }

    #[test]
    fn a_port_somebody_else_has_bound_is_left_alone_for_a_minute() {
        let start = Instant::now();
        let mut ports = ports("20000-20003");
        let taken = ports.lease().expect("two pairs");
        ports.taken(start, taken);
        let other = ports.lease().expect("another pair");
        assert_ne!(taken, other);
        assert_eq!(ports.expire(start + TAKEN - Duration::from_millis(1)), None);
        assert_eq!(ports.expire(start + TAKEN), Some(taken));
    }

    #[test]
    fn the_port_that_rested_longest_is_leased_first() {
        let now = Instant::now();
        let mut ports = ports("20000-20005");
        let first = ports.lease().expect("three pairs");
        ports.release(now, first);
        assert_eq!(ports.expire(now + QUIET), Some(first));
        assert_eq!(
            [ports.lease(), ports.lease(), ports.lease()],
            [Some(20002), Some(20004), Some(first)]
        );
        assert_eq!(
            ports.counts(),
            Counts {
                free: 0,
                leased: 3,
                resting: 0
            }
        );
    }
}
