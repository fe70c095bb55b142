#![allow(clippy::disallowed_methods)] // tests need some instant to start from

use super::*;
use proptest::prelude::*;

fn header(ssrc: u32, sequence: u16) -> Header {
    Header {
        marker: false,
        pt: 8,
        sequence,
        timestamp: u32::from(sequence).wrapping_mul(160),
        ssrc,
        payload: 12..172,
    }
}

struct Bench {
    start: Instant,
    n: u32,
    rx: Receiver,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            n: 0,
            rx: Receiver::new(start, Clock(8_000)),
        }
    }

    fn hear(&mut self, ssrc: u32, sequence: u16) -> Order {
        self.n += 1;
        let now = self.start + Duration::from_millis(20) * self.n;
        self.rx.sequence(now, &header(ssrc, sequence), false, true)
    }
}

#[test]
fn packets_in_order_go_on_across_the_wrap() {
    let mut bench = Bench::new();
    assert_eq!(bench.hear(1, 65_533), Order::Restart);
    for sequence in [65_534u16, 65_535, 0, 1, 2] {
        assert_eq!(bench.hear(1, sequence), Order::Next);
    }
    assert_eq!(
        bench.rx.figures(),
        Figures {
            expected: 6,
            received: 6,
            ..Figures::default()
        }
    );
}

#[test]
fn a_hole_is_seen_and_filled_by_the_late_packet() {
    let mut bench = Bench::new();
    bench.hear(1, 10);
    assert_eq!(bench.hear(1, 12), Order::Ahead);
    assert_eq!(bench.hear(1, 11), Order::Next);
    let index = bench.rx.index(&header(1, 12));
    assert!(bench.rx.expects(index));
    assert_eq!(bench.rx.advance(index), 0);
    assert_eq!(bench.hear(1, 12), Order::Drop);
    let figures = bench.rx.figures();
    assert_eq!(
        (figures.lost(), figures.reordered, figures.duplicates),
        (0, 1, 1)
    );
}

#[test]
fn one_stray_packet_of_another_source_or_far_ahead_changes_nothing() {
    let mut bench = Bench::new();
    bench.hear(1, 10);
    assert_eq!(bench.hear(2, 500), Order::Drop);
    assert_eq!(bench.hear(1, 11), Order::Next);
    assert_eq!(bench.hear(1, 5_000), Order::Drop);
    assert_eq!(bench.hear(1, 12), Order::Next);
    assert_eq!(bench.rx.figures().lost(), 0);
}

#[test]
fn another_source_is_believed_when_it_goes_on() {
    let mut bench = Bench::new();
    bench.hear(1, 10);
    bench.n -= 1; // the old one is not quiet yet
    assert_eq!(bench.hear(2, 500), Order::Drop);
    assert_eq!(bench.hear(2, 501), Order::Restart);
    assert_eq!(bench.hear(2, 502), Order::Next);
}

#[test]
fn a_source_that_goes_back_is_believed_after_a_while() {
    let mut bench = Bench::new();
    bench.hear(1, 1_000);
    bench.hear(1, 1_060);
    let index = bench.rx.index(&header(1, 1_060));
    bench.rx.advance(index);
    let orders: Vec<_> = (1_001..1_008)
        .map(|sequence| bench.hear(1, sequence))
        .collect();
    assert_eq!(
        orders.iter().filter(|o| **o == Order::Restart).count(),
        1,
        "{orders:?}"
    );
    assert_eq!(orders[6], Order::Next);
}

#[test]
fn jitter_of_steady_packets_is_nothing_and_of_shaken_ones_is_not() {
    let mut bench = Bench::new();
    (0..100).for_each(|sequence| assert_ne!(bench.hear(1, sequence), Order::Drop));
    assert_eq!(bench.rx.jitter(), 0);
    for sequence in 100..400u16 {
        bench.n += 1;
        let shake = Duration::from_millis(if sequence % 2 == 0 { 10 } else { 0 });
        let now = bench.start + Duration::from_millis(20) * bench.n + shake;
        bench.rx.sequence(now, &header(1, sequence), false, true);
    }
    let jitter = bench.rx.jitter_time().as_millis();
    assert!((8..=10).contains(&jitter), "{jitter} ms");
}

#[test]
fn fraction_lost_is_of_the_last_interval() {
    let mut bench = Bench::new();
    for sequence in (0..100).filter(|s| s % 4 != 3) {
        bench.hear(1, sequence);
    }
    let block = bench.rx.block().unwrap();
    assert!((60..=64).contains(&block.fraction_lost), "{block:?}");
    (100..200).for_each(|sequence| assert_ne!(bench.hear(1, sequence), Order::Drop));
    assert!(bench.rx.block().unwrap().fraction_lost < 4);
}

proptest! {
    /// Shuffled, doubled and thinned packets across the wrap, against a set that remembers everything.
    #[test]
    fn every_packet_is_counted_once(steps in proptest::collection::vec((0u64..6, 0u64..4), 1..300)) {
        let mut bench = Bench::new();
        let mut heard = std::collections::BTreeSet::new();
        let mut at = 65_400u64;
        let mut duplicates = 0;
        for (skip, back) in steps {
            at += skip;
            bench.hear(1, (at - back) as u16);
            duplicates += u64::from(!heard.insert(at - back));
        }
        let figures = bench.rx.figures();
        prop_assert_eq!(figures.received, heard.len() as u64);
        prop_assert_eq!(figures.duplicates, duplicates);
    }
}
