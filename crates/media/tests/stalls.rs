//! A far side that stalls, and then sends all it owes at once: a throttled thread, a telephone on Wi-Fi, a PBX in a virtual
//! machine. Whoever listens is to hear all of it, as if nobody stood between.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

#[path = "stalls/ear.rs"]
mod ear;
#[path = "stalls/speech.rs"]
mod speech;
mod support;

use ear::listen;
use sdp::plan::{Proof, Smoothing};
use sdp::{Codec, Direction, Side};
use speech::{Came, SYMBOLS, Speech, say};
use support::*;

fn call(user: Codec, desk: Codec) -> Call {
    let mut call = Call::new([secured(plan(Side::A, user)), plan(Side::B, desk)]);
    for side in Side::BOTH {
        call.peer(side).talking = false;
    }
    call
}

/// How much of what was said never came.
fn lost(came: &[Came], speech: &Speech) -> u64 {
    let said = (0..speech.packets)
        .filter(|n| !speech.pauses_at(*n))
        .count() as u64;
    said - came.iter().map(|one| one.numbers.len() as u64).sum::<u64>()
}

/// By how much more the line went on than the clock, from the first word to the last, in ms.
fn lead(came: &[Came]) -> i64 {
    let mut words = came.iter().filter(|one| !one.numbers.is_empty());
    let (Some(first), Some(last)) = (words.next(), words.next_back()) else {
        return 0;
    };
    (last.place - first.place) as i64 - (last.at - first.at) as i64
}

/// Filler before the last word.
fn filler(came: &[Came]) -> u64 {
    let last = came.iter().rposition(|one| !one.numbers.is_empty());
    let before = came[..last.unwrap_or(0)].iter();
    before.filter(|one| one.numbers.is_empty()).count() as u64
}

/// How long a side stalls in these scenes, in ms.
const STALLS: [u64; 5] = [30, 50, 80, 150, 300];
const PASSED: [(Codec, Codec); 2] = [(Codec::Opus, Codec::Opus), (Codec::Pcma, Codec::Pcma)];
const CODED: [(Codec, Codec); 2] = [(Codec::Opus, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)];

/// Nothing is missing, the line is whole, and nobody calls it lost or late.
fn is_whole(call: &Call, from: Side, came: &[Came], speech: &Speech, what: &str) {
    assert_eq!(lost(came, speech), 0, "{what}");
    call.peers[(!from).index()].assert_one_line();
    let report = &call.session.report(call.now).legs[from.index()];
    assert_eq!((report.lost, report.late), (0, 0), "{what}");
}

#[test]
fn who_stalls_once_a_second_is_heard_as_behind_a_bare_forwarder() {
    for (user, desk) in PASSED {
        for from in Side::BOTH {
            for stall in STALLS {
                let what = format!("{user:?} from {from:?}, {stall} ms");
                let mut call = call(user, desk);
                let speech = Speech::of(10, stall);
                let came = say(&mut call, from, &speech);
                let (ear, alone) = (listen(&came), listen(&speech.forwarded()));
                println!(
                    "{what}: {} filled, {} ms ahead; nothing to play for {} ms, forwarded {}; delay {}, forwarded {}",
                    filler(&came),
                    lead(&came),
                    ear.waited,
                    alone.waited,
                    ear.delay,
                    alone.delay
                );
                is_whole(&call, from, &came, &speech, &what);
                // Only the first stall finds us unprepared.
                assert!(filler(&came) <= stall / 20 + 1, "{what}: {}", filler(&came));
                assert!(
                    ear.waited <= alone.waited + 20 && ear.delay <= alone.delay + 20,
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn who_stalls_is_transcoded_without_a_loss_and_the_delay_is_gone_some_seconds_later() {
    for (user, desk) in CODED {
        for from in Side::BOTH {
            for stall in STALLS {
                let what = format!("{user:?} {desk:?} from {from:?}, {stall} ms");
                let mut call = call(user, desk);
                let speech = Speech::of(10, stall);
                let came = say(&mut call, from, &speech);
                let (ear, alone) = (listen(&came), listen(&speech.forwarded()));
                println!(
                    "{what}: {} ms ahead; nothing to play for {} ms, forwarded {}; delay {}, forwarded {}",
                    lead(&came),
                    ear.waited,
                    alone.waited,
                    ear.delay,
                    alone.delay
                );
                is_whole(&call, from, &came, &speech, &what);
                assert!(lead(&came).abs() <= 20, "{what}: {}", lead(&came));
                assert!(ear.delay <= alone.delay + 20, "{what}: {} ms", ear.delay);
                assert!(
                    ear.waited <= alone.waited + 100,
                    "{what}: {} ms",
                    ear.waited
                );
            }
        }
    }
}

#[test]
fn a_stall_among_the_first_words_or_of_the_first_word_costs_none() {
    for (user, desk) in PASSED.into_iter().chain(CODED) {
        for from in Side::BOTH {
            for stall in [(1, 150), (19, 300), (39, 80), (199, 300)] {
                let what = format!("{user:?} {desk:?} from {from:?}, {stall:?}");
                let mut call = call(user, desk);
                let speech = Speech {
                    packets: 200,
                    stalls: vec![stall],
                    pauses: Vec::new(),
                };
                let came = say(&mut call, from, &speech);
                is_whole(&call, from, &came, &speech, &what);
            }
        }
    }
}

#[test]
fn a_stall_just_after_a_hold_costs_no_word() {
    for (user, desk) in PASSED.into_iter().chain(CODED) {
        for stall in [(19, 150), (99, 300)] {
            let what = format!("{user:?} {desk:?}, {stall:?}");
            let mut call = call(user, desk);
            let speech = |stall| Speech {
                packets: 150,
                stalls: vec![stall],
                pauses: Vec::new(),
            };
            let before = speech((1_019, 80));
            let came = say(&mut call, Side::B, &before);
            is_whole(&call, Side::B, &came, &before, &what);
            let talking = plan(Side::B, desk).agreed;
            let mut hold = talking.clone();
            hold.direction = Direction::SendOnly;
            call.session
                .update(call.now, Side::B, hold, &mut call.out)
                .unwrap();
            call.run(ms(3_000));
            call.session
                .update(call.now, Side::B, talking, &mut call.out)
                .unwrap();
            call.drain();
            let after = speech(stall);
            let came = say(&mut call, Side::B, &after);
            is_whole(&call, Side::B, &came, &after, &what);
        }
    }
}

#[test]
fn a_stall_while_held_audio_is_played_or_just_after_costs_no_word() {
    for (user, desk) in PASSED.into_iter().chain(CODED) {
        for stall in [(219, 150), (419, 300), (1_519, 150), (2_019, 300)] {
            let what = format!("{user:?} {desk:?}, {stall:?}");
            let mut carrier = secured(plan(Side::A, user));
            carrier.proof = Some(Proof::Heard);
            let mut call = Call::new([carrier, plan(Side::B, desk)]);
            call.peer(Side::B).talking = false;
            call.peer(Side::A).next = call.now + ms(250);
            let speech = Speech {
                packets: 250,
                stalls: vec![stall],
                pauses: vec![(30, 54), (70, 94), (150, 174)],
            };
            let came = say(&mut call, Side::B, &speech);
            is_whole(&call, Side::B, &came, &speech, &what);
            let held = call.session.report(call.now).legs[0].held;
            assert!(held >= ms(200), "{what}: {held:?}");
        }
    }
}

#[test]
fn of_a_stall_of_two_seconds_the_oldest_is_late_and_not_lost() {
    for (user, desk) in PASSED.into_iter().chain(CODED) {
        let mut call = call(user, desk);
        let speech = Speech {
            packets: 400,
            stalls: vec![(2_019, 2_000)],
            pauses: Vec::new(),
        };
        let came = say(&mut call, Side::B, &speech);
        call.peers[0].assert_one_line();
        let report = &call.session.report(call.now).legs[1];
        let gone = lost(&came, &speech);
        println!(
            "{user:?} {desk:?}: {gone} gone of 101, {} ms ahead",
            lead(&came)
        );
        assert!((40..=65).contains(&gone), "{user:?} {desk:?}: {gone}");
        // In symbols that repeat every 240 ms it is not told whether one more round is gone.
        assert!(report.late.abs_diff(gone) % SYMBOLS <= 1, "{report:?}");
        assert_eq!(report.lost, 0, "{user:?} {desk:?}");
        assert!(lead(&came) <= 1_020, "{user:?} {desk:?}");
    }
}

/// The longest time the user got nothing between these moments, in ms.
fn longest_gap(came: &[Came], from: u64, to: u64) -> u64 {
    let all: Vec<_> = came
        .iter()
        .filter(|one| (from..to).contains(&one.at))
        .collect();
    all.windows(2)
        .map(|two| two[1].at - two[0].at)
        .max()
        .unwrap_or(0)
}

#[test]
fn a_desk_that_stalled_and_then_pauses_is_filled_for_soon_and_later_at_once_again() {
    for (user, desk) in PASSED.into_iter().chain(CODED) {
        let mut call = call(user, desk);
        // A pause without packets is a stall after which nothing of it is owed.
        let pause = |call: &mut Call, stalls: Vec<(u64, u64)>, packets| {
            let speech = Speech {
                packets,
                stalls,
                pauses: Vec::new(),
            };
            let came = say(call, Side::B, &speech);
            is_whole(call, Side::B, &came, &speech, &format!("{user:?} {desk:?}"));
            let over = 20 * packets;
            call.peer(Side::B).timestamp += 700 * call.peers[1].codec.clock() / 1_000;
            longest_gap(&came, over - 100, over + 600)
        };
        let steady = pause(&mut call, Vec::new(), 100);
        assert!(steady <= 81, "{user:?} {desk:?}: {steady} ms");
        let stalled = pause(&mut call, vec![(519, 150)], 100);
        assert!(
            (160..=200).contains(&stalled),
            "{user:?} {desk:?}: {stalled} ms"
        );
        let long_ago = pause(&mut call, Vec::new(), 1_600);
        assert!(long_ago <= 200, "{user:?} {desk:?}: {long_ago} ms");
        let again = pause(&mut call, Vec::new(), 100);
        assert!(again <= 81, "{user:?} {desk:?}: {again} ms");
    }
}

#[test]
fn a_desk_that_says_it_pauses_is_not_waited_for_though_it_stalled() {
    let mut call = call(Codec::Opus, Codec::Pcma);
    let speech = Speech {
        packets: 100,
        stalls: vec![(519, 300)],
        pauses: Vec::new(),
    };
    say(&mut call, Side::B, &speech);
    let before = call.peers[0].received.len();
    for _ in 0..5 {
        let packet = call.peer(Side::B).say();
        call.send(Side::B, packet);
        call.run(ms(20));
    }
    let timestamp = call.peers[1].timestamp;
    let noise = call.peer(Side::B).packet(13, false, timestamp, &[0x40]);
    call.send(Side::B, noise);
    call.run(ms(500));
    let heard = &call.peers[0].received[before..];
    let longest = heard.windows(2).map(|two| two[1].at - two[0].at).max();
    assert!(longest.unwrap() <= ms(101), "{longest:?}");
}

#[test]
fn a_pause_of_the_desk_takes_back_what_a_stall_had_cost() {
    for (user, desk) in PASSED {
        let mut call = call(user, desk);
        let speech = |stalls| Speech {
            packets: 50,
            stalls,
            pauses: Vec::new(),
        };
        let first = say(&mut call, Side::B, &speech(vec![(519, 300)]));
        assert!(lead(&first) >= 160, "{user:?} {desk:?}: the trial is none");
        let ahead = lead(&first);
        // It samples on while it says nothing: 700 ms of which have passed already.
        let clock = call.peers[1].codec.clock() / 1_000;
        call.peer(Side::B).timestamp += 700 * clock;
        let place = first
            .iter()
            .rev()
            .find(|one| !one.numbers.is_empty())
            .unwrap();
        let (place, at) = (place.place, place.at);
        let began = call.now;
        let second = say(&mut call, Side::B, &speech(Vec::new()));
        let word = second.iter().find(|one| !one.numbers.is_empty()).unwrap();
        let passed = word.at + (began - call.start).as_millis() as u64 - at;
        let ahead_now = ahead + (word.place - place) as i64 - passed as i64;
        println!("{user:?} {desk:?}: {ahead} ms ahead before the pause, {ahead_now} after it");
        assert!(ahead_now <= 41, "{user:?} {desk:?}: {ahead_now}");
    }
}

#[test]
fn a_desk_without_a_jitter_buffer_is_told_late_what_ours_could_not_wait_for() {
    for user in [Codec::Opus, Codec::Pcma] {
        let mut desk = plan(Side::B, Codec::Pcma);
        desk.care.smoothing = Some(Smoothing {
            least: 20,
            most: 200,
        });
        let mut call = Call::new([secured(plan(Side::A, user)), desk]);
        call.peer(Side::B).talking = false;
        let speech = Speech::of(10, 150);
        let came = say(&mut call, Side::A, &speech);
        let report = &call.session.report(call.now).legs[0];
        println!(
            "{user:?}: {} gone, {} late",
            lost(&came, &speech),
            report.late
        );
        assert_eq!(report.lost, 0, "late is not lost");
        assert!(lost(&came, &speech) <= report.late, "{report:?}");
        assert!(report.late <= 20, "found out soon: {}", report.late);
    }
}
