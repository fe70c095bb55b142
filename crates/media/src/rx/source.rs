//! What is remembered of the source we hear: which of its packets came, its line of timestamps, its jitter.

use std::time::Instant;

use crate::rtp::Clock;

/// One source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) base: u64,
    /// Highest received, extended.
    pub(super) highest: u64,
    /// Bit n: `highest - n` was received.
    pub(super) seen: u128,
    /// The next one to be given on.
    pub(super) expected: u64,
    /// Timestamp line, extended: of the packet with the highest sequence number.
    pub(super) timestamp: i64,
    pub(super) received: u64,
    pub(super) transit: Option<i64>,
    /// Jitter of RFC 3550 A.8, times 16, in ticks.
    pub(super) jitter: u64,
    pub(super) last: Instant,
}

impl Source {
    /// RFC 3550 A.8. Returns the arrival and the transit time, in ticks.
    pub(super) fn hear(&mut self, clock: Clock, epoch: Instant, now: Instant) -> (i64, i64) {
        let arrival = clock.ticks(now.saturating_duration_since(epoch));
        let transit = arrival - self.timestamp;
        if let Some(last) = self.transit.replace(transit) {
            let difference = (transit - last).unsigned_abs();
            // A jump of the source's clock is not jitter.
            if difference < u64::from(clock.0) {
                self.jitter = (self.jitter + difference).saturating_sub((self.jitter + 8) >> 4);
            }
        }
        (arrival, transit)
    }
}
