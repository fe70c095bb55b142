//! An agent sends a WhatsApp user on to somebody else: Meta never hears of it, the user only hears
//! another voice.

use std::sync::Arc;

use media::tone::Tone;
use sdp::plan::Sound;
use sim::pbx::knobs::PbxScript;
use sim::pbx::refer::Referral;
use sim::report::{Heard, What};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

const COLLEAGUE: &str = "201";

/// What a colleague does with the call he gets.
fn colleague(answers_after: u64) -> PbxScript {
    agent_answers(secs(answers_after))
}

/// A call that talks, in either direction; the user hangs up at the end.
fn talking(mut world: World, user_calls: bool) -> World {
    if user_calls {
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(16)));
    } else {
        let mut script = user_answers(secs(1));
        script.talk.hang_up_after = Some(secs(16));
        world.meta.script(script);
        world.agent_calls(agent());
    }
    world.pass(secs(4));
    world
}

fn refer(world: &mut World, referral: &Referral) {
    world.now(|world, now| world.pbx.refer(now, None, referral));
}

/// What the first agent was told of his transfer.
fn told(story: &Story<'_>) -> Vec<(u16, bool)> {
    story.all(Pbx, |what| match what {
        What::Notified { status, over } => Some((*status, *over)),
        _ => None,
    })
}

/// The user heard one stream without a break, whoever spoke.
fn unbroken(story: &Story<'_>) -> Heard {
    let user = story.heard(Meta).clone();
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(user.longest_gap_ms <= 60, "{user:?}");
    user
}

fn agents_heard(story: &Story<'_>) -> Vec<Heard> {
    story.all(Pbx, |what| match what {
        What::Heard(heard) => Some(heard.clone()),
        _ => None,
    })
}

#[test]
fn a_user_is_sent_on_blindly_and_talks_with_the_colleague() {
    for user_calls in [true, false] {
        let mut world = talking(world(), user_calls);
        world.pbx.script(colleague(3));
        refer(&mut world, &Referral::blind(COLLEAGUE));
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(told(&story), [(100, false), (180, false), (200, true)]);
        let user = unbroken(&story);
        assert!(
            user.tone_found && user.level_error_db.abs() <= 3.0,
            "{user:?}"
        );
        let agents = agents_heard(&story);
        assert_eq!(agents.len(), 2);
        for agent in &agents {
            assert!(agent.tone_found && agent.tone_gaps == 0, "{agent:?}");
            assert_eq!(agent.ssrcs, 1, "each has a stream of his own: {agent:?}");
        }
        let invites = story.messages(Sbc, Pbx, "INVITE");
        let invite = invites.last().expect("the colleague is called");
        assert!(
            invite.text.starts_with("INVITE sip:201@10.0.0.20"),
            "{}",
            invite.text
        );
        assert!(
            invite
                .header("From")
                .is_some_and(|from| from.contains("12195550714"))
        );
        assert!(invite.header("Referred-By").is_some());
        assert_eq!(story.record().cause.label(), "normal");
        assert!(story.ended(Meta).confirmed);
    }
}

#[test]
fn an_agent_asks_the_colleague_first_and_hands_the_user_over() {
    for user_calls in [true, false] {
        let mut world = talking(world(), user_calls);
        let mut picks_up = colleague(0);
        picks_up.ring = None;
        world.pbx.script(picks_up);
        refer(&mut world, &Referral::attended(COLLEAGUE));
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(told(&story), [(100, false), (200, true)]);
        let user = unbroken(&story);
        assert!(
            user.tone_found && user.level_error_db.abs() <= 3.0,
            "{user:?}"
        );
        let invites = story.messages(Sbc, Pbx, "INVITE");
        let invite = invites.last().expect("the colleague is called");
        assert_eq!(invite.header("Require"), Some("replaces"));
        assert!(
            !invite
                .text
                .lines()
                .next()
                .unwrap_or_default()
                .contains("Replaces")
        );
        assert_eq!(agents_heard(&story).len(), 2);
    }
}

#[test]
fn an_agent_who_wants_no_word_of_it_gets_none() {
    let mut world = talking(world(), true);
    world.pbx.script(colleague(2));
    let mut referral = Referral::blind(COLLEAGUE);
    referral.quiet = true;
    refer(&mut world, &referral);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(told(&story), []);
    assert!(story.messages(Sbc, Pbx, "NOTIFY").is_empty());
    let accepted = story.messages(Sbc, Pbx, "SIP/2.0 202")[0];
    assert_eq!(accepted.header("Refer-Sub"), Some("false"));
    assert_eq!(agents_heard(&story).len(), 2);
}

#[test]
fn a_busy_colleague_gives_the_user_back_to_the_agent() {
    for (status, reason) in [(486, "Busy Here"), (404, "Not Found"), (603, "Decline")] {
        let mut world = talking(world(), true);
        world.pbx.script(pbx_refuses(secs(2), status, reason));
        refer(&mut world, &Referral::blind(COLLEAGUE));
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(told(&story).last(), Some(&(status, true)));
        let user = unbroken(&story);
        assert!(
            user.tone_found && user.tone_gaps == 0,
            "the agent all the time: {user:?}"
        );
        assert_eq!(story.ended(Meta).by, "us", "the user hung up in the end");
        let byes = story.messages(Sbc, Pbx, "BYE").len();
        assert_eq!(byes, 1, "one goodbye, when the user hung up");
    }
}

#[test]
fn a_colleague_who_never_picks_up_gives_the_user_back_after_a_minute() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(90)));
    world.pass(secs(4));
    world.pbx.script(nobody_answers());
    refer(&mut world, &Referral::blind(COLLEAGUE));
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(told(&story), [(100, false), (180, false), (408, true)]);
    assert_eq!(story.messages(Sbc, Pbx, "CANCEL").len(), 1);
    assert!(story.ended(Meta).duration_ms >= 90_000);
}

#[test]
fn an_agent_who_hangs_up_at_once_leaves_the_user_with_music_until_the_colleague_speaks() {
    for user_calls in [true, false] {
        let mut pcm = vec![0; 8_000];
        Tone::new(700.0, -10.0).fill(&mut pcm);
        let music = Sound::new(pcm);
        let mut world = talking(
            world_with(|b| with_trunk(&mut b.settings, |t| t.comfort.hold_music = music)),
            user_calls,
        );
        world.pbx.script(colleague(5));
        let first = world.pbx.calls().next();
        refer(&mut world, &Referral::blind(COLLEAGUE));
        world.pass(ms(300));
        world.now(|world, now| world.pbx.hang_up(now, first));
        let sent = world.packets[&(Sbc, Meta)];
        world.pass(secs(4));
        assert!(
            world.packets[&(Sbc, Meta)] - sent >= 195,
            "the user hears music"
        );
        let story = world.story(secs(120));
        story.is_clean();
        let user = unbroken(&story);
        assert!(
            (3_500..=5_500).contains(&user.longest_tone_gap_ms),
            "music, no voice: {user:?}"
        );
        assert_eq!(agents_heard(&story).len(), 2);
        assert_eq!(story.record().cause.label(), "normal");
    }
}

#[test]
fn a_user_whose_agent_left_and_whose_colleague_declines_is_hung_up() {
    let mut world = talking(world(), true);
    world.pbx.script(pbx_refuses(secs(3), 486, "Busy Here"));
    let first = world.pbx.calls().next();
    refer(&mut world, &Referral::blind(COLLEAGUE));
    world.pass(ms(300));
    world.now(|world, now| world.pbx.hang_up(now, first));
    let story = world.story(secs(120));
    story.is_clean();
    let bye = story.messages(Sbc, Meta, "BYE")[0];
    assert!(
        bye.header("Reason")
            .is_some_and(|reason| reason.contains("cause=17"))
    );
    assert_eq!(story.record().cause.label(), "busy");
}

#[test]
fn a_user_who_hangs_up_while_the_colleague_rings_stops_the_ringing() {
    for user_calls in [true, false] {
        let mut world = talking(world(), user_calls);
        world.pbx.script(nobody_answers());
        refer(&mut world, &Referral::blind(COLLEAGUE));
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(story.messages(Sbc, Pbx, "CANCEL").len(), 1);
        assert_eq!(told(&story).last(), Some(&(487, true)));
        assert_eq!(story.record().cause.label(), "normal");
    }
}

#[test]
fn a_user_is_sent_on_twice_and_back_to_the_first_agent() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(4));
    for colleague_number in ["201", "202", "203"] {
        world.pbx.script(colleague(1));
        refer(&mut world, &Referral::blind(colleague_number));
        world.pass(secs(4));
    }
    let story = world.story(secs(120));
    story.is_clean();
    unbroken(&story);
    assert_eq!(agents_heard(&story).len(), 4);
    assert_eq!(
        told(&story)
            .iter()
            .filter(|word| **word == (200, true))
            .count(),
        3
    );
}

#[test]
fn a_colleague_elsewhere_is_called_through_the_pbx_and_nowhere_else() {
    let mut world = talking(silent_world(), true);
    world.tamper(|from, _, text| {
        let refer = from == Pbx && text.starts_with("REFER");
        Some(match refer {
            true => text.replace("sip:201@10.0.0.20:5060", "sip:201@198.51.100.66:5060"),
            false => text.to_owned(),
        })
    });
    world.pbx.script(colleague(1));
    refer(&mut world, &Referral::blind(COLLEAGUE));
    let story = world.story(secs(120));
    story.is_clean();
    let invites = story.messages(Sbc, Pbx, "INVITE sip:201@198.51.100.66");
    assert_eq!(invites.len(), 1, "the PBX decides what that name means");
    assert_eq!(told(&story).last(), Some(&(200, true)));
}

#[test]
fn a_pbx_that_is_to_bridge_by_itself_gets_603_and_keeps_the_user() {
    let mut world = talking(
        world_with(|b| {
            with_trunk(&mut b.settings, |trunk| {
                Arc::make_mut(&mut trunk.profile).extensions.transfer = false;
            });
        }),
        true,
    );
    refer(&mut world, &Referral::blind(COLLEAGUE));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 603").len(), 1);
}

#[test]
fn a_transfer_to_nobody_is_a_bad_request_and_a_second_one_has_to_wait() {
    let mut world = talking(silent_world(), true);
    world.now(|world, now| world.pbx.ask(now, None, sip::Method::Refer));
    world.pass(secs(1));
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 400").len(), 1);
    world.pbx.script(nobody_answers());
    refer(&mut world, &Referral::blind(COLLEAGUE));
    world.pass(secs(1));
    refer(&mut world, &Referral::blind("202"));
    world.pass(secs(1));
    assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 491").len(), 1);
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Meta).answered);
}

#[test]
fn an_agent_who_would_join_two_users_is_refused_and_neither_is_cut_off() {
    const OTHER: &str = "+12195550799";
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(3));
    world.meta.script(user_answers(secs(1)));
    let first = world.pbx.calls().next();
    let mut call = agent().hanging_up_after(secs(10));
    call.to = OTHER.into();
    world.agent_calls(call);
    world.pass(secs(3));
    let second = world.pbx.calls().find(|call| Some(*call) != first);
    let named = world.pbx.replaces(second).expect("a dialog");
    let named = named
        .replace('@', "%40")
        .replace(';', "%3B")
        .replace('=', "%3D");
    let target = format!(
        "Refer-To: <sip:{OTHER}@10.0.0.5:5060?Replaces={}>",
        named.replace(':', "%3A")
    );
    world.tamper(move |from, _, text| {
        let refer = from == Pbx && text.starts_with("REFER");
        let lines = text
            .split("\r\n")
            .map(|line| match refer && line.starts_with("Refer-To:") {
                true => target.as_str(),
                false => line,
            });
        Some(lines.collect::<Vec<_>>().join("\r\n"))
    });
    world.now(|world, now| world.pbx.refer(now, first, &Referral::attended(COLLEAGUE)));
    world.pass(secs(1));
    assert_eq!(
        world.messages(Sbc, Pbx, "SIP/2.0 603").len(),
        1,
        "{}",
        world.ladder()
    );
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(
        story.messages(Sbc, Pbx, "INVITE").len(),
        1,
        "nobody else was called"
    );
    let causes: Vec<_> = world
        .records
        .iter()
        .map(|record| record.cause.label())
        .collect();
    assert_eq!(causes, ["normal", "normal"]);
}
