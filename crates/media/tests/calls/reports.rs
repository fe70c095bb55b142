//! Who is silent and for how long, and what both sides report (RFC 3550 §6.4): RTCP is life, a hold is no silence.

use super::*;

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
fn a_leg_that_is_kept_alive_by_reports_gets_the_first_at_once_and_no_filler() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    (plans[0].silence, plans[0].gate) = (Silence::Rtcp, Gate::Shut);
    let mut call = Call::new(plans);
    call.peers[1].talking = false;
    call.run(ms(1_000));
    assert!(call.peers[0].rtcp.is_empty());
    call.session.open_gate(call.now, Side::A, &mut call.out);
    call.drain();
    assert_eq!(
        call.peers[0].rtcp.len(),
        1,
        "what is first to leave is ours"
    );
    for _ in 0..12 {
        let before = call.peers[0].rtcp.len();
        call.run(ms(5_500));
        assert!(call.peers[0].rtcp.len() > before, "a report within 5 s");
    }
    assert!(call.peers[0].received.is_empty());
    call.peers[1].talking = true;
    call.run(ms(1_000));
    assert!((49..=51).contains(&call.peers[0].received.len()));
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
