//! What an end says of its reception of the far side (RFC 3550 §6.4.1), truthfully: loss, jitter, and which report of
//! theirs it has heard last.

use std::time::{Duration, Instant};

use media::rtcp::{self, Block, Item};

/// What is remembered between two reports.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reception {
    /// Packets expected and received when the last report left.
    before: (u64, u64),
    /// Middle 32 bits of the NTP time in their last sender report, and when it came.
    theirs: Option<(u32, Instant)>,
    /// Arrival less timestamp of the last packet, in ticks.
    transit: Option<i64>,
    /// Interarrival jitter times 16, in ticks.
    jitter: i64,
}

impl Reception {
    /// RTCP of theirs.
    pub(super) fn reported(&mut self, now: Instant, bytes: &[u8]) {
        rtcp::read(bytes, |item| {
            if let Item::Sender { report, .. } = item {
                self.theirs = Some(((report.ntp >> 16) as u32, now));
            }
        });
    }

    /// A packet of audio, `since` the first one by the clock and `elapsed` by its timestamp, in ticks of
    /// `clock` a second.
    pub(super) fn paced(&mut self, since: Duration, clock: i64, elapsed: i64) {
        let arrival = (since.as_nanos() * clock.unsigned_abs() as u128 / 1_000_000_000) as i64;
        let transit = arrival - elapsed;
        if let Some(before) = self.transit.replace(transit) {
            self.jitter += (transit - before).abs() - ((self.jitter + 8) >> 4);
        }
    }

    /// The block about a source: extended numbers of its first and highest packet, and how many came.
    pub(super) fn block(
        &mut self,
        now: Instant,
        ssrc: u32,
        (first, highest): (u64, u64),
        received: u64,
    ) -> Block {
        let all = (highest - first + 1, received);
        let (expected, came) = (all.0 - self.before.0, all.1.saturating_sub(self.before.1));
        self.before = all;
        let lost = expected.saturating_sub(came);
        let (last_report, delay) = self.theirs.map_or((0, 0), |(report, at)| {
            (report, rtcp::short(now.saturating_duration_since(at)))
        });
        Block {
            ssrc,
            fraction_lost: (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8,
            lost: all.0.saturating_sub(all.1).min(0x7f_ffff) as i32,
            highest: highest as u32,
            jitter: (self.jitter >> 4) as u32,
            last_report,
            delay,
        }
    }
}
