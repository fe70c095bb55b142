//! Connections that die at the worst moment (field notes 8, 9 and 10).

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn the_pooled_connection_to_meta_is_dead_when_the_agent_hangs_up_and_the_user_is_let_go_all_the_same()
 {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(20)));
    world.pass(secs(10));
    // A NAT forgot it: the first write on it is answered with a reset.
    world.kill_connections(Meta);
    let story = world.story(secs(120));
    story.is_clean();
    let byes = story.messages(Sbc, Meta, "BYE");
    assert_eq!(byes.len(), 2, "{:#?}", world.ladder());
    assert_ne!(byes[0].connection, byes[1].connection);
    assert!(byes[1].at - byes[0].at < secs(1));
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn the_pooled_connection_to_meta_is_dead_when_the_next_agent_calls_and_the_call_goes_through() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(5)));
    world.story(secs(120)).is_clean();
    world.kill_connections(Meta);
    world.agent_calls(agent().hanging_up_after(secs(5)));
    world.story(secs(120)).is_clean();
    let causes: Vec<&str> = world
        .records
        .iter()
        .map(|record| record.cause.label())
        .collect();
    assert_eq!(causes, ["normal", "normal"], "{}", world.ladder());
}

#[test]
fn the_agents_call_ends_at_once_when_meta_resets_the_connection_while_it_rings() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(30)));
    world.agent_calls(agent());
    world.pass(secs(5));
    world.reset_connections(Meta);
    world.pass(secs(1));
    assert_eq!(
        world.messages(Sbc, Pbx, "SIP/2.0 503").len(),
        1,
        "{}",
        world.ladder()
    );
    assert!(world.until(secs(120), |world| world.records.len() == 1));
    assert_eq!(world.records[0].cause.label(), "unreachable");
}

#[test]
fn the_users_connection_breaks_while_it_rings_and_no_agent_is_left_with_a_dead_call() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(10)));
    world.user_calls(user());
    world.pass(secs(3));
    world.reset_connections(Meta);
    // Meta gave the call up with its connection. Nobody may be connected to nobody for longer than
    // the ACK is waited for.
    assert!(
        world.until(secs(60), |world| world.records.len() == 1),
        "{}",
        world.ladder()
    );
    assert!(
        world.until(secs(120), sim::World::is_quiet),
        "{}",
        world.ladder()
    );
    assert_ne!(world.records[0].cause.label(), "normal");
}

#[test]
fn the_challenge_of_a_meta_that_hangs_up_the_line_is_not_answered_into_the_void() {
    let mut world = silent_world();
    let seen = std::rc::Rc::new(std::cell::Cell::new(false));
    let told = seen.clone();
    world.tamper(move |from, _, text| {
        told.set(told.get() || (from == Meta && text.starts_with("SIP/2.0 407")));
        Some(text.to_owned())
    });
    world.agent_calls(agent());
    assert!(world.until(secs(5), |_| seen.get()));
    world.reset_connections(Meta);
    assert!(
        world.until(secs(60), |world| world.records.len() == 1),
        "{}",
        world.ladder()
    );
    assert_eq!(
        world.records[0].cause.label(),
        "unreachable",
        "{}",
        world.ladder()
    );
    let told = world.messages(Sbc, Pbx, "SIP/2.0 503");
    assert_eq!(told.len(), 1);
}

#[test]
fn a_pbx_over_tcp_that_refuses_connections_is_told_to_the_user_within_seconds() {
    let mut world = silent_world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            t.target.transport = sip::Transport::Tcp
        });
        b.pbx_link.down = true;
    });
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 503);
    let told = story.messages(Sbc, Meta, "SIP/2.0 503")[0].at;
    assert!(told < secs(7), "{told:?}");
    assert_eq!(story.record().cause.label(), "unreachable");
}

#[test]
fn a_pbx_over_udp_that_is_not_there_is_told_to_the_user_before_meta_gives_up() {
    let mut world = silent_world_with(|b| b.pbx_link.down = true);
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    let record = story.record();
    assert!(record.ringing.is_none());
    // Nobody rang: the trunk is to blame, not an agent who was away.
    assert_eq!(
        (story.refused(Meta).0, record.cause.label()),
        (503, "timeout")
    );
    let told = story.messages(Sbc, Meta, "SIP/2.0 503")[0].at;
    assert!(told < secs(26), "{told:?}");
}

#[test]
fn meta_never_sees_our_bye_and_the_agent_is_let_go_at_once() {
    let mut world = silent_world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(5));
    world.pbx.script(script);
    world.tamper(|from, to, text| {
        let bye = from == Sbc && to == Meta && text.starts_with("BYE");
        (!bye).then(|| text.to_owned())
    });
    let call = world.user_calls(user());
    assert!(world.until(secs(10), |world| {
        !world.messages(Pbx, Sbc, "BYE").is_empty()
    }));
    world.pass(ms(100));
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 200").len(), 1);
    assert_eq!(world.ports_in_use(), 0, "media ended with the call");
    world.pass(secs(33));
    let warned = world
        .log
        .iter()
        .any(|line| line.text.contains("never answered our BYE"));
    assert!(warned, "{:#?}", world.log);
    world.now(|world, now| world.meta.hang_up(now, Some(call)));
    world.until_quiet(secs(120));
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].released_by.label(), "pbx");
}
