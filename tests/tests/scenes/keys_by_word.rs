//! PBXs that tell digits in INFO requests: the user hears keys, Meta hears no INFO (Meta reference
//! 5.3, 10.6).

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;
use sip::Method;

use crate::firewall::meta_saw_only_five_methods;

const RELAY: &str = "application/dtmf-relay";

/// The agent's telephone says this in an INFO; what it was answered.
fn says(world: &mut World, kind: &str, body: &str) -> String {
    let before = world.messages(Sbc, Pbx, "SIP/2.0").len();
    let (kind, body) = (kind.to_owned(), body.to_owned());
    world.now(|world, now| {
        let headers: &[(&str, &str)] = match kind.is_empty() {
            true => &[],
            false => &[("Content-Type", &kind)],
        };
        world.pbx.ask_with(now, None, Method::Info, headers, &body);
    });
    world.pass(ms(400));
    let answers = world.messages(Sbc, Pbx, "SIP/2.0");
    assert_eq!(answers.len(), before + 1, "{}", world.ladder());
    assert!(answers[before].header("CSeq").unwrap().ends_with("INFO"));
    answers[before].text.clone()
}

fn talking(world: &mut World) {
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(12)));
    world.pass(secs(4));
}

#[test]
fn the_agents_keys_told_in_words_are_pressed_for_the_user() {
    let mut world = world();
    talking(&mut world);
    for (kind, body) in [
        (RELAY, "Signal=5\r\nDuration=160\r\n"),
        (RELAY, "Signal= 10\r\nDuration= 100\r\n"),
        ("application/dtmf", "7"),
        ("application/dtmf", "#"),
    ] {
        assert!(says(&mut world, kind, body).starts_with("SIP/2.0 200"));
    }
    let story = world.story(secs(120));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.digits(Meta), "5*7#");
    let lengths = story.all(Meta, |what| match what {
        sim::report::What::Digit { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    assert_eq!(lengths, [160, 100, 100, 100]);
    // One stream, whoever presses: nothing lost, nothing anew, and both voices go on.
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(user.tone_found, "{user:?}");
    assert_eq!(story.record().digits, [0, 4]);
}

#[test]
fn a_whole_number_dialled_in_words_arrives_in_order() {
    let mut world = world();
    talking(&mut world);
    // Sent faster than a telephone could press.
    world.now(|world, now| {
        for digit in "4711*0815#".chars() {
            let body = format!("Signal={digit}\r\nDuration=80\r\n");
            let headers = [("Content-Type", RELAY)];
            world.pbx.ask_with(now, None, Method::Info, &headers, &body);
        }
    });
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Meta), "4711*0815#");
}

#[test]
fn the_agent_who_placed_the_call_presses_keys_in_words_too() {
    let mut world = world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(8)));
    world.pass(secs(4));
    assert!(says(&mut world, RELAY, "Signal=9\r\nDuration=120\r\n").starts_with("SIP/2.0 200"));
    let story = world.story(secs(120));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.digits(Meta), "9");
}

#[test]
fn words_that_are_no_key_are_refused_and_nobody_hears_them() {
    let mut world = world();
    talking(&mut world);
    for (kind, body, status) in [
        (RELAY, "Signal=!\r\nDuration=100\r\n", "SIP/2.0 400"),
        (RELAY, "", "SIP/2.0 400"),
        (RELAY, "Signal=5\r\nDuration=for ever\r\n", "SIP/2.0 400"),
        ("application/media_control+xml", "<x/>", "SIP/2.0 415"),
        ("", "", "SIP/2.0 200"),
    ] {
        let answer = says(&mut world, kind, body);
        assert!(answer.starts_with(status), "{kind} {body:?}: {answer}");
        let accepts = answer.contains("Accept: application/dtmf-relay, application/dtmf");
        assert_eq!(accepts, status.ends_with("415"), "{answer}");
    }
    let story = world.story(secs(120));
    story.both_heard_each_other();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.digits(Meta), "");
}

#[test]
fn a_key_told_twice_by_a_nervous_network_is_pressed_once() {
    let mut world = world_with(|b| b.pbx_link.doubled = 1.0);
    talking(&mut world);
    world.now(|world, now| {
        let headers = [("Content-Type", RELAY)];
        let body = "Signal=3\r\nDuration=100\r\n";
        world.pbx.ask_with(now, None, Method::Info, &headers, body);
    });
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.digits(Meta), "3");
}

#[test]
fn a_key_told_while_it_still_rings_is_lost_and_costs_no_call() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(3)));
    world.user_calls(user().hanging_up_after(secs(4)));
    world.pass(secs(2));
    world.now(|world, now| {
        let headers = [("Content-Type", RELAY)];
        let body = "Signal=3\r\nDuration=100\r\n";
        world.pbx.ask_with(now, None, Method::Info, &headers, body);
    });
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    story.both_heard_each_other();
    assert_eq!(story.digits(Meta), "");
}
