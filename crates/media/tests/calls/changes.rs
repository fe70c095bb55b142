//! What changes in mid-call and is not to be noticed by the other side: hold, transfer, another telephone, another codec, sounds of ours.

use super::*;

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
