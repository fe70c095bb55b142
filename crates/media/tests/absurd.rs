//! Packets that are what they should be, and say what cannot be: nothing of it lasts.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::Duration;

use media::dtmf::Payload;
use media::{Channel, Event, Packet, rtcp};
use sdp::plan::{Proof, Smoothing};
use sdp::{Codec, Side};
use support::*;

fn call() -> Call {
    Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ])
}

/// An event packet of the desk, `source` being its timestamp.
fn event(call: &mut Call, source: u32, end: bool, duration: u16) {
    let payload = Payload {
        event: 5,
        end,
        volume: 10,
        duration,
    };
    let packet = call
        .peer(Side::B)
        .packet(101, false, source, &payload.to_bytes());
    call.send(Side::B, packet);
}

/// How far the user's last packet is ahead of the clock by its timestamp, in ms; the packet `from` is on time.
fn ahead(call: &Call, from: usize) -> i64 {
    let heard = &call.peers[0].received;
    let (first, last) = (&heard[from], &heard[heard.len() - 1]);
    let ticks = last.header.timestamp.wrapping_sub(first.header.timestamp) as i32;
    i64::from(ticks) / 48 - (last.at - first.at).as_millis() as i64
}

/// The longest time between two packets the user got, from the packet `from` on.
fn longest_gap(call: &Call, from: usize) -> Duration {
    let heard = &call.peers[0].received[from..];
    let gaps = heard.windows(2).map(|two| two[1].at - two[0].at);
    let until_now = call.now - heard[heard.len() - 1].at;
    gaps.chain([until_now]).max().unwrap()
}

#[test]
fn a_packet_larger_than_any_audio_stops_nothing_that_waits() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[0].proof = Some(Proof::Heard);
    let mut call = Call::new(plans);
    call.peers[0].talking = false;
    for len in [961, 1_400, 1_401, 2_000] {
        let timestamp = call.peers[1].timestamp;
        let packet = call
            .peer(Side::B)
            .packet(8, false, timestamp, &vec![0x55; len]);
        call.send(Side::B, packet);
        call.run(ms(40));
    }
    call.peers[0].talking = true;
    call.run(ms(3_000));
    let heard = call.peers[0].verdict();
    assert!(heard.duration_ms > 2_500, "{heard:?}");
}

#[test]
fn an_event_that_claims_to_last_leaves_the_line_where_the_clock_is() {
    let mut call = call();
    call.run(ms(500));
    let before = call.peers[0].received.len() - 1;
    call.peers[1].talking = false;
    let source = call.peers[1].timestamp;
    event(&mut call, source, false, 160);
    call.run(ms(20));
    event(&mut call, source, true, u16::MAX);
    call.run(ms(3_000));
    assert!(
        longest_gap(&call, before) < ms(200),
        "{:?}",
        longest_gap(&call, before)
    );
    assert!(
        ahead(&call, before).abs() < 100,
        "{} ms",
        ahead(&call, before)
    );
    call.peers[1].talking = true;
    call.run(ms(2_000));
    assert!(
        ahead(&call, before).abs() < 100,
        "{} ms",
        ahead(&call, before)
    );
    call.peers[0].assert_one_line();
}

#[test]
fn an_event_whose_segments_come_faster_than_time_is_no_key_of_days() {
    let mut call = call();
    call.run(ms(500));
    let before = call.peers[0].received.len() - 1;
    call.peers[1].talking = false;
    let mut source = call.peers[1].timestamp;
    for n in 0..66_000 {
        event(&mut call, source, false, u16::MAX);
        source = source.wrapping_add(0xffff);
        if n % 100 == 0 {
            call.run(ms(1));
        }
    }
    call.run(ms(2_000));
    let longest = call.events.iter().filter_map(|(_, event)| match event {
        Event::Digit { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    assert!(longest.max().unwrap() <= 8_192);
    assert!(
        ahead(&call, before).abs() < 1_000,
        "{} ms",
        ahead(&call, before)
    );
    call.peers[0].assert_one_line();
}

#[test]
fn timestamps_that_leap_are_heard_on_through_a_jitter_buffer() {
    // Ahead at once; back, when it goes on and the packets cannot be late ones.
    let ahead = [8_000 * 2, 8_000 * 3_600, 1 << 30].map(|leap: u32| (leap, 0));
    let back = [8_000 * 2, 8_000 * 3_600, 1 << 30].map(|leap: u32| (leap.wrapping_neg(), 18));
    for (leap, costs) in ahead.into_iter().chain(back) {
        let mut plans = [
            secured(plan(Side::A, Codec::Pcma)),
            plan(Side::B, Codec::Pcma),
        ];
        plans[1].care.smoothing = Some(Smoothing {
            least: 20,
            most: 200,
        });
        let mut call = Call::new(plans);
        for _ in 0..4 {
            call.run(ms(1_000));
            let peer = call.peer(Side::A);
            peer.timestamp = peer.timestamp.wrapping_add(leap);
        }
        call.run(ms(1_000));
        let heard = call.peers[1].received.len();
        assert!(
            heard >= 245 - 4 * costs,
            "{heard} of 250 packets behind leaps of {leap}"
        );
        let report = &call.session.report(call.now).legs[0];
        assert!(report.late <= 4 * costs as u64, "{report:?}");
        call.peers[1].assert_one_line_or_holes();
    }
}

/// A report of the desk about what it gets from us.
fn reports(call: &mut Call, last_report: u32, delay: u32) {
    let block = rtcp::Block {
        ssrc: call.peers[1].received[0].header.ssrc,
        last_report,
        delay,
        ..Default::default()
    };
    let mut bytes = [0; 400];
    let len = rtcp::write(&mut bytes, 9, None, Some(&block), b"desk", false);
    let mut packet = Packet::new();
    packet.fill(&bytes[..len]);
    let home = address(Side::B);
    let port = std::net::SocketAddr::new(home.ip(), home.port() + 1);
    call.send_from(Side::B, Channel::Rtcp, port, packet);
}

#[test]
fn a_report_that_answers_none_of_ours_says_nothing_of_the_round_trip() {
    let mut call = call();
    call.run(ms(6_000));
    let sent = call.peers[1].rtcp.last().unwrap().clone();
    let mut ours = 0;
    rtcp::read(&sent, |item| {
        if let rtcp::Item::Sender { report, .. } = item {
            ours = (report.ntp >> 16) as u32;
        }
    });
    let trip = |call: &Call| call.session.report(call.now).legs[1].round_trip;
    for (last, delay) in [
        (1, 0),
        (ours.wrapping_sub(65_536), 0),
        (ours.wrapping_add(65_536), 7),
    ] {
        reports(&mut call, last, delay);
        assert_eq!(trip(&call), None, "{last} is no report of ours");
    }
    reports(&mut call, ours, 65_536 * 60);
    assert_eq!(
        trip(&call),
        None,
        "it did not wait longer than there was time"
    );
    call.run(ms(50));
    reports(&mut call, ours, 0);
    assert!(trip(&call).is_some_and(|trip| trip < ms(5_000)));
}

#[test]
fn what_is_no_audio_of_the_call_changes_nothing_of_it() {
    let mut stun = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 20]);
    let mut hello = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40];
    hello.extend([1; 40]);
    let rtcp = |count: u8, kind: u8, words: u16, body: &[u8]| {
        let mut bytes = vec![0x80 | count, kind];
        bytes.extend(words.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let strange = [
        stun,
        hello,
        vec![],
        vec![0x80],
        vec![0x80, 200],
        vec![0x80, 8, 0],
        vec![0xff; 2_048],
        // An extension longer than the packet, more sources than there are octets, padding of everything.
        [&[0x90, 8], &[0; 12][..], &[0xff, 0xff, 0, 0]].concat(),
        [&[0x8f, 8], &[0; 20][..]].concat(),
        [&[0xa0, 8], &[0xff; 30][..]].concat(),
        // RTCP: empty, longer than it is, a goodbye of 31 sources, an application's, feedback, extended reports.
        rtcp(0, 200, 0, &[]),
        rtcp(31, 201, 0xffff, &[0; 60]),
        rtcp(31, 203, 1, &[0xaa; 4]),
        rtcp(0, 204, 2, b"\0\0\0\x09NAME"),
        rtcp(1, 205, 3, &[0xff; 12]),
        rtcp(1, 206, 2, &[0xff; 8]),
        rtcp(0, 207, 1, &[0; 4]),
        // A sender report of the year 2036, and of none, with 31 blocks that are not there.
        rtcp(31, 200, 6, &[0xff; 24]),
        rtcp(31, 200, 6, &[0; 24]),
    ];
    let mut call = call();
    call.run(ms(1_000));
    for round in 0..100 {
        for bytes in &strange {
            for side in Side::BOTH {
                let channel = [Channel::Rtp, Channel::Rtcp][round % 2];
                let mut packet = Packet::new();
                packet.fill(bytes);
                let home = address(side);
                let port = home.port() + u16::from(channel == Channel::Rtcp);
                let source = std::net::SocketAddr::new(home.ip(), port);
                call.send_from(side, channel, source, packet);
            }
        }
        call.run(ms(40));
    }
    call.run(ms(1_000));
    for peer in &call.peers {
        let heard = peer.verdict();
        assert!(heard.holds(LEVEL, 3.0, 0), "{:?}: {heard:?}", peer.side);
        assert!(heard.duration_ms > 5_800, "{heard:?}");
        peer.assert_one_line();
    }
    for leg in call.session.report(call.now).legs {
        assert_eq!((leg.lost, leg.reordered, leg.duplicates), (0, 0, 0));
        assert!(leg.malformed + leg.undecryptable > 900, "{leg:?}");
        assert!(
            leg.round_trip.is_none() && leg.mos_received.unwrap() > 4.3,
            "{leg:?}"
        );
    }
}
