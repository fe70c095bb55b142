//! Meta has several addresses: one of them in trouble is no reason to fail (RFC 3263 §4.3).

use std::collections::BTreeSet;
use std::net::IpAddr;

use b2bua::Input;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Crossing, World};
use sip::resolve::{Located, Server};

const FIRST: &str = "69.171.251.115";
const SECOND: &str = "69.171.251.116";

/// A world that knows these addresses of Meta.
fn knowing(addresses: &[&str]) -> World {
    let mut world = silent_world();
    let server = Server {
        transport: sip::Transport::Tls,
        weight: 0,
        port: 5061,
        addresses: addresses.iter().map(|at| at.parse().expect(at)).collect(),
    };
    let found = Located {
        ranks: vec![vec![server]],
        ttl: secs(3600),
    };
    let target = settings().carrier.target;
    world.tell_core(Input::Located { target, found });
    world.crossings = Some(Vec::new());
    world
}

/// Meta's 503s name a time to come back.
fn asking_for(world: &mut World, seconds: u64) {
    world.tamper(move |from, to, text| {
        let tired = (from, to) == (Meta, Sbc) && text.starts_with("SIP/2.0 503");
        let asks = format!("\r\nRetry-After: {seconds}\r\nCSeq");
        Some(match tired {
            true => text.replacen("\r\nCSeq", &asks, 1),
            false => text.to_owned(),
        })
    });
}

/// The addresses of Meta INVITEs went to, in order; challenged ones count once.
fn called(crossings: &[Crossing]) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    let to_meta = crossings.iter().filter(|it| !it.inward && it.peer == Meta);
    let invites = to_meta.filter_map(|it| {
        let text = String::from_utf8_lossy(&it.bytes).into_owned();
        let call = text.starts_with("INVITE").then(|| {
            let id = text.lines().find(|line| line.starts_with("Call-ID"));
            (id.map(str::to_owned), it.remote.ip())
        })?;
        seen.insert(call.clone()).then_some(call.1)
    });
    invites.collect()
}

fn crossings(world: &World) -> &[Crossing] {
    world.crossings.as_deref().unwrap_or_default()
}

#[test]
fn an_agent_whose_call_one_address_of_meta_refuses_talks_by_another() {
    let mut world = knowing(&[FIRST, SECOND]);
    world.meta.script(meta_refuses(503, "Service Unavailable"));
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
    assert!(story.messages(Sbc, Pbx, "SIP/2.0 503").is_empty());
    let called = called(crossings(&world));
    assert_eq!(
        called,
        [FIRST, SECOND].map(|at| at.parse::<IpAddr>().expect(at)),
        "{}",
        world.ladder()
    );
}

#[test]
fn an_address_that_asks_for_a_rest_gets_it_and_the_next_calls_go_elsewhere() {
    let mut world = knowing(&[FIRST, SECOND]);
    asking_for(&mut world, 120);
    world.meta.script(meta_refuses(503, "Service Unavailable"));
    for wait in [10, 120, 10] {
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(2)));
        world.pass(secs(wait));
    }
    world.story(secs(120)).is_clean();
    let ends: Vec<&str> = world.records.iter().map(|r| r.cause.label()).collect();
    assert_eq!(ends, ["normal"; 3], "{}", world.ladder());
    let called: Vec<String> = called(crossings(&world))
        .iter()
        .map(IpAddr::to_string)
        .collect();
    // The third call comes when the rest is over.
    assert_eq!(called, [FIRST, SECOND, SECOND, FIRST], "{}", world.ladder());
}

#[test]
fn a_meta_with_one_address_that_asks_for_longer_than_anybody_waits_is_told_to_the_agent() {
    let mut world = knowing(&[FIRST]);
    asking_for(&mut world, 120);
    world.meta.script(meta_refuses(503, "Service Unavailable"));
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 503);
    assert!(world.at() < secs(60));
}

#[test]
fn a_meta_that_refuses_at_every_address_is_asked_twice_and_no_more() {
    let mut world = knowing(&[FIRST, SECOND, "69.171.251.117"]);
    for _ in 0..3 {
        world.meta.script(meta_refuses(503, "Service Unavailable"));
    }
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 503);
    assert_eq!(called(crossings(&world)).len(), 2, "{}", world.ladder());
}

#[test]
fn a_goodbye_after_a_detour_follows_the_call() {
    let mut world = knowing(&[FIRST, SECOND]);
    world.meta.script(meta_refuses(503, "Service Unavailable"));
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(8)));
    world.pass(secs(8));
    world.reset_connections(Meta);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Meta, "BYE").len(), 1);
    assert_eq!(story.ended(Meta).by, "far");
}
