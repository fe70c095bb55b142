//! Connections break, datagrams are lost, doubled and overtaken.

use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn all_connections_to_meta_break_in_mid_call_and_the_agent_can_still_hang_up() {
    let mut world = silent_world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(10));
    world.pbx.script(script);
    world.user_calls(user());
    world.pass(secs(5));
    world.reset_connections(Meta);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn all_connections_to_meta_break_in_mid_call_and_the_user_can_still_hang_up() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    let call = world.agent_calls(agent());
    world.pass(secs(5));
    world.reset_connections(Meta);
    world.pass(secs(2));
    let _ = call;
    world.now(|world, now| world.meta.hang_up(now, None));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.ended(Pbx).by, "far");
}

#[test]
fn meta_cannot_be_reached_and_the_agent_hears_503_within_seconds() {
    let mut world = silent_world_with(|b| b.meta_link.down = true);
    world.agent_calls(agent());
    let story = world.story(secs(200));
    assert_eq!(story.refused(Pbx).0, 503);
    let told = story.messages(Sbc, Pbx, "SIP/2.0 503")[0].at;
    assert!(told < secs(30), "{told:?}");
    assert_eq!(story.record().cause.label(), "unreachable");
}

#[test]
fn a_connection_that_is_dead_without_telling_ends_the_attempt_after_timer_b() {
    let mut world = silent_world_with(|b| b.meta_link.half_open = true);
    world.agent_calls(agent());
    let story = world.story(secs(200));
    let (status, _) = story.refused(Pbx);
    assert!(matches!(status, 408 | 480 | 503 | 504), "{status}");
}

#[test]
fn meta_vanishes_and_the_agent_who_hangs_up_is_let_go_at_once() {
    let mut world = silent_world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(10));
    world.pbx.script(script);
    world.user_calls(user());
    world.pass(secs(5));
    world.reset_connections(Meta);
    world.meta_link.down = true;
    assert!(
        world.until(secs(30), |w| !w.records.is_empty()),
        "{}",
        world.ladder()
    );
    world.pass(ms(10));
    assert!(
        world
            .told(Pbx, 1)
            .any(|what| matches!(what, What::ByeAnswered { status: 200 }))
    );
    let record = &world.records[0];
    assert_eq!(
        (record.released_by.label(), world.ports_in_use()),
        ("pbx", 0)
    );
}

#[test]
fn a_lossy_network_to_the_pbx_costs_no_call() {
    for seed in 0..10 {
        let mut world = silent_world_with(|b| {
            (b.seed, b.pbx_link.loss, b.pbx_link.jitter) = (seed, 0.2, ms(30));
        });
        world.user_calls(user().hanging_up_after(secs(5)));
        let story = world.story(secs(200));
        story.is_clean();
        assert_eq!(story.record().cause.label(), "normal", "seed {seed}");
    }
}

#[test]
fn every_datagram_twice_rings_one_telephone() {
    let mut world = silent_world_with(|b| b.pbx_link.doubled = 1.0);
    world.user_calls(user().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(
        story
            .all(Pbx, |w| matches!(w, What::Started { .. }).then_some(()))
            .len(),
        1
    );
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn an_agent_behind_a_lossy_network_places_one_call_not_two() {
    for seed in 0..10 {
        let mut world = silent_world_with(|b| {
            (b.seed, b.pbx_link.loss, b.pbx_link.doubled) = (seed, 0.2, 0.2);
        });
        world.agent_calls(agent().hanging_up_after(secs(5)));
        let story = world.story(secs(200));
        story.is_clean();
        assert_eq!(
            story
                .all(Meta, |w| matches!(w, What::Started { .. }).then_some(()))
                .len(),
            1,
            "seed {seed}"
        );
    }
}

#[test]
fn the_pbxs_200_comes_again_and_is_acknowledged_again() {
    let mut world = silent_world();
    let mut lost = 0;
    world.tamper(move |from, to, text| {
        if from == Sbc && to == Pbx && text.starts_with("ACK") && lost < 3 {
            lost += 1;
            return None;
        }
        Some(text.to_owned())
    });
    world.user_calls(user().hanging_up_after(secs(10)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Pbx, "ACK").len(), 4);
    assert!(story.ended(Pbx).confirmed);
}

#[test]
fn a_far_away_meta_changes_nothing_but_the_time() {
    let mut world = world_with(|b| b.meta_link.latency = ms(180));
    world.pbx.script(agent_answers(secs(2)));
    world.user_calls(user().hanging_up_after(secs(5)));
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn a_connection_to_the_pbx_that_broke_is_made_again_for_the_bye() {
    for transport in [sip::Transport::Tcp, sip::Transport::Tls] {
        let mut world = silent_world_with(|b| {
            with_trunk(&mut b.settings, |t| t.target.transport = transport);
            b.pbx.sbc.transport = transport;
        });
        world.user_calls(user().hanging_up_after(secs(8)));
        world.pass(secs(4));
        world.reset_connections(Pbx);
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(story.ended(Pbx).by, "far", "{transport:?}");
    }
}
