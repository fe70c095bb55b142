//! SRTP towards the PBX (RFC 3711, RFC 4568): what fits is secret both ways, what does not is refused.

use b2bua::settings::{Srtp, TrunkMedia};
use sdp::Suite;
use sim::pbx::refer::Referral;
use sim::report::{Heard, What};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

const USUAL: &[Suite] = &[Suite::AesCm128HmacSha1_80];

/// A world whose trunk treats SRTP so, and whose PBX speaks it under these suites.
fn secured(srtp: Srtp, ours: &[Suite], theirs: &[Suite]) -> World {
    world_with(|beginning| {
        with_trunk(&mut beginning.settings, |trunk| {
            trunk.media = TrunkMedia {
                srtp,
                suites: ours.to_vec(),
                ..TrunkMedia::default()
            };
        });
        beginning.pbx.srtp = theirs.to_vec();
    })
}

/// The keys in the descriptions that went from one to the other, in order.
fn keys(story: &Story<'_>, from: sim::world::Party, to: sim::world::Party) -> Vec<String> {
    let said = story.messages(from, to, "");
    let lines = said.iter().flat_map(|passed| passed.body().lines());
    lines
        .filter_map(|line| Some(line.strip_prefix("a=crypto:")?.split_once("inline:")?.1))
        .map(str::to_owned)
        .collect()
}

fn heard_by_agents(story: &Story<'_>) -> Vec<Heard> {
    story.all(Pbx, |what| match what {
        What::Heard(heard) => Some(heard.clone()),
        _ => None,
    })
}

#[test]
fn every_suite_carries_users_calls() {
    for suite in Suite::ALL {
        let mut world = secured(Srtp::Required, &Suite::ALL, &[suite]);
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(4)).pressing(secs(2), "17"));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        assert_eq!(story.digits(Pbx), "17");
        let legs = &story.record().legs;
        assert_eq!(legs[1].as_ref().and_then(|leg| leg.suite), Some(suite));
        let invite = &story.messages(Sbc, Pbx, "INVITE")[0];
        assert!(invite.body().contains(" RTP/SAVP "), "{}", invite.text);
        assert_eq!(invite.body().matches("a=crypto:").count(), 4);
    }
}

#[test]
fn every_suite_carries_agents_calls() {
    for (tag, suite) in (1..).zip(Suite::ALL) {
        let mut world = secured(Srtp::Required, &[suite], &Suite::ALL);
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(4)).pressing(secs(2), "42"));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        assert_eq!(story.digits(Meta), "42");
        let answer = &story.messages(Sbc, Pbx, "SIP/2.0 200")[0];
        let line = format!("a=crypto:{tag} {} inline:", suite.name());
        assert!(answer.body().contains(&line), "{}", answer.text);
    }
}

#[test]
fn keys_stand_in_descriptions_and_nowhere_else() {
    let mut world = secured(Srtp::Required, USUAL, USUAL);
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    let keys = [keys(&story, Sbc, Pbx), keys(&story, Pbx, Sbc)].concat();
    assert_eq!(keys.len(), 2);
    let record = format!("{:?}", story.record());
    let ladder = world.ladder();
    for key in keys {
        assert!(!record.contains(&key) && !ladder.contains(&key));
        for passed in world.messages(Sbc, Meta, "") {
            assert!(!passed.text.contains(&key), "one key, one leg");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let other: &[Suite] = &[Suite::AeadAes256Gcm];
    // What the trunk says, what the PBX speaks, and what the record says of it.
    let cases: [(Srtp, &[Suite], &str); 4] = [
        (Srtp::Off, USUAL, "RTP/SAVP, not RTP/AVP"),
        (Srtp::Required, &[], "RTP/AVP, not RTP/SAVP"),
        (Srtp::Required, other, "no crypto line"),
        (Srtp::Allowed, other, "no crypto line"),
    ];
    for (srtp, theirs, named) in cases {
        let mut world = secured(srtp, USUAL, theirs);
        world.agent_calls(agent());
        let story = world.story(secs(120));
        assert_eq!(story.refused(Pbx).0, 488, "{srtp:?} {theirs:?}");
        assert!(story.messages(Sbc, Meta, "INVITE").is_empty());
        let cause = format!("{:?}", story.record().cause);
        assert!(cause.contains(named), "{srtp:?} {theirs:?}: {cause}");
    }
}

/// What the PBX does to the description in its 200, and what the record says of it.
type Answer = (fn(&str) -> String, &'static str);

#[test]
fn a_pbx_that_answers_without_srtp_is_not_spoken_with() {
    let answers: [Answer; 4] = [
        (
            |text| text.replace("RTP/SAVP", "RTP/AVP "),
            "RTP/AVP, not RTP/SAVP",
        ),
        (
            |text| text.replace("a=crypto:", "a=x-crypto:"),
            "no crypto line",
        ),
        (
            |text| text.replace("HMAC_SHA1_80", "HMAC_SHA1_32"),
            "crypto line 1, which was not offered",
        ),
        (
            |text| text.replace("a=crypto:1 ", "a=crypto:2 "),
            "crypto line 2, which was not offered",
        ),
    ];
    for (answer, named) in answers {
        let mut world = secured(Srtp::Required, USUAL, USUAL);
        world.tamper(move |from, _, text| {
            let answers = from == Pbx && text.starts_with("SIP/2.0 200");
            Some(match answers {
                true => refitted(&answer(text)),
                false => text.to_owned(),
            })
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user());
        let story = world.story(secs(120));
        let cause = &story.record().cause;
        assert_eq!(cause.label(), "no_common_media");
        assert!(format!("{cause:?}").contains(named), "{named}: {cause:?}");
        assert_eq!(story.refused(Meta).0, 488);
        let agent = story.ended(Pbx);
        assert!(agent.confirmed && agent.by == "far", "{named}: {agent:?}");
        let heard = heard_by_agents(&story);
        assert_eq!(heard.iter().map(|h| h.packets).sum::<u64>(), 0, "{named}");
    }
}

#[test]
fn where_srtp_is_allowed_the_pbx_decides() {
    for theirs in [&[][..], USUAL] {
        let mut world = secured(Srtp::Allowed, USUAL, theirs);
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(4)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let suite = story.record().legs[0].as_ref().and_then(|leg| leg.suite);
        assert_eq!(suite, theirs.first().copied());
    }
    let mut world = secured(Srtp::Allowed, USUAL, &[]);
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(4)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let invite = &story.messages(Sbc, Pbx, "INVITE")[0];
    assert!(!invite.body().contains("crypto"), "ours is plain");
}

/// An agent holds and comes back; with other keys each time if `rekeys`.
fn held(rekeys: bool) {
    let mut world = secured(Srtp::Required, USUAL, USUAL);
    world.pbx.settings_mut().rekeys = rekeys;
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(12)));
    world.pass(secs(5));
    for hold in [true, false] {
        world.now(|world, now| world.pbx.hold(now, None, hold));
        world.pass(secs(3));
    }
    let story = world.story(secs(120));
    story.is_clean();
    let (user, agent) = (story.heard(Meta), story.heard(Pbx));
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0));
    assert!(user.tone_found && user.tone_gaps <= 2, "{user:?}");
    // Three seconds of twelve he had the user on hold.
    let level = agent.level_error_db.abs();
    assert!(
        agent.tone_gaps == 1 && agent.packets > 430 && level < 1.0,
        "{agent:?}"
    );
    assert!(
        agent.bad <= 2,
        "what was under way when keys changed: {agent:?}"
    );
    for (from, to) in [(Pbx, Sbc), (Sbc, Pbx)] {
        let mut keys = keys(&story, from, to);
        assert_eq!(keys.len(), 3, "offer or answer, three times");
        keys.dedup();
        assert_eq!(keys.len(), if rekeys { 3 } else { 1 }, "{from:?}");
    }
}

#[test]
fn a_hold_under_the_same_keys_goes_on_under_ours() {
    held(false);
}

#[test]
fn other_keys_of_the_pbx_are_answered_with_other_keys_of_ours() {
    held(true);
}

#[test]
fn a_telephone_that_changes_in_mid_call_brings_its_own_keys() {
    let mut world = secured(Srtp::Required, USUAL, USUAL);
    world.pbx.settings_mut().rekeys = true;
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(5));
    world.now(|world, now| world.pbx.move_telephone(now, None));
    let story = world.story(secs(120));
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    let last = heard_by_agents(&story).pop().expect("an agent listened");
    assert!(last.tone_found && last.packets > 230, "{last:?}");
}

#[test]
fn an_offer_the_pbx_asks_us_for_carries_a_new_key() {
    let mut world = secured(Srtp::Required, USUAL, USUAL);
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(9)));
    world.pass(secs(4));
    world.now(|world, now| world.pbx.ask_for_offer(now, None));
    let story = world.story(secs(120));
    let ours = keys(&story, Sbc, Pbx);
    assert_eq!(ours.len(), 2);
    assert_ne!(ours[0], ours[1]);
    let (user, agent) = (story.heard(Meta), story.heard(Pbx));
    assert_eq!((user.lost, user.bad), (0, 0), "{user:?}");
    assert!(agent.tone_found && agent.packets > 380, "{agent:?}");
}

#[test]
fn a_colleague_the_user_is_sent_on_to_has_keys_of_his_own() {
    for referral in [Referral::blind("201"), Referral::attended("201")] {
        let mut world = secured(Srtp::Required, &Suite::ALL, USUAL);
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(16)));
        world.pass(secs(4));
        world.pbx.settings_mut().srtp = vec![Suite::AeadAes256Gcm];
        world.pbx.script(agent_answers(secs(1)));
        world.now(|world, now| world.pbx.refer(now, None, &referral));
        let story = world.story(secs(120));
        let user = story.heard(Meta);
        assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
        let agents = heard_by_agents(&story);
        assert_eq!(agents.len(), 2, "{agents:?}");
        assert!(
            agents
                .iter()
                .all(|agent| agent.tone_found && agent.bad == 0),
            "{agents:?}"
        );
        let said = story.messages(Sbc, Pbx, "");
        let firsts = said.iter().filter_map(|passed| {
            let (_, behind) = passed.body().split_once("inline:")?;
            Some(behind.lines().next().expect("a key").to_owned())
        });
        let firsts: std::collections::BTreeSet<String> = firsts.collect();
        assert_eq!(firsts.len(), 2, "each agent heard of a key of his own");
        assert_eq!(story.record().cause.label(), "normal");
    }
}
