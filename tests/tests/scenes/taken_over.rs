//! A PBX transfers by itself: another of its telephones calls us and takes the place of the first
//! (RFC 3891). Meta never hears of it, the user only hears another voice.

use b2bua::settings::Account;
use sim::pbx::knobs::AgentCall;
use sim::report::{Heard, What};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;
use sip::Secret;

/// A call that talks, in either direction; the user hangs up at the end.
fn talking(mut world: World, user_calls: bool) -> World {
    if user_calls {
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(14)));
    } else {
        let mut script = user_answers(secs(1));
        script.talk.hang_up_after = Some(secs(14));
        world.meta.script(script);
        world.agent_calls(agent());
    }
    world.pass(secs(4));
    world
}

/// The colleague's call, which names what it replaces.
fn colleague(replaces: &str) -> AgentCall {
    let mut call = agent();
    call.from = "201".into();
    call.headers = vec![
        ("Replaces".into(), replaces.into()),
        ("Require".into(), "replaces".into()),
    ];
    call
}

fn dialog_of_the_agent(world: &World) -> String {
    world.pbx.replaces(None).expect("an agent on the line")
}

fn takes_over(world: &mut World, replaces: &str) -> u32 {
    let call = colleague(replaces);
    world.agent_calls(call)
}

/// The user heard one stream without a break, whoever spoke.
fn unbroken(story: &Story<'_>) {
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    assert!(user.longest_gap_ms <= 60, "{user:?}");
    assert!(
        user.tone_found && user.level_error_db.abs() <= 3.0,
        "{user:?}"
    );
}

fn agents_heard(story: &Story<'_>) -> Vec<Heard> {
    story.all(Pbx, |what| match what {
        What::Heard(heard) => Some(heard.clone()),
        _ => None,
    })
}

/// What the colleague's INVITE is refused with.
fn refused(world: &World, call: u32) -> Option<u16> {
    world.told(Pbx, call).find_map(|what| match what {
        What::Refused { status, .. } => Some(*status),
        _ => None,
    })
}

#[test]
fn a_colleague_takes_the_call_over_and_the_user_hears_one_unbroken_stream() {
    for user_calls in [true, false] {
        let mut world = talking(world(), user_calls);
        let replaces = dialog_of_the_agent(&world);
        takes_over(&mut world, &replaces);
        let story = world.story(secs(120));
        story.is_clean();
        unbroken(&story);
        let agents = agents_heard(&story);
        assert_eq!(agents.len(), 2);
        for agent in &agents {
            assert!(agent.tone_found && agent.tone_gaps == 0, "{agent:?}");
            assert_eq!(agent.ssrcs, 1, "each has a stream of his own: {agent:?}");
        }
        // The first agent is hung up, once; the colleague by the user.
        assert_eq!(story.messages(Sbc, Pbx, "BYE").len(), 2);
        assert_eq!(story.messages(Meta, Sbc, "BYE").len(), 1);
        assert!(story.ended(Meta).confirmed);
        let record = story.record();
        assert_eq!(record.cause.label(), "normal");
        let ok = story.messages(Sbc, Pbx, "SIP/2.0 200");
        let told = ok.iter().any(|ok| {
            ok.header("Supported")
                .is_some_and(|tags| tags.contains("replaces"))
        });
        assert!(told, "we say that we can");
    }
}

#[test]
fn a_colleague_picks_up_what_rings_at_another_desk() {
    let mut world = world();
    world.pbx.script(nobody_answers());
    world.user_calls(user().hanging_up_after(secs(8)));
    world.pass(secs(3));
    let replaces = dialog_of_the_agent(&world);
    takes_over(&mut world, &format!("{replaces};early-only"));
    let story = world.story(secs(120));
    story.is_clean();
    unbroken(&story);
    assert_eq!(
        story.messages(Sbc, Pbx, "CANCEL").len(),
        1,
        "it rings no more"
    );
    assert_eq!(agents_heard(&story).len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_call_taken_over_twice_ends_for_all_when_the_last_agent_hangs_up() {
    let mut world = talking(world(), true);
    let first = dialog_of_the_agent(&world);
    takes_over(&mut world, &first);
    world.pass(secs(3));
    let second = dialog_of_the_agent(&world);
    assert_ne!(first, second);
    let mut last = colleague(&second);
    last.talk.hang_up_after = Some(secs(3));
    world.agent_calls(last);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(agents_heard(&story).len(), 3);
    let record = story.record();
    assert_eq!(
        (record.cause.label(), record.released_by.label()),
        ("normal", "pbx")
    );
}

#[test]
fn a_colleague_who_leaves_the_offer_to_us_is_heard_after_his_answer() {
    let mut world = talking(world(), true);
    let replaces = dialog_of_the_agent(&world);
    // His INVITE loses its offer on the way; his ACK brings an answer.
    let mut answer = None;
    world.tamper(move |from, to, text| {
        if (from, to) != (Pbx, Sbc) {
            return Some(text.to_owned());
        }
        if text.starts_with("INVITE") {
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            answer = Some(body.to_owned());
            let head = head.replace("\r\nContent-Type: application/sdp", "");
            return Some(refitted(&format!("{head}\r\n\r\n")));
        }
        if text.starts_with("ACK")
            && let Some(body) = &answer
        {
            let (head, _) = text.split_once("\r\n\r\n").expect("a head");
            let typed = head.replacen("\r\nCSeq", "\r\nContent-Type: application/sdp\r\nCSeq", 1);
            return Some(refitted(&format!("{typed}\r\n\r\n{body}")));
        }
        Some(text.to_owned())
    });
    takes_over(&mut world, &replaces);
    let story = world.story(secs(120));
    story.is_clean();
    unbroken(&story);
    assert_eq!(agents_heard(&story).len(), 2);
}

#[test]
fn a_colleague_who_wants_what_is_not_there_is_told_and_nothing_changes() {
    let mut world = talking(silent_world(), true);
    let replaces = dialog_of_the_agent(&world);
    for (value, status) in [
        ("nobody@nowhere;to-tag=a;from-tag=b".to_owned(), 481),
        (replaces.replace("to-tag=", "to-tag=x"), 481),
        (format!("{replaces};early-only"), 486),
        ("no dialog at all".to_owned(), 400),
    ] {
        let call = takes_over(&mut world, &value);
        world.pass(secs(1));
        assert_eq!(refused(&world, call), Some(status), "{value}");
    }
    let mut twice = colleague(&replaces);
    twice.headers.push(("Replaces".into(), replaces.clone()));
    let call = world.agent_calls(twice);
    world.pass(secs(1));
    assert_eq!(refused(&world, call), Some(400), "one call replaces one");
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Pbx, "BYE").len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_colleague_without_a_codec_of_ours_changes_nothing() {
    let mut world = talking(world(), true);
    let replaces = dialog_of_the_agent(&world);
    world.tamper(|from, to, text| {
        let invite = (from, to) == (Pbx, Sbc) && text.starts_with("INVITE");
        Some(match invite {
            true => text
                .replace("RTP/AVP 8 101", "RTP/AVP 9 101")
                .replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:9 G722/8000"),
            false => text.to_owned(),
        })
    });
    let call = takes_over(&mut world, &replaces);
    world.pass(secs(1));
    assert_eq!(refused(&world, call), Some(488));
    let story = world.story(secs(120));
    story.is_clean();
    unbroken(&story);
    assert_eq!(
        agents_heard(&story).len(),
        1,
        "the first agent all the time"
    );
}

#[test]
fn a_colleague_who_never_acknowledges_loses_the_call_for_all() {
    let mut world = talking(silent_world(), true);
    let replaces = dialog_of_the_agent(&world);
    world.tamper(|from, to, text| {
        let ack = (from, to) == (Pbx, Sbc) && text.starts_with("ACK");
        (!ack).then(|| text.to_owned())
    });
    world.now(|world, now| {
        let mut call = colleague(&replaces);
        call.talk.hang_up_after = Some(secs(300));
        world.pbx.call(now, call);
    });
    world.pass(secs(8));
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(
        story.messages(Meta, Sbc, "BYE").len(),
        1,
        "the user hung up before"
    );
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn nobody_but_the_pbx_of_the_call_takes_it_over_and_meta_neither() {
    let mut world = talking(silent_world(), true);
    let replaces = dialog_of_the_agent(&world);
    let invite = |host: &str, via: &str| {
        format!(
            "INVITE sip:{NUMBER}@{host} SIP/2.0\r\nVia: SIP/2.0/{via} 198.51.100.66;branch=z9hG4bKevil1\r\n\
             From: <sip:evil@198.51.100.66>;tag=e\r\nTo: <sip:{NUMBER}@{host}>\r\nCall-ID: evil\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:evil@198.51.100.66>\r\nReplaces: {replaces}\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (transport, via, host) in [
        (sip::Transport::Udp, "UDP", "10.0.0.5"),
        (sip::Transport::Tls, "TLS", HOST),
    ] {
        let from = "198.51.100.66:5060".parse().expect("an address");
        world.stranger_says(transport, from, &invite(host, via));
    }
    let told = world.told_strangers.join("");
    assert!(
        told.contains("SIP/2.0 403") || told.contains("SIP/2.0 407"),
        "{told}"
    );
    assert!(
        !told.contains("SIP/2.0 200") && !told.contains("SIP/2.0 481"),
        "{told}"
    );
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Pbx, "BYE").len(), 1);
}

#[test]
fn a_colleague_of_a_pbx_that_proves_itself_takes_over_with_the_right_digest_only() {
    let account = |password: &str| {
        Some(Account {
            username: "desk".into(),
            password: Secret::new(password.into()),
        })
    };
    for right in [true, false] {
        let mut world = talking(
            silent_world_with(|b| {
                with_trunk(&mut b.settings, |trunk| {
                    trunk.access.account = account("pY7mQ2vX9kT4");
                });
                b.settings.registrar.realm = "pbx.example.com".into();
                b.settings.registrar.carrier_door = "203.0.113.20:5061".parse().ok();
                let password = if right { "pY7mQ2vX9kT4" } else { "a guess" };
                b.pbx.account = Some(("desk".into(), password.into()));
            }),
            true,
        );
        let replaces = dialog_of_the_agent(&world);
        let call = takes_over(&mut world, &replaces);
        world.pass(secs(1));
        assert_eq!(world.messages(Sbc, Pbx, "SIP/2.0 407").len(), 1);
        assert_eq!(refused(&world, call), (!right).then_some(403));
        let story = world.story(secs(120));
        story.is_clean();
        let byes = story.messages(Sbc, Pbx, "BYE").len();
        assert_eq!(byes, if right { 2 } else { 1 });
    }
}

#[test]
fn a_user_who_hangs_up_in_the_moment_a_colleague_takes_over_leaves_nobody_on_the_line() {
    // The colleague's INVITE takes 1 ms, the user's BYE 20 ms.
    for head_start in [0, 18, 19, 20, 21, 25] {
        let mut world = talking(silent_world(), true);
        let replaces = dialog_of_the_agent(&world);
        world.now(|world, now| world.meta.hang_up(now, None));
        world.pass(ms(head_start));
        let call = takes_over(&mut world, &replaces);
        world.story(secs(120)).is_clean();
        assert_eq!(world.records[0].cause.label(), "normal", "{head_start}");
        let late = refused(&world, call);
        assert!(
            matches!(late, None | Some(481 | 603)),
            "{head_start}: {late:?}"
        );
    }
}

#[test]
fn an_agent_who_hangs_up_while_a_colleague_takes_over_costs_no_call() {
    for wait in [0, 1, 2, 3] {
        let mut world = talking(world(), true);
        let replaces = dialog_of_the_agent(&world);
        let agent = world.pbx.calls().next();
        takes_over(&mut world, &replaces);
        world.pass(ms(wait));
        world.now(|world, now| world.pbx.hang_up(now, agent));
        let story = world.story(secs(120));
        story.is_clean();
        unbroken(&story);
        let record = story.record();
        assert_eq!(record.released_by.label(), "carrier", "after {wait} ms");
    }
}

#[test]
fn a_colleague_has_to_wait_while_the_agent_transfers_and_gets_the_call_afterwards() {
    let mut world = talking(silent_world(), true);
    let replaces = dialog_of_the_agent(&world);
    world.pbx.script(pbx_refuses(secs(2), 486, "Busy Here"));
    let referral = sim::pbx::refer::Referral::blind("202");
    world.now(|world, now| world.pbx.refer(now, None, &referral));
    world.pass(secs(1));
    let early = takes_over(&mut world, &replaces);
    world.pass(secs(3));
    assert_eq!(refused(&world, early), Some(491));
    let late = takes_over(&mut world, &replaces);
    world.story(secs(120)).is_clean();
    assert_eq!(refused(&world, late), None);
    assert_eq!(world.records[0].cause.label(), "normal");
}

#[test]
fn a_user_on_hold_whose_call_a_colleague_takes_hears_him_and_no_music() {
    let mut pcm = vec![0; 8_000];
    media::tone::Tone::new(700.0, -10.0).fill(&mut pcm);
    let music = sdp::plan::Sound::new(pcm);
    let mut world = talking(
        world_with(|b| with_trunk(&mut b.settings, |t| t.comfort.hold_music = music)),
        true,
    );
    let replaces = dialog_of_the_agent(&world);
    world.now(|world, now| {
        world.pbx.hold(now, None, true);
        world.pbx.mute(now, None, true);
    });
    world.pass(secs(2));
    takes_over(&mut world, &replaces);
    let story = world.story(secs(120));
    story.is_clean();
    let user = story.heard(Meta);
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
    // Music for two seconds, the colleague after it.
    assert!(
        (1_500..=2_800).contains(&user.longest_tone_gap_ms),
        "{user:?}"
    );
}

#[test]
fn a_colleague_behind_a_lossy_network_takes_over_once() {
    for seed in 0..10 {
        let mut world = silent_world_with(|b| {
            (b.seed, b.pbx_link.loss, b.pbx_link.doubled) = (seed, 0.2, 0.2);
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(40)));
        world.pass(secs(12));
        let replaces = dialog_of_the_agent(&world);
        takes_over(&mut world, &replaces);
        let story = world.story(secs(200));
        story.is_clean();
        assert_eq!(story.record().cause.label(), "normal", "seed {seed}");
        assert_eq!(story.record().carrier_duration, Some(40), "seed {seed}");
    }
}

#[test]
fn what_the_first_agents_telephone_still_asks_when_it_has_left_does_not_reach_the_colleagues_call()
{
    let mut world = talking(silent_world(), true);
    let replaces = dialog_of_the_agent(&world);
    takes_over(&mut world, &replaces);
    world.pass(secs(2));
    let mut parts = replaces.split([';', '=']);
    let (call_id, ours, theirs) = (parts.next(), parts.nth(1), parts.nth(1));
    let (call_id, ours, theirs) = (call_id.unwrap(), ours.unwrap(), theirs.unwrap());
    let pbx = "10.0.0.20:5060".parse().expect("an address");
    for (number, method) in [(90_000, "OPTIONS"), (90_001, "UPDATE"), (90_002, "BYE")] {
        let text = format!(
            "{method} sip:x@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKold{method}\r\n\
             From: <sip:{NUMBER}@10.0.0.20>;tag={theirs}\r\nTo: <sip:x@10.0.0.5>;tag={ours}\r\nCall-ID: {call_id}\r\n\
             CSeq: {number} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        world.stranger_says(sip::Transport::Udp, pbx, &text);
        world.pass(ms(100));
        let told = world.told_strangers.last().expect("an answer");
        assert!(
            told.starts_with("SIP/2.0 481") && told.contains(&format!("{number} {method}")),
            "{method}: {told}"
        );
    }
    // The colleague is still there, and his own sequence numbers are as they were.
    let colleague = world.pbx.calls().last();
    world.now(|world, now| world.pbx.hang_up(now, colleague));
    let story = world.story(secs(120));
    story.is_clean();
    let record = story.record();
    assert_eq!(
        (record.cause.label(), record.released_by.label()),
        ("normal", "pbx")
    );
}

/// A user whose call one colleague takes over from the other, so often, one a second.
fn taken_over_and_over(world: &mut World, times: usize) -> (Vec<String>, Vec<Option<u16>>) {
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(110)));
    world.pass(secs(4));
    let mut dialogs = vec![dialog_of_the_agent(world)];
    let mut refusals = Vec::new();
    for _ in 0..times {
        let call = takes_over(world, &dialogs[dialogs.len() - 1]);
        world.pass(secs(1));
        refusals.push(refused(world, call));
        if refusals.last() == Some(&None) {
            dialogs.push(world.pbx.replaces(Some(call)).expect("he talks"));
        }
    }
    (dialogs, refusals)
}

#[test]
fn a_call_taken_over_again_and_again_remembers_its_latest_dialogs_and_forgets_the_first() {
    let mut world = silent_world();
    let (dialogs, refusals) = taken_over_and_over(&mut world, 40);
    assert_eq!(refusals, [None; 40]);
    // Who asks for a colleague who left a moment ago hears that he has; of the first nothing is known.
    for (gone, status) in [(39, 603), (30, 603), (20, 481), (0, 481)] {
        let call = takes_over(&mut world, &dialogs[gone]);
        world.pass(secs(1));
        assert_eq!(refused(&world, call), Some(status), "{gone}");
    }
    let call = takes_over(&mut world, &dialogs[40]);
    world.pass(secs(1));
    assert_eq!(
        refused(&world, call),
        None,
        "the last one's call is as ever"
    );
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_pbx_that_answers_no_bye_waits_until_the_first_colleagues_are_given_up() {
    let mut world = silent_world();
    world.tamper(|from, to, text| {
        let bye = (from, to) == (Sbc, Pbx) && text.starts_with("BYE ");
        (!bye).then(|| text.to_owned())
    });
    let (dialogs, refusals) = taken_over_and_over(&mut world, 12);
    let waits = Some(491);
    assert_eq!(refusals[..8], [None; 8]);
    assert_eq!(refusals[8..], [waits; 4]);
    // The first BYEs are given up after 64·T1.
    world.pass(secs(30));
    let call = takes_over(&mut world, &dialogs[8]);
    world.pass(secs(1));
    assert_eq!(refused(&world, call), None);
    world.until_quiet(secs(300));
    assert_eq!(world.records[0].cause.label(), "normal");
}
