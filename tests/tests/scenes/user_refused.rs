//! A WhatsApp user calls the business and is not answered.

use b2bua::Level;
use sim::meta::knobs::BusinessNumber;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn a_wrong_password_is_refused_and_no_telephone_rings() {
    let mut world = silent_world();
    let mut call = user();
    call.wrong_password = Some("guessed".into());
    world.user_calls(call);
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 403);
    assert!(story.messages(Sbc, Pbx, "INVITE").is_empty());
    story.is_clean();
}

#[test]
fn a_number_that_is_not_ours_is_not_found() {
    let mut world = silent_world_with(|b| {
        b.meta
            .numbers
            .push(BusinessNumber::new("+17120000000", HOST, 5061, PASSWORD));
    });
    let mut call = user();
    call.number = "17120000000".into();
    world.user_calls(call);
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 404);
    assert!(
        story.messages(Sbc, Meta, "SIP/2.0 407").is_empty(),
        "no digest oracle for scanners"
    );
    story.is_clean();
}

#[test]
fn a_host_that_is_not_ours_is_not_found() {
    let mut world = silent_world_with(|b| b.meta.numbers[0].hostname = "other.example.com".into());
    world.user_calls(user());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 404);
}

#[test]
fn a_number_named_in_a_refusal_stands_in_the_record_and_in_no_log() {
    let mut world = silent_world();
    let words = "Business eligibility payment issue of 4917012345678";
    world.meta.script(meta_refuses(403, words));
    world.agent_calls(agent());
    let story = world.story(secs(120));
    assert!(story.record().cause.to_string().contains(words));
    let told = world.log.iter().filter(|line| line.level > Level::Debug);
    let told: String = told.map(|line| line.text.as_str()).collect();
    assert!(
        told.contains("4917…5678") && !told.contains("4917012345678"),
        "{told}"
    );
}

/// What the user's Meta gets for each final answer of the PBX (Meta reference 6).
#[test]
fn the_users_telephone_learns_why_the_pbx_did_not_answer() {
    for (from_pbx, to_meta) in [
        (486, 486),
        (480, 480),
        (404, 404),
        (603, 603),
        (488, 488),
        (503, 503),
        (600, 486),
    ] {
        let mut world = silent_world();
        world.pbx.script(pbx_refuses(secs(1), from_pbx, "No"));
        world.user_calls(user());
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(story.refused(Meta).0, to_meta, "PBX said {from_pbx}");
        assert_eq!(story.record().answered, None);
    }
}

#[test]
fn nobody_answers_and_the_user_hears_so_before_meta_loses_patience() {
    let mut world = silent_world();
    world.pbx.script(nobody_answers());
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 480);
    let told = story.messages(Sbc, Meta, "SIP/2.0 480")[0].at;
    assert!(told >= secs(25) && told < secs(26), "{told:?}");
    assert_eq!(
        story
            .all(Pbx, |w| matches!(w, What::Cancelled { by_far: true })
                .then_some(()))
            .len(),
        1
    );
    assert_eq!(story.record().cause.label(), "no_answer");
}

#[test]
fn a_pbx_that_is_not_there_ends_the_call_before_the_answer_window_closes() {
    let mut world = silent_world_with(|b| b.pbx_link.down = true);
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    let (status, _) = story.refused(Meta);
    assert!(matches!(status, 408 | 480 | 503 | 504), "{status}");
    assert!(
        story.messages(Meta, Sbc, "CANCEL").is_empty(),
        "Meta lost patience first"
    );
}

#[test]
fn a_pbx_that_refuses_every_codec_ends_the_call_with_488() {
    let mut world = silent_world_with(|b| b.pbx.codecs = vec![sdp::Codec::Pcmu]);
    world
        .pbx
        .script(pbx_refuses(ms(100), 488, "Not Acceptable Here"));
    world.user_calls(user());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 488);
}

#[test]
fn a_second_call_of_the_same_user_hears_busy() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(3));
    let second = world.user_calls(user());
    world.pass(secs(2));
    let refused = world
        .told(Meta, second)
        .any(|what| matches!(what, What::Refused { status: 486, .. }));
    assert!(refused, "{}", world.ladder());
    assert!(world.until_quiet(secs(120)));
}

#[test]
fn an_sbc_that_goes_out_of_service_takes_no_new_call_and_finishes_the_old_one() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(4));
    world.tell_core(b2bua::Input::Drain);
    let mut late = user();
    late.caller = "+12195550799".into();
    let second = world.user_calls(late);
    assert!(world.until_quiet(secs(120)));
    assert!(
        world
            .told(Meta, second)
            .any(|what| matches!(what, What::Refused { status: 503, .. }))
    );
    assert_eq!(
        world
            .records
            .iter()
            .filter(|r| r.cause.label() == "normal")
            .count(),
        1
    );
}

#[test]
fn a_user_whose_number_leads_to_the_public_telephone_network_is_refused_and_nobody_rings() {
    let mut world = silent_world_with(|b| with_trunk(&mut b.settings, |t| t.pstn = true));
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 403);
    assert!(story.messages(Sbc, Pbx, "").is_empty());
    let told = story.messages(Sbc, Meta, "SIP/2.0 403")[0];
    let reason = told.header("Reason").unwrap_or_default();
    assert!(reason.contains("cause=57"), "{reason}");
}
