//! Far sides with habits: packets of every length, keys pressed into speech, noise instead of silence,
//! headers full of what is nobody's business, and a call that lasts two days.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::codec::{Decoder, MAX_SAMPLES};
use media::dtmf::Payload;
use media::tone::rms_dbfs;
use media::{Event, Packet};
use sdp::plan::Silence;
use sdp::{Codec, Side};
use support::*;

fn whatsapp_and_desk(a: Codec, b: Codec) -> Call {
    Call::new([secured(plan(Side::A, a)), plan(Side::B, b)])
}

#[test]
fn packets_of_10_20_30_and_60_ms_in_turn_leave_as_20() {
    for (a, b) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcmu, Codec::Pcma),
        (Codec::Pcma, Codec::Pcma),
    ] {
        let mut call = whatsapp_and_desk(a, b);
        for n in 0..200usize {
            let ptime = [20, 30, 10, 60, 20, 30, 30][n % 7];
            call.peers[1].ptime = ptime;
            call.run(ms(ptime));
        }
        call.peers[0].assert_one_line();
        assert!(
            call.peers[0].verdict().holds(LEVEL, 3.0, 0),
            "{a:?} {b:?}: {:?}",
            call.peers[0].verdict()
        );
        let ticks = a.clock() / 50;
        for pair in call.peers[0].received.windows(2) {
            let step = pair[1]
                .header
                .timestamp
                .wrapping_sub(pair[0].header.timestamp);
            assert_eq!(step, ticks, "{a:?} {b:?}");
        }
    }
}

#[test]
fn sources_extensions_and_padding_are_stripped() {
    for b in [Codec::Pcma, Codec::Opus] {
        let mut call = whatsapp_and_desk(Codec::Opus, b);
        call.peers[1].talking = false;
        for _ in 0..100 {
            let plain = call.peer(Side::B).say();
            let bytes = plain.as_slice();
            let mut dressed = bytes[..12].to_vec();
            dressed[0] |= 0x20 | 0x10 | 2;
            dressed.extend([9; 8]); // two sources
            dressed.extend([0xbe, 0xde, 0, 1, 0x10, 0x7f, 0, 0]);
            dressed.extend(&bytes[12..]);
            dressed.extend([0, 0, 3]);
            let mut packet = Packet::new();
            packet.fill(&dressed);
            call.send(Side::B, packet);
            call.run(ms(20));
        }
        assert!(call.peers[0].verdict().holds(LEVEL, 3.0, 0), "{b:?}");
        assert!(
            call.peers[0]
                .received
                .iter()
                .all(|heard| heard.header.payload.start == 12)
        );
    }
}

/// The desk goes on talking while a key is down, and the key's end packets are lost.
#[test]
fn a_key_pressed_into_speech_without_an_end_is_one_key_and_speech_goes_on() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    let timestamp = call.peers[1].timestamp;
    for n in 1..=6u16 {
        let payload = Payload {
            event: 8,
            end: false,
            volume: 10,
            duration: n * 160,
        };
        let packet = call
            .peer(Side::B)
            .packet(101, n == 1, timestamp, &payload.to_bytes());
        call.send(Side::B, packet);
        call.run(ms(20)); // and 20 ms of speech
    }
    call.run(ms(1_000));
    let keys: Vec<_> = call
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Digit {
                digit, duration_ms, ..
            } => Some((*digit, *duration_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(keys, [('8', 120)]);
    call.peers[0].assert_one_line();
    let heard = &call.peers[0].received;
    let (first, last) = (
        heard.iter().position(|p| p.header.pt == 101).unwrap(),
        heard.iter().rposition(|p| p.header.pt == 101).unwrap(),
    );
    let event = heard[first].header.timestamp;
    assert!(
        heard[first..=last]
            .iter()
            .all(|p| p.header.pt == 101 && p.header.timestamp == event)
    );
    let ends = heard[first..=last]
        .iter()
        .filter(|p| p.payload[1] & 0x80 != 0)
        .count();
    assert_eq!(ends, 3);
    let verdict = call.peers[0].verdict();
    assert!(
        verdict.onset_ms.is_some() && verdict.longest_gap_ms <= 300,
        "{verdict:?}"
    );
}

#[test]
fn a_pause_the_desk_describes_sounds_like_its_room() {
    for a in [Codec::Opus, Codec::Pcma] {
        let mut call = whatsapp_and_desk(a, Codec::Pcma);
        call.run(ms(1_000));
        call.peers[1].talking = false;
        let packet = {
            let peer = call.peer(Side::B);
            peer.packet(13, false, peer.timestamp, &[50])
        };
        call.send(Side::B, packet);
        let paused = call.now;
        call.run(ms(2_000));
        let mut decoder = Decoder::new(a).unwrap();
        let mut noise = Vec::new();
        for heard in &call.peers[0].received {
            let mut pcm = [0; MAX_SAMPLES];
            let n = decoder.decode(&heard.payload, &mut pcm).unwrap();
            if heard.at > paused + ms(200) {
                noise.push(rms_dbfs(&pcm[..n]));
            }
        }
        assert!((85..=95).contains(&noise.len()), "{}", noise.len());
        let loudest = noise.iter().copied().fold(-120.0, f64::max);
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        assert!(
            loudest < -38.0 && (-60.0..-42.0).contains(&mean),
            "{a:?}: {mean}, {loudest}"
        );
        // Talk goes on as if nothing had been.
        let peer = call.peer(Side::B);
        peer.timestamp = peer.timestamp.wrapping_add(16_000);
        peer.talking = true;
        call.run(ms(500));
        let report = call.session.report(call.now);
        assert_eq!((report.legs[1].lost, report.legs[1].malformed), (0, 0));
        call.peers[0].assert_one_line();
    }
}

/// 48 hours in strides of a second: one packet in fifty arrives, so sequence numbers, rollover counters
/// and timestamps run as they would.
#[test]
fn a_call_of_48_hours_outlives_every_wrap() {
    const HOURS: u64 = 48;
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ];
    plans[0].silence = Silence::Rtcp;
    let mut call = Call::new(plans);
    call.peers.iter_mut().for_each(|peer| peer.talking = false);
    let payload: Vec<u8> = {
        let packet = call.peer(Side::B).say();
        packet.as_slice()[12..].to_vec()
    };
    let began = call.now;
    let mut wraps = [0u64; 2];
    for second in 0..HOURS * 3_600 {
        for side in Side::BOTH {
            let peer = call.peer(side);
            let (sequence, timestamp) = (peer.sequence, peer.timestamp);
            let packet = peer.packet(111, false, timestamp, &payload);
            peer.sequence = sequence.wrapping_add(50);
            wraps[side.index()] += u64::from(peer.sequence < sequence);
            peer.timestamp = timestamp.wrapping_add(48_000);
            call.send(side, packet);
        }
        call.run(ms(1_000));
        for side in Side::BOTH {
            // The endpoints keep what they hear; two days of it are too much.
            let heard = &mut call.peer(side).received;
            let late = heard
                .last()
                .is_none_or(|last| now_of(last, began) + 2 < second);
            assert!(!late, "second {second}: nothing came through to {side:?}");
            let excess = heard.len().saturating_sub(4);
            heard.drain(..excess);
        }
    }
    assert!(wraps.iter().all(|wraps| *wraps >= 131), "{wraps:?}");
    let now = call.now;
    for side in Side::BOTH {
        let peer = call.peer(side);
        assert_eq!(peer.undecryptable, 0);
        peer.assert_one_line_or_holes();
        let last = peer.received.last().unwrap();
        let before = &peer.received[peer.received.len() - 2];
        assert_eq!(
            last.header.timestamp.wrapping_sub(before.header.timestamp),
            48_000
        );
        assert!(now - last.at <= ms(1_000) && now - began >= ms(HOURS * 3_600_000));
    }
    let report = call.session.report(call.now);
    for leg in &report.legs {
        assert_eq!(
            leg.undecryptable + leg.malformed + leg.foreign,
            0,
            "{leg:?}"
        );
        assert!(leg.packets_received >= HOURS * 3_600, "{leg:?}");
    }
}

/// The second in which a packet was heard.
fn now_of(heard: &Heard, began: std::time::Instant) -> u64 {
    (heard.at - began).as_secs()
}
