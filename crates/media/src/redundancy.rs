//! How our Opus encoder follows what the far side reports of our packets: redundancy and bitrate.
//!
//! ```text
//!   loss reported ─┬─► expected     up at once, down by a quarter of the way
//!   loss seen here ┘      └─► redundancy    from 7 % on
//!
//!   loss reported ──► bitrate       full ──10 % or more, twice──► a step lower … least
//!                                    ▲ ▲                           │          │ 10 % all the same:
//!                                    │ └──below 3 %: 1 kbit/s up───┘          │ it is not our bits
//!                                    └──────────────full for 24 reports───────┘
//! ```
//!
//! Redundancy is paid out of the bitrate, in every packet for the few that are lost. Measured
//! (`examples/redundancy.rs`, [ADR 44](../../../docs/adr/0044-what-reported-loss-changes.md)) it pays from 7 % on, and a
//! way that loses less sounds better without. Fewer bits never sound better by themselves; they are given up
//! only where they may be what is lost: on a way too narrow for us, where heavy loss goes on. If it goes on
//! with the least of them, the way is rough and not narrow, and they come back.
//!
//! A relay between us and the far side may report for itself and know nothing of the way behind it. So what
//! is lost of the far side's own packets counts as well: the way back is mostly as rough as the way there.

use crate::codec::OpusSettings;

/// From here on redundancy saves more than it costs; in percent.
const WORTH: u32 = 7;
/// To expect a little costs nothing, and the first loss finds it prepared; to expect more than the most costs more
/// quality than it saves, whatever is lost; in percent.
const LEAST_LOSS: u32 = 3;
const MOST_LOSS: u32 = 10;
/// The least bits per second: with fewer, what every packet says of its own is worse than what is lost.
const LEAST_BITRATE: u32 = 14_000;
/// By so many bits per second it goes down, and up.
const STEP: u32 = 3_000;
const RISE: u32 = 1_000;
/// Loss that may be a way too narrow, and loss that is none; in 1/256.
const HEAVY: u8 = 26;
const LIGHT: u8 = 8;
/// So many heavy reports in a row are believed.
const PATIENCE: u8 = 2;
/// Reports during which nothing is given up when giving up has not helped: two minutes.
const REST: u8 = 24;

/// How the encoder towards one leg is set.
#[derive(Clone, Debug)]
pub(crate) struct Redundancy {
    /// As configured and agreed: its bitrate is the most there may be.
    agreed: OpusSettings,
    /// Loss to expect by what is reported, in 1/256; `None` before the first report.
    expected: Option<u8>,
    /// Loss to expect by what comes from there.
    seen: u8,
    /// Bits per second given up.
    given_up: u32,
    /// Heavy reports in a row.
    heavy: u8,
    /// Reports during which nothing is given up.
    rest: u8,
}

impl Redundancy {
    /// Nothing was reported yet.
    pub(crate) fn new(agreed: OpusSettings) -> Self {
        Self {
            agreed,
            expected: None,
            seen: 0,
            given_up: 0,
            heavy: 0,
            rest: 0,
        }
    }

    /// Other bounds; what was learned of the way stays.
    pub(crate) fn agree(&mut self, agreed: OpusSettings) {
        self.agreed = agreed;
        self.given_up = self.given_up.min(self.room());
    }

    /// How the encoder is to be set now.
    pub(crate) fn settings(&self) -> OpusSettings {
        let bitrate = self.agreed.bitrate - self.given_up;
        let Some(expected) = self.expected else {
            return OpusSettings {
                bitrate,
                ..self.agreed
            };
        };
        let percent = u32::from(expected.max(self.seen)) * 100 / 256;
        OpusSettings {
            bitrate,
            fec: self.agreed.fec && percent >= WORTH,
            expected_loss: percent.clamp(LEAST_LOSS, MOST_LOSS) as u8,
            ..self.agreed
        }
    }

    /// The far side reported a fraction lost, in 1/256.
    pub(crate) fn hear(&mut self, fraction: u8) {
        self.expected = Some(follow(self.expected.unwrap_or(fraction), fraction));
        self.rest = self.rest.saturating_sub(1);
        self.heavy = match fraction >= HEAVY {
            true => self.heavy.saturating_add(1),
            false => 0,
        };
        if fraction < LIGHT {
            self.given_up = self.given_up.saturating_sub(RISE);
        } else if self.heavy >= PATIENCE && self.rest == 0 {
            self.heavy = 0;
            if self.given_up < self.room() {
                self.given_up = (self.given_up + STEP).min(self.room());
            } else {
                (self.given_up, self.rest) = (0, REST);
            }
        }
    }

    /// We miss a fraction of what comes from there, in 1/256.
    pub(crate) fn see(&mut self, fraction: u8) {
        self.seen = follow(self.seen, fraction);
    }

    /// What may be given up.
    fn room(&self) -> u32 {
        self.agreed.bitrate.saturating_sub(LEAST_BITRATE)
    }
}

/// Up at once, down by a quarter of the way.
fn follow(before: u8, fraction: u8) -> u8 {
    match fraction < before {
        true => before - (before - fraction).div_ceil(4),
        false => fraction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Redundancy {
        Redundancy::new(OpusSettings::default())
    }

    fn percent(loss: f64) -> u8 {
        (loss * 2.56).ceil() as u8
    }

    /// Reports over a way that loses `rough` percent and, with 20 kbit/s of headers, carries so many bits.
    fn talk(one: &mut Redundancy, reports: usize, rough: f64, carries: u32) -> Vec<u32> {
        (0..reports)
            .map(|_| {
                let sent = one.settings().bitrate + 20_000;
                let narrow = 100.0 * f64::from(sent.saturating_sub(carries)) / f64::from(sent);
                one.hear(percent(rough + narrow));
                one.settings().bitrate
            })
            .collect()
    }

    #[test]
    fn redundancy_comes_at_once_and_goes_slowly() {
        let mut one = full();
        let as_configured = one.settings();
        assert_eq!((as_configured.fec, as_configured.expected_loss), (true, 10));
        let mut told = |loss| {
            one.hear(percent(loss));
            (one.settings().fec, one.settings().expected_loss)
        };
        assert_eq!(told(0.0), (false, 3));
        assert_eq!(told(5.0), (false, 5));
        assert_eq!(told(7.0), (true, 7));
        assert_eq!(told(40.0), (true, 10));
        assert!(told(12.0).0);
        let afterwards = [0.0; 12].map(|loss| told(loss).0);
        let kept = afterwards.iter().take_while(|fec| **fec).count();
        assert!((3..10).contains(&kept), "half a minute at most: {kept}");
    }

    #[test]
    fn a_relay_that_reports_for_itself_hides_no_rough_way() {
        let mut one = full();
        one.hear(0);
        one.see(percent(8.0));
        let now = one.settings();
        assert_eq!((now.fec, now.expected_loss, now.bitrate), (true, 8, 20_000));
        for _ in 0..3 {
            one.hear(0);
            one.see(0);
        }
        assert!(!one.settings().fec, "and it is over when it is over");
    }

    #[test]
    fn who_wants_no_redundancy_gets_none() {
        let mut one = Redundancy::new(OpusSettings {
            fec: false,
            ..OpusSettings::default()
        });
        one.hear(percent(15.0));
        assert!(!one.settings().fec);
    }

    #[test]
    fn loss_that_is_light_or_short_costs_no_bits() {
        let mut one = full();
        assert!(
            talk(&mut one, 50, 9.0, u32::MAX)
                .iter()
                .all(|b| *b == 20_000)
        );
        for _ in 0..20 {
            one.hear(200);
            one.hear(0);
            assert_eq!(one.settings().bitrate, 20_000, "never twice in a row");
        }
    }

    #[test]
    fn a_way_too_narrow_gets_fewer_bits_and_loses_less() {
        let mut one = full();
        let bitrates = talk(&mut one, 60, 0.0, 35_000);
        assert_eq!(bitrates[..2], [20_000, 17_000]);
        // 5 % lost at most from then on, instead of 12.
        assert!(bitrates[10..].iter().all(|b| *b <= 17_000), "{bitrates:?}");
        let back = talk(&mut one, 10, 0.0, u32::MAX);
        assert_eq!(back.last(), Some(&20_000), "wide again: {back:?}");
    }

    #[test]
    fn a_way_that_is_rough_and_not_narrow_gets_its_bits_back() {
        let mut one = full();
        let bitrates = talk(&mut one, 300, 20.0, u32::MAX);
        assert_eq!(
            bitrates[..8],
            [20, 17, 17, 14, 14, 20, 20, 20].map(|k| k * 1_000)
        );
        let whole = bitrates.iter().filter(|b| **b == 20_000).count();
        assert!(whole >= 240, "{whole} of 300");
    }

    #[test]
    fn a_far_side_that_asks_for_little_gets_no_less_for_its_loss() {
        for bitrate in [6_000, 12_000, 14_000] {
            let agreed = OpusSettings {
                bitrate,
                ..OpusSettings::default()
            };
            let mut one = Redundancy::new(agreed);
            assert!(
                talk(&mut one, 30, 40.0, u32::MAX)
                    .iter()
                    .all(|b| *b == bitrate)
            );
        }
    }

    #[test]
    fn what_was_learned_survives_another_agreement_within_its_bounds() {
        let mut one = full();
        talk(&mut one, 4, 30.0, u32::MAX);
        one.agree(OpusSettings {
            bitrate: 15_000,
            fec: false,
            ..OpusSettings::default()
        });
        let now = one.settings();
        assert_eq!(
            (now.bitrate, now.expected_loss, now.fec),
            (14_000, 10, false)
        );
    }

    proptest! {
        #[test]
        fn whatever_is_reported_no_bound_is_broken_and_a_clean_way_brings_all_back(
            most in 6_000u32..128_000,
            reports in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut one = Redundancy::new(OpusSettings { bitrate: most, ..OpusSettings::default() });
            for fraction in reports {
                one.hear(fraction);
                let now = one.settings();
                prop_assert!(now.bitrate <= most && now.bitrate >= most.min(LEAST_BITRATE));
                prop_assert!((3..=10).contains(&now.expected_loss));
            }
            for _ in 0..200 {
                one.hear(0);
            }
            let now = one.settings();
            prop_assert_eq!((now.bitrate, now.expected_loss), (most, 3));
        }
    }
}
