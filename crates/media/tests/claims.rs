//! A port several calls share: a session takes what its key made and nothing else.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::Instant;

use media::srtp::Protect;
use media::{Channel, EngineSettings, Outbox, Packet, Session};
use sdp::{Codec, Crypto, Keying, Side, SrtpKey, Suite};
use support::*;

fn key(suite: Suite, fill: u8) -> Crypto {
    Crypto {
        tag: 1,
        suite,
        key: SrtpKey::wide([fill; 44]).fit(suite).unwrap(),
        lifetime: None,
        mki: None,
    }
}

/// A session whose far side sends under `fill`, and that far side.
fn call(now: Instant, suite: Suite, fill: u8) -> (Session, Peer) {
    let mut plans = [
        secured(plan(Side::A, Codec::Pcma)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[0].agreed.keying = Keying::Sdes {
        local: key(suite, 1).into(),
        remote: key(suite, fill).into(),
    };
    let mut peer = Peer::new(now, Side::A, &plans[0]);
    peer.protect = Some(Protect::new(&key(suite, fill)));
    let (settings, mut out) = (EngineSettings::default(), Outbox::new());
    let session = Session::start(now, plans, &settings, [7; 32], &mut out).unwrap();
    (session, peer)
}

#[test]
fn a_packet_goes_to_the_call_whose_key_made_it_though_all_else_is_the_same() {
    for suite in [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ] {
        let now = Instant::now();
        let mut calls = [call(now, suite, 3), call(now, suite, 5)];
        let mut out = Outbox::new();
        for round in 0..50 {
            for speaker in 0..2 {
                let said = calls[speaker].1.say();
                let mut packet = Packet::new();
                packet.fill(said.as_slice());
                let other = &mut calls[1 - speaker].0;
                let before = other.report(now);
                let from = address(Side::A);
                let claims = |session: &mut Session, packet: &mut Packet, out: &mut Outbox| {
                    session.claims(now, Side::A, Channel::Rtp, from, packet, out)
                };
                assert!(!claims(other, &mut packet, &mut out), "{suite:?} {round}");
                assert_eq!(packet.as_slice(), said.as_slice(), "it is as it came");
                assert_eq!(other.report(now), before, "nothing was counted");
                let own = &mut calls[speaker].0;
                assert!(claims(own, &mut packet, &mut out), "{suite:?} {round}");
                let mut to = Vec::new();
                while let Some(forward) = own.transmit(now, &mut packet, &mut out) {
                    to.push(forward.to);
                }
                assert!(to.contains(&Side::B), "{to:?}");
                packet.fill(said.as_slice());
                assert!(!claims(own, &mut packet, &mut out), "a copy of it");
                own.refuse(now, Side::A, Channel::Rtp, from, &mut packet, &mut out);
                let report = own.report(now);
                assert_eq!(report.legs[0].packets_received, round + 1);
                assert_eq!(report.legs[0].undecryptable, round + 1);
            }
        }
    }
}

#[test]
fn reports_are_claimed_like_audio() {
    let now = Instant::now();
    let [(mut own, mut peer), (mut other, _)] =
        [3, 5].map(|fill| call(now, Suite::AesCm128HmacSha1_80, fill));
    let mut bytes = [0; 400];
    let len = media::rtcp::write(&mut bytes, peer.ssrc, None, None, b"far side", false);
    let mut packet = Packet::new();
    packet.fill(&bytes[..len]);
    peer.protect.as_mut().unwrap().rtcp(&mut packet).unwrap();
    let (source, mut out) = (address(Side::A), Outbox::new());
    for channel in [Channel::Rtp, Channel::Rtcp] {
        assert!(!other.claims(now, Side::A, channel, source, &mut packet, &mut out));
    }
    assert!(own.claims(now, Side::A, Channel::Rtp, source, &mut packet, &mut out));
    assert_eq!(own.report(now).legs[0].rtcp_received, 1);
}

#[test]
fn a_leg_without_keys_and_a_session_that_is_over_claim_nothing() {
    let now = Instant::now();
    let plans = [plan(Side::A, Codec::Pcma), plan(Side::B, Codec::Pcma)];
    let mut open = Peer::new(now, Side::A, &plans[0]);
    let (source, mut out) = (address(Side::A), Outbox::new());
    let mut session =
        Session::start(now, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
    let mut packet = open.say();
    assert!(!session.claims(now, Side::A, Channel::Rtp, source, &mut packet, &mut out));
    let (mut session, mut peer) = call(now, Suite::AesCm128HmacSha1_80, 3);
    session.stop(now, &mut out);
    let mut packet = peer.say();
    assert!(!session.claims(now, Side::A, Channel::Rtp, source, &mut packet, &mut out));
}
