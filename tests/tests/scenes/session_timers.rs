//! Session timers on the PBX's side (RFC 4028): refreshed by either side, and Meta knows nothing of
//! them (Meta reference 5.3).

use std::sync::Arc;

use b2bua::profile::SessionPolicy;
use sim::pbx::knobs::PbxScript;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Beginning, World};
use sip::Method;

use crate::firewall::meta_saw_only_five_methods;

/// The trunk asks for sessions of so many seconds.
fn asking(seconds: u32) -> impl FnOnce(&mut Beginning) {
    move |beginning| {
        with_trunk(&mut beginning.settings, |trunk| {
            Arc::make_mut(&mut trunk.profile).extensions.session_timer = Some(SessionPolicy {
                ask: Some(seconds),
                least: 90,
            });
        });
    }
}

/// The agent picks up, and the PBX says this of the session.
fn answering_with(session_expires: &str) -> PbxScript {
    PbxScript {
        headers: vec![("Session-Expires".into(), session_expires.into())],
        ..agent_answers(secs(1))
    }
}

/// An agent whose PBX asks for a session timer.
fn agent_asking(session_expires: &str) -> sim::pbx::knobs::AgentCall {
    let mut agent = agent();
    agent.headers = vec![
        ("Supported".into(), "timer".into()),
        ("Session-Expires".into(), session_expires.into()),
    ];
    agent
}

fn header(world: &World, start: &str, name: &str) -> Vec<String> {
    let messages = world.messages(Sbc, Pbx, start);
    let values = messages.iter().map(|m| m.header(name).unwrap_or("-"));
    values.map(str::to_owned).collect()
}

#[test]
fn they_talk_for_as_long_as_the_pbx_refreshes() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent_asking("90;refresher=uac").hanging_up_after(secs(250)));
    world.pass(secs(10));
    assert_eq!(
        header(&world, "SIP/2.0 200", "Session-Expires"),
        ["90;refresher=uac"]
    );
    assert_eq!(header(&world, "SIP/2.0 200", "Require"), ["timer"]);
    for round in 0..5 {
        world.pass(secs(45));
        world.now(|world, now| {
            let headers = [
                ("Supported", "timer"),
                ("Session-Expires", "90;refresher=uac"),
            ];
            if round % 2 == 0 {
                world.pbx.ask_with(now, None, Method::Update, &headers, "");
            } else {
                // The same by re-INVITE: what holds is offered again.
                let body = world.pbx.description(1, false);
                let contact = ("Contact", "<sip:pbx@10.0.0.20:5060>");
                let headers = [headers[0], headers[1], contact];
                world
                    .pbx
                    .ask_with(now, None, Method::Invite, &headers, &body);
            }
        });
    }
    let story = world.story(secs(300));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
    let granted = story.messages(Sbc, Pbx, "SIP/2.0 200");
    let granted = granted
        .iter()
        .filter(|m| m.header("Session-Expires") == Some("90;refresher=uac"));
    assert_eq!(granted.count(), 6, "the answer and five refreshes");
}

#[test]
fn a_pbx_that_forgets_to_refresh_has_lost_the_call_and_the_user_is_let_go() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent_asking("90;refresher=uac"));
    let story = world.story(secs(300));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "session_expired");
    let (meta, pbx) = (story.ended(Meta), story.ended(Pbx));
    assert_eq!((meta.by, pbx.by), ("far", "far"));
    // 90 s less a third (RFC 4028 §10).
    assert!((59_000..62_000).contains(&pbx.duration_ms), "{pbx:?}");
}

#[test]
fn a_pbx_that_wants_to_be_refreshed_hears_of_us_every_45_seconds() {
    let mut world = silent_world();
    world.pbx.script(answering_with("90;refresher=uac"));
    world.user_calls(user().hanging_up_after(secs(200)));
    let story = world.story(secs(400));
    story.is_clean();
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
    let updates = story.messages(Sbc, Pbx, "UPDATE");
    assert_eq!(updates.len(), 4);
    for pair in updates.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= secs(45) && apart < secs(46), "{apart:?}");
    }
    for update in updates {
        assert_eq!(update.header("Session-Expires"), Some("90;refresher=uac"));
        assert_eq!(update.header("Supported"), Some("100rel, timer, replaces"));
        assert_eq!(
            update.body(),
            "",
            "an UPDATE that offers nothing changes nothing"
        );
    }
}

#[test]
fn a_pbx_without_update_is_refreshed_by_re_invite_and_nobody_hears_it() {
    let mut world = world();
    world.tamper(|from, _, text| {
        let mute = from == Pbx && text.starts_with("SIP/2.0 200");
        Some(match mute {
            true => text.replace("OPTIONS, UPDATE, INFO", "OPTIONS, INFO"),
            false => text.to_owned(),
        })
    });
    world.pbx.script(answering_with("90;refresher=uac"));
    world.user_calls(user().hanging_up_after(secs(60)));
    let story = world.story(secs(200));
    story.is_clean().both_heard_each_other();
    meta_saw_only_five_methods(&story);
    let invites = story.messages(Sbc, Pbx, "INVITE");
    let [first, refresh] = invites[..] else {
        panic!("one call and one refresh\n{}", invites.len());
    };
    // Word for word, the version in o= with it: nothing changes (RFC 4028 §7.4).
    assert_eq!(refresh.body(), first.body());
    assert_eq!(story.messages(Sbc, Pbx, "ACK").len(), 2);
    let (user, agent) = (story.heard(Meta), story.heard(Pbx));
    assert_eq!((user.ssrcs, user.lost, agent.ssrcs), (1, 0, 1));
}

#[test]
fn a_pbx_that_wants_longer_sessions_is_called_again_with_longer_ones() {
    let mut world = silent_world_with(asking(90));
    let mut short = pbx_refuses(ms(50), 422, "Session Interval Too Small");
    short.ring = None;
    short.headers = vec![("Min-SE".into(), "300".into())];
    world.pbx.script(short);
    world.pbx.script(answering_with("300;refresher=uac"));
    world.user_calls(user().hanging_up_after(secs(160)));
    let story = world.story(secs(400));
    meta_saw_only_five_methods(&story);
    assert_eq!(story.record().cause.label(), "normal");
    let asked = header(&world, "INVITE", "Session-Expires");
    assert_eq!(asked, ["90", "300"]);
    assert_eq!(header(&world, "INVITE", "Min-SE"), ["90", "300"]);
    assert_eq!(world.messages(Sbc, Pbx, "UPDATE").len(), 1, "after 150 s");
}

#[test]
fn a_pbx_that_asks_for_too_short_a_session_learns_the_shortest() {
    let mut world = silent_world();
    world.agent_calls(agent_asking("30"));
    let story = world.story(secs(60));
    assert_eq!(story.refused(Pbx).0, 422);
    let refusals = story.messages(Sbc, Pbx, "SIP/2.0 422");
    assert_eq!(refusals[0].header("Min-SE"), Some("90"));
    assert!(
        story.messages(Sbc, Meta, "").is_empty(),
        "no telephone rings"
    );
}

#[test]
fn a_pbx_that_shortens_the_session_in_mid_call_is_refused_and_talks_on() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent_asking("300").hanging_up_after(secs(30)));
    world.pass(secs(10));
    world.now(|world, now| {
        let headers = [("Supported", "timer"), ("Session-Expires", "20")];
        world.pbx.ask_with(now, None, Method::Update, &headers, "");
    });
    let story = world.story(secs(100));
    meta_saw_only_five_methods(&story);
    let refusals = story.messages(Sbc, Pbx, "SIP/2.0 422");
    assert_eq!(refusals[0].header("Min-SE"), Some("90"));
    assert_eq!(story.record().cause.label(), "normal");
}

/// A refresh of ours gets this status; the record's cause afterwards, and our refreshes' methods.
fn refused_once(status: u16) -> (&'static str, Vec<String>, World) {
    let mut world = silent_world();
    world.pbx.script(answering_with("90;refresher=uac"));
    world.user_calls(user().hanging_up_after(secs(100)));
    world.pass(secs(10));
    world.now(|world, _| world.pbx.refuses_refresh(1, status));
    let story = world.story(secs(300));
    meta_saw_only_five_methods(&story);
    let cause = story.record().cause.label();
    let refreshes = world.messages(Sbc, Pbx, "");
    let refreshes = refreshes
        .iter()
        .filter(|m| m.header("To").is_some_and(|to| to.contains("tag=")))
        .filter_map(|m| m.text.split(' ').next())
        .filter(|method| matches!(*method, "UPDATE" | "INVITE"))
        .map(str::to_owned)
        .collect();
    (cause, refreshes, world)
}

#[test]
fn a_refresh_that_met_an_offer_of_the_pbx_comes_again_a_little_later() {
    let (cause, refreshes, world) = refused_once(491);
    assert_eq!(cause, "normal");
    assert_eq!(refreshes, ["UPDATE", "UPDATE", "UPDATE"]);
    let at: Vec<_> = world.messages(Sbc, Pbx, "UPDATE");
    let pause = at[1].at - at[0].at;
    // We made the Call-ID: 2.1 to 4 s (RFC 3261 §14.1).
    assert!(pause >= ms(2_100) && pause <= ms(4_010), "{pause:?}");
}

#[test]
fn a_pbx_that_takes_update_in_words_only_is_refreshed_by_re_invite() {
    let (cause, refreshes, _) = refused_once(501);
    // The header said it, the answer says otherwise: 5xx may pass, so UPDATE is tried again.
    assert_eq!(
        (cause, &refreshes[..2]),
        ("normal", &["UPDATE".into(), "UPDATE".into()][..])
    );
    let (cause, refreshes, _) = refused_once(405);
    assert_eq!(cause, "normal");
    assert_eq!(&refreshes[..2], ["UPDATE", "INVITE"]);
}

#[test]
fn a_pbx_that_asks_for_patience_without_end_keeps_its_call() {
    let mut world = silent_world();
    world.tamper(|_, _, text| {
        let busy = "SIP/2.0 503 Service Unavailable\r\n";
        let for_ever = format!("{busy}Retry-After: {}\r\n", u64::MAX);
        Some(text.replacen(busy, &for_ever, 1))
    });
    world.pbx.script(answering_with("90;refresher=uac"));
    world.user_calls(user().hanging_up_after(secs(100)));
    world.pass(secs(10));
    world.now(|world, _| world.pbx.refuses_refresh(1, 503));
    let story = world.story(secs(300));
    assert_eq!(story.record().cause.label(), "normal");
    let refreshes = story.messages(Sbc, Pbx, "UPDATE");
    let pause = refreshes[1].at - refreshes[0].at;
    assert!(pause >= secs(10) && pause < secs(11), "{pause:?}");
}

#[test]
fn a_pbx_that_does_not_know_the_call_any_more_ends_it_for_the_user_at_once() {
    let (cause, refreshes, world) = refused_once(481);
    assert_eq!((cause, refreshes.len()), ("session_expired", 1));
    assert!(
        world
            .log
            .iter()
            .any(|line| line.text.contains("session_expired"))
    );
}

#[test]
fn a_pbx_that_died_is_found_out_by_the_refresh_and_the_user_is_let_go() {
    let mut world = silent_world();
    world.pbx.script(answering_with("90;refresher=uac"));
    world.user_calls(user());
    world.pass(secs(10));
    world.pbx_link.down = true;
    let over = world.until(secs(200), |world| {
        world
            .reports
            .iter()
            .any(|r| r.peer == "meta" && matches!(r.what, sim::report::What::Ended(_)))
    });
    // Half the interval, and timer F of the refresh; before that the session itself runs out.
    assert!(over && world.at() < secs(65), "{:?}", world.at());
    world.pass(secs(60));
    assert_eq!(world.records[0].cause.label(), "session_expired");
}

#[test]
fn where_nobody_asks_for_a_timer_nobody_is_disturbed_for_an_hour() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(3_600)));
    let story = world.story(secs(4_000));
    story.is_clean();
    assert!(story.messages(Sbc, Pbx, "UPDATE").is_empty());
    let invites = story.messages(Sbc, Pbx, "INVITE");
    assert_eq!(invites.len(), 1);
    assert_eq!(invites[0].header("Session-Expires"), None);
    assert_eq!(
        invites[0].header("Supported"),
        Some("100rel, timer, replaces")
    );
}
