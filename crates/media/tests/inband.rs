//! Keys as tones in the audio of a PBX that has no telephone events, both ways, through real codecs.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::Event;
use media::codec::{Decoder, MAX_SAMPLES};
use media::dtmf::Payload;
use media::tone::{Tone, level_dbfs};
use sdp::plan::LegPlan;
use sdp::{Codec, Side};
use support::*;

const KEYS: &str = "123A456B789C*0#D";
const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

fn tones_of(key: char) -> (f64, f64) {
    let at = KEYS.find(key).expect("a key");
    (LOW[at / 4], HIGH[at % 4])
}

/// A user with events, a desk without.
fn call(user: Codec, desk: Codec, ptime: u64) -> Call {
    let mut at_desk: LegPlan = plan(Side::B, desk);
    at_desk.agreed.dtmf = None;
    at_desk.care.tones = true;
    let mut call = Call::new([secured(plan(Side::A, user)), at_desk]);
    call.peer(Side::B).ptime = ptime;
    call
}

/// The desk says these pieces: a key and how long, or a pause.
fn desk_says(
    call: &mut Call,
    pieces: &[(Option<char>, usize)],
    mut lost: impl FnMut(usize) -> bool,
) {
    let mut pcm = Vec::new();
    for (key, ms) in pieces {
        let mut piece = vec![0i16; ms * 8];
        if let Some(key) = key {
            let (low, high) = tones_of(*key);
            let mut other = piece.clone();
            Tone::new(low, -14.0).fill(&mut piece);
            Tone::new(high, -13.0).fill(&mut other);
            piece.iter_mut().zip(&other).for_each(|(a, b)| *a += b);
        }
        pcm.extend(piece);
    }
    call.peer(Side::B).talking = false;
    let ptime = call.peer(Side::B).ptime;
    for (n, part) in pcm.chunks_exact(ptime as usize * 8).enumerate() {
        let packet = call.peer(Side::B).say_this(part);
        if !lost(n) {
            call.send(Side::B, packet);
        }
        call.run(ms(ptime));
    }
}

/// Keys told, and the events on the user's line: key and length in ms.
fn told(call: &Call) -> (String, Vec<(char, u32)>) {
    let told = call.events.iter().filter_map(|(_, event)| match event {
        Event::Digit {
            from: Side::B,
            digit,
            ..
        } => Some(*digit),
        _ => None,
    });
    let mut heard: Vec<(u32, char, u32)> = Vec::new();
    for packet in &call.peers[0].received {
        let payload = Payload::parse(&packet.payload).filter(|_| packet.header.pt == 101);
        let Some(payload) = payload else { continue };
        let key = payload.digit().expect("a key");
        if heard
            .last()
            .is_none_or(|last| last.0 != packet.header.timestamp)
        {
            assert!(packet.header.marker);
            heard.push((packet.header.timestamp, key, 0));
        }
        let last = heard.last_mut().expect("one");
        assert!(
            u32::from(payload.duration) >= last.2 * 8,
            "durations never shrink"
        );
        last.2 = u32::from(payload.duration) / 8;
    }
    (
        told.collect(),
        heard.into_iter().map(|one| (one.1, one.2)).collect(),
    )
}

#[test]
fn every_key_said_by_a_desk_reaches_the_user_as_one_event() {
    for (user, desk, ptime) in [
        (Codec::Opus, Codec::Pcma, 20),
        (Codec::Opus, Codec::Pcmu, 30),
        (Codec::Pcma, Codec::Pcma, 20),
        (Codec::Opus, Codec::Opus, 20),
        (Codec::Pcmu, Codec::Opus, 20),
    ] {
        let mut call = call(user, desk, ptime);
        call.run(ms(500));
        let pieces: Vec<_> = KEYS
            .chars()
            .flat_map(|key| [(Some(key), 90), (None, 90)])
            .collect();
        desk_says(&mut call, &pieces, |_| false);
        call.run(ms(300));
        call.peers[0].assert_one_line();
        let (told, heard) = told(&call);
        assert_eq!(told, KEYS, "{user:?} from {desk:?}");
        let keys: String = heard.iter().map(|one| one.0).collect();
        assert_eq!(keys, KEYS, "{user:?} from {desk:?}");
        assert!(
            heard.iter().all(|one| (40..=90).contains(&one.1)),
            "{heard:?}"
        );
    }
}

#[test]
fn once_it_is_recognised_the_user_hears_no_tone() {
    for desk in [Codec::Pcma, Codec::Opus] {
        let mut call = call(Codec::Opus, desk, 20);
        call.run(ms(500));
        desk_says(
            &mut call,
            &[(None, 200), (Some('5'), 400), (None, 300)],
            |_| false,
        );
        // Behind the voice of the beginning.
        let pcm = decoded(&call.peers[0]).split_off(4_800);
        let (low, _) = tones_of('5');
        let loud = pcm
            .chunks_exact(80)
            .filter(|part| level_dbfs(part, low) > -30.0);
        // 35 ms until it is recognised, and what the codec makes of its edges.
        let loud = loud.count();
        assert!((2..=7).contains(&loud), "{desk:?}: {loud}");
        assert_eq!(told(&call).1.len(), 1);
    }
}

#[test]
fn the_desks_voice_goes_on_beside_the_ear_as_it_does_without() {
    for (user, desk) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Opus),
    ] {
        let mut call = call(user, desk, 20);
        call.run(ms(5_000));
        assert_eq!(told(&call).0, "");
        let verdict = call.peers[0].verdict();
        assert!(
            verdict.holds(LEVEL, 2.0, 0),
            "{user:?} from {desk:?}: {verdict:?}"
        );
        let back = call.peers[1].verdict();
        assert!(back.holds(LEVEL, 2.0, 0), "{user:?} to {desk:?}: {back:?}");
    }
}

#[test]
fn a_lost_packet_tears_no_key_apart() {
    let mut call = call(Codec::Opus, Codec::Pcma, 20);
    call.run(ms(500));
    // One of eight packets of each key.
    let pieces: Vec<_> = "1590#"
        .chars()
        .flat_map(|key| [(Some(key), 160), (None, 160)])
        .collect();
    desk_says(&mut call, &pieces, |n| n % 16 == 4);
    call.run(ms(300));
    assert_eq!(told(&call).0, "1590#");
}

#[test]
fn a_desk_that_falls_silent_in_a_tone_has_released_the_key() {
    let mut call = call(Codec::Opus, Codec::Pcma, 20);
    call.run(ms(500));
    desk_says(&mut call, &[(Some('7'), 200)], |_| false);
    call.run(ms(1_000));
    assert_eq!(told(&call).0, "7");
    desk_says(
        &mut call,
        &[(None, 60), (Some('7'), 100), (None, 100)],
        |_| false,
    );
    assert_eq!(told(&call).0, "77");
}

/// The user presses keys: each so long, with such pauses, its packets through `fate`.
fn user_presses(
    call: &mut Call,
    keys: &[(char, u16)],
    pause: u64,
    mut lose: impl FnMut(u16, bool) -> bool,
) {
    call.peer(Side::A).talking = false;
    for (key, long) in keys {
        let timestamp = call.peer(Side::A).timestamp;
        let event = "0123456789*#ABCD".find(*key).expect("a key") as u8;
        let packets = long / 20;
        for n in 1..=packets + 2 {
            let payload = Payload {
                event,
                end: n >= packets,
                volume: 10,
                duration: n.min(packets) * 160,
            };
            let packet = call
                .peer(Side::A)
                .packet(101, n == 1, timestamp, &payload.to_bytes());
            if !lose(n, payload.end) {
                call.send(Side::A, packet);
            }
            call.run(ms(20));
        }
        call.run(ms(pause));
        let ticks = call.peer(Side::A).codec.clock() / 1_000;
        let gone = ticks * (u32::from(packets + 2) * 20 + pause as u32);
        call.peer(Side::A).timestamp = timestamp.wrapping_add(gone);
    }
    call.peer(Side::A).talking = true;
    call.run(ms(500));
}

/// All audio that came, one packet behind the other: what a key left out is not made up.
fn decoded(peer: &Peer) -> Vec<i16> {
    let mut decoder = Decoder::new(peer.codec).unwrap();
    let audio = peer
        .received
        .iter()
        .filter(|heard| heard.header.pt == pt_of(peer.codec));
    let mut pcm = Vec::new();
    for heard in audio {
        let mut out = [0; MAX_SAMPLES];
        let samples = decoder.decode(&heard.payload, &mut out).expect("audio");
        pcm.extend_from_slice(&out[..samples]);
    }
    pcm
}

/// What a desk hears as keys: where both tones stand clear of everything else, in ms.
fn heard_at_desk(call: &Call) -> Vec<(char, u32)> {
    let pcm = decoded(&call.peers[1]);
    let mut heard: Vec<(char, u32)> = Vec::new();
    let mut before = None;
    for part in pcm.chunks_exact(80) {
        let now = KEYS.chars().find(|key| {
            let (low, high) = tones_of(*key);
            let other = |mine: f64, group: [f64; 4]| {
                let others = group.into_iter().filter(|hertz| *hertz != mine);
                others
                    .map(|hertz| level_dbfs(part, hertz))
                    .fold(-120.0, f64::max)
            };
            let (a, b) = (level_dbfs(part, low), level_dbfs(part, high));
            a > -18.0 && b > -18.0 && a > other(low, LOW) + 3.0 && b > other(high, HIGH) + 3.0
        });
        match (now, before) {
            (Some(key), was) if was == Some(key) => heard.last_mut().expect("one").1 += 10,
            (Some(key), _) => heard.push((key, 10)),
            (None, _) => {}
        }
        before = now;
    }
    heard
}

#[test]
fn keys_of_the_user_are_tones_in_what_a_desk_hears() {
    for (user, desk) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Opus, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Opus),
    ] {
        let mut call = call(user, desk, 20);
        call.run(ms(500));
        let keys: Vec<_> = KEYS.chars().map(|key| (key, 120)).collect();
        user_presses(&mut call, &keys, 80, |_, _| false);
        call.peers[1].assert_one_line();
        let heard = heard_at_desk(&call);
        let said: String = heard.iter().map(|one| one.0).collect();
        assert_eq!(said, KEYS, "{user:?} to {desk:?}: {heard:?}");
        assert!(
            heard.iter().all(|one| (100..=150).contains(&one.1)),
            "{user:?} to {desk:?}: {heard:?}"
        );
        let verdict = call.peers[1].verdict();
        assert!(
            (verdict.level_dbfs - LEVEL).abs() < 40.0,
            "voice before and behind"
        );
    }
}

#[test]
fn short_keys_lost_packets_and_a_user_who_talks_meanwhile_make_whole_tones() {
    let mut call = call(Codec::Opus, Codec::Pcma, 20);
    call.run(ms(500));
    // A key of 40 ms becomes one of 80; its first packet, and all of its ends, are lost.
    user_presses(&mut call, &[('3', 40), ('8', 200)], 200, |n, end| {
        n == 1 || end && n > 2
    });
    let heard = heard_at_desk(&call);
    let said: String = heard.iter().map(|one| one.0).collect();
    assert_eq!(said, "38", "{heard:?}");
    assert!(heard.iter().all(|one| one.1 >= 70), "{heard:?}");
    call.peers[1].assert_one_line();
}

#[test]
fn audio_that_comes_while_a_tone_is_said_waits_for_nothing_and_is_dropped() {
    let mut call = call(Codec::Opus, Codec::Pcma, 20);
    call.run(ms(500));
    let timestamp = call.peer(Side::A).timestamp;
    for n in 1..=10u16 {
        let payload = Payload {
            event: 1,
            end: n == 10,
            volume: 10,
            duration: n * 160,
        };
        let packet = call
            .peer(Side::A)
            .packet(101, n == 1, timestamp, &payload.to_bytes());
        call.send(Side::A, packet);
        call.run(ms(20)); // the user goes on to talk
    }
    call.run(ms(1_000));
    let heard = heard_at_desk(&call);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!((190..=230).contains(&heard[0].1), "{heard:?}");
    call.peers[1].assert_one_line();
    let pcm = call.peers[1].pcm();
    let level = level_dbfs(&pcm[pcm.len() - 4_000..], HERTZ);
    assert!((level - LEVEL).abs() < 2.0, "the voice is back: {level}");
}

#[test]
fn a_leg_with_events_has_no_tones_though_it_might() {
    let mut at_desk = plan(Side::B, Codec::Pcma);
    at_desk.care.tones = true;
    let mut call = Call::new([secured(plan(Side::A, Codec::Opus)), at_desk]);
    call.run(ms(500));
    desk_says(&mut call, &[(Some('5'), 200), (None, 200)], |_| false);
    assert_eq!(told(&call).0, "", "tones are audio");
    user_presses(&mut call, &[('5', 100)], 100, |_, _| false);
    assert!(heard_at_desk(&call).is_empty());
}
