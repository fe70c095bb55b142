#![allow(clippy::disallowed_methods)] // tests need some instant to start from

use super::stalls::LONGEST_WAIT;
use super::*;
use proptest::prelude::*;

const FRAME: i64 = 160;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn tx() -> (Transmitter, Instant) {
    (
        Transmitter::new(1, Clock(8_000), 40_000, 1_000),
        Instant::now(),
    )
}

#[test]
fn the_first_sequence_number_is_below_2_15() {
    let (mut tx, _) = tx();
    let mut header = [0; HEADER];
    tx.header(8, 0, false, &mut header);
    assert_eq!(Header::parse(&header).unwrap().sequence, 40_000 & 0x7fff);
}

#[test]
fn another_source_goes_on_where_the_first_left() {
    let (mut tx, start) = tx();
    for n in 0..5 {
        assert_eq!(
            tx.place(start + ms(20 * n), 7_777 + FRAME * n as i64, FRAME),
            Some(1_000 + FRAME * n as i64)
        );
    }
    tx.forget_source();
    assert_eq!(
        tx.place(start + ms(100), 99, FRAME),
        Some(1_000 + FRAME * 5)
    );
    assert_eq!(
        tx.place(start + ms(120), 99 + FRAME, FRAME),
        Some(1_000 + FRAME * 6)
    );
}

#[test]
fn a_pause_of_the_source_is_a_pause_on_our_line_and_begins_a_talkspurt() {
    let (mut tx, start) = tx();
    tx.place(start, 0, FRAME);
    assert!(tx.begins());
    tx.place(start + ms(20), FRAME, FRAME);
    assert!(!tx.begins());
    assert_eq!(
        tx.place(start + ms(1_020), FRAME * 51, FRAME),
        Some(1_000 + FRAME * 51)
    );
    assert!(tx.begins());
}

#[test]
fn filler_and_audio_share_one_contiguous_line() {
    let (mut tx, start) = tx();
    let (mut expected, mut source) = (1_000, 0);
    let mut now = start;
    for round in 0..50u64 {
        for _ in 0..25 {
            assert_eq!(tx.place(now, source, FRAME), Some(expected));
            (expected, source) = (expected + FRAME, source + FRAME);
            now += ms(20);
        }
        // The source pauses for a second and a bit; filler sets in and stays on time.
        let resume = now + ms(1_000) + Duration::from_micros(1_370 * round);
        loop {
            let due = tx.fill_at(now, FRAME, ms(60)).max(now);
            if due >= resume {
                break;
            }
            now = due;
            assert_eq!(tx.fill(now, FRAME), expected);
            expected += FRAME;
        }
        source += Clock(8_000).ticks(resume - now.min(resume)) + 8_000;
        now = resume;
        tx.forget_source();
        let lead = expected - 1_000 - Clock(8_000).ticks(now - start);
        assert!(
            (-FRAME..=FRAME + 64).contains(&lead),
            "{lead} ticks off the wall clock in round {round}"
        );
    }
}

/// A source that speaks for 200 ms, stalls until `until` ms and then sends what it owes; filler sets in meanwhile.
fn stalled(tx: &mut Transmitter, start: Instant, until: u64) -> Vec<Option<i64>> {
    for n in 0..10 {
        tx.place(start + ms(20 * n), FRAME * n as i64, FRAME);
    }
    let end = start + ms(until);
    let mut now = start + ms(180);
    loop {
        now = tx.fill_at(now, FRAME, tx.wait().max(ms(60))).max(now);
        if now >= end {
            break;
        }
        tx.fill(now, FRAME);
    }
    let owed = 10..=until as i64 / 20;
    owed.map(|n| tx.place(end, FRAME * n, FRAME)).collect()
}

#[test]
fn a_burst_after_a_stall_goes_behind_the_filler_and_is_owed() {
    let (mut tx, start) = tx();
    let placed = stalled(&mut tx, start, 400);
    assert!(placed.iter().all(Option::is_some));
    assert!(placed.windows(2).all(|w| w[1] == w[0].map(|at| at + FRAME)));
    // 160 ms of filler: at 240, and every 10 ms until it was where the clock is.
    assert_eq!(placed[0], Some(1_000 + FRAME * 20), "{}", tx.owed());
    assert_eq!(tx.owed(), FRAME * 10);
    assert!((FRAME * 9..=FRAME * 11).contains(&tx.surplus(start + ms(400))));
    assert_eq!(tx.wait(), ms(240), "as long as it was quiet, and a margin");
    // A pause that the source counts makes up for it.
    tx.fill(start + ms(620), FRAME);
    tx.place(start + ms(800), FRAME * 40, FRAME);
    assert_eq!(tx.owed(), 0);
    assert!(tx.surplus(start + ms(800)) <= 2 * FRAME);
}

#[test]
fn a_source_that_begins_with_a_burst_owes_what_came_with_its_first() {
    let (mut tx, start) = tx();
    tx.fill(start, FRAME);
    for n in 0..8 {
        tx.place(
            start + Duration::from_micros(100 * n),
            FRAME * n as i64,
            FRAME,
        );
    }
    assert!(
        (FRAME * 7..=FRAME * 8).contains(&tx.owed()),
        "{}",
        tx.owed()
    );
    // The same at its pace owes nothing.
    tx.forget_source();
    let begun = start + ms(160);
    tx.repaid(tx.owed());
    for n in 0..8 {
        tx.place(begun + ms(20 * n), FRAME * n as i64, FRAME);
    }
    assert_eq!(tx.owed(), 0);
}

#[test]
fn what_is_later_than_a_second_has_missed_its_time_and_the_rest_has_not() {
    let (mut tx, start) = tx();
    let placed = stalled(&mut tx, start, 2_000);
    let missed = placed.iter().take_while(|place| place.is_none()).count();
    assert!((40..=42).contains(&missed), "{missed} of {}", placed.len());
    assert!(placed[missed..].iter().all(Option::is_some));
}

#[test]
fn who_does_not_count_its_pauses_is_not_taken_for_one_that_stalls() {
    let (mut tx, start) = tx();
    tx.place(start, 0, FRAME);
    for n in 1..20 {
        let at = start + ms(700 * n);
        tx.fill(at - ms(100), FRAME);
        tx.place(at, FRAME * (2 * n as i64 - 1), FRAME);
        tx.place(at + ms(20), FRAME * (2 * n as i64), FRAME);
    }
    assert_eq!(tx.wait(), Duration::ZERO);
}

#[test]
fn a_source_that_stalled_is_waited_for_until_it_has_not_for_a_while() {
    let (mut tx, start) = tx();
    stalled(&mut tx, start, 400);
    let at = |n: i64| start + ms(20 * n as u64);
    for n in 21..1_600 {
        tx.place(at(n), FRAME * n, FRAME);
    }
    assert_eq!(tx.wait(), ms(240), "31 seconds without a pause");
    tx.fill(at(1_615), FRAME);
    assert_eq!(tx.wait(), Duration::ZERO);
    stalled(&mut tx, at(1_620), 5_000);
    assert_eq!(tx.wait(), LONGEST_WAIT);
    tx.forget_source();
    assert_eq!(tx.wait(), Duration::ZERO, "somebody else speaks");
}

#[test]
fn a_source_whose_clock_jumps_is_followed_without_a_jump_of_ours() {
    let (mut tx, start) = tx();
    tx.place(start, 0, FRAME);
    assert_eq!(
        tx.place(start + ms(20), 1_000_000, FRAME),
        Some(1_000 + FRAME)
    );
    assert_eq!(
        tx.place(start + ms(40), 1_000_000 + FRAME, FRAME),
        Some(1_000 + 2 * FRAME)
    );
    // Far back: a source that begins anew, followed at once.
    assert_eq!(
        tx.place(start + ms(60), 500, FRAME),
        Some(1_000 + 3 * FRAME)
    );
    // A little back: perhaps only late, followed when it stays so.
    let mut back = None;
    for n in 0..20 {
        let position = 500 - 50 * FRAME + FRAME * n as i64;
        back = back.or(tx.place(start + ms(80 + 20 * n), position, FRAME));
    }
    assert!(
        back.is_some_and(|place| place <= 1_000 + 13 * FRAME),
        "{back:?}"
    );
}

#[test]
fn an_event_takes_its_time_on_the_line_of_audio() {
    let (mut tx, start) = tx();
    tx.place(start, 0, FRAME);
    let begin = tx.event(start + ms(20), FRAME);
    assert_eq!(begin, 1_000 + FRAME);
    tx.event_over(start + ms(120), begin + 800, FRAME);
    assert_eq!(tx.place(start + ms(120), 5_555, FRAME), Some(begin + 800));
}

#[test]
fn whatever_the_wall_clock_says_the_line_stays_on_the_grid_of_its_frames() {
    let (mut tx, start) = tx();
    let mut now = start;
    for round in 0..50u64 {
        now += ms(7 + 31 * round);
        let begin = tx.event(now, FRAME);
        assert_eq!((begin - 1_000) % FRAME, 0, "event {round}");
        now += ms(90);
        tx.event_over(now, begin + 720, FRAME);
        now += ms(3 * round);
        let place = tx.place(now, 5_555 * round as i64, FRAME);
        assert_eq!(
            place.map(|place| (place - 1_000) % FRAME),
            Some(0),
            "audio {round}"
        );
        tx.forget_source();
        now += ms(401);
        assert_eq!((tx.fill(now, FRAME) - 1_000) % FRAME, 0, "filler {round}");
    }
}

proptest! {
    /// Whatever source and filler do, our line never goes back and never overlaps.
    #[test]
    fn the_line_never_goes_back(steps in proptest::collection::vec((0u64..400, any::<i32>(), 0u8..8), 1..200)) {
        let (mut tx, mut now) = tx();
        let mut end = i64::MIN;
        let mut source = 0i64;
        for (wait, jump, what) in steps {
            now += ms(wait);
            let place = match what {
                0 => { tx.forget_source(); None }
                1 => Some(tx.fill(now, FRAME)),
                2 => { source += i64::from(jump); tx.place(now, source, FRAME) }
                3 => { let at = tx.event(now, FRAME); tx.event_over(now, at + FRAME, FRAME); Some(at) }
                4 => { source -= i64::from(jump % 2_000); tx.place(now, source, FRAME) }
                _ => { source += FRAME; tx.place(now, source, FRAME) }
            };
            if let Some(place) = place {
                prop_assert!(place >= end, "{place} after {end}");
                end = place + FRAME;
            }
        }
    }
}
