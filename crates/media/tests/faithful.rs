//! What the engine does not touch: the loudest sounds; and reports that come beside the audio.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::Channel;
use media::tone::{Tone, level_dbfs, rms_dbfs};
use sdp::plan::Gain;
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

#[test]
fn who_asks_for_gain_gets_it_each_way_through_whichever_codecs_and_frames() {
    for (a, b, ptime) in [
        (Codec::Opus, Codec::Pcma, 20),
        (Codec::Pcmu, Codec::Pcmu, 20),
        (Codec::Opus, Codec::Opus, 20),
        (Codec::Pcma, Codec::Pcma, 30),
    ] {
        let mut desk = plan(Side::B, b);
        desk.agreed.ptime = ptime;
        desk.care.gain = Gain {
            heard: 6,
            said: -12,
        };
        let mut call = Call::new([secured(plan(Side::A, a)), desk]);
        for side in Side::BOTH {
            call.peer(side).tone = Tone::new(HERTZ, -20.0);
        }
        call.run(ms(5_000));
        for (side, wanted) in [(Side::A, -14.0), (Side::B, -32.0)] {
            let peer = &call.peers[side.index()];
            peer.assert_one_line();
            let level = level_dbfs(&heard(peer), HERTZ);
            assert!(
                (level - wanted).abs() < 1.5,
                "{a:?} {b:?} at {side:?}: {level} dBFS, not {wanted}"
            );
        }
    }
}

#[test]
fn what_gain_would_make_louder_than_full_scale_is_full_scale() {
    let mut desk = plan(Side::B, Codec::Pcma);
    desk.care.gain.heard = 20;
    let mut call = Call::new([secured(plan(Side::A, Codec::Pcma)), desk]);
    call.peer(Side::B).tone = Tone::new(HERTZ, -6.0);
    call.run(ms(5_000));
    let pcm = heard(&call.peers[0]);
    // A sine cut off at full scale becomes a rectangle: loud, and of one sign as long as before.
    let level = rms_dbfs(&pcm);
    assert!(level > -1.0, "{level} dBFS");
    let turns = pcm.windows(2).filter(|two| (two[0] < 0) != (two[1] < 0));
    let expected = 2.0 * HERTZ * pcm.len() as f64 / 8_000.0;
    let turns = turns.count() as f64;
    assert!(
        (turns - expected).abs() < 0.02 * expected,
        "{turns} {expected}"
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
