//! What crosses on its way, or follows what is over already: each of these was found by a random world.

use sim::meta::knobs::BusinessScript;
use sim::pbx::fork::Fork;
use sim::pbx::knobs::PbxScript;
use sim::pbx::refer::Referral;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sip::{Method, Transport};

#[test]
fn an_agent_who_hangs_up_at_once_waits_for_the_ack_of_a_far_user_before_the_goodbye() {
    let mut world = silent_world_with(|b| b.meta_link.latency = ms(400));
    let mut script = agent_answers(secs(2));
    script.talk.hang_up_after = Some(ms(50));
    world.pbx.script(script);
    world.user_calls(user());
    world.story(secs(120)).is_clean();
    assert_eq!(world.records[0].released_by.label(), "pbx");
    // RFC 3261 §15: who was called sends no BYE before the ACK.
    let acked = world.messages(Meta, Sbc, "ACK")[1];
    let bye = world.messages(Sbc, Meta, "BYE")[0];
    assert!(Some(bye.at) >= acked.arrived, "{}", world.ladder());
    // The agent does not wait for it.
    let his = world.messages(Sbc, Pbx, "SIP/2.0 200").pop().unwrap().at;
    assert!(his < bye.at, "{}", world.ladder());
}

#[test]
fn an_agent_who_hangs_up_on_a_user_who_never_acknowledges_is_followed_by_one_goodbye() {
    let mut world = silent_world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(3));
    world.pbx.script(script);
    let mut acks = 0;
    world.tamper(move |from, _, text| {
        acks += u32::from(from == Meta && text.starts_with("ACK"));
        // The first is that of the challenge.
        (acks < 2 || !text.starts_with("ACK")).then(|| text.to_owned())
    });
    world.user_calls(user());
    assert!(world.until(secs(90), |world| !world.records.is_empty()));
    let answered = world.messages(Sbc, Meta, "SIP/2.0 200")[0].at;
    let byes = world.messages(Sbc, Meta, "BYE");
    assert_eq!(byes.len(), 1, "{}", world.ladder());
    assert!(byes[0].at - answered >= secs(32), "{}", world.ladder());
    assert!(world.until_quiet(secs(120)), "{}", world.ladder());
}

#[test]
fn a_second_telephone_that_picks_up_when_the_first_has_hung_up_is_hung_up_too() {
    let mut world = silent_world_with(|b| {
        // The user's end of the call is still under way when the second telephone picks up.
        b.meta_link.latency = ms(300);
    });
    let mut script = PbxScript {
        forks: vec![Fork {
            rings: ms(100),
            answers: Some(ms(1_200)),
        }],
        ..agent_answers(secs(2))
    };
    script.talk.hang_up_after = Some(ms(1_000));
    world.pbx.script(script);
    world.user_calls(user());
    // The PBX keeps its side of the call until its own BYE is answered.
    world.pbx_link.latency = ms(150);
    let story = world.story(secs(120));
    let tags: Vec<String> = story
        .messages(Pbx, Sbc, "SIP/2.0 200")
        .iter()
        .filter(|m| {
            m.header("CSeq")
                .is_some_and(|cseq| cseq.ends_with("INVITE"))
        })
        .filter_map(|m| m.header("To")?.split("tag=").nth(1).map(str::to_owned))
        .collect();
    assert_eq!(tags.len(), 2, "{}", world.ladder());
    for method in ["ACK", "BYE"] {
        let to_second = world.messages(Sbc, Pbx, method);
        let to_second = to_second
            .iter()
            .filter(|m| m.header("To").is_some_and(|to| to.contains(&tags[1])));
        assert_eq!(to_second.count(), 1, "{method}\n{}", world.ladder());
    }
}

/// An agent answers and says goodbye, and his 200 comes after his BYE; his 180 before, or not at all.
fn goodbye_overtakes_the_answer(rings: bool) {
    let mut world = silent_world();
    // His 200 goes another way, and comes later than his BYE.
    world.tamper(move |from, to, text| {
        let is = |status: &str| text.starts_with(status) && text.contains(" INVITE\r\n");
        let late = is("SIP/2.0 200") || !rings && is("SIP/2.0 180");
        (!late || (from, to) != (Pbx, Sbc)).then(|| text.to_owned())
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user());
    let answered = |w: &sim::World| !w.messages(Pbx, Sbc, "SIP/2.0 200").is_empty();
    assert!(world.until(secs(10), answered));
    let agent = world.pbx.calls().last();
    world.now(|world, now| world.pbx.ask_with(now, agent, Method::Bye, &[], ""));
    world.pass(ms(10));
    // Without the 180 there is no dialog yet, and RFC 3261 §15.1.2 asks for 481.
    let to_goodbye = if rings { "SIP/2.0 200" } else { "SIP/2.0 481" };
    assert_eq!(
        world.messages(Sbc, Pbx, to_goodbye).len(),
        1,
        "{}",
        world.ladder()
    );
    let answer = world.messages(Pbx, Sbc, "SIP/2.0 200")[0].text.clone();
    let pbx = "10.0.0.20:5060".parse().expect("an address");
    world.stranger_says(Transport::Udp, pbx, &answer);
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 480, "{}", world.ladder());
    assert_eq!(
        story.messages(Sbc, Pbx, "ACK").len(),
        1,
        "{}",
        world.ladder()
    );
    assert_eq!(story.messages(Sbc, Pbx, "BYE").len(), 0, "he has said it");
}

#[test]
fn an_agent_whose_goodbye_overtakes_his_answer_leaves_no_user_on_a_dead_line() {
    goodbye_overtakes_the_answer(true);
}

#[test]
fn an_agent_whose_goodbye_is_the_first_word_of_him_leaves_no_user_on_a_dead_line() {
    goodbye_overtakes_the_answer(false);
}

/// A 200 to our INVITE of the call, as another telephone of the PBX would have sent it.
fn of_a_second_telephone(world: &sim::World) -> String {
    let answer = &world.messages(Pbx, Sbc, "SIP/2.0 200")[0].text;
    let to = answer.lines().find(|line| line.starts_with("To:"));
    let tag = to.and_then(|to| to.split("tag=").nth(1)).expect("a tag");
    answer.replace(tag.trim(), "second-telephone")
}

#[test]
fn a_second_telephone_whose_answer_comes_again_when_all_is_over_is_hung_up_once() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(2)));
    assert!(world.until(secs(10), |w| w.messages(Sbc, Pbx, "ACK").len() == 1));
    let answer = of_a_second_telephone(&world);
    let pbx = "10.0.0.20:5060".parse().expect("an address");
    world.stranger_says(Transport::Udp, pbx, &answer);
    assert!(world.until(secs(30), |w| !w.records.is_empty()));
    // Our ACK was lost, so it repeats its 200: into a leg that hangs up, and after the call.
    for _ in 0..6 {
        world.stranger_says(Transport::Udp, pbx, &answer);
        world.pass(secs(1));
    }
    let story = world.story(secs(120));
    let to_second = |method: &str| -> Vec<String> {
        let all = story.messages(Sbc, Pbx, method).into_iter();
        let told = |header: Option<&str>| header.is_some_and(|to| to.contains("second-telephone"));
        all.filter(|message| told(message.header("To")))
            .filter_map(|message| message.header("Via").map(str::to_owned))
            .collect()
    };
    assert_eq!(
        to_second("ACK").len(),
        7,
        "each is acknowledged\n{}",
        world.ladder()
    );
    let branches: std::collections::BTreeSet<_> = to_second("BYE").into_iter().collect();
    assert_eq!(branches.len(), 1, "one goodbye\n{}", world.ladder());
}

#[test]
fn what_a_colleague_asks_who_is_no_longer_called_does_not_reach_the_agents_dialog() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = ms(100));
    world.meta.script(user_answers(secs(1)));
    let agent = world.agent_calls(agent());
    world.pass(secs(4));
    // The agent's own sequence numbers are far above a new dialog's.
    world.pbx.script(nobody_answers());
    world.now(|world, now| world.pbx.refer(now, Some(agent), &Referral::blind("201")));
    world.pass(secs(2));
    world.now(|world, now| world.meta.hang_up(now, None));
    assert!(world.until(secs(2), |w| !w.messages(Sbc, Pbx, "CANCEL").is_empty()));
    // He hangs up in his early dialog in the moment our CANCEL is on its way.
    let colleague = world.pbx.calls().last();
    world.now(|world, now| {
        world.pbx.ask_with(now, colleague, Method::Bye, &[], "");
    });
    let story = world.story(secs(120));
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 500").len(), 0);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn the_caller_whose_connection_broke_is_not_picked_up_for() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(20)));
    world.user_calls(user());
    world.pass(secs(3));
    world.reset_connections(Meta);
    world.pass(secs(1));
    // The telephone stops ringing at once, not when somebody has picked up in vain.
    assert!(
        world
            .told(Pbx, 1)
            .any(|what| *what == What::Cancelled { by_far: true }),
        "{}",
        world.ladder()
    );
    let story = world.story(secs(60));
    let record = story.record();
    let by = (record.cause.label(), record.released_by.label());
    assert_eq!(by, ("unreachable", "carrier"), "{}", world.ladder());
}

#[test]
fn an_answer_that_comes_over_another_connection_than_the_one_that_broke_is_hung_up() {
    let mut world = silent_world();
    world.meta.script(BusinessScript {
        ring: Some((ms(200), 180)),
        ..user_answers(secs(60))
    });
    world.agent_calls(agent());
    world.pass(secs(3));
    let ringing = world.messages(Meta, Sbc, "SIP/2.0 180")[0].text.clone();
    world.reset_connections(Meta);
    world.pass(secs(1));
    assert_eq!(world.records[0].cause.label(), "unreachable");
    let answer = ringing.replacen("180 Ringing", "200 OK", 1);
    world.stranger_says(
        Transport::Tls,
        "69.171.251.115:40999".parse().unwrap(),
        &answer,
    );
    let told: Vec<&str> = world
        .told_strangers
        .iter()
        .map(|text| text.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(told, ["ACK", "BYE"], "{:?}", world.told_strangers);
    world.until_quiet(secs(120));
    assert!(world.core.is_idle());
}

#[test]
fn a_goodbye_of_the_user_that_is_lost_with_its_connection_ends_the_call_all_the_same() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(1)));
    let call = world.user_calls(user());
    world.pass(secs(5));
    world.tamper(|from, _, text| {
        (from != Meta || !text.starts_with("BYE")).then(|| text.to_owned())
    });
    world.now(|world, now| world.meta.hang_up(now, Some(call)));
    world.reset_connections(Meta);
    let story = world.story(secs(90));
    let record = story.record();
    assert_eq!(record.cause.label(), "media_silent", "{}", world.ladder());
    assert_eq!(story.ended(Pbx).by, "far");
}

#[test]
fn a_telephone_that_rang_reliably_and_lost_is_hung_up_behind_its_prack() {
    let mut world = silent_world();
    world.pbx.script(PbxScript {
        reliable: true,
        ..agent_answers(secs(2))
    });
    let mut answers = 0;
    world.tamper(move |from, _, text| {
        if from != Pbx || !text.starts_with("SIP/2.0 200") || !text.contains(" INVITE") {
            return Some(text.to_owned());
        }
        answers += 1;
        // Another telephone wins; the one that rang says 200 half a second later.
        let to = text.lines().find(|line| line.starts_with("To:"))?;
        let tag = to.split("tag=").nth(1)?;
        Some(match answers {
            1 => text.replace(tag, "winner"),
            _ => text.to_owned(),
        })
    });
    world.user_calls(user().hanging_up_after(secs(3)));
    world.story(secs(120));
    let number = |method: &str| -> u32 {
        let sent = world.messages(Sbc, Pbx, method);
        let to_loser = sent
            .iter()
            .find(|m| m.header("To").is_some_and(|to| !to.contains("tag=winner")));
        let cseq = to_loser.and_then(|m| m.header("CSeq")).unwrap_or_default();
        cseq.split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default()
    };
    assert!(number("PRACK") > 0, "{}", world.ladder());
    assert!(number("BYE") > number("PRACK"), "{}", world.ladder());
}
