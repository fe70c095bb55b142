//! What a PBX changes in mid-call: another telephone, another codec, nothing at all, everything at
//! once. Answered here; the user hears one voice, and Meta no word of it (Meta reference 5.3, 10.6).

use sdp::Codec;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Passed, World};
use sip::{Method, Transport};

use crate::firewall::meta_saw_only_five_methods;

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const CONTACT: (&str, &str) = ("Contact", "<sip:pbx@10.0.0.20:5060>");

/// A call that stands for four seconds.
fn talking(world: &mut World, seconds: u64) {
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(seconds)));
    world.pass(secs(5));
}

/// Our final answers to requests of the PBX with this method.
fn answers<'a>(world: &'a World, method: &str) -> Vec<&'a Passed> {
    let all = world.messages(Sbc, Pbx, "SIP/2.0");
    let of_method = all.into_iter().filter(|m| {
        let cseq = m.header("CSeq").unwrap_or_default();
        cseq.ends_with(method) && !m.text.starts_with("SIP/2.0 1")
    });
    of_method.collect()
}

#[test]
fn the_agent_goes_on_at_another_telephone_with_another_codec() {
    let mut world = world_with(|b| {
        with_trunk(&mut b.settings, |trunk| {
            trunk.codecs = vec![Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent];
        });
    });
    talking(&mut world, 12);
    world.now(|world, now| {
        world.pbx.settings_mut().codecs = vec![Codec::Pcmu, Codec::TelephoneEvent];
        world.pbx.move_telephone(now, None);
    });
    let story = world.story(secs(120));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    let (user, agent) = (story.heard(Meta), story.heard(Pbx));
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(
        user.tone_found && user.longest_tone_gap_ms <= 60,
        "{user:?}"
    );
    assert!(agent.tone_found && agent.packets > 300, "{agent:?}");
    assert_eq!(story.record().legs[1].as_ref().unwrap().codec, Codec::Pcmu);
}

#[test]
fn the_agent_goes_on_at_another_telephone_by_update() {
    let mut world = world();
    talking(&mut world, 12);
    world.now(|world, now| {
        let held = world
            .pbx
            .description(1, true)
            .replace("sendrecv", "sendonly");
        world
            .pbx
            .ask_with(now, None, Method::Update, &[SDP, CONTACT], &held);
    });
    world.pass(secs(2));
    let before = world.packets[&(Sbc, Pbx)];
    world.pass(secs(2));
    assert!(
        world.packets[&(Sbc, Pbx)] - before < 3,
        "held: nothing but RTCP"
    );
    world.now(|world, now| {
        let back = world.pbx.description(1, true);
        world
            .pbx
            .ask_with(now, None, Method::Update, &[SDP, CONTACT], &back);
    });
    let story = world.story(secs(120));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    let answers = answers(&world, "UPDATE");
    assert!(
        answers[0].body().contains("a=recvonly"),
        "{}",
        answers[0].text
    );
    assert!(
        answers[1].body().contains("a=sendrecv"),
        "{}",
        answers[1].text
    );
}

#[test]
fn a_pbx_that_leaves_the_offer_to_us_in_mid_call_is_heard_on() {
    let mut world = world();
    talking(&mut world, 10);
    world.now(|world, now| world.pbx.ask_for_offer(now, None));
    world.pass(secs(1));
    let offer = answers(&world, "INVITE")[0].clone();
    assert!(offer.body().contains("m=audio"), "{}", offer.text);
    let acks = world.messages(Pbx, Sbc, "ACK");
    assert!(acks[0].body().contains("m=audio"), "our offer was answered");
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
}

#[test]
fn a_refresh_that_changes_nothing_is_answered_in_the_same_words() {
    let mut world = world();
    talking(&mut world, 10);
    for _ in 0..3 {
        world.now(|world, now| {
            let body = world.pbx.description(1, false);
            world
                .pbx
                .ask_with(now, None, Method::Invite, &[SDP, CONTACT], &body);
        });
        world.pass(secs(1));
    }
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    let answers = answers(&world, "INVITE");
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1].body(), answers[0].body());
    assert_eq!(answers[2].body(), answers[0].body());
}

#[test]
fn a_codec_we_do_not_speak_is_refused_and_they_talk_on() {
    let mut world = world();
    talking(&mut world, 10);
    world.now(|world, now| {
        let body = world.pbx.description(1, true);
        let body = body
            .replace("RTP/AVP 8 101", "RTP/AVP 18")
            .replace("rtpmap:8 PCMA", "rtpmap:18 G729");
        world
            .pbx
            .ask_with(now, None, Method::Invite, &[SDP, CONTACT], &body);
    });
    world.pass(secs(1));
    let refusals = answers(&world, "INVITE");
    assert!(
        refusals[0].text.starts_with("SIP/2.0 488"),
        "{}",
        refusals[0].text
    );
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
}

#[test]
fn two_offers_that_cross_cost_no_call_and_come_again_one_after_the_other() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = ms(50));
    // No UPDATE: our refresh is a re-INVITE, with an offer.
    world.tamper(|from, _, text| {
        let answer = from == Pbx && text.starts_with("SIP/2.0 200");
        Some(match answer {
            true => text.replace("OPTIONS, UPDATE, INFO", "OPTIONS, INFO"),
            false => text.to_owned(),
        })
    });
    let mut script = agent_answers(secs(1));
    script.headers = vec![("Session-Expires".into(), "90;refresher=uac".into())];
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(60)));
    assert!(world.until(secs(60), |w| w.messages(Sbc, Pbx, "INVITE").len() == 2));
    world.now(|world, now| {
        world.pbx.refuses_refresh(1, 491);
        world.pbx.hold(now, None, true);
    });
    world.pass(secs(1));
    let refused = answers(&world, "INVITE");
    assert!(
        refused[0].text.starts_with("SIP/2.0 491"),
        "{}",
        refused[0].text
    );
    // Each comes again after a pause of its own.
    world.pass(secs(5));
    let ours = world.messages(Sbc, Pbx, "INVITE");
    let [_, first, second] = ours[..] else {
        panic!("a refresh and its repetition\n{}", world.ladder());
    };
    let pause = second.at - first.at;
    assert!(pause > ms(2_100) && pause < ms(4_200), "{pause:?}");
    assert_eq!(second.body(), first.body(), "what holds is offered");
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(1));
    let answered = answers(&world, "INVITE").pop().unwrap().clone();
    assert!(answered.body().contains("a=recvonly"), "{}", answered.text);
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn an_offer_of_ours_that_waits_for_its_answer_is_not_mixed_with_the_pbxs() {
    let mut world = silent_world();
    let mut swallow = false;
    world.tamper(move |from, to, text| {
        swallow |= from == Sbc
            && to == Pbx
            && text.starts_with("SIP/2.0 200")
            && text.contains(" INVITE\r\n");
        let lost = swallow && from == Pbx && text.starts_with("ACK");
        (!lost).then(|| text.to_owned())
    });
    talking(&mut world, 60);
    world.now(|world, now| world.pbx.ask_for_offer(now, None));
    world.pass(secs(1));
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(1));
    assert!(!world.messages(Sbc, Pbx, "SIP/2.0 491").is_empty());
    // 64·T1 later the offer is forgotten, and the PBX may hold.
    world.pass(secs(34));
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(1));
    let hold = world.messages(Pbx, Sbc, "INVITE").pop().unwrap().clone();
    let answer = answers(&world, "INVITE").pop().unwrap().clone();
    assert_eq!(answer.header("CSeq"), hold.header("CSeq"));
    assert!(answer.body().contains("a=recvonly"), "{}", answer.text);
    let story = world.story(secs(200));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
}

/// Meta offers again in mid-call, changed by `change`; what we answer.
fn meta_offers_again(change: impl Fn(&str) -> String) -> String {
    let mut world = world();
    let mut script = agent_answers(secs(1));
    script.talk.hang_up_after = Some(secs(8));
    world.pbx.script(script);
    world.user_calls(user());
    world.pass(secs(5));
    let invite = world.messages(Meta, Sbc, "INVITE").pop().unwrap().clone();
    let answer = world.messages(Sbc, Meta, "SIP/2.0 200")[0].clone();
    let to = answer.header("To").unwrap().to_owned();
    let lines: Vec<String> = invite
        .text
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .split("\r\n")
        .map(|line| match line.split_once(": ") {
            Some(("To", _)) => format!("To: {to}"),
            Some(("CSeq", _)) => "CSeq: 1000000 INVITE".to_owned(),
            Some(("Via", via)) => format!(
                "Via: {}",
                via.replace("branch=z9hG4bK", "branch=z9hG4bKagain")
            ),
            _ => line.to_owned(),
        })
        .filter(|line| !line.starts_with("Proxy-Authorization"))
        .collect();
    let body = change(invite.body());
    let text = refitted(&format!("{}\r\n\r\n{body}", lines.join("\r\n")));
    world.stranger_says(
        Transport::Tls,
        "157.240.19.130:40123".parse().unwrap(),
        &text,
    );
    world.pass(secs(1));
    let told = world.told_strangers.clone();
    let last = told.last().expect("it is answered").clone();
    let ours = answer.body().to_owned();
    let story = world.story(secs(120));
    story.both_heard_each_other();
    meta_saw_only_five_methods(&story);
    if last.starts_with("SIP/2.0 200") {
        assert!(
            last.ends_with(&ours),
            "the answer that holds, word for word: {last}"
        );
    }
    last
}

#[test]
fn meta_that_says_the_same_again_gets_the_same_answer_again() {
    let answer = meta_offers_again(str::to_owned);
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
}

#[test]
fn meta_that_wants_a_change_is_refused_and_they_talk_on() {
    let answer = meta_offers_again(|body| body.replace("a=ptime:20", "a=ptime:60"));
    assert!(answer.starts_with("SIP/2.0 488"), "{answer}");
}

#[test]
fn whatever_the_pbx_asks_in_mid_call_the_record_and_the_voices_are_those_of_a_plain_call() {
    let mut world = world();
    talking(&mut world, 14);
    for method in [
        "OPTIONS",
        "UPDATE",
        "INFO",
        "MESSAGE",
        "SUBSCRIBE",
        "PRACK",
        "PUBLISH",
        "FOO",
    ] {
        world.now(|world, now| world.pbx.ask(now, None, Method::from(method)));
        world.pass(ms(300));
    }
    for hold in [true, false, true, false] {
        world.now(|world, now| world.pbx.hold(now, None, hold));
        world.pass(ms(500));
    }
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    let refused = story.all(Pbx, |what| match what {
        What::Refused { status, reason, .. } => Some((reason.clone(), *status)),
        _ => None,
    });
    let refused = |method: &str| {
        let mut of = refused.iter().filter(|(reason, _)| reason == method);
        of.next().map(|(_, status)| *status)
    };
    assert_eq!(refused("UPDATE"), Some(200));
    assert_eq!(refused("INFO"), Some(200));
    assert_eq!(refused("MESSAGE"), Some(405));
    assert_eq!(refused("PRACK"), Some(481));
    assert_eq!(refused("FOO"), Some(405));
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(user.tone_found, "{user:?}");
}
