//! Too many calls, no ports, going out of service.

use b2bua::Input;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;
use sip::Transport;

/// A call of another user.
fn another_user(last: u32) -> sim::meta::knobs::UserCall {
    let mut call = user().hanging_up_after(secs(10));
    call.caller = format!("+1219555{last:04}");
    call
}

/// The status Meta got for a call.
fn refused(world: &World, call: u32) -> Option<u16> {
    world.told(Meta, call).find_map(|what| match what {
        What::Refused { status, .. } => Some(*status),
        _ => None,
    })
}

#[test]
fn the_call_above_the_limit_hears_503_and_later_ones_get_through() {
    let mut world = silent_world_with(|b| b.settings.max_calls = 2);
    let calls: Vec<u32> = (0..3).map(|i| world.user_calls(another_user(i))).collect();
    world.pass(secs(5));
    assert_eq!(refused(&world, calls[2]), Some(503), "{}", world.ladder());
    let told = world.messages(Sbc, Meta, "SIP/2.0 503");
    assert!(told[0].header("Retry-After").is_some(), "{}", told[0].text);
    world.pass(secs(20));
    let late = world.user_calls(another_user(9));
    world.story(secs(120)).is_clean();
    assert_eq!(refused(&world, late), None);
    assert_eq!(world.records.len(), 3);
    assert_eq!(world.core.counters().refused.get("limit"), Some(&1));
}

#[test]
fn invites_that_name_no_place_to_answer_take_up_no_room() {
    let mut world = silent_world_with(|b| b.settings.max_calls = 2);
    let pbx = "10.0.0.20:5060".parse().expect("an address");
    for n in 0..3 {
        let invite = format!(
            "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKn{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+17125550259@10.0.0.20>;tag=n{n}\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
             Call-ID: nowhere-{n}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        world.stranger_says(Transport::Udp, pbx, &invite);
        let told = world.told_strangers.last().expect("an answer");
        assert!(told.starts_with("SIP/2.0 400"), "{told}");
    }
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].cause.label(), "normal");
}

#[test]
fn a_full_trunk_takes_no_more_calls_in_either_direction() {
    let mut world = silent_world_with(|b| with_trunk(&mut b.settings, |t| t.max_calls = 1));
    world.user_calls(another_user(1));
    world.pass(secs(3));
    world.agent_calls(agent());
    let late = world.user_calls(another_user(2));
    world.pass(secs(3));
    assert_eq!(refused(&world, late), Some(503), "{}", world.ladder());
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 503").len(), 1);
    assert!(
        world.messages(Sbc, Meta, "INVITE").is_empty(),
        "Meta is not bothered"
    );
    world.story(secs(120)).is_clean();
}

#[test]
fn an_agent_who_calls_a_user_on_the_line_hears_busy() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(3));
    world.agent_calls(agent());
    world.pass(secs(3));
    let busy = world.messages(Sbc, Pbx, "SIP/2.0 486");
    assert_eq!(busy.len(), 1, "{}", world.ladder());
    assert!(
        busy[0]
            .header("Reason")
            .is_some_and(|reason| reason.contains("cause=17"))
    );
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 1);
}

#[test]
fn without_a_media_port_the_caller_hears_503_and_no_telephone_rings() {
    let mut world = silent_world();
    world.no_ports = true;
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 503);
    assert!(story.messages(Sbc, Pbx, "").is_empty());
    assert_eq!(story.record().cause.label(), "media_failed");
    assert_eq!(story.record().released_by.label(), "sbc");
}

#[test]
fn an_operator_who_ends_all_calls_leaves_nobody_on_a_dead_line() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.meta.script(user_answers(secs(1)));
    world.user_calls(user());
    let mut call = agent();
    call.to = "+12195550799".into();
    world.agent_calls(call);
    // A third one still rings.
    world.pass(secs(4));
    world.pbx.script(nobody_answers());
    let third = world.user_calls(another_user(3));
    world.pass(secs(2));
    world.tell_core(Input::HangUpAll);
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 3);
    assert!(
        world
            .records
            .iter()
            .all(|record| record.cause.label() == "operator")
    );
    assert_eq!(refused(&world, third), Some(480));
    let byes = (
        world.messages(Sbc, Meta, "BYE").len(),
        world.messages(Sbc, Pbx, "BYE").len(),
    );
    assert_eq!(byes, (2, 2));
}

#[test]
fn going_out_of_service_lets_the_ringing_call_be_answered() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(5)));
    world.user_calls(user().hanging_up_after(secs(5)));
    world.pass(secs(2));
    world.tell_core(Input::Drain);
    let late = world.user_calls(another_user(4));
    world.agent_calls(agent());
    world.story(secs(120)).is_clean();
    assert_eq!(refused(&world, late), Some(503));
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 503").len(), 1);
    let answered: Vec<&str> = world
        .records
        .iter()
        .map(|record| record.cause.label())
        .collect();
    assert_eq!(answered, ["normal"]);
}

#[test]
fn new_settings_hold_for_new_calls_and_leave_the_old_ones_alone() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(3));
    let mut settings = settings();
    settings.numbers.clear();
    world.tell_core(Input::Reload(Box::new(settings)));
    let late = world.user_calls(another_user(5));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.record().carrier_duration, Some(10));
    assert_eq!(refused(&world, late), Some(404));
}

#[test]
fn numbers_come_change_and_go_while_a_call_runs_on() {
    const SECOND: &str = "+17125550260";
    let mut world = silent_world_with(|b| {
        let mut second = b.meta.numbers[0].clone();
        second.digits = SECOND.trim_start_matches('+').into();
        b.meta.numbers.push(second);
    });
    world.user_calls(user().hanging_up_after(secs(30)));
    world.pass(secs(3));
    let to_second = |last| {
        let mut call = another_user(2);
        call.number = SECOND.trim_start_matches('+').into();
        call.caller = format!("+1219556{last:04}");
        call
    };
    let before = world.user_calls(to_second(1));
    world.pass(secs(5));
    assert_eq!(refused(&world, before), Some(404), "not there yet");

    // It comes, and the password of the first one changes.
    let mut reloaded = settings();
    let mut second = (*reloaded.numbers[0]).clone();
    second.e164 = b2bua::E164::parse(SECOND).expect("a number");
    second.username = SECOND.trim_start_matches('+').into();
    reloaded.numbers.push(std::sync::Arc::new(second));
    with_number(&mut reloaded, |number| {
        number.password = Some(sip::Secret::new("another".to_owned()));
    });
    world.tell_core(Input::Reload(Box::new(reloaded.clone())));
    let there = world.user_calls(to_second(2));
    let wrong = world.user_calls(another_user(2));
    world.pass(secs(8));
    assert_eq!(refused(&world, there), None);
    assert_eq!(
        refused(&world, wrong),
        Some(403),
        "Meta has the old password"
    );

    // It goes again.
    reloaded.numbers.truncate(1);
    world.tell_core(Input::Reload(Box::new(reloaded)));
    let gone = world.user_calls(to_second(3));
    world.story(secs(120)).is_clean();
    assert_eq!(refused(&world, gone), Some(404));
    let first = world.records.iter().find(|record| record.user == USER);
    let first = first.expect("the call that ran all the time");
    assert_eq!(
        (first.cause.label(), first.carrier_duration),
        ("normal", Some(30))
    );
}

#[test]
fn the_business_may_place_only_so_many_calls_a_day() {
    let mut world = silent_world_with(|b| {
        with_number(&mut b.settings, |n| n.limits.initiated_per_day = 2);
    });
    for i in 0..3 {
        let mut call = agent().hanging_up_after(secs(2));
        call.to = format!("+1219555{i:04}");
        world.agent_calls(call);
        world.pass(secs(30));
    }
    assert_eq!(
        world.messages(Sbc, Pbx, "SIP/2.0 503").len(),
        1,
        "{}",
        world.ladder()
    );
    world.pass(secs(24 * 3600));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 3);
}

#[test]
fn a_user_is_called_only_so_often_a_day_and_another_one_still_is() {
    let mut world = silent_world_with(|b| {
        with_number(&mut b.settings, |n| n.limits.connected_per_user_and_day = 2);
    });
    let calls = |world: &mut World, user: &str, answers: bool| {
        let before = world.messages(Sbc, Meta, "INVITE").len();
        world.meta.script(match answers {
            true => user_answers(secs(1)),
            false => user_refuses(secs(1), 486, "Busy Here"),
        });
        let mut call = agent().hanging_up_after(secs(2));
        call.to = user.into();
        world.agent_calls(call);
        world.pass(secs(30));
        world.messages(Sbc, Meta, "INVITE").len() > before
    };
    // Calls nobody took do not count, as they do not at Meta.
    assert!(calls(&mut world, USER, false));
    assert!(calls(&mut world, USER, true));
    assert!(calls(&mut world, USER, true));
    assert!(!calls(&mut world, USER, true), "Meta is not bothered");
    let refused = world.messages(Sbc, Pbx, "SIP/2.0 503");
    assert_eq!(refused.len(), 1, "{}", world.ladder());
    assert!(calls(&mut world, "+12195550777", true));
    world.pass(secs(24 * 3600));
    assert!(calls(&mut world, USER, true));
    world.story(secs(120)).is_clean();
}

#[test]
fn a_number_that_is_full_refuses_both_ways_and_its_neighbour_does_not() {
    const SECOND: &str = "17125550260";
    let mut world = silent_world_with(|b| {
        let mut number = b.meta.numbers[0].clone();
        number.digits = SECOND.into();
        b.meta.numbers.push(number);
        with_number(&mut b.settings, |n| n.limits.calls = 1);
        let mut second = (*b.settings.numbers[0]).clone();
        second.e164 = b2bua::E164::parse(&format!("+{SECOND}")).expect("a number");
        second.username = SECOND.into();
        b.settings.numbers.push(std::sync::Arc::new(second));
    });
    world.user_calls(another_user(1));
    world.pass(secs(3));
    let same = world.user_calls(another_user(2));
    world.agent_calls(agent());
    let mut call = another_user(3);
    call.number = SECOND.into();
    let neighbour = world.user_calls(call);
    world.pass(secs(3));
    assert_eq!(refused(&world, same), Some(503), "{}", world.ladder());
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 503").len(), 1);
    assert!(world.messages(Sbc, Meta, "INVITE").is_empty());
    assert_eq!(refused(&world, neighbour), None);
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 2);
}

#[test]
fn the_pbx_has_no_codec_of_ours_and_the_user_hears_488() {
    let mut world = silent_world_with(|b| {
        b.pbx.codecs = vec![sdp::Codec::Pcmu, sdp::Codec::TelephoneEvent];
    });
    // It answers with a codec that was never offered.
    world.tamper(|from, _, text| {
        let answer = from == Pbx && text.starts_with("SIP/2.0 200") && text.contains("m=audio");
        Some(match answer {
            true => refitted(
                &text
                    .replace("RTP/AVP 8", "RTP/AVP 0")
                    .replace("rtpmap:8 PCMA", "rtpmap:0 PCMU"),
            ),
            false => text.to_owned(),
        })
    });
    world.pbx.settings_mut().codecs = vec![sdp::Codec::Pcma, sdp::Codec::TelephoneEvent];
    world.user_calls(user());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 488);
    assert_eq!(story.record().cause.label(), "no_common_media");
    let pbx = story.ended(Pbx);
    assert!(pbx.confirmed && pbx.by == "far", "ACK, then BYE: {pbx:?}");
}
