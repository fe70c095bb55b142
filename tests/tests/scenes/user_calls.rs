//! A WhatsApp user calls the business and is answered.

use sdp::Codec;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

#[test]
fn user_calls_agent_answers_and_the_user_hangs_up() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(2)));
    world.user_calls(user().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let record = story.record();
    assert_eq!(record.cause.label(), "normal");
    assert_eq!(record.carrier_duration, Some(5));
    assert_eq!(record.released_by.label(), "carrier");
    assert_eq!(story.ended(Pbx).by, "far");
}

#[test]
fn user_calls_and_the_agent_hangs_up() {
    let mut world = world();
    let mut script = agent_answers(secs(2));
    script.talk.hang_up_after = Some(secs(4));
    world.pbx.script(script);
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.ended(Meta).by, "far");
    assert_eq!(story.record().released_by.label(), "pbx");
}

#[test]
fn the_caller_is_not_challenged_where_the_number_says_so() {
    let mut world = silent_world_with(|b| with_number(&mut b.settings, |n| n.challenge = false));
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.messages(Sbc, Meta, "SIP/2.0 407").is_empty());
    assert!(story.ended(Meta).answered);
}

#[test]
fn the_agent_sees_the_call_id_and_the_button_the_user_pressed() {
    let mut world = silent_world();
    let mut call = user().hanging_up_after(secs(3));
    call.cta_payload = Some("order=ON-12853&src=button".into());
    world.user_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    let wacid = invite
        .header("X-WA-Call-Id")
        .expect("the call id goes to the PBX");
    assert!(wacid.starts_with("wacid."));
    assert_eq!(
        invite.header("X-WA-cta-payload"),
        Some("order=ON-12853&src=button")
    );
    let record = story.record();
    assert_eq!(record.reference.as_deref(), Some(wacid));
    assert_eq!(
        record.carrier_call_id.as_deref(),
        Some(format!("outgoing:{wacid}").as_str())
    );
    assert!(
        record
            .metadata
            .values()
            .any(|value| value == "order=ON-12853&src=button")
    );
}

#[test]
fn a_profile_name_in_any_script_reaches_the_agents_display() {
    let mut world = silent_world();
    let mut call = user().hanging_up_after(secs(3));
    call.display = Some("Zoë 🌻 Müller".into());
    world.user_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    let from = story.messages(Sbc, Pbx, "INVITE")[0]
        .header("From")
        .unwrap_or_default()
        .to_owned();
    assert!(from.contains("Zoë 🌻 Müller"), "{from}");
}

#[test]
fn a_user_who_hides_her_number_gets_through_by_her_scoped_id() {
    let mut world = silent_world();
    let mut call = user().hanging_up_after(secs(3));
    call.caller = "US.13491208655302741918".into();
    world.user_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Pbx).answered);
    assert_eq!(story.record().user, "US.13491208655302741918");
}

#[test]
fn user_parameters_in_the_request_uri_do_not_hide_the_number() {
    let mut world = silent_world_with(|b| {
        b.meta.numbers[0].user_params = vec![
            ("tgrp".into(), "wacall".into()),
            ("trunk-context".into(), "byoc.example.com".into()),
        ];
    });
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Pbx).answered);
}

#[test]
fn the_credentials_come_over_another_connection_and_the_call_goes_on() {
    let mut world = silent_world();
    let mut call = user().hanging_up_after(secs(3));
    call.retry_elsewhere = true;
    world.user_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    let invites = story.messages(Meta, Sbc, "INVITE");
    assert_eq!(invites.len(), 2);
    assert_ne!(invites[0].connection, invites[1].connection);
    assert!(story.ended(Meta).answered);
}

#[test]
fn an_agent_who_picks_up_without_ringing_is_heard() {
    let mut world = world();
    let mut script = agent_answers(ms(200));
    script.ring = None;
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(3)));
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn the_user_hears_nothing_of_the_pbxs_early_media_and_all_of_the_agent() {
    let mut world = world();
    let mut script = agent_answers(secs(4));
    script.ring = Some((ms(300), 183));
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(4)));
    assert!(
        !world.until(secs(3), |w| w.packets.contains_key(&(Sbc, Meta))),
        "a packet before the answer"
    );
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let progress = story.all(Meta, |what| match what {
        What::Progress { status, body } if *status > 100 => Some((*status, *body)),
        _ => None,
    });
    assert_eq!(progress, [(180, false)], "one 180 without SDP at most");
}

#[test]
fn a_pbx_on_a_connection_is_called_and_hangs_up() {
    for transport in [sip::Transport::Tcp, sip::Transport::Tls] {
        let mut world = world_with(|b| {
            with_trunk(&mut b.settings, |t| t.target.transport = transport);
            b.pbx.sbc.transport = transport;
        });
        let mut script = agent_answers(secs(1));
        script.talk.hang_up_after = Some(secs(3));
        world.pbx.script(script);
        world.user_calls(user());
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let invite = story.messages(Sbc, Pbx, "INVITE")[0];
        let (via, contact) = (invite.header("Via"), invite.header("Contact"));
        let named = format!("SIP/2.0/{} 10.0.0.5", transport.via_name());
        assert!(via.is_some_and(|via| via.starts_with(&named)), "{via:?}");
        let named = format!(";transport={}>", transport.param());
        assert!(
            contact.is_some_and(|it| it.ends_with(&named)),
            "{contact:?}"
        );
    }
}

#[test]
fn a_to_with_parameters_on_either_side_of_its_bracket_reaches_the_number() {
    for written in [";transport=tls>", ">;transport=tls"] {
        let mut world = world();
        let plain = format!("To: <sip:{NUMBER}@{HOST}>");
        let changed = format!("To: <sip:{NUMBER}@{HOST}{written}");
        world.tamper(move |from, to, text| {
            Some(match (from, to) {
                (Meta, Sbc) => text.replace(&plain, &changed),
                // Whoever wrote it so gets it back so.
                (Sbc, Meta) if text.starts_with("SIP/2.0") => {
                    assert!(text.contains(&changed), "{text}");
                    text.replace(&changed, &plain)
                }
                _ => text.to_owned(),
            })
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(3)));
        world.story(secs(120)).is_clean().both_heard_each_other();
    }
}

#[test]
fn fifty_users_call_at_once_and_nothing_is_left_behind() {
    let mut world = silent_world();
    for i in 0..50 {
        let mut call = user().hanging_up_after(secs(3 + i % 7));
        call.caller = format!("+1219555{i:04}");
        world.user_calls(call);
    }
    assert!(world.until_quiet(secs(120)), "something is left");
    assert_eq!(world.records.len(), 50);
    assert!(
        world
            .records
            .iter()
            .all(|record| record.cause.label() == "normal")
    );
    assert_eq!(
        (world.meta.counts().violations, world.ports_in_use()),
        (0, 0)
    );
}

#[test]
fn a_user_talks_to_a_pbx_that_speaks_opus_too() {
    let mut world = world_with(|b| {
        b.pbx.codecs = vec![Codec::Opus, Codec::TelephoneEvent];
        with_trunk(&mut b.settings, |t| {
            t.codecs = vec![Codec::Opus, Codec::TelephoneEvent]
        });
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(4)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert!(
        story
            .record()
            .legs
            .iter()
            .flatten()
            .all(|leg| leg.codec == Codec::Opus)
    );
}
