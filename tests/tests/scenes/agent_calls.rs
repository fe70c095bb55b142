//! The business calls a WhatsApp user who answers.

use sdp::Codec;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn agent_calls_user_answers_and_the_agent_hangs_up() {
    let mut world = world();
    world.meta.script(user_answers(secs(2)));
    world.agent_calls(agent().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().pulses, Some(1));
}

#[test]
fn agent_calls_and_the_user_hangs_up_over_a_new_connection() {
    let mut world = world();
    let mut script = user_answers(secs(2));
    script.talk.hang_up_after = Some(secs(7));
    world.meta.script(script);
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let record = story.record();
    assert!(
        record
            .reference
            .as_deref()
            .is_some_and(|wacid| wacid.starts_with("wacid.")),
        "from Meta's BYE"
    );
    assert_eq!((record.carrier_duration, record.pulses), (Some(7), Some(2)));
    let (invite, bye) = (
        story.messages(Sbc, Meta, "INVITE")[0],
        story.messages(Meta, Sbc, "BYE")[0],
    );
    assert_ne!(invite.connection, bye.connection);
}

#[test]
fn the_agent_hears_ringing_when_meta_says_so() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(5)));
    world.agent_calls(agent().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    let progress = story.all(Pbx, |what| match what {
        What::Progress { status, .. } => Some(*status),
        _ => None,
    });
    assert!(progress.contains(&180), "{progress:?}");
}

#[test]
fn a_meta_that_says_nothing_before_the_200_is_understood() {
    let mut world = world();
    let mut script = user_answers(secs(3));
    (script.trying, script.ring) = (false, None);
    world.meta.script(script);
    world.agent_calls(agent().hanging_up_after(secs(4)));
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn a_183_with_sdp_and_two_to_tags_do_not_confuse_the_answer() {
    let mut world = world();
    let mut script = user_answers(secs(3));
    (script.ring, script.second_tag) = (Some((ms(500), 183)), true);
    world.meta.script(script);
    world.agent_calls(agent().hanging_up_after(secs(4)));
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn request_uri_to_and_digest_uri_are_one_value_and_from_carries_the_domain() {
    let mut world = silent_world();
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    let invites = story.messages(Sbc, Meta, "INVITE");
    for invite in &invites {
        assert!(
            invite
                .text
                .starts_with("INVITE sip:+12195550714@wa.meta.vc;transport=tls SIP/2.0\r\n")
        );
        assert_eq!(invite.header("To"), Some("<sip:+12195550714@wa.meta.vc>"));
        let from = invite.header("From").unwrap_or_default();
        assert!(
            from.contains("<sip:+17125550259@meta-voip.example.com>"),
            "{from}"
        );
    }
    let credentials = invites[1].header("Proxy-Authorization").unwrap_or_default();
    assert!(
        credentials.contains("uri=\"sip:+12195550714@wa.meta.vc;transport=tls\""),
        "{credentials}"
    );
    assert!(
        credentials.contains("username=\"17125550259\""),
        "{credentials}"
    );
}

#[test]
fn what_the_pbx_tells_about_itself_stays_inside() {
    let mut world = silent_world();
    let mut call = agent().hanging_up_after(secs(2));
    call.headers = vec![
        (
            "P-Asserted-Identity".into(),
            "<sip:agent7@10.0.0.20>".into(),
        ),
        ("X-Internal-Queue".into(), "vip".into()),
        ("Session-Expires".into(), "600;refresher=uac".into()),
        ("Supported".into(), "timer, 100rel".into()),
    ];
    world.agent_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    for message in story.messages(Sbc, Meta, "") {
        assert!(
            !message.text.contains("10.0.0.20") && !message.text.contains("agent7"),
            "{}",
            message.text
        );
    }
}

#[test]
fn hold_and_questions_of_the_pbx_never_reach_meta() {
    let mut world = world();
    world.meta.script(user_answers(secs(1)));
    let call = world.agent_calls(agent().hanging_up_after(secs(14)));
    world.pass(secs(5));
    let before = world.messages(Sbc, Meta, "").len();
    world.now(|world, now| world.pbx.hold(now, Some(call), true));
    world.pass(secs(2));
    world.now(|world, now| world.pbx.hold(now, Some(call), false));
    world.pass(secs(2));
    for method in ["UPDATE", "INFO", "OPTIONS", "REFER"] {
        world.now(|world, now| world.pbx.ask(now, Some(call), sip::Method::from(method)));
        world.pass(ms(500));
    }
    assert_eq!(
        world.messages(Sbc, Meta, "").len(),
        before,
        "one byte to Meta is too many\n{}",
        world.ladder()
    );
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.heard(Meta).ssrcs, 1);
    assert_eq!(story.ended(Meta).by, "far");
}

#[test]
fn fifty_agents_call_at_once_and_nothing_is_left_behind() {
    let mut world = silent_world();
    for i in 0..50 {
        let mut call = agent().hanging_up_after(secs(3 + i % 7));
        call.to = format!("+1219555{i:04}");
        world.agent_calls(call);
    }
    assert!(world.until_quiet(secs(120)), "something is left");
    assert_eq!(world.records.len(), 50);
    assert!(
        world
            .records
            .iter()
            .all(|record| record.cause.label() == "normal")
    );
    assert_eq!(
        (world.meta.counts().violations, world.ports_in_use()),
        (0, 0)
    );
}

#[test]
fn where_meta_allows_g711_the_audio_passes_untouched() {
    let mut world = world_with(|b| {
        b.meta.numbers[0].g711 = true;
        with_number(&mut b.settings, |n| {
            n.codecs = vec![Codec::Pcma, Codec::TelephoneEvent]
        });
    });
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(4)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert!(
        story
            .record()
            .legs
            .iter()
            .flatten()
            .all(|leg| leg.codec == Codec::Pcma)
    );
    assert!(story.heard(Meta).level_error_db.abs() < 0.5);
}
