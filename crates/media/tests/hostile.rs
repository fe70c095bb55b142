//! Strangers and broken peers: nothing they send panics or harms a call in progress.

mod support;

use media::{Channel, Event, Packet};
use proptest::prelude::*;
use sdp::report::Unopened;
use sdp::{Codec, Mki, Side, Suite};
use support::*;

/// A generator of chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll(256) as u8).collect()
    }
}

/// Something like `good`, but not quite; or nothing like it.
fn mutated(dice: &mut Dice, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match dice.roll(6) {
        0 => {
            let len = dice.roll(300) as usize;
            bytes = dice.bytes(len);
        }
        1 => bytes.truncate(dice.roll(good.len() as u64) as usize),
        2 => bytes.extend(good.iter().cycle().take(dice.roll(1_900) as usize)),
        _ => {
            for _ in 0..=dice.roll(4) {
                let at = dice.roll(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.roll(8);
            }
        }
    }
    bytes
}

#[test]
fn the_moment_packets_cannot_be_opened_is_told_once_with_the_reason_and_again_after_a_pause() {
    let mki = Mki {
        value: 5,
        length: 1,
    };
    let mut keyed = secured(plan(Side::A, Codec::Opus));
    keyed.agreed.keying = sdes(Suite::AesCm128HmacSha1_80, Some(mki));
    let mut call = Call::new([keyed, plan(Side::B, Codec::Pcma)]);
    call.run(ms(500));
    // The tag has ten octets, the MKI before it one.
    let spoil = |packet: &Packet, back: usize| {
        let mut bytes = packet.as_slice().to_vec();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        let mut spoilt = Packet::new();
        spoilt.fill(&bytes);
        spoilt
    };
    let again = |packet: &Packet| {
        let mut copy = Packet::new();
        copy.fill(packet.as_slice());
        copy
    };
    let began = call.now;
    for _ in 0..50 {
        let packet = call.peer(Side::A).say();
        call.send(Side::A, spoil(&packet, 1));
        call.send(Side::A, spoil(&packet, 11));
        call.send(Side::A, again(&packet));
        call.send(Side::A, packet);
        call.run(ms(100));
    }
    call.run(ms(10_000));
    let second = call.now;
    let packet = call.peer(Side::A).say();
    for stranger in ["203.0.113.99:3480", "203.0.113.98:3480"] {
        let source = stranger.parse().unwrap();
        call.send_from(Side::A, Channel::Rtp, source, spoil(&packet, 1));
    }
    let told: Vec<_> = call
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Unopened { side, why, source } => Some((*at, *side, *why, *source)),
            _ => None,
        })
        .collect();
    let home = address(Side::A);
    assert_eq!(
        told,
        [
            (began, Side::A, Unopened::Tag, home),
            (began, Side::A, Unopened::Mki, home),
            (began, Side::A, Unopened::Replay, home),
            (
                second,
                Side::A,
                Unopened::Tag,
                "203.0.113.99:3480".parse().unwrap()
            ),
        ]
    );
    let report = call.session.report(call.now);
    assert_eq!(report.legs[0].undecryptable, 152);
}

#[test]
fn a_hundred_thousand_mutated_packets_leave_the_audio_intact() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    let mut dice = Dice(1);
    let good = [Side::A, Side::B].map(|side| {
        let mut other = Call::new([
            secured(plan(Side::A, Codec::Opus)),
            plan(Side::B, Codec::Pcma),
        ]);
        other.run(ms(100));
        other.peer(side).say().as_slice().to_vec()
    });
    let mut report = [0; 400];
    let len = media::rtcp::write(&mut report, 9, None, Some(&Default::default()), b"x", true);
    call.run(ms(500));
    for n in 0..100_000u64 {
        let rtcp = dice.roll(4) == 0;
        let channel = if dice.roll(3) == 0 {
            Channel::Rtcp
        } else {
            Channel::Rtp
        };
        // Toward the secured leg from anywhere, its own address included; toward the plain leg from
        // anywhere but where its RTP comes from (whoever has that address *is* the desk phone).
        let side = if n % 2 == 0 { Side::A } else { Side::B };
        let original = if rtcp {
            &report[..len]
        } else {
            &good[side.index()][..]
        };
        let bytes = mutated(&mut dice, original);
        let source = match (side, dice.roll(2)) {
            (Side::A, 0) => address(Side::A),
            (Side::B, 0) => "10.0.0.5:4999".parse().unwrap(),
            _ => "192.0.2.66:666".parse().unwrap(),
        };
        let mut packet = Packet::new();
        packet.fill(&bytes);
        call.send_from(side, channel, source, packet);
        if n % 200 == 0 {
            call.run(ms(20));
        }
    }
    for peer in &call.peers {
        assert!(
            peer.verdict().holds(LEVEL, 3.0, 0),
            "{:?}: {:?}",
            peer.side,
            peer.verdict()
        );
        assert!(peer.verdict().duration_ms > 10_000);
        peer.assert_one_line();
    }
    let report = call.session.report(call.now);
    assert_eq!((report.legs[0].lost, report.legs[1].lost), (0, 0));
    assert!(
        report.legs[0].undecryptable > 10_000 && report.legs[1].foreign > 30_000,
        "{report:?}"
    );
}

#[test]
fn junk_from_the_desk_phones_own_address_does_not_last() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    let mut dice = Dice(2);
    call.run(ms(500));
    let good = call.peer(Side::B).say().as_slice().to_vec();
    for n in 0..50_000u64 {
        let bytes = mutated(&mut dice, &good);
        let mut packet = Packet::new();
        packet.fill(&bytes);
        call.send(Side::B, packet);
        if n % 20 == 0 {
            call.run(ms(20));
        }
    }
    call.peers[0].received.clear();
    call.run(ms(1_000));
    call.peers[0].received.clear();
    call.run(ms(5_000));
    assert!(
        call.peers[0].verdict().holds(LEVEL, 3.0, 0),
        "{:?}",
        call.peers[0].verdict()
    );
    call.peers[0].assert_one_line();
}

#[test]
fn random_payloads_that_authenticate_do_not_break_the_session() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    let mut dice = Dice(3);
    for n in 0..5_000u64 {
        let len = dice.roll(200) as usize;
        let payload = dice.bytes(len);
        let pt = [111, 101, 126, 8, 13][dice.roll(5) as usize];
        let peer = call.peer(Side::A);
        peer.timestamp = peer.timestamp.wrapping_add(dice.roll(2_000) as u32);
        if dice.roll(50) == 0 {
            peer.sequence = peer.sequence.wrapping_add(dice.roll(1_000) as u16);
            peer.ssrc = dice.roll(3) as u32;
        }
        let packet = peer.packet(pt, false, peer.timestamp, &payload);
        call.send(Side::A, packet);
        if n % 2 == 0 {
            call.run(ms(20));
        }
    }
    call.run(ms(500));
    let report = call.session.report(call.now);
    assert!(report.legs[0].packets_received > 500, "{report:?}");
    assert!(report.legs[1].packets_sent > 500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_datagram_and_no_timing_makes_a_session_panic(
        steps in proptest::collection::vec(
            (0u64..2_000, any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()),
            1..40,
        ),
    ) {
        let mut call = Call::new([plan(Side::A, Codec::Opus), plan(Side::B, Codec::Pcma)]);
        call.peers.iter_mut().for_each(|peer| peer.talking = false);
        for (wait, side, rtcp, mut bytes, shape) in steps {
            let side = if side { Side::A } else { Side::B };
            if shape && bytes.len() > 12 {
                bytes[0] = 0x80;
                bytes[1] = [111, 8, 101, 200][usize::from(bytes[1] & 3)];
            }
            let mut packet = Packet::new();
            packet.fill(&bytes);
            let channel = if rtcp { Channel::Rtcp } else { Channel::Rtp };
            call.send_from(side, channel, address(side), packet);
            call.run(ms(wait));
        }
        call.peers.iter().for_each(Peer::assert_one_line_or_holes);
    }
}
