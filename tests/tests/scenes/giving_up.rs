//! Somebody gives up: CANCEL in all its races (RFC 3261 §9).

use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn the_user_gives_up_while_it_rings_and_the_agents_telephone_stops() {
    let mut world = silent_world();
    world.pbx.script(nobody_answers());
    world.user_calls(user().giving_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 487);
    assert_eq!(story.ended(Pbx).by, "far");
    assert_eq!(story.record().cause.label(), "cancelled");
}

#[test]
fn the_user_gives_up_before_the_pbx_gave_a_sign() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = secs(1));
    world.pbx.script(nobody_answers());
    world.user_calls(user().giving_up_after(ms(400)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 487);
    assert_eq!(story.ended(Pbx).by, "far");
    let (first, cancel) = (
        story.messages(Pbx, Sbc, "SIP/2.0 1"),
        story.messages(Sbc, Pbx, "CANCEL"),
    );
    assert!(
        cancel[0].at > first[0].at,
        "CANCEL waits for a provisional response (9.1)"
    );
}

#[test]
fn the_user_gives_up_in_the_moment_the_agent_picks_up_and_the_agent_is_not_left_alone() {
    let mut world = silent_world();
    let mut script = nobody_answers();
    script.answer_despite_cancel = true;
    world.pbx.script(script);
    world.user_calls(user().giving_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 487);
    let pbx = story.ended(Pbx);
    assert!(
        pbx.answered && pbx.confirmed && pbx.by == "far",
        "late 200: ACK, then BYE: {pbx:?}"
    );
    assert_eq!(story.record().cause.label(), "cancelled");
}

#[test]
fn a_cancel_that_crosses_our_200_ends_in_ack_and_bye() {
    let mut world = silent_world();
    // The agent's 200 leaves us while the CANCEL is on its way: 20 ms between us and Meta.
    world.pbx.script(agent_answers(secs(2)));
    let asked = world.user_calls(user());
    assert!(world.until(secs(10), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    world.now(|world, now| world.meta.hang_up(now, Some(asked)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Meta, Sbc, "CANCEL").len(), 1);
    let meta = story.ended(Meta);
    // Both hang up, and the goodbyes cross.
    assert!(meta.answered && meta.confirmed, "{meta:?}");
    assert_eq!(story.messages(Sbc, Meta, "BYE").len(), 1);
    assert_eq!(story.ended(Pbx).by, "far");
    assert_eq!(story.record().cause.label(), "cancelled");
}

#[test]
fn a_user_who_gave_up_is_hung_up_even_when_her_own_goodbye_is_lost() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(2)));
    let asked = world.user_calls(user());
    assert!(world.until(secs(10), |w| {
        !w.messages(Sbc, Meta, "SIP/2.0 200").is_empty()
    }));
    world.tamper(|from, _, text| {
        let goodbye = from == Meta && text.starts_with("BYE");
        (!goodbye).then(|| text.to_owned())
    });
    world.now(|world, now| world.meta.hang_up(now, Some(asked)));
    assert!(world.until(secs(60), |w| !w.records.is_empty()));
    assert_eq!(world.records[0].cause.label(), "cancelled");
    let acked = world.messages(Meta, Sbc, "ACK").last().map(|ack| ack.at);
    let byes = world.messages(Sbc, Meta, "BYE");
    assert_eq!(byes.len(), 1, "{}", world.ladder());
    assert!(
        acked < Some(byes[0].at),
        "ACK, then BYE\n{}",
        world.ladder()
    );
    assert!(world.until_quiet(secs(200)), "{}", world.ladder());
}

#[test]
fn metas_answer_window_closes_and_its_cancel_is_honoured() {
    let mut world = silent_world_with(|b| {
        b.meta.answer_window = secs(10);
    });
    world.pbx.script(nobody_answers());
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 487);
}

#[test]
fn the_agent_gives_up_while_the_users_telephone_rings() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(50)));
    world.agent_calls(agent().giving_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 487);
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().cause.label(), "cancelled");
}

#[test]
fn a_cancel_after_the_challenge_goes_to_the_live_invite() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(50)));
    world.agent_calls(agent().giving_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    let branch = |text: &str| {
        text.split("branch=")
            .nth(1)
            .and_then(|t| t.split([';', '\r']).next())
            .map(str::to_owned)
    };
    let invites = story.messages(Sbc, Meta, "INVITE");
    let cancel = story.messages(Sbc, Meta, "CANCEL")[0];
    assert_eq!(invites.len(), 2);
    assert_eq!(branch(&cancel.text), branch(&invites[1].text));
    assert!(story.messages(Meta, Sbc, "SIP/2.0 481").is_empty());
}

#[test]
fn the_agent_gives_up_before_meta_gave_a_sign() {
    let mut world = silent_world();
    let mut script = user_answers(secs(50));
    (script.trying, script.ring) = (false, Some((secs(8), 180)));
    world.meta.script(script);
    world.agent_calls(agent().giving_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 487);
    let cancels = story.messages(Sbc, Meta, "CANCEL");
    assert!(
        cancels.len() == 1 && cancels[0].at > secs(8),
        "CANCEL waits for a provisional response (9.1)"
    );
}

#[test]
fn the_user_picks_up_in_the_moment_the_agent_gives_up() {
    let mut world = silent_world();
    let mut script = user_answers(secs(50));
    script.answer_despite_cancel = true;
    world.meta.script(script);
    world.agent_calls(agent().giving_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 487);
    let meta = story.ended(Meta);
    assert!(
        meta.answered && meta.confirmed && meta.by == "far",
        "late 200: ACK, then BYE: {meta:?}"
    );
}

#[test]
fn a_user_who_never_picks_up_is_given_up_after_the_ring_limit() {
    let mut world = silent_world();
    let mut script = user_answers(secs(500));
    script.then = sim::meta::knobs::Then::Never;
    world.meta.script(script);
    world.agent_calls(agent());
    let story = world.story(secs(200));
    story.is_clean();
    let cancel = story.messages(Sbc, Meta, "CANCEL")[0].at;
    assert!(cancel >= secs(60) && cancel < secs(62), "{cancel:?}");
    assert_eq!(story.refused(Pbx).0, 480);
    assert_eq!(
        story
            .all(Meta, |w| matches!(w, What::Cancelled { by_far: true })
                .then_some(()))
            .len(),
        1
    );
}

#[test]
fn both_hang_up_in_the_same_moment() {
    let mut world = silent_world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(5));
    world.pbx.script(script);
    let call = world.user_calls(user());
    assert!(world.until(secs(20), |w| !w.messages(Pbx, Sbc, "BYE").is_empty()));
    world.now(|world, now| world.meta.hang_up(now, Some(call)));
    assert!(world.until_quiet(secs(120)), "{}", world.ladder());
    assert_eq!(world.records.len(), 1);
}
