//! How fast one source may ask: a bucket of tokens that fills at a steady rate.

use std::time::{Duration, Instant};

use super::source::Source;
use crate::recent::Recent;

/// The most sources whose pace is remembered at once; twice as many while generations change.
const SOURCES: usize = 10_000;

/// So many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second; at least 1.
    pub per_second: u32,
    /// Tokens a full bucket holds; at least 1.
    pub burst: u32,
}

/// A bucket, as the one number it needs: when it will be full again. The default is full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket(Option<Instant>);

impl Bucket {
    /// Takes a token; `false` when there is none.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let each = Duration::from_secs(1) / rate.per_second.max(1);
        let full = self.0.map_or(now, |at| at.max(now)) + each;
        let fits = full <= now + each * rate.burst.max(1);
        if fits {
            self.0 = Some(full);
        }
        fits
    }
}

/// A bucket for every source, as long as there is room; who is forgotten has a full one.
#[derive(Debug)]
pub(crate) struct Rates(Recent<Source, Bucket>);

impl Default for Rates {
    fn default() -> Self {
        Self(Recent::new(SOURCES))
    }
}

impl Rates {
    /// Takes a token of a source; `false` when it has none.
    pub(crate) fn take(&mut self, now: Instant, source: Source, rate: Rate) -> bool {
        let mut bucket = self.0.get(&source).unwrap_or_default();
        let taken = bucket.take(now, rate);
        self.0.insert(source, bucket);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn a_burst_then_the_steady_rate_then_a_burst_again() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut bucket = Bucket::default();
        let mut take = |millis| bucket.take(at(millis), RATE);
        assert_eq!(
            [take(0), take(0), take(0), take(0)],
            [true, true, true, false]
        );
        assert_eq!(
            [take(99), take(100), take(150), take(200)],
            [false, true, false, true]
        );
        assert_eq!(
            [take(900), take(900), take(900), take(900)],
            [true, true, true, false]
        );
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn as_many_as_the_rate_pass_in_the_long_run() {
        let now = Instant::now();
        let mut bucket = Bucket::default();
        let passed = (0..100_000)
            .filter(|i| bucket.take(now + Duration::from_micros(100 * i), RATE))
            .count();
        assert_eq!(passed, 102, "10 seconds of 10, and the burst");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn sources_do_not_take_each_others_tokens_and_do_not_fill_the_memory() {
        let now = Instant::now();
        let mut rates = Rates::default();
        for n in 0..50_000_u32 {
            let source = Source::of(std::net::Ipv4Addr::from(n).into());
            assert!(rates.take(now, source, RATE));
        }
        assert!(rates.0.len() <= 2 * SOURCES);
    }
}
