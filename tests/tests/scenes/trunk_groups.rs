//! Several trunks for one number: which one a user reaches, and what happens when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use b2bua::Record;
use b2bua::settings::{Group, Hours, Member, Route, Settings, Zone};
use sdp::Codec;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

/// Adds a trunk like the usual one, at the same PBX, which calls it by another host.
fn also(settings: &mut Settings, name: &str) {
    let mut trunk = (*settings.trunks[0]).clone();
    trunk.name = name.into();
    trunk.domain = format!("{name}.example.com");
    settings.trunks.push(Arc::new(trunk));
}

/// Sends the calls of the usual number to a group of these trunks: name, priority, weight.
fn grouped(settings: &mut Settings, members: &[(&str, u16, u16)]) {
    for (name, ..) in members.iter().filter(|(name, ..)| *name != "office") {
        also(settings, name);
    }
    let member = |(trunk, priority, weight): &(&str, u16, u16)| Member {
        trunk: (*trunk).into(),
        priority: *priority,
        weight: *weight,
    };
    settings.groups.push(Group {
        name: "all".into(),
        members: members.iter().map(member).collect(),
    });
    with_number(settings, |number| number.trunk = "all".into());
}

fn named<'a>(settings: &'a mut Settings, name: &str) -> &'a mut b2bua::settings::Trunk {
    let trunk = settings.trunks.iter_mut().find(|t| &*t.name == name);
    Arc::make_mut(trunk.expect("a trunk of that name"))
}

/// How often each host of the PBX was called.
fn called(world: &World) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for invite in world.messages(Sbc, Pbx, "INVITE") {
        let host = invite.text.split(['@', ';']).nth(1).unwrap_or_default();
        *count.entry(host.to_owned()).or_default() += 1;
    }
    count
}

fn caller(last: u32) -> sim::meta::knobs::UserCall {
    let mut call = user().hanging_up_after(secs(2));
    call.caller = format!("+1219555{last:04}");
    call
}

fn trunks(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| &*record.trunk).collect()
}

#[test]
fn a_user_whose_first_trunk_has_trouble_is_heard_by_the_second_in_its_own_codec() {
    let mut world = world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
        named(&mut b.settings, "spare").codecs = vec![Codec::Pcmu, Codec::TelephoneEvent];
        b.pbx.codecs = vec![Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent];
    });
    world
        .pbx
        .script(pbx_refuses(secs(1), 500, "Server Internal Error"));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(8)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let record = story.record();
    assert_eq!((&*record.trunk, record.cause.label()), ("spare", "normal"));
    assert_eq!(record.legs[1].map(|leg| leg.codec), Some(Codec::Pcmu));
    let invites = story.messages(Sbc, Pbx, "INVITE");
    assert_eq!(invites.len(), 2);
    assert!(
        invites[0].text.contains(" 8 101\r\n"),
        "{}",
        invites[0].text
    );
    assert!(
        invites[1].text.contains(" 0 101\r\n"),
        "{}",
        invites[1].text
    );
    assert_ne!(invites[0].header("Call-ID"), invites[1].header("Call-ID"));
}

#[test]
fn a_user_whose_first_trunk_cannot_be_reached_or_says_nothing_is_answered_by_the_second() {
    for silent in [false, true] {
        let mut world = silent_world_with(|b| {
            grouped(&mut b.settings, &[("office", 2, 1), ("first", 1, 1)]);
            let first = named(&mut b.settings, "first");
            match silent {
                true => first.target.port = 5070,
                false => first.target.host = "10.0.0.99".into(),
            }
        });
        if silent {
            world.tamper(|from, to, text| {
                let lost = from == Sbc && to == Pbx && text.contains("@first.example.com");
                (!lost).then(|| text.to_owned())
            });
        }
        for i in 0..2 {
            world.user_calls(caller(i));
            world.pass(secs(20));
        }
        world.story(secs(120)).is_clean();
        assert_eq!(
            trunks(&world.records),
            ["office", "office"],
            "{}",
            world.ladder()
        );
        if silent {
            let ringing = world.messages(Sbc, Meta, "SIP/2.0 180");
            let waited = ringing[0].at;
            assert!((secs(4)..secs(6)).contains(&waited), "{waited:?}");
        }
        // The second call did not ask the dead trunk again.
        let asked: std::collections::BTreeSet<_> = world
            .messages(Sbc, Pbx, "INVITE")
            .iter()
            .filter(|invite| invite.text.contains("@first"))
            .filter_map(|invite| invite.header("Call-ID").map(str::to_owned))
            .collect();
        assert_eq!(asked.len(), usize::from(silent), "{}", world.ladder());
    }
}

#[test]
fn a_busy_agent_is_busy_and_no_other_trunk_is_asked() {
    let mut world = silent_world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
    });
    world.pbx.script(pbx_refuses(secs(1), 486, "Busy Here"));
    world.user_calls(user());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Meta).0, 486);
    assert_eq!(story.messages(Sbc, Pbx, "INVITE").len(), 1);
}

#[test]
fn a_trunk_that_asks_for_a_rest_gets_it() {
    let mut world = silent_world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
        // Two destinations: what is known belongs to each of them.
        named(&mut b.settings, "office").target.port = 5070;
    });
    world.tamper(|from, to, text| {
        let tired = from == Pbx && to == Sbc && text.starts_with("SIP/2.0 503");
        Some(match tired {
            true => text.replacen("\r\nCSeq", "\r\nRetry-After: 120\r\nCSeq", 1),
            false => text.to_owned(),
        })
    });
    world
        .pbx
        .script(pbx_refuses(secs(1), 503, "Service Unavailable"));
    world.user_calls(caller(0));
    world.pass(secs(30));
    world.user_calls(caller(1));
    world.pass(secs(100));
    world.user_calls(caller(2));
    world.story(secs(120)).is_clean();
    assert_eq!(
        trunks(&world.records),
        ["spare", "spare", "office"],
        "{}",
        world.ladder()
    );
}

#[test]
fn calls_are_shared_by_weight() {
    let mut world = silent_world_with(|b| {
        grouped(
            &mut b.settings,
            &[("office", 1, 3), ("second", 1, 1), ("spare", 2, 1)],
        );
    });
    for i in 0..80 {
        world.user_calls(caller(i));
        world.pass(ms(200));
    }
    world.story(secs(120)).is_clean();
    let called = called(&world);
    let second = called["second.example.com"];
    assert_eq!(called.values().sum::<usize>(), 80);
    assert!(!called.contains_key("spare.example.com"), "{called:?}");
    assert!(
        (10..=30).contains(&second),
        "a quarter of the calls: {called:?}"
    );
}

#[test]
fn a_full_trunk_leaves_the_call_to_the_next_and_what_moved_counts_where_it_is() {
    let mut world = silent_world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
        named(&mut b.settings, "office").max_calls = 1;
        named(&mut b.settings, "spare").max_calls = 1;
    });
    // The first call moves on to the spare trunk, so the first one has room again.
    world
        .pbx
        .script(pbx_refuses(ms(100), 500, "Server Internal Error"));
    for i in 0..3 {
        world.user_calls(caller(i));
        world.pass(ms(700));
    }
    world.story(secs(120)).is_clean();
    let mut reached = trunks(&world.records);
    reached.sort_unstable();
    assert_eq!(reached, ["office", "spare"], "{}", world.ladder());
    assert_eq!(world.core.counters().refused.get("limit"), Some(&1));
    // Nothing is counted any more.
    for i in 3..5 {
        world.user_calls(caller(i));
        world.pass(ms(700));
    }
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 4);
}

#[test]
fn a_member_that_leads_to_the_pstn_is_passed_over() {
    let mut world = silent_world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
        named(&mut b.settings, "office").pstn = true;
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(&*story.record().trunk, "spare");
}

#[test]
fn an_agent_of_any_trunk_of_the_group_may_call_as_the_number() {
    let mut world = silent_world_with(|b| {
        grouped(&mut b.settings, &[("office", 1, 1), ("spare", 2, 1)]);
    });
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn user_parameters_choose_the_trunk() {
    let route = |params: &[(&str, &str)]| Route {
        user_params: params
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        trunk: "sales".into(),
    };
    for (routes, reaches) in [
        (
            vec![route(&[
                ("tgrp", "WACALL"),
                ("trunk-context", "byoc.example.com"),
            ])],
            "sales",
        ),
        (vec![route(&[("tgrp", "wacall")])], "sales"),
        (
            vec![route(&[("tgrp", "wacall"), ("trunk-context", "elsewhere")])],
            "office",
        ),
        (vec![route(&[("tgrp", "wacal")])], "office"),
    ] {
        let mut world = silent_world_with(|b| {
            also(&mut b.settings, "sales");
            with_number(&mut b.settings, |number| number.routes = routes.clone());
            b.meta.numbers[0].user_params = vec![
                ("tgrp".into(), "wacall".into()),
                ("trunk-context".into(), "byoc.example.com".into()),
            ];
        });
        world.user_calls(user().hanging_up_after(secs(2)));
        let story = world.story(secs(120));
        story.is_clean();
        assert_eq!(&*story.record().trunk, reaches, "{routes:?}");
    }
}

/// Open in the week's minutes given, by UTC. The world begins on Monday 2026-09-21 at 14:13:20.
fn open(from: u32, to: u32) -> Option<Hours> {
    let zone = Zone {
        name: "UTC".into(),
        offsets: Vec::new(),
    };
    let open = vec![(from, to)];
    Some(Hours { open, zone })
}

#[test]
fn a_user_who_calls_after_hours_hears_so_at_once_and_one_who_calls_in_time_is_answered() {
    let now = 14 * 60 + 13;
    for (hours, refused) in [
        (open(now, now + 60), None),
        (open(now + 1, now + 60), Some(480)),
        (open(now - 60, now), Some(480)),
    ] {
        let mut world = silent_world_with(|b| {
            with_trunk(&mut b.settings, |trunk| trunk.policy.hours = hours.clone());
        });
        world.user_calls(user().hanging_up_after(secs(2)));
        let story = world.story(secs(120));
        story.is_clean();
        match refused {
            None => assert_eq!(story.record().cause.label(), "normal"),
            Some(status) => {
                assert_eq!(story.refused(Meta).0, status, "{hours:?}");
                let told = story.messages(Sbc, Meta, "SIP/2.0 480");
                let reason = told[0].header("Reason").expect("a Reason");
                assert!(reason.contains("cause=20"), "{reason}");
                assert!(story.messages(Sbc, Pbx, "INVITE").is_empty());
            }
        }
    }
}

#[test]
fn after_hours_another_trunk_takes_the_calls() {
    let mut world = silent_world_with(|b| {
        also(&mut b.settings, "night");
        with_trunk(&mut b.settings, |trunk| {
            trunk.policy.hours = open(0, 60);
            trunk.policy.outside = Some("night".into());
        });
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(&*story.record().trunk, "night");
}

#[test]
fn trunks_that_send_each_other_their_calls_after_hours_end_in_a_refusal() {
    let mut world = silent_world_with(|b| {
        also(&mut b.settings, "night");
        for (name, other) in [("office", "night"), ("night", "office")] {
            let trunk = named(&mut b.settings, name);
            trunk.policy.hours = open(0, 60);
            trunk.policy.outside = Some(other.into());
        }
    });
    world.user_calls(user());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 480);
}
