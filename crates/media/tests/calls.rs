//! What callers experience: gate, filler, hold, transfer, keys, far sides that go quiet.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::dtmf::Payload;
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
    call.session.open_gate(call.now, Side::A);
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
        .update(call.now, Side::B, agreed.clone())
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
    call.session.update(call.now, Side::B, agreed).unwrap();
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
    call.session.update(call.now, Side::B, agreed).unwrap();
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
    call.session.update(call.now, Side::B, agreed).unwrap();
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
    call.session.stop(call.now);
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
        call.session
            .receive(call.now, Side::B, Channel::Rtp, source, &mut packet),
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
        call.session.replace(call.now, Side::B, &next).unwrap();
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
            .sound(call.now, Side::A, Some(sound.clone()))
            .unwrap();
        call.drain();
        call.run(ms(5_000));
        let clock = call.peers[1].codec.clock();
        let peer = call.peer(Side::B);
        peer.timestamp = peer.timestamp.wrapping_add(5_000 * (clock / 1_000));
        peer.talking = true;
        call.run(ms(2_000));
        call.session.sound(call.now, Side::A, None).unwrap();
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
    call.session.sound(call.now, Side::A, Some(ring)).unwrap();
    call.drain();
    call.run(ms(4_000));
    let rung = call.peers[0].pcm();
    assert!(media::tone::level_dbfs(&rung[800..7_200], 425.0) > -17.0);
    assert!(media::tone::rms_dbfs(&rung[8_800..]) < -60.0);
    let user = secured(plan(Side::B, Codec::Opus));
    let before = call.peers[0].received.len();
    call.session.replace(call.now, Side::B, &user).unwrap();
    call.session.sound(call.now, Side::A, None).unwrap();
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
        call.session.update(call.now, Side::B, hold).unwrap();
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
        call.session.update(call.now, Side::B, talking).unwrap();
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
