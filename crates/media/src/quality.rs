//! How good a leg sounds, as a figure: the E-model of ITU-T G.107, losses as bursts and gaps, and the
//! VoIP metrics of RTCP XR (RFC 3611 §4.7) made of them.
//!
//! ```text
//!   loss, its burstiness ─► Ie,eff ─┐
//!   delay ────────────────► Id ─────┼─► R = 93.2 − Id − Ie,eff ─► MOS
//!   codec ────────────────► Ie, Bpl ┘
//! ```
//!
//! Everything the model knows of rooms, microphones and echo stands at its default (G.107 table 2),
//! so two calls differ in their figures by what the network and the codec did to them, and by nothing else.

use std::time::Duration;

use sdp::Codec;

/// R of a connection with nothing wrong (G.107 §7.1 with all defaults).
const BEST: f64 = 93.2;

/// What the model has to know of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The codec.
    pub codec: Codec,
    /// Share of packets that never came, 0.0 to 1.0.
    pub loss: f64,
    /// How much longer runs of loss are than chance would make them; 1.0: chance (G.107 §7.4, BurstR).
    pub burstiness: f64,
    /// From mouth to ear.
    pub delay: Duration,
}

/// The transmission rating R, 0 to 93.2.
pub fn rating(conditions: &Conditions) -> f64 {
    (BEST - delay_impairment(conditions.delay) - equipment_impairment(conditions)).max(0.0)
}

/// The mean opinion score of a rating, 1.0 to 4.5 (G.107 annex B).
pub fn mos(rating: f64) -> f64 {
    match rating {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

/// Idd of G.107 §7.3: what absolute delay costs a conversation without echo; nothing up to 100 ms.
fn delay_impairment(delay: Duration) -> f64 {
    let ms = delay.as_secs_f64() * 1e3;
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// Ie,eff of G.107 §7.4.
fn equipment_impairment(conditions: &Conditions) -> f64 {
    // G.113 appendix I for G.711 with concealment. The ITU-T gives no values for Opus; these are ours:
    // a clean codec, and one whose in-band FEC stands single losses about as well as G.711's concealment.
    let (equipment, robustness) = match conditions.codec {
        Codec::Opus => (2.0, 25.0),
        _ => (0.0, 25.1),
    };
    let percent = 100.0 * conditions.loss.clamp(0.0, 1.0);
    let burstiness = conditions.burstiness.max(1.0);
    equipment + (95.0 - equipment) * percent / (percent / burstiness + robustness)
}

/// Packets received in a row after which a loss belongs to no burst (RFC 3611 §4.7.2).
pub const GMIN: u64 = 16;

/// Losses told apart as bursts and gaps (RFC 3611 §4.7.2), in constant space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bursts {
    received: u64,
    lost: u64,
    /// Runs of packets lost in a row.
    runs: u64,
    /// Received since the last loss.
    since: u64,
    /// The burst that may not be over: packets, of which lost.
    open: (u64, u64),
    /// Bursts that are over: how many, packets, of which lost.
    over: (u64, u64, u64),
}

/// Density and mean length of bursts and gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BurstFigures {
    /// Share lost within bursts.
    pub burst_density: f64,
    /// Share lost between them.
    pub gap_density: f64,
    /// Mean packets of a burst.
    pub burst_packets: f64,
    /// Mean packets of a gap.
    pub gap_packets: f64,
    /// BurstR of G.107: 1.0 where losses fall by chance.
    pub burstiness: f64,
}

impl Bursts {
    /// A packet came in its turn.
    pub fn received(&mut self) {
        self.received += 1;
        self.since += 1;
    }

    /// So many in a row were given up.
    pub fn lost(&mut self, packets: u64) {
        if packets == 0 {
            return;
        }
        self.lost += packets;
        self.runs += 1;
        if self.since >= GMIN || self.open.0 == 0 {
            self.close();
            self.open = (packets, packets);
        } else {
            self.open = (self.open.0 + self.since + packets, self.open.1 + packets);
        }
        self.since = 0;
    }

    fn close(&mut self) {
        // A loss alone is part of a gap.
        if self.open.1 > 1 {
            let (bursts, packets, lost) = self.over;
            self.over = (bursts + 1, packets + self.open.0, lost + self.open.1);
        }
        self.open = (0, 0);
    }

    /// Everything so far.
    pub fn figures(&self) -> BurstFigures {
        let mut ended = *self;
        ended.close();
        let (bursts, packets, lost) = ended.over;
        let all = self.received + self.lost;
        let share = |part: u64, of: u64| {
            if of == 0 {
                0.0
            } else {
                part as f64 / of as f64
            }
        };
        let loss = share(self.lost, all);
        // The mean run of losses over the one chance would make, 1 / (1 - loss).
        let run = share(self.lost, self.runs);
        BurstFigures {
            burst_density: share(lost, packets),
            gap_density: share(self.lost - lost, all - packets),
            burst_packets: share(packets, bursts),
            gap_packets: share(all - packets, bursts + 1),
            burstiness: (run * (1.0 - loss)).max(1.0),
        }
    }
}

/// How far a source's clock is from ours, measured by its quickest packets: those that waited nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    first: Option<Quickest>,
    window: Option<Quickest>,
    last: Option<Quickest>,
}

/// The quickest packet of a window, and when the window began; in ticks of the source's clock.
#[derive(Clone, Copy, Debug)]
struct Quickest {
    began: i64,
    at: i64,
    transit: i64,
}

impl Drift {
    /// A packet with `transit` (arrival less timestamp) came `at` this time, both in ticks of a clock of
    /// `rate` per second.
    pub fn heard(&mut self, rate: u32, at: i64, transit: i64) {
        let rate = i64::from(rate);
        let one = Quickest {
            began: at,
            at,
            transit,
        };
        match &mut self.window {
            Some(window) if (transit - window.transit).abs() > rate / 2 => {
                // The source laid its timestamps anew: what was measured is over.
                *self = Self {
                    window: Some(one),
                    ..Self::default()
                };
            }
            Some(window) if at - window.began >= 5 * rate => {
                self.last = Some(*window);
                self.first = self.first.or(self.last);
                self.window = Some(one);
            }
            Some(window) if transit < window.transit => {
                (window.at, window.transit) = (at, transit);
            }
            Some(_) => {}
            slot => *slot = Some(one),
        }
    }

    /// Parts per million by which the source's clock is faster than ours; `None` before 20 s of audio.
    pub fn ppm(&self, rate: u32) -> Option<f32> {
        let (first, last) = (self.first?, self.last?);
        let span = last.at - first.at;
        (span >= 15 * i64::from(rate))
            .then(|| ((first.transit - last.transit) as f64 * 1e6 / span as f64) as f32)
    }
}

/// The metrics of one source as its receiver has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoipMetrics {
    /// The source.
    pub ssrc: u32,
    /// Share of packets that never came.
    pub loss: f64,
    /// Share of packets that came too late to be played.
    pub discarded: f64,
    /// Bursts and gaps.
    pub bursts: BurstFigures,
    /// Length of a packet.
    pub packet: Duration,
    /// Round trip, zero if unknown.
    pub round_trip: Duration,
    /// What the receiver adds between its two sides.
    pub end_system: Duration,
    /// R.
    pub rating: f64,
    /// MOS of listening: without the delay.
    pub mos_listening: f64,
    /// MOS of conversing: with it.
    pub mos_conversing: f64,
}

/// Octets of a report block of VoIP metrics.
pub const VOIP_BLOCK: usize = 36;

impl VoipMetrics {
    /// The report block (RFC 3611 §4.7): block type 7. Level, noise and echo are not known here (127);
    /// there is no jitter buffer.
    pub fn to_block(&self) -> [u8; VOIP_BLOCK] {
        let share = |share: f64| (share.clamp(0.0, 1.0) * 256.0).min(255.0) as u8;
        let ms = |time: Duration| (time.as_millis().min(65_535) as u16).to_be_bytes();
        let lasting = |packets: f64| ms(self.packet.mul_f64(packets.clamp(0.0, 1e6)));
        let score = |mos: f64| (mos * 10.0).round().clamp(10.0, 50.0) as u8;
        let mut block = [0; VOIP_BLOCK];
        block[..4].copy_from_slice(&[7, 0, 0, 8]);
        block[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        block[8] = share(self.loss);
        block[9] = share(self.discarded);
        block[10] = share(self.bursts.burst_density);
        block[11] = share(self.bursts.gap_density);
        block[12..14].copy_from_slice(&lasting(self.bursts.burst_packets));
        block[14..16].copy_from_slice(&lasting(self.bursts.gap_packets));
        block[16..18].copy_from_slice(&ms(self.round_trip));
        block[18..20].copy_from_slice(&ms(self.end_system));
        block[20..23].fill(127);
        block[23] = GMIN as u8;
        block[24] = self.rating.round().clamp(0.0, 100.0) as u8;
        block[25] = 127;
        block[26] = score(self.mos_listening);
        block[27] = score(self.mos_conversing);
        // Concealment: enhanced; jitter buffer: not adaptive, of no length (RFC 3611 §4.7.6, §4.7.7).
        block[28] = 0b1110_0000;
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, by: f64) {
        assert!((a - b).abs() <= by, "{a} is not {b}");
    }

    /// The examples of G.107 annex B.
    #[test]
    fn ratings_become_scores_as_g_107_has_them() {
        for (r, expected) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (100.0, 4.5),
        ] {
            near(mos(r), expected, 0.01);
        }
    }

    #[test]
    fn loss_and_delay_cost_what_the_model_says() {
        let of = |codec, percent: f64, ms| {
            rating(&Conditions {
                codec,
                loss: percent / 100.0,
                burstiness: 1.0,
                delay: Duration::from_millis(ms),
            })
        };
        // By hand from the formulae: codec, loss in percent, delay in ms, R.
        for (codec, percent, ms, expected) in [
            (Codec::Pcma, 0.0, 0, 93.2),
            (Codec::Pcma, 0.0, 100, 93.2),
            (Codec::Pcma, 1.0, 50, 93.2 - 95.0 / 26.1),
            (Codec::Pcmu, 5.0, 50, 93.2 - 475.0 / 30.1),
            (Codec::Pcma, 10.0, 50, 93.2 - 950.0 / 35.1),
            (Codec::Opus, 0.0, 50, 91.2),
            (Codec::Opus, 5.0, 50, 91.2 - 93.0 * 5.0 / 30.0),
            // X = 1: 25 (2^(1/6) - 3 (1 + 3^-6)^(1/6) + 2)
            (Codec::Pcma, 0.0, 200, 93.2 - 3.044),
            // X = 2: 25 (65^(1/6) - 3 (1 + (2/3)^6)^(1/6) + 2)
            (Codec::Pcma, 0.0, 400, 93.2 - 24.087),
        ] {
            near(of(codec, percent, ms), expected, 0.02);
        }
        near(of(Codec::Pcma, 100.0, 5_000), 0.0, 0.0);
        let bursty = Conditions {
            codec: Codec::Pcma,
            loss: 0.05,
            burstiness: 3.0,
            delay: Duration::ZERO,
        };
        assert!(
            rating(&bursty) < of(Codec::Pcma, 5.0, 0),
            "bursts sound worse"
        );
    }

    #[test]
    fn losses_close_together_are_a_burst_and_one_alone_is_not() {
        let mut bursts = Bursts::default();
        let run = |bursts: &mut Bursts, n| (0..n).for_each(|_| bursts.received());
        run(&mut bursts, 100);
        bursts.lost(1); // alone
        run(&mut bursts, 100);
        bursts.lost(2);
        run(&mut bursts, 6);
        bursts.lost(2); // a burst of ten with four lost
        run(&mut bursts, 100);
        let figures = bursts.figures();
        near(figures.burst_density, 0.4, 1e-9);
        near(figures.burst_packets, 10.0, 1e-9);
        near(figures.gap_density, 1.0 / 301.0, 1e-9);
        near(figures.gap_packets, 150.5, 1e-9);
        near(figures.burstiness, 5.0 / 3.0 * (1.0 - 5.0 / 311.0), 1e-9);
        assert_eq!(Bursts::default().figures().burstiness, 1.0);
    }

    #[test]
    fn a_clock_that_is_fast_by_100_ppm_is_found_through_jitter() {
        for ppm in [-80i64, 0, 100] {
            let mut drift = Drift::default();
            for n in 0..3_000i64 {
                // 20 ms of a fast clock pass in a little less than 20 ms of ours.
                let due = n * 160 - n * 160 * ppm / 1_000_000;
                let at = due + [0, 40, 7, 90, 21][n as usize % 5];
                drift.heard(8_000, at, at - n * 160);
                if n < 700 {
                    assert!(n > 600 || drift.ppm(8_000).is_none());
                }
            }
            let found = drift.ppm(8_000).unwrap();
            assert!((found - ppm as f32).abs() < 5.0, "{found} for {ppm}");
        }
    }

    #[test]
    fn timestamps_laid_anew_are_no_drift() {
        let mut drift = Drift::default();
        for n in 0..4_000i64 {
            let jump = if n < 2_000 { 0 } else { 1_000_000 };
            drift.heard(8_000, n * 160, jump);
        }
        assert_eq!(drift.ppm(8_000), Some(0.0));
    }

    #[test]
    fn the_block_has_the_fields_of_rfc_3611() {
        let block = VoipMetrics {
            ssrc: 0x0102_0304,
            loss: 0.05,
            discarded: 0.0,
            bursts: BurstFigures {
                burst_density: 0.5,
                gap_density: 0.01,
                burst_packets: 10.0,
                gap_packets: 100.0,
                burstiness: 1.0,
            },
            packet: Duration::from_millis(20),
            round_trip: Duration::from_millis(80),
            end_system: Duration::from_millis(20),
            rating: 77.4,
            mos_listening: 4.03,
            mos_conversing: 3.96,
        }
        .to_block();
        assert_eq!(block[..12], [7, 0, 0, 8, 1, 2, 3, 4, 12, 0, 128, 2]);
        assert_eq!(block[12..20], [0, 200, 0x07, 0xd0, 0, 80, 0, 20]);
        assert_eq!(block[20..28], [127, 127, 127, 16, 77, 127, 40, 40]);
        assert_eq!(block[29..], [0; 7]);
    }
}
