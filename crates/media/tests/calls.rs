//! What callers experience: gate, filler, hold, transfer, far sides that go quiet; keys in `calls/pressed.rs`.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

#[path = "calls/pressed.rs"]
mod pressed;
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
fn a_transfer_changes_nothing_of_what_the_user_sees() {
    for b in [Codec::Pcma, Codec::Opus] {
        let mut call = whatsapp_and_desk(Codec::Opus, b);
        call.run(ms(2_000));
        let peer = call.peer(Side::B);
        (peer.ssrc, peer.sequence, peer.timestamp) = (0x0bad_cafe, 7, 0x8000_0000);
        call.run(ms(2_000));
        // The same source restarts its numbers.
        let peer = call.peer(Side::B);
        (peer.sequence, peer.timestamp) = (40_000, 5);
        call.run(ms(2_000));
        call.peers[0].assert_one_line();
        let verdict = call.peers[0].verdict();
        assert!(verdict.holds(LEVEL, 3.0, 40), "{b:?}: {verdict:?}");
        let line: u32 = steps(&call.peers[0].received).iter().sum::<u32>() / 48;
        assert!(line.abs_diff(6_000) <= 40, "{line} ms of timestamps in 6 s");
    }
}

#[test]
fn hold_sends_filler_to_the_user_and_nothing_to_the_desk_then_talk_goes_on() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(1_000));
    let mut agreed = plan(Side::B, Codec::Pcma).agreed;
    agreed.direction = Direction::Inactive;
    call.session
        .update(call.now, Side::B, agreed.clone(), &mut call.out)
        .unwrap();
    call.drain();
    call.peers[1].talking = false;
    let before = call.peers[1].received.len();
    call.run(ms(30_000));
    assert_eq!(
        call.peers[1].received.len(),
        before,
        "nothing to a leg on hold"
    );
    assert!(
        !call
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::Silent { side: Side::B, .. })),
        "hold is no silence"
    );
    assert!(call.peers[1].rtcp.len() > 4, "RTCP goes on");

    agreed.direction = Direction::SendRecv;
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    call.peers[1].talking = true;
    let resumed = call.peers[1].received.len();
    call.run(ms(3_000));
    assert!(call.peers[1].received.len() > resumed + 145);
    for peer in &call.peers {
        peer.assert_one_line();
    }
    let verdict = call.peers[0].verdict();
    assert!(
        (29_900..30_100).contains(&verdict.longest_gap_ms),
        "the tone paused and came back: {verdict:?}"
    );
}

#[test]
fn a_codec_change_of_the_desk_goes_unnoticed_by_the_user() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(2_000));
    let agreed = plan(Side::B, Codec::Pcmu).agreed;
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    let peer = call.peer(Side::B);
    peer.codec = Codec::Pcmu;
    peer.encoder = media::codec::Encoder::new(Codec::Pcmu, &Default::default()).unwrap();
    peer.received.clear();
    call.run(ms(2_000));
    call.peers.iter().for_each(Peer::assert_one_line);
    for peer in &call.peers {
        assert!(peer.verdict().holds(LEVEL, 3.0, 40), "{:?}", peer.verdict());
        // What one law says is loud in the other too, but no longer a tone.
        let pcm = peer.pcm();
        let after = judge(&pcm[pcm.len() - 8_000..], HERTZ, LEVEL);
        assert!(after.purity_db > -0.3, "{after:?}");
    }
}

#[test]
fn hold_by_an_unspecified_address_stops_our_packets() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(500));
    let mut agreed = plan(Side::B, Codec::Pcma).agreed;
    agreed.remote_rtp = "0.0.0.0:4000".parse().unwrap();
    agreed.remote_rtcp = "0.0.0.0:4001".parse().unwrap();
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    let before = call.peers[1].received.len();
    call.run(ms(1_000));
    assert_eq!(call.peers[1].received.len(), before);
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
fn a_silent_leg_is_named_once_and_its_return_too() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(5_000));
    call.peers[1].talking = false;
    call.run(ms(60_000));
    let silent: Vec<_> = call
        .events
        .iter()
        .filter(|(_, e)| matches!(e, Event::Silent { .. }))
        .collect();
    assert_eq!(silent.len(), 1);
    let (at, event) = *silent[0];
    assert_eq!(
        event,
        Event::Silent {
            side: Side::B,
            for_ms: 20_000
        }
    );
    assert!((at - call.start).abs_diff(ms(24_980)) <= ms(20));
    call.peers[1].talking = true;
    call.run(ms(100));
    assert!(call.told(&Event::Resumed(Side::B)));
}

#[test]
fn rtcp_alone_keeps_a_leg_alive() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.peers[1].talking = false;
    for _ in 0..10 {
        call.run(ms(5_000));
        let mut bytes = [0; 400];
        let len = rtcp::write(&mut bytes, 99, None, None, b"desk", false);
        let mut packet = Packet::new();
        packet.fill(&bytes[..len]);
        call.send_from(
            Side::B,
            Channel::Rtcp,
            "10.0.0.5:4001".parse().unwrap(),
            packet,
        );
    }
    assert!(
        !call
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::Silent { side: Side::B, .. }))
    );
    assert_eq!(call.session.report(call.now).legs[1].rtcp_received, 10);
}

#[test]
fn reports_leave_within_every_five_seconds_and_say_goodbye_at_the_end() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(60_000));
    for peer in &call.peers {
        assert!(
            (12..=16).contains(&peer.rtcp.len()),
            "{:?}: {} reports",
            peer.side,
            peer.rtcp.len()
        );
    }
    call.session.stop(call.now, &mut call.out);
    call.drain();
    for peer in &call.peers {
        let mut items = Vec::new();
        assert!(rtcp::read(peer.rtcp.last().unwrap(), |item| items.push(item)));
        let ssrc = 0x1111_1111 * (peer.side.index() as u32 + 1);
        let Item::Sender {
            ssrc: sender,
            report,
        } = items[0]
        else {
            panic!("{items:?}")
        };
        assert_eq!(
            (sender, report.packets as usize),
            (ssrc, peer.received.len())
        );
        let last = peer.received.last().unwrap();
        let ahead = report.timestamp.wrapping_sub(last.header.timestamp) as i32;
        assert!(
            ahead.unsigned_abs() <= peer.codec.clock() / 25,
            "the report's time is that of the audio"
        );
        assert!(
            matches!(items[1], Item::Block { block, .. } if block.ssrc == peer.ssrc && block.fraction_lost == 0)
        );
        assert_eq!(items[2], Item::Bye { ssrc });
    }
    let (mut packet, source) = (call.peer(Side::B).say(), address(Side::B));
    assert_eq!(
        call.session.receive(
            call.now,
            Side::B,
            Channel::Rtp,
            source,
            &mut packet,
            &mut call.out
        ),
        None,
        "it is over"
    );
}

#[test]
fn round_trip_and_loss_are_read_from_the_far_sides_reports() {
    let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
    call.run(ms(12_000));
    let mut ntp = 0;
    let at = call.session.report(call.now).legs[1].clone();
    assert_eq!((at.round_trip, at.remote_loss), (None, None));
    // Our report takes 30 ms, the far side answers 70 ms later, its report takes 20 ms.
    let left = {
        let before = call.peers[1].rtcp.len();
        while call.peers[1].rtcp.len() == before {
            call.run(ms(1));
        }
        call.now
    };
    rtcp::read(call.peers[1].rtcp.last().unwrap(), |item| {
        if let Item::Sender { report, .. } = item {
            ntp = report.ntp;
        }
    });
    call.run(left + ms(120) - call.now);
    let block = rtcp::Block {
        ssrc: 0x2222_2222,
        fraction_lost: 64,
        last_report: (ntp >> 16) as u32,
        delay: rtcp::short(ms(70)),
        ..Default::default()
    };
    let mut bytes = [0; 400];
    let len = rtcp::write(&mut bytes, 99, None, Some(&block), b"desk", false);
    let mut packet = Packet::new();
    packet.fill(&bytes[..len]);
    call.send_from(
        Side::B,
        Channel::Rtcp,
        "10.0.0.5:4001".parse().unwrap(),
        packet,
    );
    let leg = call.session.report(call.now).legs[1].clone();
    assert_eq!(leg.remote_loss, Some(0.25));
    let trip = leg.round_trip.unwrap();
    assert!(trip.abs_diff(ms(50)) <= ms(2), "{trip:?}");
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

fn longest_gap(heard: &[Heard]) -> std::time::Duration {
    heard.windows(2).map(|w| w[1].at - w[0].at).max().unwrap()
}

#[test]
fn another_desk_phone_takes_over_and_the_user_notices_nothing_but_the_voice() {
    for (first, second) in [
        (Codec::Pcma, Codec::Pcmu),
        (Codec::Pcma, Codec::Opus),
        (Codec::Opus, Codec::Pcma),
    ] {
        let mut call = whatsapp_and_desk(Codec::Opus, first);
        call.run(ms(2_000));
        let mut next = plan(Side::B, second);
        next.agreed.remote_rtp = "10.0.0.5:4010".parse().unwrap();
        next.ssrc = 0x7777_7777;
        call.session
            .replace(call.now, Side::B, &next, &mut call.out)
            .unwrap();
        call.drain();
        // Late packets of the first phone come from the same host, and are nobody's.
        let late = call.peer(Side::B).say();
        call.send(Side::B, late);
        assert_eq!(call.session.report(call.now).legs[1].foreign, 1);
        let former = call.peers[1].received.len();
        let peer = call.peer(Side::B);
        (peer.ssrc, peer.sequence, peer.timestamp) = (0x0bad_cafe, 7, 0x8000_0000);
        (peer.codec, peer.source) = (second, "10.0.0.5:4010".parse().unwrap());
        peer.encoder =
            media::codec::Encoder::new(second, &media::codec::OpusSettings::default()).unwrap();
        call.run(ms(2_000));
        call.peers[0].assert_one_line();
        let user = &call.peers[0].received;
        assert!(longest_gap(user) <= ms(60), "{:?}", longest_gap(user));
        let verdict = call.peers[0].verdict();
        assert!(
            verdict.holds(LEVEL, 3.0, 60),
            "{first:?} {second:?} {verdict:?}"
        );
        let to_second = &call.peers[1].received[former..];
        assert!(to_second.len() > 95);
        assert!(
            to_second
                .iter()
                .all(|heard| heard.header.ssrc == 0x7777_7777)
        );
        let report = call.session.report(call.now).legs[1].clone();
        assert!(report.packets_received > 195, "both phones: {report:?}");
    }
}

#[test]
fn who_waits_hears_a_sound_and_the_first_word_of_the_other_ends_it() {
    let mut pcm = vec![0; 8_000];
    media::tone::Tone::new(400.0, LEVEL).fill(&mut pcm);
    let sound = sdp::plan::Sound::new(pcm).unwrap();
    for b in [Codec::Pcma, Codec::Opus] {
        let mut call = whatsapp_and_desk(Codec::Opus, b);
        call.run(ms(1_000));
        call.peers[1].talking = false;
        call.session
            .sound(call.now, Side::A, Some(sound.clone()), &mut call.out)
            .unwrap();
        call.drain();
        call.run(ms(5_000));
        let clock = call.peers[1].codec.clock();
        let peer = call.peer(Side::B);
        peer.timestamp = peer.timestamp.wrapping_add(5_000 * (clock / 1_000));
        peer.talking = true;
        call.run(ms(2_000));
        call.session
            .sound(call.now, Side::A, None, &mut call.out)
            .unwrap();
        call.run(ms(1_000));
        call.peers[0].assert_one_line();
        assert!(longest_gap(&call.peers[0].received) <= ms(60));
        let heard = call.peers[0].pcm();
        let played = media::tone::judge(&heard[8_000..48_000], 400.0, LEVEL);
        assert!(
            played.holds(LEVEL, 3.0, 20) && played.duration_ms > 4_800,
            "{b:?} {played:?}"
        );
        let spoken = media::tone::judge(&heard[50_000..], HERTZ, LEVEL);
        assert!(spoken.holds(LEVEL, 3.0, 40), "{b:?} {spoken:?}");
        assert_eq!(
            media::tone::judge(&heard[50_000..], 400.0, LEVEL).onset_ms,
            None
        );
    }
}

#[test]
fn a_caller_hears_ringing_while_nobody_is_at_the_other_end_and_then_the_user() {
    let ring = media::source::ringback("de").unwrap();
    let nobody = sdp::plan::LegPlan::nobody();
    let mut call = Call::new([plan(Side::A, Codec::Pcma), nobody]);
    call.peers[1].talking = false;
    call.session
        .sound(call.now, Side::A, Some(ring), &mut call.out)
        .unwrap();
    call.drain();
    call.run(ms(4_000));
    let rung = call.peers[0].pcm();
    assert!(media::tone::level_dbfs(&rung[800..7_200], 425.0) > -17.0);
    assert!(media::tone::rms_dbfs(&rung[8_800..]) < -60.0);
    let user = secured(plan(Side::B, Codec::Opus));
    let before = call.peers[0].received.len();
    call.session
        .replace(call.now, Side::B, &user, &mut call.out)
        .unwrap();
    call.session
        .sound(call.now, Side::A, None, &mut call.out)
        .unwrap();
    call.peers[1] = Peer::new(call.now, Side::B, &user);
    call.drain();
    call.run(ms(2_000));
    call.peers[0].assert_one_line();
    assert!(call.peers[0].received.len() > before + 95);
    let verdict = call.peers[0].verdict();
    assert!(verdict.holds(LEVEL, 3.0, 40), "{verdict:?}");
    assert!(call.peers[1].verdict().holds(LEVEL, 3.0, 40));
}

/// The desk holds without music for longer than it may be silent.
#[test]
fn a_leg_on_hold_may_be_silent_and_is_watched_again_afterwards() {
    for held in [
        Direction::RecvOnly,
        Direction::SendOnly,
        Direction::Inactive,
    ] {
        let mut call = whatsapp_and_desk(Codec::Opus, Codec::Pcma);
        call.run(ms(1_000));
        let talking = plan(Side::B, Codec::Pcma).agreed;
        let mut hold = talking.clone();
        hold.direction = held;
        call.session
            .update(call.now, Side::B, hold, &mut call.out)
            .unwrap();
        call.peers[1].talking = false;
        call.run(ms(60_000));
        let named = |call: &Call| {
            call.events
                .iter()
                .filter(|(_, event)| {
                    matches!(
                        event,
                        Event::Quiet { side: Side::B, .. } | Event::Silent { side: Side::B, .. }
                    )
                })
                .count()
        };
        assert_eq!(named(&call), 0, "{held:?}");
        call.session
            .update(call.now, Side::B, talking, &mut call.out)
            .unwrap();
        call.run(ms(9_900));
        assert_eq!(named(&call), 0, "{held:?}: the watch begins anew");
        call.run(ms(10_200));
        assert_eq!(
            named(&call),
            2,
            "{held:?}: a warning after 10 s, the end after 20 s"
        );
    }
}
