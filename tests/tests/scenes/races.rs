//! Messages that cross, come late, come twice or never, on the PBX's side and on Meta's: nobody is
//! left on a dead line, and Meta never sees more than its five methods.

use sim::pbx::knobs::PbxScript;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Party, World};
use sip::{Method, Transport};

use crate::firewall::meta_saw_only_five_methods;

/// How often something ended with somebody's words.
fn sent(world: &World, from: Party, to: Party, start: &str) -> usize {
    world.messages(from, to, start).len()
}

#[test]
fn an_agent_who_picks_up_when_everybody_has_given_up_is_not_left_on_a_dead_line() {
    let mut world = silent_world();
    // Nothing of the PBX reaches us until timer B is over, and the call with it.
    world.tamper(|from, to, text| (from != Pbx || to != Sbc).then(|| text.to_owned()));
    world.pbx.script(agent_answers(secs(20)));
    world.user_calls(user());
    assert!(world.until(secs(60), |w| !w.records.is_empty()));
    assert!(world.at() >= secs(32), "{:?}", world.at());
    world.tamper(|_, _, text| Some(text.to_owned()));
    assert!(
        world.until(secs(60), |w| w.is_quiet()),
        "{}",
        world.ladder()
    );
    assert_eq!(sent(&world, Sbc, Pbx, "ACK"), 1, "{}", world.ladder());
    assert_eq!(sent(&world, Sbc, Pbx, "BYE"), 1);
    assert_eq!(world.core.counters().late_answers, 1);
    let story = world.story(secs(60));
    let agent = story.ended(Pbx);
    assert!(agent.confirmed && agent.by == "far", "{agent:?}");
    assert_eq!(story.record().cause.label(), "timeout");
    meta_saw_only_five_methods(&story);
}

#[test]
fn two_telephones_pick_up_at_once_and_the_second_is_hung_up() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(5)));
    assert!(world.until(secs(10), |w| sent(w, Sbc, Pbx, "ACK") == 1));
    let answer = world.messages(Pbx, Sbc, "SIP/2.0 200")[0].text.clone();
    let tag = answer.lines().find(|l| l.starts_with("To:")).unwrap();
    let tag = tag.split("tag=").nth(1).unwrap().trim().to_owned();
    let other = answer
        .replace(&tag, "second-telephone")
        .replace("@10.0.0.20:5060", "@10.0.0.21:5060");
    // It comes, and because its ACK is lost it comes again.
    for _ in 0..3 {
        world.stranger_says(Transport::Udp, "10.0.0.20:5060".parse().unwrap(), &other);
        world.pass(ms(500));
    }
    // They go where that telephone is, which is none of this world's: the log has them.
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.ended(Pbx).by, "far");
    let acks = story.messages(Sbc, Pbx, "ACK");
    let to_second = acks.iter().filter(|m| {
        m.header("To")
            .is_some_and(|to| to.contains("second-telephone"))
    });
    assert_eq!(
        to_second.count(),
        3,
        "each time it is acknowledged\n{}",
        world.ladder()
    );
    let byes = world.messages(Sbc, Pbx, "BYE");
    let of_second: Vec<_> = byes
        .iter()
        .filter(|m| {
            m.header("To")
                .is_some_and(|to| to.contains("second-telephone"))
        })
        .filter_map(|m| m.header("Via"))
        .collect();
    let branches: std::collections::BTreeSet<_> = of_second.iter().collect();
    assert_eq!(branches.len(), 1, "and hung up once: {of_second:?}");
}

#[test]
fn a_second_telephone_that_picks_up_when_the_call_is_over_is_hung_up_too() {
    let mut world = silent_world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(2)));
    assert!(world.until(secs(60), |w| !w.records.is_empty()));
    let answer = world.messages(Pbx, Sbc, "SIP/2.0 200")[0].text.clone();
    let tag = answer.lines().find(|l| l.starts_with("To:")).unwrap();
    let tag = tag.split("tag=").nth(1).unwrap().trim().to_owned();
    let other = answer.replace(&tag, "second-telephone");
    let before = world.told_strangers.len();
    world.stranger_says(Transport::Udp, "10.0.0.21:5060".parse().unwrap(), &other);
    let told = world.told_strangers[before..].to_vec();
    assert!(told[0].starts_with("ACK sip:"), "{told:?}");
    assert!(told[1].starts_with("BYE sip:"), "{told:?}");
    // A 200 to nothing we ever asked gets nothing.
    let before = world.told_strangers.len();
    let invented = other.replace("Call-ID: ", "Call-ID: invented");
    world.stranger_says(Transport::Udp, "10.0.0.22:5060".parse().unwrap(), &invented);
    assert_eq!(
        world.told_strangers.len(),
        before,
        "{:?}",
        world.told_strangers
    );
    world.until_quiet(secs(120));
    assert!(world.core.is_idle());
}

#[test]
fn a_hold_that_crosses_our_goodbye_is_told_that_the_call_is_over() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = ms(50));
    let call = world.user_calls(user());
    world.pass(secs(5));
    world.now(|world, now| world.meta.hang_up(now, Some(call)));
    assert!(world.until(secs(5), |w| sent(w, Sbc, Pbx, "BYE") == 1));
    world.now(|world, now| world.pbx.hold(now, None, true));
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 481").len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn an_agent_who_hangs_up_while_the_answer_to_his_hold_is_on_its_way_is_let_go() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = ms(50));
    let call = world.user_calls(user());
    world.pass(secs(5));
    world.now(|world, now| {
        world.pbx.hold(now, None, true);
        world.pbx.hang_up(now, None);
    });
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.record().released_by.label(), "pbx");
    let _ = call;
}

#[test]
fn a_refresh_of_ours_that_crosses_the_agents_goodbye_leaves_nothing_behind() {
    let mut world = silent_world_with(|b| b.pbx_link.latency = ms(50));
    let mut script = agent_answers(secs(1));
    script.headers = vec![("Session-Expires".into(), "90;refresher=uac".into())];
    world.pbx.script(script);
    world.user_calls(user());
    assert!(world.until(secs(60), |w| sent(w, Sbc, Pbx, "UPDATE") == 1));
    world.now(|world, now| world.pbx.hang_up(now, None));
    let story = world.story(secs(120));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn everything_a_busy_pbx_says_comes_twice_and_happens_once() {
    let mut world = silent_world_with(|b| b.pbx_link.doubled = 1.0);
    world.pbx.script(PbxScript {
        reliable: true,
        headers: vec![("Session-Expires".into(), "90;refresher=uac".into())],
        ..agent_answers(secs(1))
    });
    world.user_calls(user().hanging_up_after(secs(60)));
    world.pass(secs(5));
    for hold in [true, false] {
        world.now(|world, now| world.pbx.hold(now, None, hold));
        world.pass(secs(2));
        world.now(|world, now| {
            let relay = [("Content-Type", "application/dtmf-relay")];
            let body = "Signal=1\r\nDuration=100\r\n";
            world.pbx.ask_with(now, None, Method::Info, &relay, body);
            world.pbx.ask_with(now, None, Method::Update, &[], "");
        });
        world.pass(secs(2));
    }
    let story = world.story(secs(120));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
    // One dialog, one line of numbers: whatever came twice was one request.
    let mut numbers: Vec<u32> = story
        .messages(Sbc, Pbx, "")
        .iter()
        .filter(|m| !m.text.starts_with("SIP/2.0") && !m.text.starts_with("ACK"))
        .filter_map(|m| m.header("CSeq")?.split(' ').next()?.parse().ok())
        .collect();
    numbers.dedup();
    let first = numbers[0];
    let expected: Vec<u32> = (first..first + numbers.len() as u32).collect();
    assert_eq!(
        numbers,
        expected,
        "INVITE, PRACK, UPDATE, BYE\n{}",
        world.ladder()
    );
}

#[test]
fn a_busy_pbx_behind_a_lossy_network_keeps_its_call() {
    for seed in 1..=5 {
        let mut world = silent_world_with(|b| {
            b.pbx_link.loss = 0.25;
            b.seed = seed;
        });
        world.pbx.script(PbxScript {
            reliable: true,
            headers: vec![("Session-Expires".into(), "90;refresher=uac".into())],
            ..agent_answers(secs(6))
        });
        world.user_calls(user().hanging_up_after(secs(120)));
        world.pass(secs(20));
        for hold in [true, false] {
            world.now(|world, now| world.pbx.hold(now, None, hold));
            world.pass(secs(20));
        }
        assert!(
            world.until_quiet(secs(400)),
            "seed {seed}\n{}",
            world.ladder()
        );
        assert_eq!(world.meta.counts().forbidden, 0);
        assert_eq!(world.core.counters().bugs, 0);
        let cause = world.records[0].cause.label();
        assert_eq!(cause, "normal", "seed {seed}\n{}", world.ladder());
    }
}

#[test]
fn an_agent_whose_goodbye_comes_over_another_connection_is_let_go() {
    let mut world = silent_world_with(|b| {
        b.pbx.sbc.transport = Transport::Tcp;
        with_trunk(&mut b.settings, |trunk| {
            trunk.target.transport = Transport::Tcp;
        });
    });
    world.user_calls(user());
    world.pass(secs(5));
    let ack = world.messages(Sbc, Pbx, "ACK")[0].clone();
    let (from, to) = (ack.header("From").unwrap(), ack.header("To").unwrap());
    let call_id = ack.header("Call-ID").unwrap();
    let bye = format!(
        "BYE sip:{NUMBER}@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.20:5060;branch=z9hG4bKother\r\n\
         Max-Forwards: 70\r\nFrom: {to}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n"
    );
    world.stranger_says(Transport::Tcp, "10.0.0.20:49152".parse().unwrap(), &bye);
    assert!(world.told_strangers[0].starts_with("SIP/2.0 200"));
    assert!(world.until(secs(60), |w| !w.records.is_empty()));
    assert_eq!(world.records[0].released_by.label(), "pbx");
    let ended = world
        .told(Meta, 1)
        .any(|what| matches!(what, What::Ended(end) if end.by == "far"));
    assert!(ended, "{}", world.ladder());
}

#[test]
fn a_meta_that_cannot_be_reached_at_the_goodbye_is_an_alarm_and_the_agent_is_let_go() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(20)));
    world.pass(secs(10));
    world.kill_connections(Meta);
    world.meta_link.down = true;
    assert!(world.until(secs(120), |w| !w.records.is_empty()));
    assert_eq!(world.records[0].cause.label(), "normal");
    assert_eq!(world.records[0].released_by.label(), "pbx");
    assert_eq!(world.core.counters().byes_failed["meta"], 1);
    let alarm = world.log.iter().any(|line| {
        line.level == b2bua::Level::Warn && line.text.contains("never answered our BYE")
    });
    assert!(alarm, "{:#?}", world.log);
    let answered = world.messages(Sbc, Pbx, "SIP/2.0 200");
    let bye = answered
        .iter()
        .find(|m| m.header("CSeq").unwrap().ends_with("BYE"));
    assert!(bye.is_some(), "{}", world.ladder());
}

#[test]
fn an_agent_who_called_and_never_acknowledges_loses_the_call_after_32_seconds() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.tamper(|from, to, text| {
        let lost = (from, to) == (Pbx, Sbc) && text.starts_with("ACK");
        (!lost).then(|| text.to_owned())
    });
    world.agent_calls(agent());
    let story = world.story(secs(200));
    assert_eq!(story.record().cause.label(), "no_ack");
    assert_eq!(story.ended(Meta).by, "far", "the user is let go");
    let told = story.messages(Sbc, Pbx, "SIP/2.0 200");
    // T1 doubling to T2 until 64·T1 (RFC 3261 §13.3.1.4), then our BYE.
    let repeated = told.iter().filter(|m| m.body().contains("m=audio")).count();
    assert!((10..=11).contains(&repeated), "{repeated}");
    let answered = told[0].at;
    let bye = story.messages(Sbc, Pbx, "BYE")[0].at;
    assert!((secs(31)..secs(33)).contains(&(bye - answered)), "{bye:?}");
}
