//! One connection for both directions (RFC 5923): `;alias` of a PBX, and ours.

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;
use sip::Transport;

/// A PBX over TCP whose Via says `;alias`, or something else.
fn over_tcp(says: &'static str) -> World {
    let mut world = silent_world_with(|b| {
        b.pbx.sbc.transport = Transport::Tcp;
        with_trunk(&mut b.settings, |trunk| {
            trunk.target.transport = Transport::Tcp
        });
    });
    world.tamper(move |from, to, text| {
        let asks = (from, to) == (Pbx, Sbc) && !text.starts_with("SIP/2.0 ");
        Some(match asks {
            true => text.replacen("Via: SIP/2.0/TCP 10.0.0.20:5060", says, 1),
            false => text.to_owned(),
        })
    });
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    world.pass(secs(10));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(2)));
    world
}

#[test]
fn a_user_reaches_a_pbx_over_the_connection_it_opened_for_its_own_calls() {
    for (says, shared) in [
        ("Via: SIP/2.0/TCP 10.0.0.20:5060;alias", true),
        ("Via: SIP/2.0/TCP 10.0.0.20:5060", false),
        // Somebody else's address.
        ("Via: SIP/2.0/TCP 10.0.0.21:5060;alias", false),
    ] {
        let mut world = over_tcp(says);
        let story = world.story(secs(120));
        story.is_clean();
        let theirs = story.messages(Pbx, Sbc, "INVITE")[0].connection;
        let ours = story.messages(Sbc, Pbx, "INVITE")[0].connection;
        assert_eq!(ours == theirs, shared, "{says}\n{}", world.ladder());
    }
}

#[test]
fn a_connection_of_the_pbx_that_died_costs_the_next_user_nothing() {
    for silent in [false, true] {
        let mut world = silent_world_with(|b| {
            b.pbx.sbc.transport = Transport::Tcp;
            with_trunk(&mut b.settings, |trunk| {
                trunk.target.transport = Transport::Tcp
            });
        });
        world.tamper(|from, to, text| {
            let asks = (from, to) == (Pbx, Sbc) && !text.starts_with("SIP/2.0 ");
            let alias = "Via: SIP/2.0/TCP 10.0.0.20:5060;alias";
            Some(match asks {
                true => text.replacen("Via: SIP/2.0/TCP 10.0.0.20:5060", alias, 1),
                false => text.to_owned(),
            })
        });
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(2)));
        world.pass(secs(60));
        match silent {
            true => world.kill_connections(Pbx),
            false => world.reset_connections(Pbx),
        }
        world.pass(secs(1));
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(2)));
        world.story(secs(120)).is_clean();
        let ends: Vec<&str> = world.records.iter().map(|r| r.cause.label()).collect();
        assert_eq!(ends, ["normal", "normal"], "{}", world.ladder());
    }
}

#[test]
fn a_pbx_learns_that_it_may_use_our_connections_and_meta_is_told_nothing_of_the_kind() {
    let mut world = over_tcp("Via: SIP/2.0/TCP 10.0.0.20:5060");
    let story = world.story(secs(120));
    story.is_clean();
    let to_pbx = story.messages(Sbc, Pbx, "INVITE")[0];
    let via = to_pbx.header("Via").expect("a Via");
    assert!(
        via.starts_with("SIP/2.0/TCP 10.0.0.5:5060;alias;branch="),
        "{via}"
    );
    for message in story.messages(Sbc, Meta, "INVITE") {
        assert!(!message.text.contains("alias"), "{}", message.text);
    }
}
