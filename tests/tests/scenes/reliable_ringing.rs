//! PRACK on the PBX's side (RFC 3262), and what a PBX asks for before the answer (RFC 3311): Meta's
//! ringing stays plain.

use sim::pbx::knobs::{AgentCall, PbxScript};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sip::Method;

use crate::firewall::meta_saw_only_five_methods;

/// An agent whose PBX says so of reliable responses.
fn agent_with(name: &str) -> AgentCall {
    let mut agent = agent();
    agent.headers = vec![(name.into(), "100rel".into())];
    agent
}

/// The PBX rings reliably with this status, then the agent picks up.
fn ringing_reliably(status: u16) -> PbxScript {
    PbxScript {
        ring: Some((ms(100), status)),
        reliable: true,
        ..agent_answers(secs(2))
    }
}

#[test]
fn an_agent_whose_pbx_insists_on_reliable_ringing_hears_it_ring_and_talks() {
    let mut world = world();
    world.meta.script(user_answers(secs(3)));
    world.agent_calls(agent_with("Require").hanging_up_after(secs(4)));
    let story = world.story(secs(60));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    let rings = story.messages(Sbc, Pbx, "SIP/2.0 18");
    assert!(!rings.is_empty());
    for ring in &rings {
        assert_eq!(ring.header("Require"), Some("100rel"), "{}", ring.text);
    }
    let rseqs: std::collections::BTreeSet<_> = rings.iter().map(|r| r.header("RSeq")).collect();
    let pracks = story.messages(Pbx, Sbc, "PRACK");
    assert_eq!((rings.len(), pracks.len()), (rseqs.len(), rseqs.len()));
    let answers = story.messages(Sbc, Pbx, "SIP/2.0 200");
    let pracked = answers
        .iter()
        .filter(|m| m.header("CSeq").unwrap().ends_with("PRACK"));
    assert_eq!(pracked.count(), pracks.len());
}

#[test]
fn an_agent_whose_pbx_merely_knows_of_reliable_ringing_gets_the_plain_one() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent_with("Supported").hanging_up_after(secs(4)));
    let story = world.story(secs(60));
    story.is_clean();
    for ring in story.messages(Sbc, Pbx, "SIP/2.0 18") {
        assert_eq!((ring.header("Require"), ring.header("RSeq")), (None, None));
    }
    assert!(story.messages(Pbx, Sbc, "PRACK").is_empty());
}

#[test]
fn reliable_ringing_that_was_lost_is_heard_a_moment_later() {
    let mut world = silent_world();
    let mut lost = 0;
    world.tamper(move |from, to, text| {
        let ring = from == Sbc && to == Pbx && text.starts_with("SIP/2.0 18");
        lost += u32::from(ring);
        (!ring || lost > 2).then(|| text.to_owned())
    });
    world.meta.script(user_answers(secs(10)));
    world.agent_calls(agent_with("Require").hanging_up_after(secs(4)));
    let story = world.story(secs(60));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    let rings = story.messages(Sbc, Pbx, "SIP/2.0 18");
    assert!(rings.len() >= 3, "lost twice, then heard");
    // T1, then twice that (RFC 3262 §3).
    assert_eq!(rings[1].at - rings[0].at, ms(500));
    assert_eq!(rings[2].at - rings[1].at, ms(1_000));
    assert_eq!(
        rings[2].text, rings[0].text,
        "the same response, not another"
    );
}

#[test]
fn a_pbx_that_never_acknowledges_its_ringing_loses_the_call_and_the_users_telephone_stops() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(59)));
    let mut agent = agent_with("Require");
    agent.never_pracks = true;
    world.agent_calls(agent);
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.refused(Pbx).0, 504);
    assert_eq!(story.record().cause.label(), "no_prack");
    assert_eq!(story.messages(Sbc, Meta, "CANCEL").len(), 1);
}

#[test]
fn a_pbx_that_rings_reliably_is_acknowledged_and_the_user_hears_it_ring() {
    let mut world = world();
    world.pbx.script(ringing_reliably(180));
    world.user_calls(user().hanging_up_after(secs(4)));
    let story = world.story(secs(60));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.messages(Sbc, Pbx, "PRACK").len(), 1);
    let ring = &story.messages(Sbc, Meta, "SIP/2.0 180")[0];
    assert_eq!(ring.body(), "");
    // The requests of one dialog count on: INVITE, PRACK, BYE.
    let number = |m: &&sim::world::Passed| -> u32 {
        let cseq = m.header("CSeq").unwrap();
        cseq.split(' ').next().unwrap().parse().unwrap()
    };
    let invite = number(&story.messages(Sbc, Pbx, "INVITE")[0]);
    assert_eq!(number(&story.messages(Sbc, Pbx, "PRACK")[0]), invite + 1);
    assert_eq!(number(&story.messages(Sbc, Pbx, "ACK")[0]), invite);
    assert_eq!(number(&story.messages(Sbc, Pbx, "BYE")[0]), invite + 2);
}

#[test]
fn ringing_that_comes_twice_is_acknowledged_once() {
    let mut world = silent_world_with(|b| b.pbx_link.doubled = 1.0);
    world.pbx.script(ringing_reliably(180));
    world.user_calls(user().hanging_up_after(secs(4)));
    let story = world.story(secs(60));
    story.is_clean();
    let pracks = story.messages(Sbc, Pbx, "PRACK");
    let branches: std::collections::BTreeSet<_> =
        pracks.iter().filter_map(|m| m.header("Via")).collect();
    assert_eq!(branches.len(), 1, "one PRACK, however often it is sent");
    assert_eq!(story.messages(Sbc, Meta, "SIP/2.0 180").len(), 1);
}

#[test]
fn a_pbx_that_answers_in_its_ringing_and_not_again_is_heard() {
    let mut world = world();
    world.tamper(|from, _, text| {
        let answer = from == Pbx && text.starts_with("SIP/2.0 200") && text.contains(" INVITE\r\n");
        Some(match text.split_once("\r\n\r\n") {
            Some((head, _)) if answer => {
                let head: Vec<&str> = head
                    .split("\r\n")
                    .filter(|line| !line.starts_with("Content-"))
                    .collect();
                format!("{}\r\nContent-Length: 0\r\n\r\n", head.join("\r\n"))
            }
            _ => text.to_owned(),
        })
    });
    world.pbx.script(ringing_reliably(183));
    world.user_calls(user().hanging_up_after(secs(5)));
    let story = world.story(secs(60));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.messages(Sbc, Pbx, "PRACK").len(), 1);
}

#[test]
fn a_pbx_that_changes_its_mind_before_the_answer_is_answered_and_the_user_rings_on() {
    let mut world = world();
    world.pbx.script(PbxScript {
        ring: Some((ms(100), 183)),
        reliable: true,
        ..agent_answers(secs(4))
    });
    world.user_calls(user().hanging_up_after(secs(5)));
    world.pass(secs(2));
    world.now(|world, now| {
        let body = world.pbx.description(1, true);
        let headers = [("Content-Type", "application/sdp")];
        world
            .pbx
            .ask_with(now, None, Method::Update, &headers, &body);
    });
    let story = world.story(secs(60));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    let answers = story.messages(Sbc, Pbx, "SIP/2.0 200");
    let update = answers
        .iter()
        .find(|m| m.header("CSeq").unwrap().ends_with("UPDATE"));
    assert!(update.expect("it is answered").body().contains("m=audio"));
}

#[test]
fn an_offer_before_ours_was_answered_has_to_wait() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(4)));
    world.user_calls(user().hanging_up_after(secs(5)));
    world.pass(secs(2));
    world.now(|world, now| {
        let body = world.pbx.description(1, true);
        let headers = [("Content-Type", "application/sdp")];
        world
            .pbx
            .ask_with(now, None, Method::Update, &headers, &body);
    });
    let story = world.story(secs(60));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 491").len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn an_agent_whose_pbx_changes_its_offer_while_it_rings_is_told_to_wait_and_talks() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(5)));
    world.agent_calls(agent().hanging_up_after(secs(5)));
    world.pass(secs(3));
    world.now(|world, now| {
        // A refresh without an offer is fine at any time (RFC 3311 §5.1).
        world.pbx.ask_with(now, None, Method::Update, &[], "");
        let body = world.pbx.description(1, true);
        let headers = [("Content-Type", "application/sdp")];
        world
            .pbx
            .ask_with(now, None, Method::Update, &headers, &body);
    });
    let story = world.story(secs(60));
    meta_saw_only_five_methods(&story);
    let waits = story.messages(Sbc, Pbx, "SIP/2.0 500");
    assert_eq!(waits.len(), 1);
    let seconds: u32 = waits[0].header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
    let answers = story.messages(Sbc, Pbx, "SIP/2.0 200");
    let updates = answers
        .iter()
        .filter(|m| m.header("CSeq").unwrap().ends_with("UPDATE"));
    assert_eq!(updates.count(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn an_agent_whose_pbx_requires_what_nobody_knows_is_told_what_and_no_telephone_rings() {
    let mut world = silent_world();
    let mut agent = agent();
    agent.headers = vec![("Require".into(), "100rel, answermode".into())];
    world.agent_calls(agent);
    let story = world.story(secs(60));
    assert_eq!(story.refused(Pbx).0, 420);
    let refusal = &story.messages(Sbc, Pbx, "SIP/2.0 420")[0];
    assert_eq!(refusal.header("Unsupported"), Some("answermode"));
    assert!(story.messages(Sbc, Meta, "").is_empty());
}
