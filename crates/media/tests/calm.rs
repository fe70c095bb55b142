//! A calm packet makes nothing due sooner: whoever does not ask for the next timeout after one misses
//! nothing.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use std::time::Instant;

use media::dtmf::Payload;
use media::{Channel, EngineSettings, Outbox, Packet, Session};
use sdp::plan::{Proof, Sound};
use sdp::{Codec, Side};
use support::*;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

#[test]
fn after_a_calm_packet_nothing_is_due_sooner_and_most_packets_are_calm() {
    for (seed, (a, b)) in (0..).zip([
        (Codec::Opus, Codec::Opus),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcmu, Codec::Pcma),
    ]) {
        let mut dice = Dice(seed);
        let mut plans = [secured(plan(Side::A, a)), plan(Side::B, b)];
        plans[0].proof = Some(Proof::Heard);
        let start = Instant::now();
        let mut peers = Side::BOTH.map(|side| Peer::new(start, side, &plans[side.index()]));
        let mut out = Outbox::new();
        let mut session =
            Session::start(start, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
        let (mut calm, mut all) = (0, 0);
        let mut packet = Packet::new();
        let mut late: Vec<(Side, Vec<u8>)> = Vec::new();
        // Until when a side stalls, and what it owes.
        let mut stalls = [0; 2];
        let mut owed: Vec<(Side, Vec<u8>)> = Vec::new();
        for tick in 0..20_000_u64 {
            let now = start + ms(tick);
            while session.next_timeout() <= now {
                session.timeout(now, &mut out);
                while session.transmit(now, &mut packet, &mut out).is_some() {}
            }
            let mut came = std::mem::take(&mut late);
            let (still, over) = std::mem::take(&mut owed)
                .into_iter()
                .partition(|(side, _)| stalls[side.index()] > tick);
            owed = still;
            came.extend(over);
            for side in Side::BOTH {
                let peer = &mut peers[side.index()];
                if tick % peer.ptime != 3 * side.index() as u64 || (tick / 3_000) % 4 == 3 {
                    continue; // not its turn, or it pauses
                }
                if dice.below(400) == 0 {
                    peer.ptime = 20 + 20 * dice.below(2);
                }
                let key = (tick / 500) % 7 == 2;
                let said = if key {
                    let held = (tick % 500) as u16 * 8;
                    let payload = Payload {
                        event: 5,
                        end: held > 3_000,
                        volume: 10,
                        duration: held,
                    };
                    peer.packet(101, false, peer.timestamp, &payload.to_bytes())
                } else {
                    peer.say()
                };
                let said = said.as_slice().to_vec();
                if dice.below(100) == 0 {
                    stalls[side.index()] = tick + 30 + dice.below(300);
                }
                if stalls[side.index()] > tick {
                    owed.push((side, said));
                    continue;
                }
                match dice.below(20) {
                    0 => {}
                    1 => late.push((side, said)),
                    2 => came.extend([(side, said.clone()), (side, said)]),
                    _ => came.push((side, said)),
                }
            }
            for (side, bytes) in came {
                let before = session.next_timeout();
                packet.fill(&bytes);
                let source = address(side);
                let mut forward =
                    session.receive(now, side, Channel::Rtp, source, &mut packet, &mut out);
                all += 1;
                if session.is_calm() {
                    calm += 1;
                    let after = session.next_timeout();
                    assert!(after >= before, "{a:?} {b:?} {tick}: {:?}", before - after);
                }
                while forward.is_some() {
                    forward = session.transmit(now, &mut packet, &mut out);
                }
            }
            match dice.below(4_000) {
                0 => assert!(session.press(now, Side::B, '7', ms(100))),
                1 => {
                    let sound = Sound::new(vec![7; 800]);
                    session.sound(now, Side::A, sound, &mut out).unwrap();
                }
                _ => {}
            }
            while out.event().is_some() {}
        }
        assert!(
            all > 1_000 && calm * 2 > all,
            "{a:?} {b:?}: {calm} of {all}"
        );
    }
}
