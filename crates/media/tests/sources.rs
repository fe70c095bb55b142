//! Whatever speaks behind a leg, and however it begins anew, the other leg hears one source.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::codec::Encoder;
use media::dtmf::Payload;
use media::tone::{Tone, level_dbfs, rms_dbfs};
use media::{Event, Packet};
use sdp::{Codec, Negotiated, Side};
use support::*;

/// What the user heard from `from` to `to` seconds.
fn heard(call: &Call, from: f64, to: f64) -> Vec<i16> {
    let pcm = call.peers[0].pcm();
    let at = |seconds: f64| ((seconds * 8_000.0) as usize).min(pcm.len());
    pcm[at(from)..at(to)].to_vec()
}

/// A PBX that answers, rings, plays its menu, hands over to an agent who puts the user on hold with music and
/// comes back, each with a source, sequence numbers and timestamps of its own, at most a packet time apart.
#[test]
fn ringing_a_menu_an_agent_and_his_music_are_one_source_for_the_user() {
    for a in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
        let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, Codec::Pcma)]);
        call.peers[0].talking = false;
        let voices = [425.0, 1_000.0, 600.0, 1_400.0, 600.0];
        for (n, hertz) in (0..).zip(voices) {
            let desk = call.peer(Side::B);
            desk.ssrc = 0xbbbb_0000 + n;
            desk.sequence = (n * 30_000) as u16;
            desk.timestamp = n.wrapping_mul(0x6000_0000);
            desk.tone = Tone::new(hertz, LEVEL);
            call.run(ms(2_000));
        }
        let user = &call.peers[0];
        user.assert_one_line();
        assert_eq!(user.undecryptable, 0);
        for (n, hertz) in voices.iter().enumerate() {
            let at = 2.0 * n as f64;
            let pcm = heard(&call, at + 0.3, at + 1.9);
            let level = level_dbfs(&pcm, *hertz);
            assert!(
                (level - LEVEL).abs() < 3.0,
                "{a:?}, voice {n}: {level} dBFS"
            );
            assert!(level - rms_dbfs(&pcm) > -1.0, "{a:?}, voice {n} alone");
        }
        let length = user.pcm().len();
        assert!(
            (79_000..=80_400).contains(&length),
            "{length} samples of 10 s"
        );
    }
}

/// The stream of the PBX begins anew under the same SSRC: sequence numbers, timestamps, or both, forwards or back.
#[test]
fn a_pbx_that_counts_anew_under_the_same_ssrc_is_played_on() {
    for (sequence, timestamp) in [
        (0x4000, 0),
        (0xc000, 0),
        (0, 0x4000_0000),
        (0, 0xc000_0000),
        (0x3000, 0xd000_0000),
        (0xd000, 0x3000_0000),
    ] {
        for b in [Codec::Pcma, Codec::Opus] {
            let mut call = Call::new([secured(plan(Side::A, Codec::Opus)), plan(Side::B, b)]);
            call.run(ms(2_000));
            let desk = call.peer(Side::B);
            desk.sequence = desk.sequence.wrapping_add(sequence);
            desk.timestamp = desk.timestamp.wrapping_add(timestamp);
            call.run(ms(3_000));
            let user = &call.peers[0];
            user.assert_one_line_or_holes();
            let tail = heard(&call, 2.6, 4.9);
            let level = level_dbfs(&tail, HERTZ);
            let what = format!("{b:?} by {sequence:#x} and {timestamp:#x}");
            assert!((level - LEVEL).abs() < 2.0, "{what}: {level} dBFS");
            let length = user.pcm().len();
            assert!(
                (38_000..=41_000).contains(&length),
                "{what}: {length} samples of 5 s"
            );
        }
    }
}

/// Meta sends under its numbers and we under ours, and the PBX has others again.
#[test]
fn every_leg_has_its_own_numbers_for_what_it_sends_and_gets() {
    let own = |codec, send_pt, receive_pt| Negotiated {
        codec,
        send_pt,
        receive_pt,
        remote_fmtp: None,
    };
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ];
    plans[0].agreed.audio = own(Codec::Opus, 107, 111);
    plans[0].agreed.dtmf = Some(own(Codec::TelephoneEvent, 102, 126));
    plans[1].agreed.audio = own(Codec::Opus, 98, 98);
    plans[1].agreed.dtmf = Some(own(Codec::TelephoneEvent, 100, 97));
    let mut call = Call::new(plans);
    call.peers.iter_mut().for_each(|peer| peer.talking = false);
    let mut encoder = Encoder::new(Codec::Opus, &Default::default()).unwrap();
    let mut payload = [0; 400];
    let length = encoder.encode(&[300; 160], &mut payload).unwrap();
    for n in 0..50u16 {
        for (side, audio, event) in [(Side::A, 111, 126), (Side::B, 98, 97)] {
            let peer = call.peer(side);
            peer.timestamp = peer.timestamp.wrapping_add(960);
            let (timestamp, key) = (
                peer.timestamp,
                Payload {
                    event: 1,
                    end: n >= 48,
                    volume: 10,
                    duration: (n - n.min(44)) * 160,
                },
            );
            let pressed = n >= 45;
            let packet: Packet = match pressed {
                true => {
                    let began = timestamp.wrapping_sub(960 * u32::from(n - 45));
                    peer.packet(event, n == 45, began, &key.to_bytes())
                }
                false => peer.packet(audio, n == 0, timestamp, &payload[..length]),
            };
            call.send(side, packet);
        }
        call.run(ms(20));
    }
    let numbers = |side: Side| {
        let mut numbers: Vec<u8> = call.peers[side.index()]
            .received
            .iter()
            .map(|one| one.header.pt)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    assert_eq!(numbers(Side::A), [102, 107]);
    assert_eq!(numbers(Side::B), [98, 100]);
    let keys = call
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Digit { digit: '1', .. }));
    assert_eq!(keys.count(), 2, "{:?}", call.events);
    let report = call.session.report(call.now);
    assert!(
        report.legs.iter().all(|leg| leg.malformed == 0),
        "{report:?}"
    );
}

/// Nothing of the user's first thirteen minutes came through: his sequence numbers have wrapped once.
#[test]
fn a_user_first_heard_behind_a_wrap_is_understood() {
    for suite in sdp::Suite::ALL {
        let mut user = secured(plan(Side::A, Codec::Opus));
        user.agreed.keying = sdes(suite, None);
        user.inactivity = None;
        let mut call = Call::new([user, plan(Side::B, Codec::Pcma)]);
        let silent = vec![7; 20];
        for _ in 0..40_000u32 {
            let peer = call.peer(Side::A);
            let timestamp = peer.timestamp.wrapping_add(960);
            peer.packet(111, false, timestamp, &silent);
            peer.timestamp = timestamp;
        }
        call.run(ms(3_000));
        let desk = &call.peers[1];
        assert!(
            desk.verdict().holds(LEVEL, 3.0, 60),
            "{suite:?}: {:?}",
            desk.verdict()
        );
        assert_eq!(
            call.session.report(call.now).legs[0].undecryptable,
            0,
            "{suite:?}"
        );
    }
}

#[test]
fn another_source_a_little_behind_the_first_ones_timestamps_is_not_taken_for_late() {
    // An agent takes over from a menu; both count samples since about the same moment.
    for behind in [160 * 5, 8_000, 8_000 * 5] {
        let mut call = Call::new([
            secured(plan(Side::A, Codec::Opus)),
            plan(Side::B, Codec::Pcma),
        ]);
        call.run(ms(2_000));
        let peer = call.peer(Side::B);
        peer.ssrc ^= 0x5555;
        peer.sequence = peer.sequence.wrapping_add(20_000);
        peer.timestamp = peer.timestamp.wrapping_sub(behind);
        let before = call.peers[0].received.len();
        call.run(ms(400));
        let after = &call.peers[0].received[before..];
        // The first packet of the new source proves nothing yet; the second does.
        let from_desk = call.session.report(call.now).legs[1].packets_received;
        assert!(
            after.len() >= 19 && from_desk >= 118,
            "{} of 20, {from_desk}",
            after.len()
        );
        let heard = call.peers[0].verdict();
        assert!(
            heard.holds(LEVEL, 3.0, 1) && heard.longest_gap_ms <= 60,
            "{heard:?}"
        );
        call.peers[0].assert_one_line();
    }
}
