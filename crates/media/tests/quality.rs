//! What the figures of a call say of it: scores, drift, extended reports.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::rtcp;
use sdp::{Codec, Side};
use support::*;

fn call(metrics: bool) -> Call {
    let mut plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Pcma),
    ];
    plans
        .iter_mut()
        .for_each(|plan| plan.agreed.wants_voip_metrics = metrics);
    Call::new(plans)
}

#[test]
fn a_clean_call_scores_high_and_a_lossy_one_lower_the_more_is_lost() {
    let scores = [0, 20, 10].map(|every| {
        let mut call = call(false);
        call.link = Box::new(
            move |_, n| match every > 0 && n % every.max(1) == every - 1 {
                true => Fate::Lose,
                false => Fate::Pass,
            },
        );
        call.run(ms(40_000));
        let report = call.session.report(call.now);
        for leg in &report.legs {
            assert!(leg.clock_drift_ppm.unwrap().abs() < 1.0, "{leg:?}");
            assert_eq!(leg.mos_sent, None, "nobody reported");
            assert!(
                leg.last_received.unwrap() >= ms(39_900) && leg.last_sent.unwrap() >= ms(39_900)
            );
        }
        report.legs.map(|leg| leg.mos_received.unwrap())
    });
    let [clean, five, ten] = scores;
    for side in [0, 1] {
        assert!(clean[side] > 4.35, "{scores:?}");
        assert!(
            clean[side] - five[side] > 0.2 && five[side] - ten[side] > 0.2,
            "{scores:?}"
        );
    }
}

#[test]
fn what_the_far_side_got_from_us_is_scored_by_its_reports() {
    let mut call = call(false);
    call.run(ms(10_000));
    let ssrc = call.peers[1].received[0].header.ssrc;
    let block = rtcp::Block {
        ssrc,
        fraction_lost: 26,
        lost: 50,
        jitter: 80,
        ..Default::default()
    };
    let mut bytes = [0; 400];
    let len = rtcp::write(&mut bytes, 9, None, Some(&block), b"desk", false);
    let mut packet = media::Packet::new();
    packet.fill(&bytes[..len]);
    let source = call.peers[1].source;
    let port = std::net::SocketAddr::new(source.ip(), source.port() + 1);
    call.send_from(Side::B, media::Channel::Rtcp, port, packet);
    let leg = &call.session.report(call.now).legs[1];
    assert!((3.0..3.6).contains(&leg.mos_sent.unwrap()), "{leg:?}"); // a tenth of 500 packets
}

#[test]
fn peers_that_ask_get_voip_metrics_and_others_do_not() {
    for asked in [false, true] {
        let mut call = call(asked);
        call.link = Box::new(|_, n| if n % 10 == 9 { Fate::Lose } else { Fate::Pass });
        call.run(ms(12_000));
        for side in Side::BOTH {
            let peer = &call.peers[side.index()];
            let blocks: Vec<&[u8]> = peer
                .rtcp
                .iter()
                .filter_map(|packet| {
                    packet
                        .windows(2)
                        .position(|w| w == [0x80, 207])
                        .map(|at| &packet[at..])
                })
                .collect();
            assert_eq!(blocks.is_empty(), !asked);
            if let Some(last) = blocks.last() {
                assert_eq!(last.len(), 44);
                assert_eq!(last[2..4], [0, 10]);
                assert_eq!(last[8..12], [7, 0, 0, 8]);
                assert_eq!(last[12..16], peer.ssrc.to_be_bytes(), "about what it sends");
                assert!(
                    (20..=28).contains(&last[16]),
                    "a tenth of 256: {}",
                    last[16]
                );
            }
            // It stays readable as a whole.
            assert!(peer.rtcp.iter().all(|packet| rtcp::read(packet, |_| ())));
        }
    }
}

#[test]
fn every_lost_packet_is_concealed_once_and_counted_to_the_millisecond() {
    let mut call = call(false);
    call.link = Box::new(|side, n| match (side, n % 20) {
        (Side::A, 7 | 8) | (Side::B, 13) if n < 200 => Fate::Lose,
        _ => Fate::Pass,
    });
    call.run(ms(5_000));
    let report = call.session.report(call.now);
    let figures = report.legs.map(|leg| (leg.lost, leg.concealed));
    assert_eq!(figures, [(20, ms(400)), (10, ms(200))]);
}

#[test]
fn a_call_of_less_than_a_second_and_a_leg_that_says_nothing_have_no_score() {
    let mut short = call(true);
    short.run(ms(700));
    for leg in &short.session.report(short.now).legs {
        assert!(leg.packets_received > 30, "{leg:?}");
        assert_eq!((leg.mos_received, leg.mos_sent), (None, None), "{leg:?}");
        assert_eq!((leg.clock_drift_ppm, leg.round_trip), (None, None));
    }
    let mut silent = call(true);
    silent.peers[1].talking = false;
    silent.run(ms(12_000));
    let legs = silent.session.report(silent.now).legs;
    assert!(legs[0].mos_received.is_some());
    assert_eq!(legs[1].mos_received, None);
    assert_eq!(legs[1].clock_drift_ppm, None);
}

/// A report of the desk that claims what cannot be leaves a score within the scale.
#[test]
fn whatever_the_far_side_reports_the_score_stays_on_the_scale() {
    let mut call = call(false);
    call.run(ms(10_000));
    let ssrc = call.peers[1].received[0].header.ssrc;
    for (lost, jitter) in [(0x7f_ffff, u32::MAX), (-0x80_0000, 0), (1, u32::MAX)] {
        let block = rtcp::Block {
            ssrc,
            fraction_lost: 255,
            lost,
            jitter,
            ..Default::default()
        };
        let mut bytes = [0; 400];
        let len = rtcp::write(&mut bytes, 9, None, Some(&block), b"desk", false);
        let mut packet = media::Packet::new();
        packet.fill(&bytes[..len]);
        let home = call.peers[1].source;
        let port = std::net::SocketAddr::new(home.ip(), home.port() + 1);
        call.send_from(Side::B, media::Channel::Rtcp, port, packet);
        let leg = &call.session.report(call.now).legs[1];
        let score = leg.mos_sent.unwrap();
        assert!((1.0..=4.5).contains(&score), "{leg:?}");
    }
}
