//! What a load came to: loss and latency, both ways.

use std::fmt;

/// What was seen in a span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Of those, the ones that arrived.
    pub(crate) arrived: u64,
    /// How long each took, in microseconds, in order of size.
    pub(crate) latencies: Vec<u32>,
    /// The generator's own greatest delay, in microseconds: it speaks so late, and hears what has arrived so late.
    pub(crate) own_lateness: u32,
}

impl Figures {
    /// The share of packets that did not arrive, in percent.
    pub(crate) fn loss(&self) -> f64 {
        let lost = self.sent.saturating_sub(self.arrived);
        100.0 * lost as f64 / self.sent.max(1) as f64
    }

    /// The latency that `share` (0.0 to 1.0) of the packets did not exceed, in milliseconds.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        let worst = self.latencies.get(at).copied();
        f64::from(worst.unwrap_or_default()) / 1_000.0
    }

    /// Whether the generator was so late itself that its figures say little about the program it speaks to: by half a frame.
    pub(crate) fn is_behind(&self) -> bool {
        self.own_lateness > 10_000
    }

    /// Whether callers would call it good: under 0.1 % lost and 99 of 100 within 20 ms.
    pub(crate) fn good(&self) -> bool {
        self.sent > 0 && self.loss() < 0.1 && self.latency(0.99) < 20.0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "loss {:.3} %  p50 {:.2} ms  p99 {:.2} ms  max {:.1} ms, load late by {:.1} ms",
            self.loss(),
            self.latency(0.5),
            self.latency(0.99),
            self.latency(1.0),
            f64::from(self.own_lateness) / 1_000.0
        )
    }
}

/// The middle of some numbers; of an even count the lower one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers
        .get(numbers.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_limits() {
        let mut figures = Figures {
            sent: 10_000,
            arrived: 9_991,
            latencies: (1..=100).map(|n| n * 100).collect(),
            own_lateness: 0,
        };
        assert!((figures.loss() - 0.09).abs() < 1e-9);
        assert!((figures.latency(1.0) - 10.0).abs() < 1e-9);
        assert!(figures.good());
        figures.arrived = 9_989;
        assert!(!figures.good());
        assert!(!Figures::default().good());
    }
}
