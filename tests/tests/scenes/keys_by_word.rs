//! PBXs that tell digits in INFO requests: the user hears keys, Meta hears no INFO (Meta reference
//! 5.3, 10.6).

use std::sync::Arc;

use b2bua::profile::Digits;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Beginning, Passed, World};
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

/// A PBX that is told keys in INFO; media carries none to it.
fn told_in_words(b: &mut Beginning) {
    with_trunk(&mut b.settings, |trunk| {
        Arc::make_mut(&mut trunk.profile).digits = Digits::Info;
        trunk.codecs.retain(|codec| codec.is_audio());
    });
}

/// Both are heard beside the keys; while the user presses one, his telephone sends no voice.
fn voices_go_on(story: &Story<'_>) {
    for party in [Meta, Pbx] {
        let heard = story.heard(party);
        let well = heard.tone_found && heard.lost == 0 && heard.ssrcs == 1 && heard.bad == 0;
        assert!(well && heard.longest_gap_ms <= 200, "{party:?} {heard:#?}");
    }
}

/// The INFOs we sent the PBX, each once.
fn infos(world: &World) -> Vec<&Passed> {
    let mut all = world.messages(Sbc, Pbx, "INFO");
    all.dedup_by(|a, b| a.text == b.text);
    all
}

#[test]
fn the_users_keys_reach_a_pbx_that_wants_words_one_after_the_other() {
    let mut world = world_with(|b| {
        told_in_words(b);
        b.pbx_link.latency = ms(200);
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(
        user()
            .pressing(secs(2), "5#19*0")
            .hanging_up_after(secs(12)),
    );
    let story = world.story(secs(120));
    story.is_clean();
    voices_go_on(&story);
    meta_saw_only_five_methods(&story);
    assert_eq!(story.digits(Pbx), "5#19*0");
    let infos = infos(&world);
    assert_eq!(infos.len(), 6);
    for info in &infos {
        assert_eq!(info.header("Content-Type"), Some(RELAY));
        let duration = info
            .body()
            .lines()
            .find_map(|line| line.strip_prefix("Duration="));
        let duration: u32 = duration.expect("a duration").parse().expect("milliseconds");
        assert!((40..=400).contains(&duration), "{duration}");
    }
    // The next one leaves when the last was answered, whatever the way takes.
    assert!(
        infos.windows(2).all(|two| two[1].at - two[0].at >= ms(400)),
        "{infos:#?}"
    );
    let sdp = world.messages(Sbc, Pbx, "INVITE")[0].body();
    assert!(!sdp.contains("telephone-event"), "{sdp}");
}

#[test]
fn keys_go_both_ways_in_words_and_the_agent_who_called_hears_each_once() {
    let mut world = world_with(told_in_words);
    let mut answers = user_answers(secs(1));
    (answers.talk.digits_after, answers.talk.digits) = (Some(secs(2)), "42".into());
    world.meta.script(answers);
    // The PBX offers telephone events and is told in words all the same.
    world.agent_calls(agent().hanging_up_after(secs(9)));
    world.pass(secs(6));
    assert!(says(&mut world, RELAY, "Signal=9\r\nDuration=120\r\n").starts_with("SIP/2.0 200"));
    let story = world.story(secs(120));
    story.is_clean();
    voices_go_on(&story);
    meta_saw_only_five_methods(&story);
    assert_eq!(
        (story.digits(Pbx).as_str(), story.digits(Meta).as_str()),
        ("42", "9")
    );
}

#[test]
fn a_pbx_that_takes_no_words_loses_keys_and_no_call() {
    for status in [501, 415, 603] {
        let mut world = world_with(|b| {
            told_in_words(b);
            b.pbx.informed = status;
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().pressing(secs(2), "12").hanging_up_after(secs(6)));
        let story = world.story(secs(120));
        story.is_clean();
        voices_go_on(&story);
        assert_eq!(story.digits(Pbx), "");
        assert_eq!(infos(&world).len(), 2);
        let warned = world
            .log
            .iter()
            .filter(|line| line.text.contains("refuses a digit"));
        assert_eq!(warned.count(), 2);
    }
}
