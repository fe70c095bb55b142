//! The first word of the agent arrives, though it was said before the way to the user was proven; and
//! the delay that cost is gone a few words later.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::codec::{Decoder, MAX_SAMPLES};
use media::dtmf::Payload;
use media::tone::{Tone, level_dbfs};
use media::{EngineSettings, Event};
use sdp::plan::{Gate, LegPlan, Proof};
use sdp::{Codec, Side};
use support::*;

const PAIRS: [(Codec, Codec); 4] = [
    (Codec::Opus, Codec::Pcma),
    (Codec::Opus, Codec::Opus),
    (Codec::Pcma, Codec::Pcma),
    (Codec::Opus, Codec::Pcmu),
];

/// A WhatsApp leg that has to be proven, and a desk.
fn plans(a: Codec, b: Codec) -> [LegPlan; 2] {
    let mut carrier = secured(plan(Side::A, a));
    carrier.proof = Some(Proof::Heard);
    [carrier, plan(Side::B, b)]
}

/// The desk says a word of `word` ms and is silent for `pause` ms, again and again; the user's first
/// packet comes after `proven` ms. Returns the call.
fn words(mut call: Call, proven: u64, word: u64, pause: u64, rounds: u64) -> Call {
    call.peers[0].talking = false;
    call.peers[0].next = call.start + ms(proven);
    let silence = || Tone::new(HERTZ, -120.0);
    for at in (0..rounds * (word + pause)).step_by(20) {
        let says = at % (word + pause);
        if says == 0 {
            call.peers[1].tone = Tone::new(HERTZ, LEVEL);
        } else if says == word {
            call.peers[1].tone = silence();
        }
        call.peers[0].talking = at + 20 > proven;
        call.run(ms(20));
    }
    call
}

/// When the user heard the tone begin and end, in ms from the start, by the arrival of packets.
fn heard_words(call: &Call) -> Vec<(u64, u64)> {
    let peer = &call.peers[0];
    let mut decoder = Decoder::new(peer.codec).unwrap();
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut sounding = false;
    for packet in &peer.received {
        let mut pcm = [0; MAX_SAMPLES];
        let decoded = decoder.decode(&packet.payload, &mut pcm).unwrap();
        let at = (packet.at - call.start).as_millis() as u64;
        let tone = level_dbfs(&pcm[..decoded], HERTZ) > LEVEL - 14.0;
        match (sounding, tone) {
            (false, true) => spans.push((at, at + 20)),
            (true, true) => spans.last_mut().unwrap().1 = at + 20,
            _ => {}
        }
        sounding = tone;
    }
    spans
}

#[test]
fn the_first_word_arrives_whole_and_the_delay_is_gone_some_words_later() {
    for (a, b) in PAIRS {
        let call = words(Call::new(plans(a, b)), 450, 400, 300, 8);
        let heard = heard_words(&call);
        assert_eq!(heard.len(), 8, "{a:?} {b:?}: {heard:?}");
        let (began, ended) = heard[0];
        assert!((430..=480).contains(&began), "{a:?} {b:?}: {heard:?}");
        assert!(
            (380..=440).contains(&(ended - began)),
            "{a:?} {b:?}: {heard:?}"
        );
        // Said at 700 n: every word is late by less than the one before, the last by nothing.
        let late: Vec<i64> = heard
            .iter()
            .zip(0..)
            .map(|((at, _), n)| *at as i64 - 700 * n)
            .collect();
        assert!(
            late.windows(2).all(|w| w[1] <= w[0] + 20),
            "{a:?} {b:?}: {late:?}"
        );
        assert!(
            late[4..].iter().all(|ms| (-20..=45).contains(ms)),
            "{a:?} {b:?}: {late:?}"
        );
        call.peers[0].assert_one_line();
        let leg = &call.session.report(call.now).legs[0];
        assert_eq!(leg.clipped, 0, "{leg:?}");
        assert!((ms(420)..=ms(480)).contains(&leg.held), "{leg:?}");
        assert!(
            (ms(430)..=ms(480)).contains(&leg.first_audio_sent.unwrap()),
            "{leg:?}"
        );
    }
}

#[test]
fn silence_flows_while_audio_is_held() {
    let call = words(Call::new(plans(Codec::Opus, Codec::Pcma)), 450, 400, 300, 1);
    let early = call.peers[0]
        .received
        .iter()
        .filter(|packet| packet.at < call.start + ms(440));
    assert!((22..=23).contains(&early.count()));
    let longest = call.peers[0]
        .received
        .windows(2)
        .map(|w| w[1].at - w[0].at)
        .max()
        .unwrap();
    assert!(longest <= ms(41), "{longest:?} without a packet");
}

#[test]
fn a_carrier_that_never_answers_gets_the_audio_when_it_may_be_held_no_longer() {
    for (a, b) in PAIRS {
        let call = words(Call::new(plans(a, b)), 100_000, 400, 300, 6);
        let heard = heard_words(&call);
        assert!((590..=640).contains(&heard[0].0), "{heard:?}");
        assert!(
            (380..=440).contains(&(heard[0].1 - heard[0].0)),
            "{heard:?}"
        );
        assert_eq!(call.session.report(call.now).legs[0].clipped, 0);
    }
}

#[test]
fn of_a_word_too_long_to_be_held_the_oldest_is_lost() {
    for preroll in [200, 600, 1_000] {
        let mut held = plans(Codec::Opus, Codec::Pcma);
        held[0].gate = Gate::Shut;
        held[0].proof = Some(Proof::Gate);
        let settings = EngineSettings {
            preroll: ms(preroll),
            ..EngineSettings::default()
        };
        let mut call = Call::with(held, &settings);
        call.run(ms(2_010));
        assert!(call.peers[0].received.is_empty());
        let leg = call.session.report(call.now).legs[0].clone();
        let clipped = (2_000 - preroll) / 20;
        assert!(leg.clipped.abs_diff(clipped) <= 1, "{preroll} ms: {leg:?}");
        call.session.open_gate(call.now, Side::A, &mut call.out);
        call.drain();
        call.run(ms(40));
        assert_eq!(call.session.report(call.now).legs[0].held, ms(preroll + 20));
    }
}

#[test]
fn music_without_a_pause_is_caught_up_all_the_same() {
    for (a, b) in PAIRS {
        let mut call = Call::new(plans(a, b));
        call.peers[0].talking = false;
        call.run(ms(500));
        call.peers[0].talking = true;
        call.run(ms(12_000));
        // The desk stops: nothing more is heard after the packet that waits for nothing.
        call.peers[1].talking = false;
        let stopped = call.now;
        call.run(ms(400));
        let last = heard_words(&call).last().unwrap().1;
        let late = last as i64 - (stopped - call.start).as_millis() as i64;
        // Filler fades the last sound out for some packets.
        assert!(late <= 200, "{a:?} {b:?}: {late} ms late");
        call.peers[0].assert_one_line();
    }
}

#[test]
fn nothing_is_held_where_it_is_not_asked_for() {
    let settings = EngineSettings {
        preroll: ms(0),
        ..EngineSettings::default()
    };
    let call = words(
        Call::with(plans(Codec::Opus, Codec::Pcma), &settings),
        450,
        400,
        300,
        3,
    );
    let heard = heard_words(&call);
    assert!(heard[0].0 <= 40, "{heard:?}");
    assert_eq!(call.session.report(call.now).legs[0].held, ms(0));
}

#[test]
fn a_key_pressed_before_the_way_is_proven_is_one_key() {
    let mut call = Call::new(plans(Codec::Opus, Codec::Pcma));
    call.peers[0].talking = false;
    call.run(ms(100));
    let timestamp = call.peers[1].timestamp;
    for n in 1..=8u16 {
        let payload = Payload {
            event: 4,
            end: n > 5,
            volume: 10,
            duration: n.min(5) * 160,
        };
        let packet = call
            .peer(Side::B)
            .packet(101, n == 1, timestamp, &payload.to_bytes());
        call.send(Side::B, packet);
        call.peers[1].talking = false;
        if n < 6 {
            call.run(ms(20));
        }
    }
    call.peers[1].timestamp = timestamp.wrapping_add(800);
    call.peers[1].talking = true;
    call.peers[0].talking = true;
    call.run(ms(2_000));
    let told = call.events.iter().filter(|(_, e)| {
        matches!(
            e,
            Event::Digit {
                from: Side::B,
                digit: '4',
                ..
            }
        )
    });
    assert_eq!(told.count(), 1);
    let events: Vec<_> = call.peers[0]
        .received
        .iter()
        .filter(|p| p.header.pt == 101)
        .collect();
    assert!(events.len() >= 6, "{}", events.len());
    assert!(
        events
            .iter()
            .all(|p| p.header.timestamp == events[0].header.timestamp)
    );
}
