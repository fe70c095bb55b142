//! Packets of a leg that cannot be opened: each failure is counted, its beginning is told.
//!
//! ```text
//!   failures    × ×××× × ×               ×××
//!   told        ▲                        ▲
//!               └ the first              └ after 10 s without
//! ```
//!
//! Each reason by itself: what the network sends twice must not hide that a key is wrong.

use std::time::{Duration, Instant};

use sdp::report::Unopened;

use crate::srtp::UnprotectError;

/// Failures that begin after so long without one are news.
pub(crate) const PAUSE: Duration = Duration::from_secs(10);

/// When a leg's packets last could not be opened, for each reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failing {
    last: [Option<Instant>; 3],
}

impl Failing {
    /// One more; whether failures for this reason begin with it.
    pub(crate) fn begins(&mut self, now: Instant, why: Unopened) -> bool {
        let at = match why {
            Unopened::Tag => 0,
            Unopened::Replay => 1,
            Unopened::Mki => 2,
        };
        let before = self.last[at].replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) >= PAUSE)
    }
}

/// What a packet lacks; `None`: it is no SRTP at all.
pub(crate) fn reason(error: UnprotectError) -> Option<Unopened> {
    match error {
        UnprotectError::Malformed => None,
        UnprotectError::WrongMki => Some(Unopened::Mki),
        UnprotectError::Forged => Some(Unopened::Tag),
        UnprotectError::Replayed => Some(Unopened::Replay),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_when_they_begin_and_when_they_begin_again_each_reason_by_itself() {
        let start = Instant::now();
        let mut failing = Failing::default();
        let mut begins = |ms: u64, why| failing.begins(start + Duration::from_millis(ms), why);
        assert!(begins(0, Unopened::Replay));
        // Years of failures without a pause are one story.
        assert!((1..2_000).all(|round| !begins(round * 9_999, Unopened::Replay)));
        assert!(begins(5, Unopened::Tag) && begins(6, Unopened::Mki));
        assert!(!begins(10_004, Unopened::Tag) && begins(20_004, Unopened::Tag));
    }
}
