//! What we receive from one leg: order, loss, duplicates, jitter, and the one packet held back.
//!
//! ```text
//!   next in order ──────────────► Next      given on at once
//!   one or more missing before ─► Ahead     held until the missing one comes, another one comes,
//!                                           or its time is over; then the hole is concealed
//!   after a later one ──────────► Drop      counted as reordered or as duplicate
//!   another source, a jump ─────► Drop, and believed when it goes on (RFC 3550 A.1) ──► Restart
//! ```
//!
//! Endpoints have jitter buffers; ours would only add delay. So packets go on when they come and only a
//! packet behind a hole waits, for at most one packet time.

mod source;

use std::time::{Duration, Instant};

use crate::quality::{BurstFigures, Bursts, Drift};
use crate::rtcp::Block;
use crate::rtp::{Clock, Header, extend};
use source::Source;

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one expected.
    Next,
    /// One or more before it are missing.
    Ahead,
    /// The first packet of a source (again).
    Restart,
    /// Not to be used.
    Drop,
}

/// A forward jump of more packets than this is not believed until it goes on.
const MAX_AHEAD: u64 = 100;
/// So many late packets in a row mean that the source went back.
const LATE_RUN: u32 = 5;
/// A source that was quiet for so long may be followed by another one at once.
const QUIET: Duration = Duration::from_millis(60);

/// The receiver of one leg's RTP.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock: Clock,
    epoch: Instant,
    source: Option<Source>,
    /// A sequence that did not fit and would have to go on to be believed.
    candidate: Option<Candidate>,
    /// Figures of sources that are over.
    past: Figures,
    /// Accept whoever comes next (a new agreement).
    open: bool,
    /// Packets expected and received by the last report, modulo 2^32.
    interval: (u32, u32),
    bursts: Bursts,
    drift: Drift,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    ssrc: u32,
    next: u16,
    run: u32,
}

/// Counters over the life of the leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that came, without duplicates.
    pub received: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
}

impl Figures {
    /// Packets that never came (RFC 3550 A.3).
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

impl Receiver {
    /// A receiver that has heard nothing. `clock` is the RTP clock of the leg's audio codec.
    pub fn new(now: Instant, clock: Clock) -> Self {
        Self {
            clock,
            epoch: now,
            source: None,
            candidate: None,
            past: Figures::default(),
            open: true,
            interval: (0, 0),
            bursts: Bursts::default(),
            drift: Drift::default(),
        }
    }

    /// A new agreement: another clock perhaps, another source perhaps.
    pub fn agree(&mut self, clock: Clock) {
        if clock != self.clock {
            self.retire();
            self.clock = clock;
        }
        self.open = true;
    }

    /// Puts a packet in its place. `trusted`: it has authenticated, so a new source is believed at
    /// once. `paces`: its timestamp is that of audio, so it counts for the jitter.
    pub fn sequence(&mut self, now: Instant, header: &Header, trusted: bool, paces: bool) -> Order {
        let Some(source) = &mut self.source else {
            return self.restart(now, header, paces);
        };
        if header.ssrc != source.ssrc {
            let quiet = now.saturating_duration_since(source.last) > QUIET;
            if trusted || self.open || quiet || self.believe(header, 1) {
                return self.restart(now, header, paces);
            }
            return Order::Drop;
        }
        let at = extend(source.highest, header.sequence);
        if at > source.highest + MAX_AHEAD {
            let quiet = now.saturating_duration_since(source.last) > QUIET;
            return if (trusted && quiet) || self.believe(header, 1) {
                self.restart(now, header, paces)
            } else {
                Order::Drop
            };
        }
        if at <= source.highest {
            let back = source.highest - at;
            if back < 128 && source.seen & 1 << back != 0 {
                self.past.duplicates += 1;
                return Order::Drop;
            }
            if back >= 128 {
                // So late that it must be a source that went back, once it goes on.
                return if self.believe(header, 1) {
                    self.restart(now, header, paces)
                } else {
                    Order::Drop
                };
            }
            source.seen |= 1 << back;
            source.received += 1;
            self.past.reordered += 1;
            if at == source.expected {
                source.expected += 1;
                self.bursts.received();
                return Order::Next;
            }
            if at > source.expected {
                return Order::Ahead; // between the hole and a packet held back
            }
            if self.believe(header, LATE_RUN) {
                return self.restart(now, header, paces);
            }
            return Order::Drop;
        }

        let ahead = at - source.highest;
        source.seen = if ahead < 128 {
            source.seen << ahead | 1
        } else {
            1
        };
        source.highest = at;
        source.received += 1;
        source.last = now;
        let step = header.timestamp.wrapping_sub(source.timestamp as u32) as i32;
        source.timestamp += i64::from(step);
        if paces {
            let (at, transit) = source.hear(self.clock, self.epoch, now);
            self.drift.heard(self.clock.0, at, transit);
        }
        self.candidate = None;
        self.open = false;
        if at == source.expected {
            source.expected += 1;
            self.bursts.received();
            Order::Next
        } else {
            Order::Ahead
        }
    }

    /// Whether this is the source we hear.
    pub fn hears(&self, ssrc: u32) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.ssrc == ssrc)
    }

    /// Packets that came twice so far.
    pub fn duplicates(&self) -> u64 {
        self.past.duplicates
    }

    /// Whether a packet of the source we hear was given on, or up, before.
    pub fn is_past(&self, header: &Header) -> bool {
        self.source.as_ref().is_some_and(|source| {
            source.ssrc == header.ssrc && extend(source.highest, header.sequence) < source.expected
        })
    }

    /// The source we hear.
    pub fn source(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// The extended sequence number of a packet just sequenced.
    pub fn index(&self, header: &Header) -> u64 {
        self.source
            .as_ref()
            .map_or(u64::from(header.sequence), |s| {
                extend(s.highest, header.sequence)
            })
    }

    /// Its place on the source's line of timestamps, in ticks, extended beyond 32 bits.
    pub fn position(&self, header: &Header) -> i64 {
        self.source
            .as_ref()
            .map_or(i64::from(header.timestamp), |source| {
                source.timestamp
                    + i64::from(header.timestamp.wrapping_sub(source.timestamp as u32) as i32)
            })
    }

    /// Gives up what is missing before `index` (which is given on now); returns how many that were.
    pub fn advance(&mut self, index: u64) -> u64 {
        let Some(source) = &mut self.source else {
            return 0;
        };
        let missing = index.saturating_sub(source.expected);
        source.expected = source.expected.max(index + 1);
        self.bursts.lost(missing);
        self.bursts.received();
        missing
    }

    /// Whether `index` is the next one to be given on.
    pub fn expects(&self, index: u64) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.expected == index)
    }

    /// Counters until now.
    pub fn figures(&self) -> Figures {
        let mut sum = self.past;
        if let Some(source) = &self.source {
            sum.expected += source.highest - source.base + 1;
            sum.received += source.received;
        }
        sum
    }

    /// Interarrival jitter (RFC 3550 A.8), in ticks.
    pub fn jitter(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.jitter >> 4)
    }

    /// How losses fell: in bursts or by chance.
    pub fn bursts(&self) -> BurstFigures {
        self.bursts.figures()
    }

    /// Parts per million by which the source's clock is faster than ours.
    pub fn drift_ppm(&self) -> Option<f32> {
        self.drift.ppm(self.clock.0)
    }

    /// The same as a duration.
    pub fn jitter_time(&self) -> Duration {
        self.clock.duration(self.jitter() as i64)
    }

    /// What a report says of this source (RFC 3550 §6.4.1, A.3); sender report fields are left at 0.
    pub fn block(&mut self) -> Option<Block> {
        let figures = self.figures();
        let counted = (figures.expected as u32, figures.received as u32);
        let source = self.source.as_ref()?;
        let before = std::mem::replace(&mut self.interval, counted);
        let expected = u64::from(counted.0.wrapping_sub(before.0));
        let received = u64::from(counted.1.wrapping_sub(before.1));
        let lost = expected.saturating_sub(received);
        Some(Block {
            ssrc: source.ssrc,
            fraction_lost: (lost << 8).checked_div(expected).unwrap_or(0).min(255) as u8,
            lost: (figures.expected as i64 - figures.received as i64).clamp(-0x80_0000, 0x7f_ffff)
                as i32,
            highest: source.highest as u32,
            jitter: (source.jitter >> 4) as u32,
            last_report: 0,
            delay: 0,
        })
    }

    /// Counts a packet that does not fit; true once `run` of them followed the first in sequence.
    fn believe(&mut self, header: &Header, run: u32) -> bool {
        let next = header.sequence.wrapping_add(1);
        match &mut self.candidate {
            Some(c) if c.ssrc == header.ssrc && c.next == header.sequence => {
                (c.next, c.run) = (next, c.run + 1);
                c.run >= run
            }
            _ => {
                self.candidate = Some(Candidate {
                    ssrc: header.ssrc,
                    next,
                    run: 0,
                });
                false
            }
        }
    }

    fn restart(&mut self, now: Instant, header: &Header, paces: bool) -> Order {
        self.retire();
        let at = u64::from(header.sequence) + (1 << 16); // room below for packets that come late
        let mut source = Source {
            ssrc: header.ssrc,
            base: at,
            highest: at,
            seen: 1,
            expected: at + 1,
            timestamp: i64::from(header.timestamp) + (1 << 32),
            received: 1,
            transit: None,
            jitter: 0,
            last: now,
        };
        if paces {
            source.hear(self.clock, self.epoch, now);
        }
        self.bursts.received();
        self.drift = Drift::default();
        self.source = Some(source);
        (self.candidate, self.open) = (None, false);
        Order::Restart
    }

    fn retire(&mut self) {
        let figures = self.figures();
        self.source = None;
        self.past = figures;
    }
}

#[cfg(test)]
mod tests;
