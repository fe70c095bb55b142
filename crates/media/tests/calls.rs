//! What callers experience: gate, filler, pauses, who is listened to; what changes in mid-call, keys and reports beside it.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

#[path = "calls/changes.rs"]
mod changes;
#[path = "calls/pressed.rs"]
mod pressed;
#[path = "calls/reports.rs"]
mod reports;
mod support;

use media::rtcp::{self, Item};
use media::tone::judge;
use media::{Channel, Event, Packet};
use sdp::plan::{Gate, Latch, Silence};
use sdp::{Codec, Direction, Side};
use support::*;

fn whatsapp_and_desk(a: Codec, b: Codec) -> Call {
    Call::new([secured(plan(Side::A, a)), plan(Side::B, b)])
}

fn steps(heard: &[Heard]) -> Vec<u32> {
    heard
        .windows(2)
        .map(|w| w[1].header.timestamp.wrapping_sub(w[0].header.timestamp))
        .collect()
}

#[test]
fn nothing_leaves_toward_a_shut_gate_and_the_first_packet_leaves_the_moment_it_opens() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[0].gate = Gate::Shut;
    let mut call = Call::new(plans);
    call.run(ms(3_010));
    assert!(call.peers[0].received.is_empty() && call.peers[0].rtcp.is_empty());
    let clipped = call.session.report(call.now).legs[0].clipped;
    assert_eq!(clipped, call.peers[1].said);
    assert!(
        call.peers[1].verdict().holds(LEVEL, 3.0, 0),
        "the other direction does not care"
    );

    let opened = call.now;
    call.session.open_gate(call.now, Side::A, &mut call.out);
    call.drain();
    assert_eq!(call.peers[0].received.len(), 1, "silence at once");
    assert_eq!(call.peers[0].received[0].at, opened);
    assert!(call.peers[0].received[0].header.sequence < 0x8000);
    assert!(call.peers[0].received[0].header.marker);
    call.run(ms(3_000));
    assert!(call.peers[0].verdict().holds(LEVEL, 3.0, 0));
    assert!(call.peers[0].verdict().onset_ms.unwrap() <= 40);
    call.peers[0].assert_one_line();
    let leg = &call.session.report(call.now).legs[0];
    assert_eq!(leg.clipped, clipped);
    assert!(leg.first_audio_sent.unwrap() <= ms(20), "{leg:?}");
    assert_eq!(leg.first_sent, Some(opened - call.start));
    assert!(call.told(&Event::FirstSent(Side::A)) && call.told(&Event::FirstReceived(Side::B)));
}

#[test]
fn a_quiet_desk_phone_does_not_end_the_call() {
    for b in [Codec::Pcma, Codec::Opus] {
        let mut call = whatsapp_and_desk(Codec::Opus, b);
        call.peers[1].talking = false;
        call.run(ms(40_000));
        let heard = &call.peers[0].received;
        assert!(
            (1_990..=2_001).contains(&heard.len()),
            "{} frames in 40 s",
            heard.len()
        );
        let longest = heard.windows(2).map(|w| w[1].at - w[0].at).max().unwrap();
        assert!(longest <= ms(21), "{longest:?} without a packet");
        assert!(steps(heard).iter().all(|step| *step == 960));
    }
}

#[test]
fn filler_and_talk_alternate_on_one_line() {
    for b in [Codec::Pcma, Codec::Opus] {
        let mut call = whatsapp_and_desk(Codec::Opus, b);
        for round in 0..20u64 {
            call.peers[1].talking = true;
            call.run(ms(700));
            call.peers[1].talking = false;
            let pause = 500 + 13 * round;
            call.run(ms(pause));
            let clock = call.peers[1].codec.clock();
            let peer = call.peer(Side::B);
            peer.timestamp = peer.timestamp.wrapping_add(pause as u32 * (clock / 1_000)); // it sampled on
        }
        let heard = &call.peers[0].received;
        call.peers[0].assert_one_line();
        assert!(steps(heard).iter().all(|step| *step == 960), "{b:?}");
        let line = steps(heard).iter().sum::<u32>() / 48;
        let clock = (heard.last().unwrap().at - heard[0].at).as_millis() as u32;
        assert!(
            line.abs_diff(clock) <= 40,
            "line {line} ms, clock {clock} ms"
        );
        let longest = heard.windows(2).map(|w| w[1].at - w[0].at).max().unwrap();
        assert!(longest <= ms(81), "{longest:?} without a packet");
        let talkspurts = heard.iter().filter(|h| h.header.marker).count();
        assert!(
            (20..=22).contains(&talkspurts),
            "{talkspurts} markers for 20 talkspurts"
        );
    }
}

#[test]
fn speech_pauses_coded_as_dtx_stay_quiet_and_in_time() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[1].silence = Silence::Frames;
    let mut call = Call::new(plans);
    call.run(ms(1_000));
    call.peers[0].talking = false;
    // DTX: one frame of one octet every 400 ms (RFC 6716 §2.1.9), nothing between.
    for n in 1..=5u32 {
        call.run(ms(400));
        let peer = call.peer(Side::A);
        let timestamp = peer.timestamp.wrapping_add(48 * 400 * n - 960);
        let packet = peer.packet(111, false, timestamp, &[1 << 3]);
        call.send(Side::A, packet);
    }
    let peer = call.peer(Side::A);
    peer.timestamp = peer.timestamp.wrapping_add(48 * 2_000);
    peer.talking = true;
    call.run(ms(1_000));
    let verdict = call.peers[1].verdict();
    assert!(
        (1_900..2_100).contains(&verdict.longest_gap_ms),
        "{verdict:?}"
    );
    let pcm = call.peers[1].pcm();
    assert!(
        media::tone::rms_dbfs(&pcm[160 * 60..160 * 140]) < -50.0,
        "the pause is quiet"
    );
    call.peers[1].assert_one_line();
    let report = call.session.report(call.now);
    assert_eq!((report.legs[0].lost, report.legs[0].malformed), (0, 0));
}

#[test]
fn a_stranger_is_not_heard_and_does_not_move_the_stream() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    for n in 0..200u16 {
        let mut bytes = vec![0x80, 8];
        bytes.extend(n.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 6, 6, 6, 6]);
        bytes.extend([0x2a; 160]);
        for (side, source) in [(Side::B, "10.0.0.66:4000"), (Side::A, "203.0.113.99:3480")] {
            let mut packet = Packet::new();
            packet.fill(&bytes);
            call.send_from(side, Channel::Rtp, source.parse().unwrap(), packet);
        }
        call.run(ms(10));
    }
    for peer in &call.peers {
        assert!(peer.verdict().holds(LEVEL, 3.0, 0), "{:?}", peer.verdict());
    }
    let report = call.session.report(call.now);
    assert_eq!(
        (report.legs[1].foreign, report.legs[0].undecryptable),
        (200, 200)
    );
}

#[test]
fn a_user_who_changes_networks_is_followed_because_his_packets_authenticate() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    let moved = "198.51.100.7:40012".parse().unwrap();
    call.peer(Side::A).source = moved;
    call.run(ms(20));
    let mut packet = call.peer(Side::B).say();
    let forward = call.session.receive(
        call.now,
        Side::B,
        Channel::Rtp,
        address(Side::B),
        &mut packet,
        &mut call.out,
    );
    assert_eq!(forward.map(|f| (f.to, f.dst)), Some((Side::A, moved)));
}

#[test]
fn a_desk_phone_behind_nat_is_answered_where_it_speaks_from() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[1].latch = Latch::Plausible {
        signalling: Some("192.0.2.1".parse().unwrap()),
    };
    let mut call = Call::new(plans);
    let natted = "192.0.2.1:61000".parse().unwrap();
    call.peer(Side::B).source = natted;
    call.run(ms(40));
    let mut packet = call.peer(Side::A).say();
    let forward = call.session.receive(
        call.now,
        Side::A,
        Channel::Rtp,
        address(Side::A),
        &mut packet,
        &mut call.out,
    );
    assert_eq!(forward.map(|f| (f.to, f.dst)), Some((Side::B, natted)));
}

#[test]
fn a_network_that_stalls_and_bursts_adds_no_delay() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(1_000));
    for _ in 0..5 {
        call.peers[1].talking = false;
        call.run(ms(300));
        let late: Vec<_> = (0..15).map(|_| call.peer(Side::B).say()).collect();
        late.into_iter()
            .for_each(|packet| call.send(Side::B, packet));
        call.peers[1].talking = true;
        call.run(ms(1_000));
    }
    call.peers[0].assert_one_line();
    let heard = &call.peers[0].received;
    let line: u32 = steps(heard).iter().sum::<u32>() / 48;
    let clock = (heard.last().unwrap().at - heard[0].at).as_millis() as u32;
    assert!(
        line.abs_diff(clock) <= 60,
        "line {line} ms, clock {clock} ms"
    );
}

#[test]
fn comfort_noise_is_no_loss() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    for _ in 0..10 {
        call.run(ms(200));
        let packet = {
            let peer = call.peer(Side::B);
            peer.packet(13, false, peer.timestamp, &[0x40])
        };
        call.send(Side::B, packet);
    }
    call.run(ms(500));
    let report = call.session.report(call.now);
    assert_eq!(
        (
            report.legs[1].lost,
            report.legs[1].concealed,
            report.legs[1].malformed
        ),
        (0, ms(0), 0)
    );
    assert!(call.peers[0].verdict().holds(LEVEL, 3.0, 0));
}
