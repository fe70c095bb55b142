//! A PBX without a jitter buffer on one side, a network that delivers when it likes on the other.

use b2bua::settings::TrunkMedia;
use sdp::plan::Smoothing;
use sim::report::Heard;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// What an agent hears of a user whose packets take up to 60 ms longer than others; how late each packet
/// came after its predecessor, in ms; and how many were late by the record.
fn heard(smoothing: Option<Smoothing>) -> (Heard, Vec<u64>, u64) {
    let mut world = world_with(|beginning| {
        beginning.meta_link.jitter = ms(60);
        with_trunk(&mut beginning.settings, |trunk| {
            trunk.media = TrunkMedia {
                smoothing,
                ..TrunkMedia::default()
            };
        });
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(20)).pressing(secs(12), "59"));
    world.pass(secs(6));
    let mut gaps = Vec::new();
    let sent =
        |world: &sim::world::World| world.packets.get(&(Sbc, Pbx)).copied().unwrap_or_default();
    let (mut before, mut at) = (sent(&world), world.at());
    for _ in 0..2_500 {
        world.pass(ms(2));
        if sent(&world) > before {
            gaps.push((world.at() - at).as_millis() as u64);
            (before, at) = (sent(&world), world.at());
        }
    }
    // The network is as rough towards Meta, who objects to packets that overtake each other.
    let story = world.story(secs(120));
    assert_eq!(story.digits(Pbx), "59");
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost), (1, 0), "{user:?}");
    let report = &story.record().media.legs[0];
    assert_eq!(report.lost, 0);
    (story.heard(Pbx).clone(), gaps, report.late)
}

#[test]
fn a_pbx_without_a_jitter_buffer_hears_a_rough_network_evenly() {
    let uneven = |gaps: &[u64]| {
        let off = gaps.iter().filter(|gap| gap.abs_diff(20) > 4).count();
        off as f64 * 100.0 / gaps.len() as f64
    };
    let (_, gaps, late) = heard(None);
    assert!(
        uneven(&gaps) > 40.0,
        "the network is rough: {}",
        uneven(&gaps)
    );
    assert_eq!(late, 0);
    let (agent, gaps, late) = heard(Some(Smoothing {
        least: 20,
        most: 200,
    }));
    // A report of RTCP may fall between two.
    assert!(uneven(&gaps) <= 4.0, "{} {gaps:?}", uneven(&gaps));
    assert!(late < 30, "{late}");
    assert!(
        agent.tone_found && agent.level_error_db.abs() < 3.0,
        "{agent:?}"
    );
    assert_eq!((agent.bad, agent.ssrcs), (0, 1));
}
