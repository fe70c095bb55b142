//! How busy a media thread is, for the metrics: written by the thread, read by anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ports::Counts;

/// Figures of one media thread.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Its id, as soon as it runs.
    thread: OnceLock<u32>,
    busy_us: AtomicU64,
    leased: AtomicU64,
    resting: AtomicU64,
    free: AtomicU64,
    unclaimed: AtomicU64,
    late: AtomicU64,
}

/// Behind what was due by more than this, a thread counts as late: half a packet of audio.
const LATE: Duration = Duration::from_millis(10);

impl Gauge {
    /// The thread runs, under this id.
    pub(super) fn runs_as(&self, thread: u32) {
        self.thread.get_or_init(|| thread);
    }

    /// The id of the thread; `None`: it has not begun yet.
    pub(crate) fn thread(&self) -> Option<u32> {
        self.thread.get().copied()
    }

    pub(super) fn worked(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(time, Ordering::Relaxed);
    }

    /// The thread woke so long after something was due.
    pub(super) fn woke(&self, behind: Duration) {
        if behind > LATE {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refused_one(&self) {
        self.unclaimed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, pairs: impl Iterator<Item = Counts>) {
        let [mut leased, mut resting, mut free] = [0; 3];
        for counts in pairs {
            leased += counts.leased as u64;
            resting += counts.resting as u64;
            free += counts.free as u64;
        }
        self.leased.store(leased, Ordering::Relaxed);
        self.resting.store(resting, Ordering::Relaxed);
        self.free.store(free, Ordering::Relaxed);
    }

    /// Time spent on packets, timers and commands, not waiting.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.busy_us.load(Ordering::Relaxed))
    }

    /// Times it came to what was due more than 10 ms late, since the start.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Datagrams at the port all calls share that no call's key fits, since the start.
    pub fn unclaimed(&self) -> u64 {
        self.unclaimed.load(Ordering::Relaxed)
    }

    /// Its pairs of ports, all addresses together: what they do, and how many.
    pub fn pairs(&self) -> [(&'static str, u64); 3] {
        [
            ("leased", &self.leased),
            ("resting", &self.resting),
            ("free", &self.free),
        ]
        .map(|(state, count)| (state, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_packet_behind_is_late_and_less_is_not() {
        let gauge = Gauge::default();
        for ms in [0, 1, 10] {
            gauge.woke(Duration::from_millis(ms));
        }
        assert_eq!(gauge.late(), 0);
        gauge.woke(Duration::from_micros(10_001));
        assert_eq!(gauge.late(), 1);
    }
}
