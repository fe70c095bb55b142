//! A tone in at one end comes out at the other, in every pair of codecs, both ways.

mod support;

use media::tone::Verdict;
use sdp::plan::Silence;
use sdp::{Codec, Mki, Side, Suite};
use support::*;

const CODECS: [Codec; 3] = [Codec::Opus, Codec::Pcma, Codec::Pcmu];

fn assert_heard(call: &Call, tolerance: f64, gap_ms: u32, at_least_ms: u32) {
    for peer in &call.peers {
        let verdict: Verdict = peer.verdict();
        assert!(
            verdict.holds(LEVEL, tolerance, gap_ms),
            "{:?} ({:?}) heard {verdict:?}",
            peer.side,
            peer.codec
        );
        assert!(
            verdict.duration_ms >= at_least_ms,
            "{:?} heard {verdict:?}",
            peer.side
        );
    }
}

#[test]
fn both_sides_hear_each_other_in_every_pair_of_codecs() {
    for a in CODECS {
        for b in CODECS {
            for secure in [[false, false], [true, false], [false, true], [true, true]] {
                let mut plans = [plan(Side::A, a), plan(Side::B, b)];
                for (plan, secure) in plans.iter_mut().zip(secure) {
                    if secure {
                        *plan = secured(plan.clone());
                    }
                }
                let mut call = Call::new(plans);
                call.run(ms(10_000));
                assert_heard(&call, 3.0, 0, 9_800);
                call.peers.iter().for_each(Peer::assert_one_line);
                assert!(call.peers.iter().all(|peer| peer.undecryptable == 0));
                let report = call.session.report(call.now);
                for leg in &report.legs {
                    assert_eq!(
                        (leg.lost, leg.malformed, leg.undecryptable, leg.clipped),
                        (0, 0, 0, 0),
                        "{leg:?}"
                    );
                    assert_eq!(leg.packets_received, 500);
                    assert!(
                        leg.packets_sent >= 500 && leg.packets_sent <= 502,
                        "{leg:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn both_sides_hear_each_other_at_five_percent_loss() {
    for a in CODECS {
        for b in CODECS {
            let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, b)]);
            let mut state = 12_345u32;
            call.link = Box::new(move |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if (state >> 16) % 100 < 5 {
                    Fate::Lose
                } else {
                    Fate::Pass
                }
            });
            call.run(ms(10_000));
            // libopus takes a steady tone for noise, so it fades it in a hole and sends no redundancy for
            // it: a lost pair of packets may sound like a gap to this judge.
            assert_heard(&call, 3.0, 100, 9_700);
            assert!(call.peers.iter().all(|peer| peer.verdict().gaps_ms <= 700));
            let report = call.session.report(call.now);
            for leg in &report.legs {
                assert!((10..45).contains(&leg.lost), "{leg:?}");
            }
        }
    }
}

#[test]
fn a_burst_of_lost_packets_from_the_desk_fades_for_the_user_instead_of_falling_silent() {
    for desk in [Codec::Pcma, Codec::Pcmu] {
        let mut call = Call::new([secured(plan(Side::A, Codec::Opus)), plan(Side::B, desk)]);
        call.link = Box::new(|side, n| match (side, n % 25) {
            (Side::B, 10..13) => Fate::Lose,
            _ => Fate::Pass,
        });
        call.run(ms(10_000));
        let user = call.peers[Side::A.index()].verdict();
        assert!(user.holds(LEVEL, 3.0, 40), "{desk:?}: {user:?}");
        call.peers[Side::A.index()].assert_one_line();
        let report = call.session.report(call.now);
        let leg = &report.legs[Side::B.index()];
        assert_eq!(leg.lost, 60, "{leg:?}");
        assert!((ms(1_000)..=ms(1_200)).contains(&leg.concealed), "{leg:?}");
    }
}

#[test]
fn packets_that_swap_places_are_put_in_order() {
    for (a, b) in [
        (Codec::Opus, Codec::Pcma),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Opus, Codec::Opus),
    ] {
        let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, b)]);
        call.link = Box::new(|_, n| if n % 10 == 5 { Fate::Swap } else { Fate::Pass });
        call.run(ms(5_000));
        assert_heard(&call, 3.0, 0, 4_800);
        call.peers.iter().for_each(Peer::assert_one_line);
        let report = call.session.report(call.now);
        for leg in &report.legs {
            assert_eq!((leg.lost, leg.reordered), (0, 25), "{leg:?}");
            assert_eq!(leg.concealed, ms(0));
        }
    }
}

#[test]
fn any_packet_length_of_the_desk_phone_arrives_in_frames_of_20_ms() {
    for ptime in [10, 20, 30, 40, 50, 60] {
        for a in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
            let mut call = Call::new([secured(plan(Side::A, a)), plan(Side::B, Codec::Pcma)]);
            call.peer(Side::B).ptime = ptime;
            call.run(ms(6_000));
            assert_heard(&call, 3.0, 0, 5_700);
            let a = &call.peers[0];
            a.assert_one_line();
            let clock = a.codec.clock();
            for pair in a.received.windows(2) {
                let step = pair[1]
                    .header
                    .timestamp
                    .wrapping_sub(pair[0].header.timestamp);
                assert_eq!(step, clock / 50, "ptime {ptime}");
            }
        }
    }
}

#[test]
fn a_leg_that_wants_another_packet_length_gets_it() {
    for ptime in [10, 30, 40, 60] {
        let mut plans = [
            secured(plan(Side::A, Codec::Opus)),
            plan(Side::B, Codec::Pcmu),
        ];
        plans[1].agreed.ptime = ptime;
        let mut call = Call::new(plans);
        call.run(ms(6_000));
        assert_heard(&call, 3.0, 0, 5_700);
        assert!(
            call.peers[1]
                .received
                .iter()
                .all(|heard| heard.payload.len() == usize::from(ptime) * 8)
        );
    }
}

#[test]
fn suites_and_master_key_identifiers_change_nothing_for_the_ear() {
    for suite in Suite::ALL {
        for mki in [
            None,
            Some(Mki {
                value: 1,
                length: 1,
            }),
            Some(Mki {
                value: 77,
                length: 4,
            }),
        ] {
            let mut plans = [
                secured(plan(Side::A, Codec::Opus)),
                plan(Side::B, Codec::Pcma),
            ];
            plans[0].agreed.keying = sdes(suite, mki);
            let mut call = Call::new(plans);
            call.run(ms(3_000));
            assert_heard(&call, 3.0, 0, 2_800);
            assert_eq!(call.peers[0].undecryptable, 0);
        }
    }
}

#[test]
fn header_extensions_sources_and_padding_do_not_reach_the_other_leg() {
    let mut call = Call::new([plan(Side::A, Codec::Pcma), plan(Side::B, Codec::Pcma)]);
    for n in 0..10u16 {
        let mut bytes = vec![0xb1, 8];
        bytes.extend(n.to_be_bytes());
        bytes.extend((u32::from(n) * 160).to_be_bytes());
        bytes.extend([9, 9, 9, 9, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        bytes.extend([0x55; 160]);
        bytes.extend([0, 0, 0, 4]);
        let mut packet = media::Packet::new();
        packet.fill(&bytes);
        call.send(Side::A, packet);
        call.now += ms(20);
    }
    assert_eq!(call.peers[1].received.len(), 10);
    for heard in &call.peers[1].received {
        assert_eq!(
            heard.header.payload,
            12..172,
            "twelve octets of header and the audio, nothing else"
        );
        assert_eq!(heard.payload, [0x55; 160]);
    }
}

#[test]
fn a_silent_session_is_not_taken_for_a_heard_one() {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans[1].silence = Silence::Frames;
    let mut call = Call::new(plans);
    call.peers.iter_mut().for_each(|peer| peer.talking = false);
    call.run(ms(3_000));
    for peer in &call.peers {
        assert!(peer.received.len() > 100, "filler flows");
        assert!(!peer.verdict().holds(LEVEL, 3.0, 40), "but it is no tone");
    }
}

#[test]
fn a_lost_opus_packet_is_recovered_from_the_redundancy_in_the_next() {
    let mut call = Call::new([
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ]);
    call.link = Box::new(|side, n| {
        if side == Side::A && n == 50 {
            Fate::Lose
        } else {
            Fate::Pass
        }
    });
    call.run(ms(1_000));
    // The pitch changes with the packet that is lost: only its copy in the next packet can tell.
    call.peer(Side::A).tone = media::tone::Tone::new(700.0, LEVEL);
    call.run(ms(60));
    let pcm = call.peers[1].pcm();
    let lost = media::tone::level_dbfs(&pcm[50 * 160 + 40..51 * 160 + 40], 700.0);
    assert!(
        lost > LEVEL - 10.0,
        "{lost} dBFS of the new pitch in the lost packet"
    );
    assert_eq!(call.session.report(call.now).legs[0].concealed, ms(20));
}
