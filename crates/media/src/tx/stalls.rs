//! What is known of a source that stalls and then sends all it owes: how long it is waited for.
//!
//! ```text
//!   source    ├─20─┤                     │││││├─20─┤        a late frame, and others right behind it: it stalled
//!   filler              ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪                     this time
//!   the next  ├─20─┤                     │││││├─20─┤        waited for, nothing is filled in
//! ```

use std::time::{Duration, Instant};

/// The longest that a source known to stall is waited for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// How much longer than its longest stall.
const MARGIN: Duration = Duration::from_millis(20);
/// A source that did not stall for so long is not known to any more.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What is known of a source that stalls and then sends all it owes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    /// A frame came late after so long without one. Whether it was held up or is just the next one of a source that does not
    /// count its pauses says what follows it.
    suspected: Option<Duration>,
    wait: Duration,
    /// When it was seen to stall last.
    last: Option<Instant>,
}

impl Stalls {
    /// A frame came so long after the one before. `late`: later than its line says by more than a `frame`.
    pub(super) fn heard(&mut self, now: Instant, since: Duration, frame: Duration, late: bool) {
        let suspected = self.suspected.take();
        if let Some(stall) = suspected.filter(|_| since < frame / 2) {
            self.wait = (stall + MARGIN).max(self.wait).min(LONGEST_WAIT);
            self.last = Some(now);
        } else if late && since > 2 * frame {
            self.suspected = Some(since);
        }
    }

    /// Whether the next frame says if the source stalled.
    pub(super) fn suspects(&self) -> bool {
        self.suspected.is_some()
    }

    /// How long the source is waited for before filler sets in.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// Filler sets in.
    pub(super) fn filled(&mut self, now: Instant) {
        let last = self.last;
        if last.is_some_and(|last| now.saturating_duration_since(last) > REMEMBERED) {
            *self = Self::default();
        }
    }
}
