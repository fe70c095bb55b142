//! A desk without a jitter buffer hears evenly what comes unevenly from the user.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::{Duration, Instant};

use media::tone::Tone;
use sdp::plan::Smoothing;
use sdp::{Codec, Side};
use support::*;

/// Chance that repeats (an xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A call whose desk wants smooth packets, if `bounds` are given.
fn call(user: Codec, desk: Codec, bounds: Option<(u16, u16)>) -> Call {
    let mut plans = [secured(plan(Side::A, user)), plan(Side::B, desk)];
    plans[1].care.smoothing = bounds.map(|(least, most)| Smoothing { least, most });
    let mut call = Call::new(plans);
    for side in Side::BOTH {
        call.peer(side).talking = false;
    }
    call
}

/// The user speaks for so many packets: 300 ms of tone, 300 ms of silence, in turn, unless he sings.
/// `way`: how many ms each packet takes, `None`: for ever.
fn speaks(call: &mut Call, packets: u64, sings: bool, mut way: impl FnMut(u64) -> Option<u64>) {
    let start = call.now;
    let mut tone = Tone::new(1_000.0, -10.0);
    let mut arrivals = Vec::new();
    for n in 0..packets {
        let mut pcm = [0; 160];
        if sings || n % 30 < 15 {
            tone.fill(&mut pcm);
        }
        let packet = call.peer(Side::A).say_this(&pcm);
        if let Some(way) = way(n) {
            arrivals.push((20 * n + way, packet));
        }
    }
    arrivals.sort_by_key(|arrival| arrival.0);
    for (at, packet) in arrivals {
        let at = start + ms(at);
        if at > call.now {
            call.run(at - call.now);
        }
        call.send(Side::A, packet);
    }
    call.run(ms(600));
    // His clock goes on while he says nothing.
    let silent = (call.now - start).as_millis() as u64 - 20 * packets;
    let user = call.peer(Side::A);
    let ticks = silent as u32 * user.codec.clock() / 1_000;
    user.timestamp = user.timestamp.wrapping_add(ticks);
}

/// What the desk heard from the second second on.
struct Verdict {
    /// Gaps between packets, in ms.
    gaps: Vec<f64>,
    /// From mouth to ear, at each beginning of a tone, in ms.
    delays: Vec<f64>,
}

impl Verdict {
    /// How many gaps are off 20 ms by more than 2, in percent. A pause made longer or shorter is one.
    fn uneven(&self) -> f64 {
        let off = self.gaps.iter().filter(|gap| (**gap - 20.0).abs() > 2.0);
        off.count() as f64 * 100.0 / self.gaps.len() as f64
    }

    fn mean_delay(&self) -> f64 {
        self.delays.iter().sum::<f64>() / self.delays.len() as f64
    }
}

fn verdict(call: &Call, start: Instant) -> Verdict {
    let desk = &call.peers[1];
    let heard: Vec<_> = desk
        .received
        .iter()
        .filter(|heard| heard.header.pt == pt_of(desk.codec) && heard.at > start + ms(1_000))
        .collect();
    let gap = |pair: &[&Heard]| (pair[1].at - pair[0].at).as_secs_f64() * 1e3;
    let gaps = heard.windows(2).map(gap).collect();
    // The louder half of A-law codes is tone; a beginning is one behind four silent ones.
    let loud = |heard: &Heard| {
        let mut pcm = [0; 160];
        media::codec::decode_pcma(&heard.payload, &mut pcm);
        pcm.iter()
            .filter(|sample| sample.unsigned_abs() > 2_000)
            .count()
            > 40
    };
    let delays = heard
        .windows(5)
        .filter(|five| five[..4].iter().all(|one| !loud(one)) && loud(five[4]))
        .map(|five| {
            let at = (five[4].at - start).as_secs_f64() * 1e3;
            at % 600.0
        })
        .collect();
    Verdict { gaps, delays }
}

#[test]
fn without_a_buffer_jitter_passes_and_with_one_it_does_not() {
    for (bounds, user) in [
        (None, Codec::Pcma),
        (Some((20, 200)), Codec::Pcma),
        (Some((20, 200)), Codec::Opus),
    ] {
        let mut call = call(user, Codec::Pcma, bounds);
        let (start, mut dice) = (call.now, Dice(7));
        speaks(&mut call, 1_500, false, |_| Some(30 + dice.below(60)));
        call.peers[1].assert_one_line_or_holes();
        let heard = verdict(&call, start);
        let report = &call.session.report(call.now).legs[0];
        println!(
            "{user:?} {bounds:?}: {:.1} % uneven, mouth to ear {:.0} ms, {} late of 1500",
            heard.uneven(),
            heard.mean_delay(),
            report.late
        );
        if bounds.is_none() {
            assert!(heard.uneven() > 50.0, "the trial is none");
            continue;
        }
        assert!(heard.uneven() < 4.0, "{}", heard.uneven());
        // The quickest take 30 ms; 98 of 100 are within 60 more, which is what is waited.
        let delay = heard.mean_delay();
        assert!((85.0..=125.0).contains(&delay), "{delay}");
        assert!(report.late <= 60, "{}", report.late);
        assert_eq!(report.lost, 0, "late is not lost");
    }
}

#[test]
fn an_even_way_costs_the_least_and_no_packet() {
    for user in [Codec::Pcma, Codec::Opus] {
        let mut call = call(user, Codec::Pcma, Some((40, 200)));
        let start = call.now;
        speaks(&mut call, 500, false, |_| Some(30));
        call.peers[1].assert_one_line();
        let heard = verdict(&call, start);
        assert_eq!(heard.uneven(), 0.0);
        let delay = heard.mean_delay();
        assert!(
            (68.0..=72.0).contains(&delay) || user == Codec::Opus && (68.0..=92.0).contains(&delay),
            "{delay}"
        );
        let report = &call.session.report(call.now).legs[0];
        assert_eq!((report.late, report.lost, report.concealed), (0, 0, ms(0)));
        assert!(call.peers[1].received.len() >= 500);
    }
}

#[test]
fn the_delay_follows_the_jitter_up_and_down_again() {
    let mut call = call(Codec::Pcma, Codec::Pcma, Some((20, 200)));
    let mut means = Vec::new();
    for (spread, seed) in [(5, 1), (100, 2), (5, 3)] {
        let (start, mut dice) = (call.now, Dice(seed));
        // Whole rounds of 600 ms, so that each piece begins where the last did.
        speaks(&mut call, 1_500, false, |_| Some(30 + dice.below(spread)));
        let heard = verdict(&call, start);
        let late = heard.delays.len() / 2;
        let settled = &heard.delays[late..];
        means.push(settled.iter().sum::<f64>() / settled.len() as f64);
    }
    println!("mouth to ear, settled: {means:.0?} ms");
    assert!(means[0] < 75.0 && means[2] < 85.0, "{means:?}");
    assert!((110.0..=165.0).contains(&means[1]), "{means:?}");
    call.peers[1].assert_one_line_or_holes();
}

#[test]
fn what_comes_later_than_the_bounds_allow_is_late_and_the_rest_is_not() {
    let mut call = call(Codec::Pcma, Codec::Pcma, Some((20, 60)));
    let start = call.now;
    // Every 25th packet takes 200 ms more.
    speaks(&mut call, 1_000, false, |n| {
        Some(if n % 25 == 9 { 230 } else { 30 })
    });
    let report = call.session.report(call.now).legs[0].clone();
    assert!((38..=40).contains(&report.late), "{}", report.late);
    assert_eq!(report.lost, 0);
    let heard = verdict(&call, start);
    assert!(heard.mean_delay() <= 95.0, "{}", heard.mean_delay());
    // What was never played is a hole for the desk, as a lost packet is.
    call.peers[1].assert_one_line_or_holes();
}

#[test]
fn losses_stay_losses_and_doubles_and_digits_pass_once() {
    let mut call = call(Codec::Opus, Codec::Pcma, Some((20, 200)));
    let mut dice = Dice(5);
    let mut lost = 0;
    speaks(&mut call, 1_000, true, |_| {
        let gone = dice.below(50) == 0;
        lost += u64::from(gone);
        (!gone).then(|| 30 + dice.below(50))
    });
    let report = call.session.report(call.now).legs[0].clone();
    assert!(report.lost.abs_diff(lost) <= 2, "{} of {lost}", report.lost);
    assert!(report.concealed >= ms(15 * lost), "{:?}", report.concealed);
    let timestamp = call.peer(Side::A).timestamp;
    for n in 1..=6u16 {
        let payload = media::dtmf::Payload {
            event: 8,
            end: n > 4,
            volume: 10,
            duration: n.min(5) * 160,
        };
        let packet = call
            .peer(Side::A)
            .packet(101, n == 1, timestamp, &payload.to_bytes());
        let mut again = media::Packet::new();
        again.fill(packet.as_slice());
        call.send(Side::A, packet);
        call.send(Side::A, again);
        call.run(ms(20));
    }
    call.run(ms(500));
    let digits = call
        .events
        .iter()
        .filter(|(_, event)| matches!(event, media::Event::Digit { .. }));
    assert_eq!(digits.count(), 1);
    let report = call.session.report(call.now).legs[0].clone();
    assert!(
        report.undecryptable >= 6,
        "seen by SRTP already: {report:?}"
    );
}

#[test]
fn a_way_that_becomes_longer_for_good_is_followed_and_one_that_becomes_shorter_too() {
    let mut call = call(Codec::Pcma, Codec::Pcma, Some((20, 100)));
    let start = call.now;
    speaks(&mut call, 3_000, false, |n| {
        Some(if (1_000..2_000).contains(&n) { 330 } else { 30 })
    });
    let heard = verdict(&call, start);
    let third = heard.delays.len() / 3;
    let at = |part: usize| heard.delays[third * part + third / 2];
    let delays = [at(0), at(1), at(2)];
    println!("mouth to ear on ways of 30, 330 and 30 ms: {delays:.0?}");
    assert!(delays[0] < 75.0, "{delays:?}");
    assert!((340.0..=400.0).contains(&delays[1]), "{delays:?}");
    assert!(delays[2] < 75.0, "{delays:?}");
    assert!(call.session.report(call.now).legs[0].late < 40);
}

#[test]
fn a_singing_user_is_caught_up_with_though_he_never_pauses() {
    let mut call = call(Codec::Pcma, Codec::Pcma, Some((20, 200)));
    let mut dice = Dice(9);
    speaks(&mut call, 1_500, true, |n| {
        Some(30 + dice.below(if n < 500 { 120 } else { 5 }))
    });
    let desk = &call.peers[1];
    let last = desk
        .received
        .iter()
        .rev()
        .find(|heard| heard.header.pt == 8)
        .expect("audio");
    // The last packet was said 29.98 s after the first, which nobody waited for yet.
    let delay = (last.at - call.start).saturating_sub(ms(29_980));
    assert!(delay < ms(90), "{delay:?}");
    assert!(Duration::ZERO < delay);
}
