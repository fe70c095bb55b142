//! After the start of a session the packet path allocates nothing, watched or not.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::Instant;

use media::dtmf::Payload;
use media::rtp::Header;
use media::tone::Tone;
use media::{Channel, EngineSettings, Outbox, Packet, Session};
use sdp::{Codec, Side};
use support::*;

/// Ten seconds of datagrams as they arrive: (milliseconds, side, channel, bytes).
fn traffic(
    a: Codec,
    b: Codec,
    plans: &[sdp::plan::LegPlan; 2],
) -> Vec<(u64, Side, Channel, Vec<u8>)> {
    let mut call = Call::new(plans.clone());
    let mut datagrams = Vec::new();
    for n in 0..500u64 {
        for side in Side::BOTH {
            let peer = call.peer(side);
            let at = 20 * n + u64::from(side == Side::B) * 7;
            let key_down = (100..110).contains(&(n % 200));
            let packet = if key_down {
                let held = (n % 200 - 99) as u16;
                let timestamp = peer.timestamp;
                let payload = Payload {
                    event: 5,
                    end: held > 7,
                    volume: 10,
                    duration: held.min(7) * 160,
                };
                peer.packet(101, held == 1, timestamp, &payload.to_bytes())
            } else {
                peer.say()
            };
            // Loss, reordering, duplicates, forgeries.
            match n % 50 {
                10 | 11 | 25 => {}
                30 => datagrams.push((at + 25, side, Channel::Rtp, packet.as_slice().to_vec())),
                40 => {
                    datagrams.push((at, side, Channel::Rtp, packet.as_slice().to_vec()));
                    datagrams.push((at + 1, side, Channel::Rtp, packet.as_slice().to_vec()));
                    datagrams.push((at + 2, side, Channel::Rtp, vec![0x80; 90]));
                }
                _ if n > 400 && side == Side::B => {} // the desk goes quiet: filler
                // It stalls, and sends all it owes at once: filler in between, and what follows is hurried.
                42..50 => datagrams.push((
                    at.next_multiple_of(1_000),
                    side,
                    Channel::Rtp,
                    packet.as_slice().to_vec(),
                )),
                _ => datagrams.push((at, side, Channel::Rtp, packet.as_slice().to_vec())),
            }
            if n % 100 == 50 {
                let mut rtcp = [0; 400];
                let block = media::rtcp::Block {
                    ssrc: 0x1111_1111,
                    ..Default::default()
                };
                let len = media::rtcp::write(
                    &mut rtcp,
                    peer.ssrc,
                    None,
                    Some(&block),
                    b"far side",
                    false,
                );
                let mut packet = Packet::new();
                packet.fill(&rtcp[..len]);
                if let Some(protect) = &mut peer.protect {
                    protect.rtcp(&mut packet).unwrap();
                }
                let channel = if peer.protect.is_some() {
                    Channel::Rtp
                } else {
                    Channel::Rtcp
                };
                datagrams.push((at + 3, side, channel, packet.as_slice().to_vec()));
            }
        }
    }
    assert_eq!((call.peers[0].codec, call.peers[1].codec), (a, b));
    datagrams.sort_by_key(|datagram| datagram.0);
    datagrams
}

/// A telephone event for the desk.
fn is_event(to: Side, packet: &Packet) -> bool {
    to == Side::B && Header::parse(packet.as_slice()).is_some_and(|header| header.pt == 101)
}

#[test]
fn ten_seconds_of_media_allocate_nothing() {
    for (a, b, watched) in [
        (Codec::Opus, Codec::Pcma, false),
        (Codec::Pcma, Codec::Pcma, true),
        (Codec::Pcmu, Codec::Pcma, false),
        (Codec::Opus, Codec::Opus, true),
    ] {
        let mut plans = [secured(plan(Side::A, a)), plan(Side::B, b)];
        if b == Codec::Opus {
            plans[0].agreed.keying = sdes(sdp::Suite::AeadAes256Gcm, None);
        }
        for plan in &mut plans {
            plan.agreed.wants_voip_metrics = true;
            plan.proof = Some(sdp::plan::Proof::Heard);
        }
        // One of them made louder, one through a jitter buffer.
        plans[1].care.gain.heard = if a == Codec::Pcma { 6 } else { 0 };
        plans[1].care.smoothing = (a == Codec::Pcmu).then_some(sdp::plan::Smoothing {
            least: 20,
            most: 200,
        });
        let datagrams = traffic(a, b, &plans);
        let start = Instant::now();
        let mut out = Outbox::new();
        let mut session =
            Session::start(start, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
        session.watch(watched);
        // The first key makes the keyboard.
        for side in Side::BOTH {
            session.press(start, side, '7', ms(100));
        }
        let mut packet = Packet::new();
        let (mut forwarded, mut told, mut events_relayed) = (0, 0, 0);
        let work = allocation_counter::measure(|| {
            for (at, side, channel, bytes) in &datagrams {
                let now = start + ms(*at);
                while session.next_timeout() <= now {
                    let due = session.next_timeout();
                    session.timeout(due, &mut out);
                    while let Some(to) = session.transmit(due, &mut packet, &mut out) {
                        forwarded += 1;
                        events_relayed += u64::from(is_event(to.to, &packet));
                    }
                }
                if at % 3_000 == 0 {
                    session.press(now, *side, '7', ms(100));
                }
                packet.fill(bytes);
                let mut forward =
                    session.receive(now, *side, *channel, address(*side), &mut packet, &mut out);
                while let Some(to) = forward {
                    forwarded += 1;
                    events_relayed += u64::from(is_event(to.to, &packet));
                    forward = session.transmit(now, &mut packet, &mut out);
                }
                while out.event().is_some() {
                    told += 1;
                }
            }
            session.open_gate(start + ms(10_000), Side::A, &mut out);
            session.stop(start + ms(10_000), &mut out);
            while session
                .transmit(start + ms(10_000), &mut packet, &mut out)
                .is_some()
            {
                forwarded += 1;
            }
            std::hint::black_box(session.report(start + ms(10_000)));
        });
        assert_eq!(work.count_total, 0, "{a:?} to {b:?}: {work:?}");
        // And it was real work.
        let report = session.report(start + ms(10_000));
        assert!(
            forwarded > 850 && told >= 8 && events_relayed > 15,
            "{forwarded} {told} {events_relayed}"
        );
        assert!(
            report.legs[0].lost > 0
                && report.legs[0].reordered > 0
                && report.legs[1].duplicates > 0
        );
        assert!(
            report.legs[0].undecryptable > 0
                && report.legs[0].rtcp_received > 0
                && report.legs[0].rtcp_sent > 1
        );
        assert!(
            report.legs[1].concealed > ms(0) || a == b,
            "{:?}",
            report.legs[1]
        );
    }
}

#[test]
fn keys_as_tones_allocate_nothing() {
    for b in [Codec::Pcma, Codec::Opus] {
        let mut plans = [secured(plan(Side::A, Codec::Opus)), plan(Side::B, b)];
        plans[1].agreed.dtmf = None;
        plans[1].care.tones = true;
        // The desk says the two tones of the 5, 100 ms of each 200.
        let mut other = plan(Side::B, b);
        other.agreed.dtmf = None;
        let mut call = Call::new([plans[0].clone(), other]);
        let (mut low, mut high) = (Tone::new(770.0, -14.0), Tone::new(1_336.0, -14.0));
        let mut datagrams = traffic(Codec::Opus, b, &plans);
        datagrams.retain(|(_, side, ..)| *side == Side::A);
        for n in 0..500u64 {
            let (mut pcm, mut more) = ([0; 160], [0; 160]);
            if n % 10 < 5 {
                low.fill(&mut pcm);
                high.fill(&mut more);
                pcm.iter_mut().zip(&more).for_each(|(a, b)| *a += b);
            }
            let packet = call.peer(Side::B).say_this(&pcm);
            datagrams.push((20 * n, Side::B, Channel::Rtp, packet.as_slice().to_vec()));
        }
        datagrams.sort_by_key(|datagram| datagram.0);
        let start = Instant::now();
        let settings = EngineSettings::default();
        let mut out = Outbox::new();
        let mut session = Session::start(start, plans, &settings, [7; 32], &mut out).unwrap();
        let mut packet = Packet::new();
        let mut keys = [0; 2];
        let work = allocation_counter::measure(|| {
            for (at, side, channel, bytes) in &datagrams {
                let now = start + ms(*at);
                while session.next_timeout() <= now {
                    let due = session.next_timeout();
                    session.timeout(due, &mut out);
                    while session.transmit(due, &mut packet, &mut out).is_some() {}
                }
                packet.fill(bytes);
                let source = address(*side);
                let mut forward =
                    session.receive(now, *side, *channel, source, &mut packet, &mut out);
                while forward.is_some() {
                    forward = session.transmit(now, &mut packet, &mut out);
                }
                while let Some(event) = out.event() {
                    if let media::Event::Digit { from, .. } = event {
                        keys[from.index()] += 1;
                    }
                }
            }
        });
        assert_eq!(work.count_total, 0, "{b:?}: {work:?}");
        assert!(keys[0] >= 2 && keys[1] >= 45, "{keys:?}");
    }
}

/// A desk that goes over from 20 ms of Opus to 40: the one packet with which it does may allocate.
#[test]
fn opus_that_is_coded_anew_allocates_with_the_first_packet_and_never_again() {
    let plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ];
    let mut call = Call::new(plans.clone());
    let mut datagrams = Vec::new();
    let mut at = 0;
    for n in 0..300 {
        let peer = call.peer(Side::B);
        peer.ptime = if n < 100 { 20 } else { [40, 20, 60, 10][n % 4] };
        let packet = peer.say();
        if n % 50 != 48 {
            datagrams.push((at, packet.as_slice().to_vec()));
        }
        at += peer.ptime;
    }
    let start = Instant::now();
    let settings = EngineSettings::default();
    let mut out = Outbox::new();
    let mut session = Session::start(start, plans, &settings, [7; 32], &mut out).unwrap();
    let mut packet = Packet::new();
    let (mut sent, mut before) = (0, media::Mode::Aware);
    let mut turns = Vec::new();
    for (at, bytes) in &datagrams {
        let now = start + ms(*at);
        let work = allocation_counter::measure(|| {
            while session.next_timeout() <= now {
                let due = session.next_timeout();
                session.timeout(due, &mut out);
                while session.transmit(due, &mut packet, &mut out).is_some() {}
            }
            packet.fill(bytes);
            let source = address(Side::B);
            let mut forward =
                session.receive(now, Side::B, Channel::Rtp, source, &mut packet, &mut out);
            while forward.is_some() {
                sent += 1;
                forward = session.transmit(now, &mut packet, &mut out);
            }
        });
        let mode = session.mode(Side::B);
        if mode == before {
            assert_eq!(work.count_total, 0, "{at} ms: {work:?}");
        } else {
            turns.push((*at, work.count_total));
        }
        before = mode;
    }
    // The room for a frame; what libopus takes for its two coders is not counted here.
    assert!(
        matches!(turns[..], [(2_000..=2_100, 1)]),
        "{turns:?}: once, with the first packet of 40 ms"
    );
    assert!(sent >= 400, "{sent}");
}

#[test]
fn ten_seconds_of_a_sound_allocate_nothing() {
    for b in [Codec::Opus, Codec::Pcma] {
        let plans = [secured(plan(Side::A, Codec::Opus)), plan(Side::B, b)];
        let start = Instant::now();
        let mut out = Outbox::new();
        let mut session =
            Session::start(start, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
        session
            .replace(start, Side::B, &plan(Side::B, b), &mut out)
            .unwrap();
        session
            .sound(start, Side::A, Some(media::source::melody()), &mut out)
            .unwrap();
        let mut packet = Packet::new();
        let mut sent = 0;
        let work = allocation_counter::measure(|| {
            while session.next_timeout() < start + ms(10_000) {
                let due = session.next_timeout();
                session.timeout(due, &mut out);
                while let Some(to) = session.transmit(due, &mut packet, &mut out) {
                    sent += u64::from(to.to == Side::A);
                }
            }
        });
        assert_eq!(work.count_total, 0, "{b:?}: {work:?}");
        assert!(sent >= 500, "{sent}");
    }
}

#[test]
fn reports_of_loss_allocate_nothing() {
    for (b, sound) in [(Codec::Pcma, false), (Codec::Opus, true)] {
        let plans = [secured(plan(Side::A, Codec::Opus)), plan(Side::B, b)];
        let mut far = Call::new(plans.clone());
        let start = Instant::now();
        let mut out = Outbox::new();
        let mut session =
            Session::start(start, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
        if sound {
            let melody = media::source::melody();
            session
                .sound(start, Side::A, Some(melody), &mut out)
                .unwrap();
        }
        let losses = [0, 60, 60, 60, 60, 60, 60, 0, 20, 0, 0, 255];
        let reports = losses.map(|fraction_lost| {
            let block = media::rtcp::Block {
                ssrc: 0x1111_1111,
                fraction_lost,
                ..Default::default()
            };
            let (mut bytes, mut packet) = ([0; 400], Packet::new());
            let len = media::rtcp::write(&mut bytes, 5, None, Some(&block), b"user", false);
            packet.fill(&bytes[..len]);
            let protect = far.peer(Side::A).protect.as_mut().unwrap();
            protect.rtcp(&mut packet).unwrap();
            packet
        });
        let words: Vec<Packet> = (0..120).map(|_| far.peer(Side::B).say()).collect();
        let (mut packet, mut sent) = (Packet::new(), 0);
        let mut receive = |session: &mut Session, at: u64, side, one: &Packet| {
            let now = start + ms(at);
            packet.fill(one.as_slice());
            session.timeout(now, &mut out);
            let mut forward = session.receive(
                now,
                side,
                Channel::Rtp,
                address(side),
                &mut packet,
                &mut out,
            );
            while let Some(to) = forward {
                sent += u64::from(to.to == Side::A);
                forward = session.transmit(now, &mut packet, &mut out);
            }
        };
        let work = allocation_counter::measure(|| {
            for (n, word) in (0..).zip(&words) {
                if !sound {
                    receive(&mut session, 20 * n, Side::B, word);
                }
                if n % 10 == 0 {
                    receive(&mut session, 20 * n, Side::A, &reports[n as usize / 10]);
                }
            }
        });
        assert_eq!(work.count_total, 0, "{b:?}: {work:?}");
        let heard = session.report(start + ms(2_400)).legs[0].rtcp_received;
        assert!(sent >= 10 && heard == 12, "{sent} sent, {heard} reports");
    }
}

#[test]
fn the_counter_counts() {
    let work = allocation_counter::measure(|| {
        std::hint::black_box(Packet::new());
    });
    assert_eq!(work.count_total, 1);
}
