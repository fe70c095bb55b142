//! Keys somebody presses during a call, as telephone events (RFC 4733): heard, told, released, never twice.

use media::Event;
use media::dtmf::Payload;
use sdp::{Codec, Side};

use super::support::*;
use super::whatsapp_and_desk;

/// Presses a key on a leg: packets every 20 ms for `ms_long`, then three end packets.
fn press(call: &mut Call, side: Side, pt: u8, event: u8, ms_long: u32, ends: u32) {
    let timestamp = call.peer(side).timestamp;
    call.peer(side).talking = false;
    let packets = ms_long / 20;
    for n in 1..=packets + ends - 1 {
        let end = n >= packets && ends > 0;
        let payload = Payload {
            event,
            end,
            volume: 10,
            duration: (n.min(packets) * 160) as u16,
        }
        .to_bytes();
        let packet = call.peer(side).packet(pt, n == 1, timestamp, &payload);
        call.send(side, packet);
        call.run(ms(20));
    }
    let peer = call.peer(side);
    let length = (packets + ends.max(1) - 1) * 20;
    peer.timestamp = timestamp.wrapping_add(length * peer.codec.clock() / 1_000);
    peer.talking = true;
}

#[test]
fn keys_reach_the_other_side_in_both_directions() {
    for (a, b) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Opus),
    ] {
        for from in Side::BOTH {
            let mut call = whatsapp_and_desk(a, b);
            call.run(ms(500));
            for (n, event) in [1u8, 2, 11].into_iter().enumerate() {
                press(&mut call, from, 101, event, 100 + 20 * n as u32, 3);
                call.run(ms(200));
            }
            call.run(ms(300));
            let to = &call.peers[(!from).index()];
            to.assert_one_line();
            let events: Vec<_> = to.received.iter().filter(|h| h.header.pt == 101).collect();
            let starts: Vec<u32> = events
                .iter()
                .filter(|h| h.header.marker)
                .map(|h| h.header.timestamp)
                .collect();
            assert_eq!(starts.len(), 3, "one marker per key");
            for (start, (event, length)) in starts.iter().zip([(1u8, 100u32), (2, 120), (11, 140)])
            {
                let mine: Vec<_> = events
                    .iter()
                    .filter(|h| h.header.timestamp == *start)
                    .collect();
                let payloads: Vec<_> = mine
                    .iter()
                    .map(|h| Payload::parse(&h.payload).unwrap())
                    .collect();
                assert!(payloads.iter().all(|p| p.event == event));
                assert_eq!(payloads.iter().filter(|p| p.end).count(), 3);
                assert_eq!(
                    payloads.last().unwrap().duration,
                    (length * 8) as u16,
                    "in units of 8 kHz"
                );
                assert!(payloads.windows(2).all(|w| w[0].duration <= w[1].duration));
                // Where audio stood when the key went down, on the clock of audio.
                let before = to.received.iter().rev().find(|h| {
                    h.header.pt != 101 && (h.header.timestamp.wrapping_sub(*start) as i32) < 0
                });
                let gap = start.wrapping_sub(before.unwrap().header.timestamp);
                let frame = to.codec.clock() / 50;
                assert!(
                    (frame..=4 * frame).contains(&gap),
                    "{gap} ticks after the audio before it"
                );
                // No audio while the key is down.
                let (first, last) = (mine[0].at, mine.last().unwrap().at);
                let audio = to
                    .received
                    .iter()
                    .filter(|h| h.header.pt != 101 && h.at > first && h.at < last);
                assert_eq!(audio.count(), 0);
            }
            let told = call.events.iter().filter_map(|(_, e)| match e {
                Event::Digit {
                    from,
                    digit,
                    duration_ms,
                } => Some((*from, *digit, *duration_ms)),
                _ => None,
            });
            assert_eq!(
                told.collect::<Vec<_>>(),
                [(from, '1', 100), (from, '2', 120), (from, '#', 140)]
            );
            assert_eq!(
                call.session.report(call.now).legs[from.index()].digits_received,
                3
            );
        }
    }
}

#[test]
fn a_key_whose_end_packets_are_lost_is_still_released() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    press(&mut call, Side::A, 101, 5, 100, 0);
    call.peer(Side::A).talking = false;
    call.run(ms(300));
    let ends = call.peers[1].received.iter().filter(|h| h.header.pt == 101);
    let ends = ends
        .filter(|h| Payload::parse(&h.payload).unwrap().end)
        .count();
    assert_eq!(ends, 3);
    assert!(
        call.events
            .iter()
            .any(|(_, e)| matches!(e, Event::Digit { digit: '5', .. }))
    );
}

#[test]
fn keys_sent_under_126_though_never_offered_are_heard() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[0].agreed.dtmf = None;
    let mut call = Call::new(plans);
    call.run(ms(500));
    press(&mut call, Side::A, 126, 9, 100, 3);
    call.run(ms(200));
    assert!(call.told(&Event::Digit {
        from: Side::A,
        digit: '9',
        duration_ms: 100
    }));
    assert!(call.peers[1].received.iter().any(|h| h.header.pt == 101));
}

#[test]
fn two_keys_pressed_without_a_pause_are_two_keys() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    press(&mut call, Side::A, 101, 5, 60, 1);
    press(&mut call, Side::A, 101, 5, 60, 1);
    call.run(ms(300));
    let starts = call.peers[1]
        .received
        .iter()
        .filter(|h| h.header.pt == 101 && h.header.marker)
        .count();
    assert_eq!(starts, 2);
    assert_eq!(call.session.report(call.now).legs[0].digits_received, 2);
    call.peers[1].assert_one_line();
}

#[test]
fn audio_is_not_suppressed_for_keys_the_other_side_cannot_hear() {
    let mut plans = [plan(Side::A, Codec::Pcma), plan(Side::B, Codec::Pcma)];
    plans[1].agreed.dtmf = None;
    let mut call = Call::new(plans);
    call.run(ms(500));
    press(&mut call, Side::A, 101, 5, 100, 3);
    call.run(ms(500));
    assert!(call.peers[1].received.iter().all(|h| h.header.pt == 8));
    assert!(call.told(&Event::Digit {
        from: Side::A,
        digit: '5',
        duration_ms: 100
    }));
}
