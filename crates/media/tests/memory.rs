//! What a call keeps resident: measured on many at once, libopus included.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::Instant;

use media::{EngineSettings, Outbox, Packet, Session};
use sdp::plan::Proof;
use sdp::{Codec, Side};
use support::*;

const CALLS: usize = 300;

/// Resident octets of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// Resident octets per call after a second of talk. The calls stay in `kept`: memory they gave back
/// would be found again by those measured next.
fn per_call(kept: &mut Vec<Session>, a: Codec, b: Codec) -> usize {
    let plans = || {
        let mut plans = [secured(plan(Side::A, a)), plan(Side::B, b)];
        plans[0].proof = Some(Proof::Heard);
        plans
    };
    let mut call = Call::new(plans());
    let words: Vec<[Vec<u8>; 2]> = (0..50)
        .map(|_| Side::BOTH.map(|side| call.peer(side).say().as_slice().to_vec()))
        .collect();
    let start = Instant::now();
    let mut packet = Packet::new();
    kept.reserve(CALLS);
    let before = resident();
    for _ in 0..CALLS {
        let settings = EngineSettings::default();
        let mut out = Outbox::new();
        let mut session = Session::start(start, plans(), &settings, [7; 32], &mut out).unwrap();
        let mut sent = 0;
        for (n, word) in (0..).zip(&words) {
            let now = start + ms(20 * n);
            session.timeout(now, &mut out);
            for side in Side::BOTH {
                packet.fill(&word[side.index()]);
                let mut forward = session.receive(
                    now,
                    side,
                    media::Channel::Rtp,
                    address(side),
                    &mut packet,
                    &mut out,
                );
                while forward.is_some() {
                    sent += 1;
                    forward = session.transmit(now, &mut packet, &mut out);
                }
            }
        }
        assert!(sent >= 98, "{sent}");
        kept.push(session);
    }
    (resident() - before) / CALLS
}

#[test]
fn a_passed_call_keeps_6_kib_of_opus_or_7_and_a_half_of_g_711_and_a_transcoded_one_60() {
    // One after the other in one test: another thread's memory would be counted too.
    let kept = &mut Vec::new();
    let passed = per_call(kept, Codec::Opus, Codec::Opus);
    let same_law = per_call(kept, Codec::Pcma, Codec::Pcma);
    let transcoded = per_call(kept, Codec::Opus, Codec::Pcma);
    println!(
        "octets per call: Opus passed {passed}, PCMA passed {same_law}, Opus to PCMA {transcoded}"
    );
    let itself = std::mem::size_of::<Session>();
    println!("Session itself: {itself}");
    // The next size an allocator has is five hundred octets more.
    assert!(itself <= 3_584, "{itself}");
    assert!(passed <= 6 << 10, "{passed}");
    assert!(same_law <= 7_680, "{same_law}");
    assert!(transcoded <= 60 << 10, "{transcoded}");
    assert!(
        transcoded > 20 << 10,
        "libopus alone keeps more than {transcoded}"
    );
}
