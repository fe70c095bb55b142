//! Links: what happens to bytes between two parties of the [`crate::World`].

use std::time::{Duration, Instant};

use crate::dice::Dice;

/// How much later an overtaken datagram comes: more than a frame of audio, less than two.
const OVERTAKEN: Duration = Duration::from_millis(35);

/// One direction-less link. Streams are delayed and kept in order; datagrams may be lost, delayed
/// differently, or doubled.
#[derive(Clone, Debug)]
pub struct Link {
    /// One-way delay.
    pub latency: Duration,
    /// Further delay of a datagram, evenly spread from zero to this.
    pub jitter: Duration,
    /// Share of datagrams that never come, 0.0 to 1.0.
    pub loss: f64,
    /// Share of datagrams that come twice.
    pub doubled: f64,
    /// Share of datagrams that come so late that the next ones overtake them.
    pub overtaken: f64,
    /// New connections are refused, datagrams vanish.
    pub down: bool,
    /// Connections stay open but nothing sent on them arrives.
    pub half_open: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self::after(Duration::from_millis(20))
    }
}

impl Link {
    /// A perfect link of this one-way delay.
    pub fn after(latency: Duration) -> Self {
        Self {
            latency,
            jitter: Duration::ZERO,
            loss: 0.0,
            doubled: 0.0,
            overtaken: 0.0,
            down: false,
            half_open: false,
        }
    }

    /// When a datagram sent now arrives: never, once, or twice.
    pub(crate) fn datagram(&self, now: Instant, dice: &mut Dice) -> Vec<Instant> {
        if self.down || dice.happens(self.loss) {
            return Vec::new();
        }
        let copies = if dice.happens(self.doubled) { 2 } else { 1 };
        let late = match dice.happens(self.overtaken) {
            true => OVERTAKEN,
            false => Duration::ZERO,
        };
        let mut arrive = || {
            let spread = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
            now + self.latency + late + Duration::from_micros(dice.below(spread.saturating_add(1)))
        };
        (0..copies).map(|_| arrive()).collect()
    }

    /// When the next piece of a stream arrives, not before the one ahead of it.
    pub(crate) fn stream(&self, now: Instant, ahead: Instant) -> Instant {
        (now + self.latency).max(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lossy_link_loses_its_share_and_a_stream_never_overtakes_itself() {
        let (now, mut dice) = (Instant::now(), Dice::new(3));
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let lost = (0..10_000)
            .filter(|_| link.datagram(now, &mut dice).is_empty())
            .count();
        assert!((800..1200).contains(&lost), "{lost}");
        let ahead = now + Duration::from_secs(1);
        assert_eq!(link.stream(now, ahead), ahead);
    }
}
