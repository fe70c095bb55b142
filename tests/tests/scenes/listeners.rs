//! Several listeners: whoever calls on one hears everything from there.

use sim::scene::*;
use sip::{Method, Transport};

#[test]
fn a_pbx_that_calls_on_a_second_listener_hears_everything_from_there() {
    let second = "10.0.0.5:5070";
    let mut world = silent_world_with(|b| {
        b.pbx.sbc.port = 5070;
        with_trunk(&mut b.settings, |trunk| {
            trunk.target.from = "10.0.0.5:5060".parse().ok();
        });
    });
    world.crossings = Some(Vec::new());
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent());
    world.pass(secs(5));
    // A telephone that moves: our next request follows its new Contact.
    world.now(|world, now| {
        let contact = [("Contact", "<sip:pbx@10.0.0.20:5062>")];
        world.pbx.ask_with(now, None, Method::Update, &contact, "");
    });
    world.pass(secs(1));
    world.now(|world, now| world.meta.hang_up(now, None));
    world.story(secs(60)).is_clean();
    let left: Vec<String> = world
        .crossings
        .iter()
        .flatten()
        .filter(|crossing| !crossing.inward && crossing.transport == Some(Transport::Udp))
        .filter(|crossing| crossing.bytes.starts_with(b"BYE"))
        .map(|crossing| crossing.local.to_string())
        .collect();
    assert_eq!(left, [second]);
}
