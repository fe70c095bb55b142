//! Keys pressed by word: a PBX tells digits in its signalling, the far side hears telephone events.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::Event;
use media::dtmf::Payload;
use sdp::{Codec, Side};
use support::*;

/// The events a side received: start, digit's event, duration of the last packet, end packets.
fn events(call: &Call, side: Side) -> Vec<(u32, u8, u16, usize)> {
    let mut events: Vec<(u32, u8, u16, usize)> = Vec::new();
    for heard in &call.peers[side.index()].received {
        if heard.header.pt != 101 {
            continue;
        }
        let payload = Payload::parse(&heard.payload).unwrap();
        if heard.header.marker {
            events.push((heard.header.timestamp, payload.event, 0, 0));
        }
        let last = events.last_mut().expect("the marker comes first");
        assert_eq!((last.0, last.1), (heard.header.timestamp, payload.event));
        assert!(payload.duration >= last.2, "durations never shrink");
        last.2 = payload.duration;
        last.3 += usize::from(payload.end);
    }
    events
}

#[test]
fn keys_by_word_are_whole_events_on_the_line_of_the_audio() {
    for (a, b) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Opus),
    ] {
        let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, b)]);
        call.run(ms(500));
        for (digit, long) in [('1', 100), ('#', 160), ('d', 5)] {
            assert!(call.session.press(call.now, Side::A, digit, ms(long)));
        }
        call.run(ms(1_500));
        let user = &call.peers[Side::A.index()];
        user.assert_one_line();
        let heard = events(&call, Side::A);
        let what: Vec<_> = heard
            .iter()
            .map(|event| (event.1, event.2, event.3))
            .collect();
        // In units of 8 kHz whatever the audio's clock; the shortest key lasts 40 ms.
        assert_eq!(what, [(1, 800, 3), (11, 1_280, 3), (15, 320, 3)], "{a:?}");
        // At least 40 ms between the end of one key and the beginning of the next.
        let clock = a.clock() / 1_000;
        for pair in heard.windows(2) {
            let after = pair[1].0.wrapping_sub(pair[0].0) / clock;
            assert!(after >= u32::from(pair[0].2) / 8 + 40, "{after} ms");
        }
        assert!(events(&call, Side::B).is_empty());
        let told: Vec<_> = call
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Digit { from, digit, .. } => Some((*from, *digit)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(Side::B, '1'), (Side::B, '#'), (Side::B, 'D')]);
    }
}

#[test]
fn keys_by_word_reach_a_user_whose_desk_sends_no_packet() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    call.run(ms(500));
    call.peer(Side::B).talking = false;
    call.run(ms(1_000));
    assert!(call.session.press(call.now, Side::A, '7', ms(100)));
    call.run(ms(1_000));
    call.peers[Side::A.index()].assert_one_line();
    let heard = events(&call, Side::A);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((heard[0].1, heard[0].2, heard[0].3), (7, 800, 3));
}

#[test]
fn a_key_by_packet_and_a_key_by_word_at_once_are_two_keys() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    call.run(ms(500));
    assert!(call.session.press(call.now, Side::A, '5', ms(400)));
    call.run(ms(60));
    let timestamp = call.peer(Side::B).timestamp;
    call.peer(Side::B).talking = false;
    for n in 1..=5u16 {
        let payload = Payload {
            event: 9,
            end: n > 3,
            volume: 10,
            duration: n.min(4) * 160,
        };
        let packet = call
            .peer(Side::B)
            .packet(101, n == 1, timestamp, &payload.to_bytes());
        call.send(Side::B, packet);
        // Pressed while the other sounds: waits for it.
        if n == 2 {
            assert!(call.session.press(call.now, Side::A, '3', ms(60)));
        }
        call.run(ms(20));
    }
    call.run(ms(500));
    call.peers[Side::A.index()].assert_one_line();
    let heard: Vec<_> = events(&call, Side::A).iter().map(|e| e.1).collect();
    assert_eq!(heard, [5, 9, 3]);
}

#[test]
fn a_shut_gate_and_a_leg_without_events_hear_no_key() {
    let mut deaf = plan(Side::A, Codec::Opus);
    deaf.agreed.dtmf = None;
    let mut call = Call::new([secured(deaf), plan(Side::B, Codec::Pcma)]);
    call.run(ms(200));
    call.session.press(call.now, Side::A, '5', ms(100));
    call.run(ms(500));
    assert!(events(&call, Side::A).is_empty());
    let verdict = call.peers[Side::A.index()].verdict();
    assert!(verdict.holds(LEVEL, 3.0, 40), "audio goes on: {verdict:?}");
}
