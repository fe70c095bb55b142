//! What the engine does not touch: the loudest sounds; and what it does on word of the far side.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::Channel;
use media::codec::{Decoder, MAX_SAMPLES};
use media::tone::{Tone, level_dbfs, rms_dbfs};
use sdp::{Codec, Side};
use support::*;

/// What a side heard from the second second on.
fn heard(peer: &Peer) -> Vec<i16> {
    let pcm = peer.pcm();
    pcm[16_000.min(pcm.len())..].to_vec()
}

#[test]
fn the_loudest_sound_arrives_as_loud_and_as_clean_as_the_codecs_allow() {
    for (a, b, tolerance, purity) in [
        (Codec::Pcma, Codec::Pcma, 0.2, -0.05),
        (Codec::Pcmu, Codec::Pcma, 0.2, -0.05),
        (Codec::Opus, Codec::Pcma, 1.5, -0.3),
        (Codec::Opus, Codec::Opus, 1.5, -0.3),
    ] {
        let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, b)]);
        for side in Side::BOTH {
            call.peer(side).tone = Tone::new(HERTZ, -0.1);
        }
        call.run(ms(5_000));
        for side in Side::BOTH {
            let pcm = heard(&call.peers[side.index()]);
            let level = level_dbfs(&pcm, HERTZ);
            // Gain, or clipping, would show in either.
            assert!(
                (level + 0.1).abs() < tolerance,
                "{a:?} {b:?} at {side:?}: {level} dBFS"
            );
            let clean = level - rms_dbfs(&pcm);
            assert!(clean > purity, "{a:?} {b:?} at {side:?}: {clean} dB");
        }
    }
}

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
    let (quiet, loud) = (recovered(0), recovered(70));
    println!("no loss reported: {quiet:.1?}, 27 %: {loud:.1?} (dB of error, kbit/s)");
    assert!(loud.0 < quiet.0 - 1.0, "{loud:?} against {quiet:?}");
    assert!(
        loud.1 < 24.0 && quiet.1 < 24.0,
        "20 kbit/s are asked for: {quiet:?} {loud:?}"
    );
}

#[test]
fn a_user_without_rtcp_mux_reports_and_is_reported_to_beside_the_audio() {
    let mut at_user = secured(plan(Side::A, Codec::Opus));
    at_user.agreed.rtcp_mux = false;
    at_user
        .agreed
        .remote_rtcp
        .set_port(at_user.agreed.remote_rtp.port() + 1);
    let mut call = Call::new([at_user.clone(), plan(Side::B, Codec::Pcma)]);
    call.run(ms(6_000));
    let user = &call.peers[0];
    assert!(user.verdict().holds(LEVEL, 3.0, 40));
    assert!(!user.rtcp.is_empty() && user.undecryptable == 0);
    let block = media::rtcp::Block {
        ssrc: 0x1111_1111,
        fraction_lost: 64,
        ..Default::default()
    };
    let mut bytes = [0; 400];
    let ssrc = user.ssrc;
    let len = media::rtcp::write(&mut bytes, ssrc, None, Some(&block), b"user", false);
    let mut packet = media::Packet::new();
    packet.fill(&bytes[..len]);
    let protect = call.peer(Side::A).protect.as_mut().unwrap();
    protect.rtcp(&mut packet).unwrap();
    call.send_from(Side::A, Channel::Rtcp, at_user.agreed.remote_rtcp, packet);
    let report = call.session.report(call.now).legs[0].clone();
    assert_eq!((report.rtcp_received, report.remote_loss), (1, Some(0.25)));
}
