//! What the engine makes of the loss a far side reports.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::Channel;
use media::codec::{Decoder, MAX_SAMPLES};
use media::tone::Tone;
use sdp::{Codec, Side};
use support::*;

/// A receiver report of the user: `lost` of 256 of our packets.
fn user_reports(call: &mut Call, lost: u8) {
    let block = media::rtcp::Block {
        ssrc: 0x1111_1111,
        fraction_lost: lost,
        ..Default::default()
    };
    let mut bytes = [0; 400];
    let ssrc = call.peer(Side::A).ssrc;
    let len = media::rtcp::write(&mut bytes, ssrc, None, Some(&block), b"user", false);
    let mut packet = media::Packet::new();
    packet.fill(&bytes[..len]);
    let peer = call.peer(Side::A);
    if let Some(protect) = &mut peer.protect {
        protect.rtcp(&mut packet).unwrap();
    }
    let source = peer.source;
    call.send_from(Side::A, Channel::Rtp, source, packet);
}

/// How well single lost packets of syllables come back at the user when he reports this much loss:
/// dB by which what is missing differs from what was sent; and kbit/s.
fn recovered(lost: u8) -> (f64, f64) {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    call.peer(Side::B).talking = false;
    for n in 0..600u32 {
        if n % 50 == 0 {
            user_reports(&mut call, lost);
        }
        // A note that nobody can guess from the one before, every 60 ms.
        let mut tone = Tone::new(300.0 + f64::from(n / 3 * 7_919 % 1_200), -12.0);
        let mut pcm = [0; 160];
        for _ in 0..=n % 3 {
            tone.fill(&mut pcm);
        }
        let packet = call.peer(Side::B).say_this(&pcm);
        call.send(Side::B, packet);
        call.run(ms(20));
    }
    let audio: Vec<_> = call.peers[0]
        .received
        .iter()
        .filter(|one| one.header.pt == 111)
        .collect();
    let decode = |lossy: bool| {
        let mut decoder = Decoder::new(Codec::Opus).unwrap();
        let (mut pcm, mut out) = (Vec::new(), [0; MAX_SAMPLES]);
        for (n, one) in audio.iter().enumerate() {
            if lossy && n % 3 == 0 && n > 200 {
                continue;
            }
            if lossy && n % 3 == 1 && n > 201 {
                let mut made = [0; 160];
                decoder.recover(&one.payload, &mut made);
                pcm.extend(made);
            }
            let samples = decoder.decode(&one.payload, &mut out).unwrap();
            pcm.extend_from_slice(&out[..samples]);
        }
        pcm
    };
    let (whole, holed) = (decode(false), decode(true));
    let (mut error, mut power) = (0.0, 0.0);
    for (a, b) in whole.iter().zip(&holed).skip(202 * 160) {
        error += (f64::from(*a) - f64::from(*b)).powi(2);
        power += f64::from(*a).powi(2);
    }
    let octets: usize = audio.iter().map(|one| one.payload.len()).sum();
    (
        10.0 * (error / power).log10(),
        octets as f64 * 8.0 / 1_000.0 / 12.0,
    )
}

#[test]
fn the_loss_a_user_reports_brings_redundancy_within_the_bitrate() {
    let (quiet, loud) = (recovered(0), recovered(40));
    println!("no loss reported: {quiet:.1?}, much: {loud:.1?} (dB of error, kbit/s)");
    assert!(loud.0 < quiet.0 - 1.0, "{loud:?} against {quiet:?}");
    assert!(
        loud.1 < 24.0 && quiet.1 < 24.0,
        "20 kbit/s are asked for: {quiet:?} {loud:?}"
    );
}

/// kbit/s the user gets in each of these seconds of a call, who reports so much loss in 1/256 in each.
fn heard_by(call: &mut Call, losses: &[u8]) -> Vec<f64> {
    let each = losses.iter().map(|lost| {
        user_reports(call, *lost);
        let before = call.peers[0].received.len();
        for n in 0..50u32 {
            let mut tone = Tone::new(300.0 + f64::from(n * 7_919 % 1_200), -12.0);
            let mut pcm = [0; 160];
            tone.fill(&mut pcm);
            let packet = call.peer(Side::B).say_this(&pcm);
            call.send(Side::B, packet);
            call.run(ms(20));
        }
        let came = call.peers[0].received[before..].iter();
        let octets: usize = came.map(|one| one.payload.len()).sum();
        octets as f64 * 8.0 / 1_000.0
    });
    each.collect()
}

#[test]
fn a_way_too_narrow_gets_fewer_bits_and_no_way_more_than_the_user_asked_for() {
    for (fmtp, most) in [
        (None, 20.0),
        (
            Some("maxplaybackrate=16000; maxaveragebitrate=18000;useinbandfec=1"),
            18.0,
        ),
    ] {
        let mut user = secured(plan(Side::A, Codec::Opus));
        user.agreed.audio.remote_fmtp = fmtp.map(Into::into);
        let mut call = Call::new([user, plan(Side::B, Codec::Pcma)]);
        call.peer(Side::B).talking = false;
        let heard = heard_by(
            &mut call,
            &[
                0, 0, 0, 0, 60, 60, 60, 60, 15, 15, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        );
        println!("{heard:.1?}");
        assert!(heard.iter().all(|kbit| *kbit <= most * 1.1), "{heard:?}");
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let (full, narrow, back) = (mean(&heard[1..4]), mean(&heard[8..11]), mean(&heard[18..]));
        assert!(full > most * 0.8, "{heard:?}");
        assert!((12.0..14.0 * 1.1).contains(&narrow), "14 kbit/s: {heard:?}");
        assert!((back - full).abs() < 1.0, "{heard:?}");
    }
}

#[test]
fn a_sound_of_our_own_keeps_to_what_the_far_side_asked_for_too() {
    let mut user = secured(plan(Side::A, Codec::Opus));
    user.agreed.audio.remote_fmtp = Some("maxaveragebitrate=8000".into());
    // Opus on both sides: the path has no encoder, the sound has one of its own.
    let mut call = Call::new([user, plan(Side::B, Codec::Opus)]);
    call.peer(Side::B).talking = false;
    call.session
        .sound(
            call.now,
            Side::A,
            Some(media::source::melody()),
            &mut call.out,
        )
        .unwrap();
    call.run(ms(5_000));
    let octets: usize = call.peers[0]
        .received
        .iter()
        .map(|one| one.payload.len())
        .sum();
    let kbit = octets as f64 * 8.0 / 5_000.0;
    assert!((4.0..8.8).contains(&kbit), "{kbit}");
}

/// Whether a packet of 20 ms, SILK, mono, has its predecessor in it too (RFC 6716 §4.2.4: behind the bit for
/// voice activity).
fn is_redundant(payload: &[u8]) -> bool {
    payload.len() > 1 && payload[1] & 0x40 != 0
}

/// The relay in front of the user gets all we send and says so; what the user sends through it is lost.
#[test]
fn a_user_who_is_heard_with_holes_gets_redundancy_though_nobody_reports_loss() {
    let redundant = |every: u64| {
        let mut call = Call::new([
            secured(plan(Side::A, Codec::Opus)),
            plan(Side::B, Codec::Pcma),
        ]);
        call.link = Box::new(move |side, n| match side == Side::A && n % every == 3 {
            true => Fate::Lose,
            false => Fate::Pass,
        });
        call.peer(Side::B).talking = false;
        heard_by(&mut call, &[0; 12]);
        let last = &call.peers[0].received[500..];
        let with = last.iter().filter(|one| is_redundant(&one.payload));
        with.count() as f64 / last.len() as f64
    };
    let (clean, rough) = (redundant(1_000), redundant(8));
    assert!(rough > 0.9 && clean == 0.0, "{clean} and {rough}");
}

#[test]
fn a_desk_that_asks_for_fewer_bits_in_mid_call_gets_them_from_the_next_frame_on() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Pcma)),
        plan(Side::B, Codec::Opus),
    ]);
    call.peer(Side::B).talking = false;
    let kbit = |call: &mut Call| {
        let before = call.peers[1].received.len();
        call.run(ms(3_000));
        let came = &call.peers[1].received[before..];
        let octets: usize = came.iter().map(|one| one.payload.len()).sum();
        octets as f64 * 8.0 / 3_000.0
    };
    let full = kbit(&mut call);
    let mut fewer = plan(Side::B, Codec::Opus).agreed;
    fewer.audio.remote_fmtp = Some("maxaveragebitrate=9000".into());
    call.session
        .update(call.now, Side::B, fewer, &mut call.out)
        .unwrap();
    let few = kbit(&mut call);
    assert!(full > 14.0 && few < 9.9, "{full} and {few} kbit/s");
    call.peers[1].assert_one_line();
}
