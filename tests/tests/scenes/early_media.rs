//! A user is answered before the PBX answers, and hears its announcement.

use b2bua::comfort::{EarlyAnswer, Ringback};
use media::source;
use sim::pbx::knobs::PbxScript;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

fn answering(early: EarlyAnswer) -> World {
    world_with(|b| with_trunk(&mut b.settings, |t| t.comfort.early_answer = early))
}

/// An announcement from 300 ms on, an agent after so long.
fn announcement(answers_after: u64) -> PbxScript {
    let mut script = agent_answers(secs(answers_after));
    script.ring = Some((ms(300), 183));
    script
}

#[test]
fn a_user_hears_the_announcement_and_then_the_agent_without_a_break() {
    let mut world = answering(EarlyAnswer::EarlyMedia);
    world.pbx.script(announcement(40)); // longer than Meta would wait for an answer
    world.user_calls(user().hanging_up_after(secs(45)));
    assert!(world.until(secs(1), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    let story = world.story(secs(200));
    story.is_clean().both_heard_each_other();
    let user = story.heard(Meta);
    assert!(user.first_tone_ms.is_some_and(|at| at < 500), "{user:?}");
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(user.longest_gap_ms <= 60, "{user:?}");
    assert_eq!(story.ended(Pbx).by, "far");
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_user_is_answered_by_the_agent_alone_where_the_trunk_does_not_want_more() {
    let mut world = answering(EarlyAnswer::Never);
    world.pbx.script(announcement(4));
    world.user_calls(user().hanging_up_after(secs(4)));
    assert!(!world.until(secs(3), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn a_pbx_that_only_rings_is_no_reason_to_answer_early() {
    let mut world = answering(EarlyAnswer::EarlyMedia);
    world.pbx.script(agent_answers(secs(4)));
    world.user_calls(user().hanging_up_after(secs(4)));
    assert!(!world.until(secs(3), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.messages(Sbc, Meta, "SIP/2.0 180").len(), 1);
}

#[test]
fn a_user_whose_announcement_ends_in_busy_is_hung_up_with_the_pbxs_reason() {
    let mut world = answering(EarlyAnswer::EarlyMedia);
    let mut script = pbx_refuses(secs(5), 486, "Busy Here");
    script.ring = Some((ms(300), 183));
    (script.talk.tone, script.talk.expect) = (Some(AGENT_TONE), Some(USER_TONE));
    world.pbx.script(script);
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    let bye = story.messages(Sbc, Meta, "BYE")[0];
    assert!(
        bye.header("Reason").is_some_and(|r| r.contains("cause=17")),
        "{}",
        bye.text
    );
    let record = story.record();
    assert_eq!(
        (record.cause.label(), record.released_by.label()),
        ("busy", "pbx")
    );
    assert!(story.heard(Meta).tone_found);
}

#[test]
fn a_user_is_answered_at_once_and_hears_ringing_until_the_agent_speaks() {
    let mut world = world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            t.comfort.early_answer = EarlyAnswer::AtOnce;
            let tone = source::ringback("us").expect("America rings");
            t.comfort.ringback = Ringback::Tone(tone);
        });
    });
    world.pbx.script(agent_answers(secs(7)));
    let mut call = user().hanging_up_after(secs(12));
    call.talk.expect = Some(440.0);
    world.user_calls(call);
    assert!(world.until(ms(500), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    let story = world.story(secs(120));
    story.is_clean();
    let user = story.heard(Meta);
    assert!(user.first_tone_ms.is_some_and(|at| at < 200), "{user:?}");
    assert_eq!(
        (user.ssrcs, user.lost, user.tone_gaps),
        (1, 0, 1),
        "rings at 0 s and 6 s: {user:?}"
    );
    assert!(user.longest_gap_ms <= 60, "{user:?}");
    assert!(story.heard(Pbx).tone_found, "the agent hears the user");
}

#[test]
fn a_user_answered_at_once_hears_the_announcement_of_the_pbx() {
    let mut world = answering(EarlyAnswer::AtOnce);
    world.pbx.script(announcement(6));
    world.user_calls(user().hanging_up_after(secs(12)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert!(story.heard(Meta).first_tone_ms.is_some_and(|at| at < 900));
}

#[test]
fn a_user_who_hangs_up_during_the_announcement_stops_the_pbx_from_ringing() {
    let mut world = answering(EarlyAnswer::EarlyMedia);
    world.pbx.script(announcement(60));
    world.user_calls(user().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Pbx, "CANCEL").len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn digits_pressed_into_an_announcement_reach_the_pbx() {
    let mut world = answering(EarlyAnswer::EarlyMedia);
    world.pbx.script(announcement(8));
    world.user_calls(user().hanging_up_after(secs(12)).pressing(secs(3), "42"));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Pbx), "42");
    let answered = story.all(Pbx, |what| {
        matches!(what, What::Answered { .. }).then_some(())
    });
    assert_eq!(answered.len(), 1);
}

#[test]
fn a_pbx_that_never_answers_its_announcement_loses_the_user_after_three_minutes() {
    let mut world = silent_world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            t.comfort.early_answer = EarlyAnswer::EarlyMedia
        });
    });
    let mut script = nobody_answers();
    script.ring = Some((ms(300), 183));
    world.pbx.script(script);
    world.user_calls(user());
    world.pass(secs(175));
    assert!(world.messages(Sbc, Meta, "BYE").is_empty());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "no_answer");
}
