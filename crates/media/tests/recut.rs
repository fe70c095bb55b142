//! A desk that sends Opus in packets of any length, and a user who is to get 20 ms of it, always.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::codec::{Encoder, MAX_SAMPLES, OpusSettings, samples};
use media::dtmf::Payload;
use media::tone::{Tone, judge, rms_dbfs};
use media::{Event, Mode};
use sdp::plan::Silence;
use sdp::{Codec, Side};
use support::*;

fn opus_to_opus() -> Call {
    Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ])
}

/// What an endpoint says in so many packets of 20 ms from its first on.
fn said(packets: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Codec::Opus, &OpusSettings::default()).unwrap();
    let mut tone = Tone::new(HERTZ, LEVEL);
    (0..packets)
        .map(|_| {
            let (mut pcm, mut payload) = ([0; 160], [0; 1_000]);
            tone.fill(&mut pcm);
            let len = encoder.encode(&pcm, &mut payload).unwrap();
            payload[..len].to_vec()
        })
        .collect()
}

/// The payloads of audio an endpoint heard; the user's first packet is silence, which leaves before anybody speaks.
fn heard(peer: &Peer) -> Vec<Vec<u8>> {
    let audio = peer.received.iter().filter(|one| one.header.pt == 111);
    let silence = usize::from(peer.side == Side::A);
    audio.skip(silence).map(|one| one.payload.clone()).collect()
}

/// Equal payloads; those that are not would fill screens.
fn assert_same(got: &[Vec<u8>], said: &[Vec<u8>], what: &str) {
    let differs = got.iter().zip(said).position(|(a, b)| a != b);
    assert_eq!((differs, got.len()), (None, said.len()), "{what}");
}

/// Every packet an endpoint heard has 20 ms.
fn assert_lengths(peer: &Peer, what: &str) {
    for payload in heard(peer) {
        assert_eq!(samples(Codec::Opus, &payload), Some(160), "{what}");
    }
}

/// One SSRC, one sequence, one line of timestamps on which every packet has 20 ms.
fn assert_twenties(peer: &Peer, what: &str) {
    peer.assert_one_line();
    for pair in peer.received.windows(2) {
        let (a, b) = (&pair[0].header, &pair[1].header);
        assert_eq!(b.timestamp.wrapping_sub(a.timestamp), 960, "{what}");
    }
    assert_lengths(peer, what);
}

#[test]
fn opus_of_10_40_and_60_ms_and_mixed_reaches_the_user_as_20() {
    let lengths: [&[u64]; 5] = [
        &[10],
        &[40],
        &[60],
        &[40, 20],
        &[20, 60, 10, 40, 10, 20, 20],
    ];
    for lengths in lengths {
        let what = format!("{lengths:?}");
        let mut call = opus_to_opus();
        let mut ms_said = 0;
        for length in lengths.iter().cycle().take(120) {
            call.peers[1].ptime = *length;
            call.run(ms(*length));
            ms_said += length;
        }
        assert_twenties(&call.peers[0], &what);
        let verdict = call.peers[0].verdict();
        assert!(verdict.holds(LEVEL, 1.5, 0), "{what}: {verdict:?}");
        assert!(verdict.purity_db > -0.5, "{what}: {verdict:?}");
        let packets = call.peers[0].received.len() as u64;
        assert!(packets.abs_diff(ms_said / 20) <= 5, "{what}: {packets}");
        assert_eq!(call.session.mode(Side::B), Mode::Terminate, "{what}");
        // The other way is untouched.
        assert_eq!(call.session.mode(Side::A), Mode::Aware, "{what}");
        let to_desk = heard(&call.peers[1]);
        assert_same(&to_desk, &said(to_desk.len()), &what);
        assert!(to_desk.len() as u64 >= ms_said / 20 - 1, "{what}");
        let report = call.session.report(call.now);
        assert!(report.legs[1].recut >= 119, "{what}: {report:?}");
        assert_eq!(report.legs[0].recut, 0, "{what}");
    }
}

#[test]
fn a_desk_that_sends_20_ms_passes_bit_for_bit_both_ways() {
    let mut call = opus_to_opus();
    call.run(ms(3_000));
    for side in Side::BOTH {
        let got = heard(&call.peers[side.index()]);
        assert!(got.len() >= 149, "{}", got.len());
        assert_same(&got, &said(got.len()), "20 ms");
        assert_eq!(call.session.mode(side), Mode::Aware);
    }
    let report = call.session.report(call.now);
    assert!(report.legs.iter().all(|leg| leg.recut == 0));
}

#[test]
fn a_leg_that_takes_any_length_gets_what_was_sent() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ];
    plans[0].care.exact_ptime = false;
    let mut call = Call::new(plans);
    call.peers[1].ptime = 40;
    call.run(ms(2_000));
    let got = heard(&call.peers[0]);
    assert!(got.len() >= 48, "{}", got.len());
    let long = |payload: &Vec<u8>| samples(Codec::Opus, payload) == Some(320);
    assert!(got[2..].iter().all(long));
    assert_eq!(call.session.mode(Side::B), Mode::Aware);
}

#[test]
fn a_desk_that_changes_its_length_in_mid_call_is_heard_without_a_seam() {
    for length in [10, 40, 60] {
        let mut call = opus_to_opus();
        call.run(ms(2_000));
        assert_eq!(call.session.mode(Side::B), Mode::Aware);
        let before = heard(&call.peers[0]);
        assert_same(&before, &said(100), "up to there");
        call.peers[1].ptime = length;
        call.run(ms(2_000));
        // And back: what was begun goes on.
        call.peers[1].ptime = 20;
        call.run(ms(2_000));
        assert_eq!(call.session.mode(Side::B), Mode::Terminate);
        assert_twenties(&call.peers[0], &length.to_string());
        let verdict = call.peers[0].verdict();
        assert!(verdict.holds(LEVEL, 1.5, 0), "{length}: {verdict:?}");
        assert_same(&heard(&call.peers[0])[..100], &before, "afterwards");
    }
}

#[test]
fn packets_lost_where_the_length_changes_leave_no_jump_and_no_silence() {
    // With filler for the user the pause is filled; without it the far side conceals it, which knows what was said before.
    for (filler, lost, length) in [
        (false, 1, 40),
        (false, 2, 40),
        (false, 1, 10),
        (false, 1, 60),
        (true, 1, 40),
        (true, 2, 60),
    ] {
        let mut plans = [
            secured(plan(Side::A, Codec::Opus)),
            plan(Side::B, Codec::Opus),
        ];
        if !filler {
            plans[0].silence = Silence::Rtcp;
        }
        let mut call = Call::new(plans);
        call.link = Box::new(move |side, said| {
            match side == Side::B && (100..100 + lost).contains(&said) {
                true => Fate::Lose,
                false => Fate::Pass,
            }
        });
        call.run(ms(2_000 + 20 * lost));
        call.peers[1].ptime = length;
        call.run(ms(2_000));
        let what = format!("{lost} before {length}");
        let user = &call.peers[0];
        user.assert_one_line_or_holes();
        assert_lengths(user, &what);
        let holes: Vec<_> = (user.received.windows(2))
            .map(|pair| (&pair[0].header, &pair[1].header))
            .map(|(a, b)| {
                let ticks = b.timestamp.wrapping_sub(a.timestamp);
                (b.sequence.wrapping_sub(a.sequence), ticks)
            })
            .filter(|step| *step != (1, 960))
            .collect();
        match filler {
            true => assert_eq!(holes, [], "{what}"),
            false => assert_eq!(
                holes,
                [(1 + lost as u16, 960 * (1 + lost as u32))],
                "{what}"
            ),
        }
        let verdict = user.verdict();
        let gap = if filler { 40 * lost as u32 } else { 20 };
        assert!(verdict.holds(LEVEL, 2.0, gap), "{what}: {verdict:?}");
        let report = call.session.report(call.now);
        assert_eq!((report.legs[1].lost, report.legs[1].late), (lost, 0));
    }
}

#[test]
fn what_a_desk_of_40_ms_loses_is_made_up_for() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 40;
    call.link = Box::new(|side, said| match side == Side::B && said % 12 == 7 {
        true => Fate::Lose,
        false => Fate::Pass,
    });
    call.run(ms(8_000));
    assert_twenties(&call.peers[0], "one in twelve lost");
    let verdict = call.peers[0].verdict();
    assert!(verdict.holds(LEVEL, 2.0, 60), "{verdict:?}");
    let report = call.session.report(call.now);
    let lost = report.legs[1].lost as u32 * 40;
    assert!(verdict.gaps_ms <= lost / 2, "{verdict:?} of {lost}");
    assert!(report.legs[1].lost >= 15 && report.legs[1].concealed >= ms(600));
}

/// 60 ms of 64 kbit/s are 480 octets, twice of what is held behind a hole.
#[test]
fn long_packets_that_swap_places_are_heard_as_one_voice() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 60;
    call.peers[1].encoder.tune(&OpusSettings {
        bitrate: 64_000,
        ..OpusSettings::default()
    });
    call.link = Box::new(|side, said| match side == Side::B && said % 20 == 11 {
        true => Fate::Swap,
        false => Fate::Pass,
    });
    call.run(ms(6_000));
    assert_twenties(&call.peers[0], "swapped");
    let verdict = call.peers[0].verdict();
    assert!(verdict.holds(LEVEL, 2.0, 60), "{verdict:?}");
    assert!(verdict.gaps_ms <= 5 * 60, "{verdict:?}");
}

#[test]
fn a_pause_coded_as_dtx_in_40_ms_is_quiet_and_in_time() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 40;
    call.run(ms(1_000));
    call.peers[1].talking = false;
    let paused = call.now;
    for n in 0..50u32 {
        // Configuration 2: SILK narrowband, 40 ms, one frame without data. Every tenth packet has no payload at all.
        let peer = call.peer(Side::B);
        let timestamp = peer.timestamp;
        let payload: &[u8] = if n % 10 == 9 { &[] } else { &[2 << 3] };
        let packet = peer.packet(111, false, timestamp, payload);
        peer.timestamp = timestamp.wrapping_add(1_920);
        call.send(Side::B, packet);
        call.run(ms(40));
    }
    call.peers[1].talking = true;
    call.peers[1].next = call.now;
    call.run(ms(1_000));
    call.peers[0].assert_one_line();
    assert_lengths(&call.peers[0], "a pause");
    let mut decoder = media::codec::Decoder::new(Codec::Opus).unwrap();
    let mut pause = Vec::new();
    for one in &call.peers[0].received {
        let mut pcm = [0; MAX_SAMPLES];
        let n = decoder.decode(&one.payload, &mut pcm).unwrap();
        if one.at > paused + ms(300) && one.at < paused + ms(2_000) {
            pause.extend_from_slice(&pcm[..n]);
        }
    }
    assert!((11_200..=13_600).contains(&pause.len()), "{}", pause.len());
    assert!(rms_dbfs(&pause) < -50.0, "{}", rms_dbfs(&pause));
    let pcm = call.peers[0].pcm();
    let after = judge(&pcm[pcm.len() - 7_200..], HERTZ, LEVEL);
    assert!(after.holds(LEVEL, 1.5, 0), "{after:?}");
    assert_eq!(call.session.report(call.now).legs[1].malformed, 5);
}

#[test]
fn another_source_that_sends_20_ms_passes_again() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 40;
    call.run(ms(2_000));
    assert_eq!(call.session.mode(Side::B), Mode::Terminate);
    let heard_before = heard(&call.peers[0]).len();
    // The PBX sends the call on, inside: another telephone, which sends 20 ms.
    let peer = call.peer(Side::B);
    (peer.ssrc, peer.sequence, peer.timestamp) = (0x0bad_cafe, 7, 0x8000_0000);
    (peer.ptime, peer.tone) = (20, Tone::new(HERTZ, LEVEL));
    peer.encoder = Encoder::new(Codec::Opus, &OpusSettings::default()).unwrap();
    call.run(ms(2_000));
    assert_eq!(call.session.mode(Side::B), Mode::Aware);
    let got = heard(&call.peers[0]);
    let last = &got[heard_before..];
    // Its first packet alone proves nothing (RFC 3550 A.1).
    assert_same(last, &said(100)[1..], "the second source");
    // And to a third one, which does not.
    let peer = call.peer(Side::B);
    (peer.ssrc, peer.sequence, peer.timestamp, peer.ptime) = (0x0bad_beef, 900, 77, 60);
    call.run(ms(2_000));
    assert_eq!(call.session.mode(Side::B), Mode::Terminate);
    call.peers[0].assert_one_line();
    assert_lengths(&call.peers[0], "three sources");
    let verdict = call.peers[0].verdict();
    assert!(verdict.holds(LEVEL, 1.5, 60), "{verdict:?}");
    // What was counted of the first is not forgotten, and the second was not counted.
    let recut = call.session.report(call.now).legs[1].recut;
    assert!((80..=86).contains(&recut), "{recut}");
    let told: Vec<_> = (call.events.iter())
        .filter_map(|(_, event)| match event {
            Event::Recut { side, begins } => Some((*side, *begins)),
            _ => None,
        })
        .collect();
    let of_the_desk = |begins| (Side::B, begins);
    assert_eq!(told, [true, false, true].map(of_the_desk));
}

#[test]
fn what_the_desk_agrees_on_anew_is_looked_at_anew() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 40;
    call.run(ms(1_000));
    let mut agreed = plan(Side::B, Codec::Opus).agreed;
    agreed.ptime = 40; // what we send it; Meta's own ptime is none of its business
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    assert_eq!(call.session.mode(Side::B), Mode::Aware);
    call.run(ms(1_000));
    assert_eq!(call.session.mode(Side::B), Mode::Terminate);
    // From now on G.711, and back again.
    let peer = call.peer(Side::B);
    peer.codec = Codec::Pcma;
    peer.encoder = Encoder::new(Codec::Pcma, &OpusSettings::default()).unwrap();
    let agreed = plan(Side::B, Codec::Pcma).agreed;
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    call.run(ms(1_000));
    let peer = call.peer(Side::B);
    peer.codec = Codec::Opus;
    peer.encoder = Encoder::new(Codec::Opus, &OpusSettings::default()).unwrap();
    peer.ptime = 20;
    let agreed = plan(Side::B, Codec::Opus).agreed;
    call.session
        .update(call.now, Side::B, agreed, &mut call.out)
        .unwrap();
    call.run(ms(1_000));
    assert_eq!(call.session.mode(Side::B), Mode::Aware);
    assert_twenties(&call.peers[0], "four agreements");
    let verdict = call.peers[0].verdict();
    assert!(verdict.holds(LEVEL, 1.5, 60), "{verdict:?}");
}

#[test]
fn keys_pass_beside_audio_that_is_coded_anew() {
    let mut call = opus_to_opus();
    call.peers[1].ptime = 40;
    call.run(ms(1_000));
    for (from, event) in [(Side::B, 5), (Side::A, 7)] {
        let timestamp = call.peer(from).timestamp;
        call.peer(from).talking = false;
        for n in 1..=7u16 {
            let payload = Payload {
                event,
                end: n > 4,
                volume: 10,
                duration: n.min(5) * 160,
            };
            let packet = call
                .peer(from)
                .packet(101, n == 1, timestamp, &payload.to_bytes());
            call.send(from, packet);
            call.run(ms(20));
        }
        let now = call.now;
        let peer = call.peer(from);
        peer.timestamp = timestamp.wrapping_add(140 * 48);
        (peer.talking, peer.next) = (true, now);
        call.run(ms(1_000));
    }
    let digits: Vec<_> = (call.events.iter())
        .filter_map(|(_, event)| match event {
            Event::Digit {
                from,
                digit,
                duration_ms,
            } => Some((*from, *digit, *duration_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(digits, [(Side::B, '5', 100), (Side::A, '7', 100)]);
    call.peers.iter().for_each(Peer::assert_one_line);
    // On the line of the audio, in units of 8 kHz.
    let user = &call.peers[0].received;
    let first = user.iter().position(|one| one.header.pt == 101).unwrap();
    let keys: Vec<_> = user[first..]
        .iter()
        .filter(|one| one.header.pt == 101)
        .collect();
    let at = keys[0].header.timestamp;
    assert_eq!(at.wrapping_sub(user[first - 1].header.timestamp) % 960, 0);
    assert!(keys.iter().all(|one| one.header.timestamp == at));
    assert_eq!(keys.last().unwrap().payload[2..4], 800u16.to_be_bytes());
    let pcm = call.peers[0].pcm();
    let after = judge(&pcm[pcm.len() - 7_200..], HERTZ, LEVEL);
    assert!(after.holds(LEVEL, 1.5, 0), "{after:?}");
}

#[test]
fn whatever_opus_the_desk_sends_the_user_gets_20_ms_of_it() {
    let mut call = opus_to_opus();
    call.peers[1].talking = false;
    let mut dice = 1u64;
    let mut roll = move || {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as u32
    };
    for _ in 0..5_000 {
        // Any configuration, any number of frames, lengths that add up or do not.
        let length = 1 + roll() as usize % [3, 40, 400][roll() as usize % 3];
        let payload: Vec<u8> = (0..length).map(|_| roll() as u8).collect();
        let step = [0, 120, 480, 960, 960, 1_920, 2_880, 5_760][roll() as usize % 8];
        let peer = call.peer(Side::B);
        let timestamp = peer.timestamp;
        let packet = peer.packet(111, false, timestamp, &payload);
        peer.timestamp = timestamp.wrapping_add(step);
        if roll() % 10 > 0 {
            call.send(Side::B, packet);
        }
        call.run(ms(u64::from(roll()) % 50));
    }
    assert_lengths(&call.peers[0], "anything");
    call.peers[0].assert_one_line_or_holes();
    let report = call.session.report(call.now);
    assert!(report.legs[1].recut > 1_000 && report.legs[1].malformed > 100);
    // And a voice after it is one.
    call.peers[1].talking = true;
    call.peers[1].next = call.now;
    call.peers[1].ptime = 40;
    call.run(ms(4_000));
    let pcm = call.peers[0].pcm();
    let after = judge(&pcm[pcm.len() - 16_000..], HERTZ, LEVEL);
    assert!(after.holds(LEVEL, 1.5, 20), "{after:?}");
}
