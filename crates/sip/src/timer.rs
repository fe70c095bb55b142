//! Timers: every duration of RFC 3261 §17 and RFC 6026 in one place.

use std::time::{Duration, Instant};

/// The three numbers all transaction timers derive from (RFC 3261 §17.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerSettings {
    /// The round-trip estimate: 500 ms.
    pub t1: Duration,
    /// The longest interval between retransmissions: 4 s.
    pub t2: Duration,
    /// How long a message lives in the network: 5 s.
    pub t4: Duration,
}

impl Default for TimerSettings {
    fn default() -> TimerSettings {
        TimerSettings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl TimerSettings {
    /// 64·T1: timers B, F, H, J, L and M; 32 s by default.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D over UDP: at least 32 s.
    pub(crate) fn timer_d(&self) -> Duration {
        self.timeout().max(Duration::from_secs(32))
    }

    /// The interval after this one for timers E and G and for 2xx repeated by a UAS: doubled, at
    /// most T2 (RFC 3261 §13.3.1.4, §17.1.2.2, §17.2.1).
    pub fn next_interval(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2)
    }
}

/// The timers of the four machines, by their letters (RFC 3261 table 4, RFC 6026).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// INVITE client: resend.
    A,
    /// INVITE client: give up.
    B,
    /// INVITE client: absorb repeated failures.
    D,
    /// Client: resend.
    E,
    /// Client: give up.
    F,
    /// INVITE server: resend a failure.
    G,
    /// INVITE server: no ACK came.
    H,
    /// INVITE server: absorb repeated ACKs.
    I,
    /// Server: absorb repeated requests.
    J,
    /// Client: absorb repeated responses.
    K,
    /// INVITE server: absorb repeated INVITEs after a 2xx.
    L,
    /// INVITE client: take repeated 2xx.
    M,
    /// INVITE client: no final response after CANCEL (RFC 3261 §9.1); server: no response from
    /// its user.
    Patience,
}

/// The running timers of one transaction: never more than three.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    running: [Option<(Instant, Timer)>; 3],
}

impl Timers {
    /// Starts (or restarts) a timer.
    pub(crate) fn start(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        let free = self.running.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "bug: a fourth timer in one transaction");
        if let Some(slot) = free {
            *slot = Some((at, timer));
        }
    }

    /// Stops a timer.
    pub(crate) fn stop(&mut self, timer: Timer) {
        for slot in &mut self.running {
            if slot.is_some_and(|(_, t)| t == timer) {
                *slot = None;
            }
        }
    }

    /// Stops them all.
    pub(crate) fn clear(&mut self) {
        self.running = [None; 3];
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.running.iter().flatten().map(|(at, _)| *at).min()
    }

    /// Takes out one timer that is due, the earliest first.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let slot = self
            .running
            .iter_mut()
            .filter(|slot| slot.is_some_and(|(at, _)| at <= now))
            .min_by_key(|slot| slot.map(|(at, _)| at))?;
        slot.take().map(|(_, timer)| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_up_to_t2() {
        let settings = TimerSettings::default();
        let mut interval = settings.t1;
        let mut millis = Vec::new();
        for _ in 0..6 {
            millis.push(interval.as_millis());
            interval = settings.next_interval(interval);
        }
        assert_eq!(millis, [500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(settings.timeout(), Duration::from_secs(32));
    }
}
