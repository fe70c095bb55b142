//! PBXs and telephones that prove by digest who they are, and register where they are: users' calls
//! find them, strangers learn nothing.

use std::sync::Arc;

use b2bua::settings::{Access, Account, Group, Member, Unknown};
use sim::World;
use sim::pbx::account::Registering;
use sim::pbx::knobs::Hash;
use sim::scene::*;
use sim::world::Beginning;
use sim::world::Party::{Meta, Pbx, Sbc};
use sip::{Secret, Transport};

pub(crate) const DESK: &str = "desk";
pub(crate) const SECRET: &str = "pY7mQ2vX9kT4";

pub(crate) fn account(username: &str) -> Option<Account> {
    Some(Account {
        username: username.into(),
        password: Secret::new(SECRET.into()),
    })
}

/// The trunk is whoever has the account, wherever it is, and is called where it has registered.
pub(crate) fn registers(b: &mut Beginning) {
    with_trunk(&mut b.settings, |trunk| {
        trunk.networks.clear();
        trunk.access = Access {
            account: account(DESK),
            registers: true,
            upstream: None,
        };
    });
    b.settings.registrar.realm = "pbx.meta-voip.example.com".into();
    b.settings.carrier.networks = "69.171.224.0/19".parse().into_iter().collect();
    b.pbx.account = Some((DESK.into(), SECRET.into()));
}

/// Behind a NAT: nobody could reach this address.
pub(crate) const CONTACT: &str = "<sip:desk@192.168.7.7:5070;ob>";

pub(crate) fn desk() -> Registering {
    Registering::new(DESK, SECRET, CONTACT)
}

pub(crate) fn register(world: &mut World, plan: Registering) -> (u16, Vec<String>) {
    let before = world.pbx.register_answers().len();
    world.now(|world, now| world.pbx.register(now, plan));
    world.pass(secs(1));
    let answers = world.pbx.register_answers();
    assert!(answers.len() > before, "{}", world.ladder());
    let last = answers.last().expect("at least one");
    (last.status, last.contacts.clone())
}

/// A box between us and the PBX that hides the PBX's address, as a NAT that knows nothing of SIP.
pub(crate) fn behind_nat(world: &mut World) {
    world.tamper(|from, _, text| {
        let hidden = match from {
            Pbx => text.replace(
                "Contact: <sip:+17125550259@10.0.0.20:5060",
                "Contact: <sip:x@192.168.7.7:5070",
            ),
            _ => text.to_owned(),
        };
        Some(hidden.replace(
            "Contact: <sip:desk@10.0.0.20:5060",
            "Contact: <sip:desk@192.168.7.7:5070",
        ))
    });
}

#[test]
fn a_telephone_that_says_it_is_everywhere_at_once_is_nowhere() {
    let mut world = silent_world_with(registers);
    let everywhere = |count: u16| {
        let place = |at| format!("<sip:desk@10.0.0.20:{}>", 10_000 + at);
        let mut plan = desk();
        plan.contacts = (0..count).map(place).collect();
        plan
    };
    assert_eq!(register(&mut world, everywhere(101)), (403, vec![]));
    // Of as many as may be said at once, as many are kept as the operator wants.
    let (status, contacts) = register(&mut world, everywhere(100));
    assert_eq!((status, contacts.len()), (200, 10));
}

#[test]
fn a_telephone_that_registered_is_called_where_it_is_and_both_hear_each_other() {
    for hash in [Hash::Md5, Hash::Sha256] {
        let mut world = world_with(registers);
        behind_nat(&mut world);
        let mut plan = desk();
        plan.hash = hash;
        let (status, contacts) = register(&mut world, plan);
        assert_eq!(status, 200);
        assert_eq!(contacts, ["<sip:desk@192.168.7.7:5070;ob>;expires=3600"]);
        let challenged = &world.pbx.register_answers()[0];
        assert_eq!(
            (challenged.status, challenged.algorithms.join(" ")),
            (401, "SHA-256 MD5".into())
        );

        world.pbx.script(agent_answers(secs(1)));
        // The user hangs up: our BYE has to find the telephone too.
        world.user_calls(user().hanging_up_after(secs(6)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let invite = story.messages(Sbc, Pbx, "INVITE")[0];
        assert!(
            invite
                .text
                .starts_with("INVITE sip:desk@192.168.7.7:5070;ob SIP/2.0"),
            "{}",
            invite.text
        );
        assert_eq!(&*story.record().trunk, "office");
    }
}

#[test]
fn a_telephone_on_a_connection_is_called_on_that_connection_while_it_lasts() {
    let mut world = silent_world_with(|b| {
        registers(b);
        b.pbx.sbc.transport = Transport::Tcp;
    });
    let contact = "<sip:desk@192.168.7.7:49152;transport=tcp>";
    register(&mut world, Registering::new(DESK, SECRET, contact));
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
    let connection = story.messages(Pbx, Sbc, "REGISTER")[0].connection;
    for start in ["INVITE", "ACK", "BYE"] {
        let sent = story.messages(Sbc, Pbx, start);
        assert!(!sent.is_empty(), "{start}");
        assert!(
            sent.iter().all(|passed| passed.connection == connection),
            "{start}"
        );
    }

    // Who lost its connection is nowhere, and is not waited for.
    world.reset_connections(Pbx);
    world.pass(secs(1));
    world.user_calls(user());
    world.pass(secs(1));
    assert_eq!(world.story(secs(120)).refused(Meta).0, 480);
    assert_eq!(world.core.counters().refused["not_registered"], 1);
}

#[test]
fn the_agent_who_gave_the_right_password_calls_a_user() {
    let mut world = world_with(registers);
    behind_nat(&mut world);
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(6)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 407").len(), 1);
    assert_eq!(story.record().cause.label(), "normal");
    // SHA-256 is offered first, MD5 to those who know nothing else.
    let challenges = story.messages(Sbc, Pbx, "SIP/2.0 407")[0].headers("Proxy-Authenticate");
    assert!(
        challenges[0].contains("SHA-256") && challenges[1].contains("MD5"),
        "{challenges:?}"
    );
}

#[test]
fn the_user_hangs_up_on_an_agent_behind_a_nat_and_the_agent_hears_of_it() {
    let mut world = silent_world_with(registers);
    behind_nat(&mut world);
    let mut answers = user_answers(secs(1));
    answers.talk.hang_up_after = Some(secs(3));
    world.meta.script(answers);
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.ended(Pbx).by, "far");
}

#[test]
fn wrong_passwords_and_unknown_names_hear_and_cost_the_same_and_are_shut_out() {
    let mut told = Vec::new();
    for (name, password) in [(DESK, "guess"), ("nobody", SECRET), ("nobody", "guess")] {
        let mut world = silent_world_with(registers);
        let plan = Registering::new(name, password, CONTACT);
        let (status, _) = register(&mut world, plan.clone());
        assert_eq!(status, 403);
        let text = &world.messages(Sbc, Pbx, "SIP/2.0 403")[0].text;
        // Everything but the words the asker chose itself.
        let lines = text.lines().filter(|line| {
            let own = ["Via", "From", "To", "Call-ID", "CSeq"];
            !own.iter().any(|name| line.starts_with(name))
        });
        told.push(lines.collect::<Vec<_>>().join("\n"));
        assert_eq!(world.core.counters().wrong_digests, 1);

        for _ in 0..15 {
            world.now(|world, now| world.pbx.register(now, plan.clone()));
            world.pass(secs(1));
        }
        assert_eq!(world.core.counters().bans, 1, "{:?}", world.log);
        let heard = world.pbx.register_answers().len();
        world.now(|world, now| world.pbx.register(now, desk()));
        world.pass(secs(40));
        assert_eq!(
            world.pbx.register_answers().len(),
            heard,
            "nobody listens any more"
        );
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
}

#[test]
fn a_call_with_a_wrong_password_reaches_nobody() {
    let mut world = silent_world_with(|b| {
        registers(b);
        b.pbx.account = Some((DESK.into(), "guess".into()));
    });
    world.agent_calls(agent());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Pbx).0, 403);
    assert!(story.messages(Sbc, Meta, "").is_empty());
    assert_eq!(world.records.len(), 0);
}

#[test]
fn a_configured_network_is_no_password() {
    // The network is right, and an account is wanted besides.
    let mut world = silent_world_with(|b| {
        registers(b);
        with_trunk(&mut b.settings, |trunk| {
            trunk.networks = "10.0.0.0/24".parse().into_iter().collect();
        });
        b.pbx.account = None;
    });
    world.agent_calls(agent());
    assert_eq!(world.story(secs(120)).refused(Pbx).0, 407);
    // The account is right, and the network is not.
    let mut world = silent_world_with(|b| {
        registers(b);
        with_trunk(&mut b.settings, |trunk| {
            trunk.networks = "10.9.9.0/24".parse().into_iter().collect();
        });
        let mut other = (*b.settings.trunks[0]).clone();
        other.name = "other".into();
        other.networks.clear();
        other.access.account = account("other");
        b.settings.trunks.push(Arc::new(other));
    });
    assert_eq!(register(&mut world, desk()).0, 403);
}

#[test]
fn who_does_not_register_again_is_called_no_more() {
    let mut world = silent_world_with(registers);
    let mut plan = desk();
    plan.expires = Some(120);
    register(&mut world, plan.clone());
    for _ in 0..3 {
        world.pass(secs(100));
        // The nonce has grown old meanwhile, and nobody has to be asked for the password again.
        let (status, contacts) = register(&mut world, plan.clone());
        assert_eq!((status, contacts.len()), (200, 1));
    }
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
    world.pass(secs(121));
    world.user_calls(user());
    world.pass(secs(2));
    let refusals = world.messages(Sbc, Meta, "SIP/2.0 480");
    assert_eq!(refusals.len(), 1, "{}", world.ladder());
    let gone = world
        .log
        .iter()
        .any(|line| line.text.contains("did not register again in time"));
    assert!(gone, "{:?}", world.log);
}

#[test]
fn the_call_goes_to_the_next_trunk_of_the_group_while_the_first_is_nowhere() {
    let mut world = silent_world_with(|b| {
        registers(b);
        let mut spare = (*b.settings.trunks[0]).clone();
        spare.name = "spare".into();
        spare.access = Access::default();
        b.settings.trunks.push(Arc::new(spare));
        let member = |trunk: &str, priority| Member {
            trunk: trunk.into(),
            priority,
            weight: 1,
        };
        b.settings.groups.push(Group {
            name: "all".into(),
            members: vec![member("office", 1), member("spare", 2)],
        });
        with_number(&mut b.settings, |number| number.trunk = "all".into());
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    assert_eq!(&*world.story(secs(60)).record().trunk, "spare");
    register(&mut world, desk());
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story_of_last(secs(60), "office");
}

trait LastStory {
    fn story_of_last(&mut self, limit: std::time::Duration, trunk: &str);
}

impl LastStory for World {
    fn story_of_last(&mut self, limit: std::time::Duration, trunk: &str) {
        let _ = self.story(limit);
        assert_eq!(&*self.records.last().expect("a record").trunk, trunk);
    }
}

#[test]
fn the_telephone_that_is_wanted_most_rings_first_and_the_other_when_it_has_trouble() {
    let mut world = silent_world_with(registers);
    let mut plan = desk();
    plan.contacts = vec![
        "<sip:cellar@192.168.7.7:5070>;q=0.3".into(),
        "<sip:desk@192.168.7.8:5070>;q=0.9;expires=600".into(),
    ];
    let (status, contacts) = register(&mut world, plan);
    assert_eq!(status, 200);
    assert_eq!(
        contacts,
        [
            "<sip:desk@192.168.7.8:5070>;q=0.900;expires=600",
            "<sip:cellar@192.168.7.7:5070>;q=0.300;expires=3600",
        ]
    );
    world
        .pbx
        .script(pbx_refuses(ms(100), 503, "Service Unavailable"));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(60));
    story.is_clean();
    let called: Vec<&str> = story
        .messages(Sbc, Pbx, "INVITE")
        .iter()
        .filter_map(|invite| invite.text.split(' ').nth(1))
        .collect();
    assert_eq!(
        called,
        ["sip:desk@192.168.7.8:5070", "sip:cellar@192.168.7.7:5070"]
    );
}

#[test]
fn a_telephone_leaves_in_every_way_there_is() {
    let removals: [(&str, Option<u32>); 3] = [
        ("*", Some(0)),
        ("<sip:desk@192.168.7.7:5070;ob>;expires=0", None),
        ("<sip:desk@192.168.7.7:5070;ob>", Some(0)),
    ];
    for (contact, expires) in removals {
        let mut world = silent_world_with(registers);
        register(&mut world, desk());
        let mut plan = Registering::new(DESK, SECRET, contact);
        plan.expires = expires;
        let (status, contacts) = register(&mut world, plan);
        assert_eq!((status, contacts.len()), (200, 0), "{contact}");
        world.user_calls(user());
        world.pass(secs(2));
        assert_eq!(world.story(secs(60)).refused(Meta).0, 480);
    }
}

#[test]
fn words_that_make_no_registration_are_refused_and_nothing_changes() {
    let mut world = silent_world_with(registers);
    register(&mut world, desk());
    for (contacts, expires, user, status) in [
        // RFC 3261 §10.2.2: `*` stands alone, and only to remove.
        (vec!["*"], None, DESK, 400),
        (vec!["*", CONTACT], Some(0), DESK, 400),
        (vec!["not an address"], None, DESK, 400),
        (vec!["<mailto:desk@example.com>"], None, DESK, 400),
        (vec!["<sip:desk@192.168.7.9>;expires=20"], None, DESK, 423),
        (vec!["<sip:desk@192.168.7.9>"], Some(59), DESK, 423),
        // The address of record of somebody else.
        (vec![CONTACT], None, "reception", 404),
    ] {
        let mut plan = desk();
        plan.contacts = contacts.iter().map(|text| (*text).to_owned()).collect();
        plan.expires = expires;
        plan.user = user.into();
        let (got, _) = register(&mut world, plan);
        assert_eq!(got, status, "{contacts:?} {expires:?}");
        if status == 423 {
            let least = world.pbx.register_answers().last().unwrap().least.clone();
            assert_eq!(least.as_deref(), Some("60"));
        }
    }
    // Asked without a Contact, the registrar says what holds.
    let mut plan = desk();
    plan.contacts.clear();
    let (status, contacts) = register(&mut world, plan);
    assert_eq!(status, 200);
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    assert!(
        contacts[0].starts_with("<sip:desk@192.168.7.7:5070;ob>;expires=3"),
        "{contacts:?}"
    );
    // A mistyped time is no time: the longest one holds.
    let (_, contacts) = register(
        &mut world,
        Registering::new(DESK, SECRET, "<sip:b@192.168.7.9>;expires=soon"),
    );
    assert!(
        contacts.contains(&"<sip:b@192.168.7.9>;expires=3600".to_owned()),
        "{contacts:?}"
    );
}

#[test]
fn an_old_register_that_comes_late_changes_nothing() {
    let mut world = silent_world_with(registers);
    register(&mut world, desk());
    let first = world.messages(Pbx, Sbc, "REGISTER")[1].text.clone();
    let mut leaving = desk();
    leaving.expires = Some(0);
    register(&mut world, leaving);
    register(&mut world, desk());
    // Somebody recorded the first one, which is proven by its digest, and says it again.
    let again = first
        .replace("z9hG4bK", "z9hG4bKagain")
        .replace(";ob>", ";ob>;expires=0");
    let thief = "10.0.0.20:5999".parse().expect("an address");
    world.stranger_says(Transport::Udp, thief, &again);
    let told = world.told_strangers.last().expect("an answer");
    assert!(told.starts_with("SIP/2.0 401"), "{told}");
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
}

#[test]
fn nobody_registers_where_meta_connects_and_nobody_where_no_trunk_does() {
    let text = |transport: &str| {
        format!(
            "REGISTER sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/{transport} 198.51.100.7:5061;branch=z9hG4bK-{transport}\r\n\
             From: <sip:desk@{HOST}>;tag=1\r\nTo: <sip:desk@{HOST}>\r\nCall-ID: r{transport}\r\nCSeq: 1 REGISTER\r\n\
             Contact: {CONTACT}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let somewhere = "198.51.100.7:5061".parse().expect("an address");
    for (registering, transport, name, status) in [
        (true, Transport::Tls, "TLS", "403"),
        (true, Transport::Udp, "UDP", "401"),
        (false, Transport::Udp, "UDP", "403"),
    ] {
        let mut world = silent_world_with(|b| {
            if registering {
                registers(b);
                b.settings.registrar.carrier_door = Some(([203, 0, 113, 20], 5061).into());
            }
        });
        world.stranger_says(transport, somewhere, &text(name));
        let told = world.told_strangers.last().expect("an answer");
        assert!(told.starts_with(&format!("SIP/2.0 {status}")), "{told}");
    }
    // Another TLS port than Meta's is as good as any.
    let mut world = silent_world_with(|b| {
        registers(b);
        b.settings.registrar.carrier_door = Some(([203, 0, 113, 20], 5999).into());
    });
    world.stranger_says(Transport::Tls, somewhere, &text("TLS"));
    assert!(
        world.told_strangers[0].starts_with("SIP/2.0 401"),
        "{:?}",
        world.told_strangers
    );
}

#[test]
fn where_strangers_are_not_answered_a_telephone_may_still_prove_itself() {
    let mut world = silent_world_with(|b| {
        registers(b);
        b.settings.admission.unknown = Unknown::Drop;
    });
    assert_eq!(register(&mut world, desk()).0, 200);
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
}

#[test]
fn a_reload_forgets_whom_it_no_longer_knows_and_keeps_the_others() {
    let mut world = silent_world_with(registers);
    register(&mut world, desk());
    let mut settings = beginning().settings;
    let mut b = beginning();
    registers(&mut b);
    std::mem::swap(&mut settings, &mut b.settings);
    world.tell_core(b2bua::Input::Reload(Box::new(settings.clone())));
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
    with_trunk(&mut settings, |trunk| {
        trunk.access.account = account("somebody")
    });
    world.tell_core(b2bua::Input::Reload(Box::new(settings)));
    world.user_calls(user());
    world.pass(secs(2));
    assert_eq!(world.messages(Sbc, Meta, "SIP/2.0 480").len(), 1);
}

#[test]
fn more_telephones_than_there_is_room_for_push_out_who_would_leave_first() {
    let mut world = silent_world_with(|b| {
        registers(b);
        b.settings.registrar.contacts = 2;
    });
    for (host, expires) in [(1, 900), (2, 600), (3, 700)] {
        let contact = format!("<sip:desk@192.168.7.{host}>;expires={expires}");
        register(&mut world, Registering::new(DESK, SECRET, &contact));
    }
    let (_, contacts) = register(&mut world, {
        let mut plan = desk();
        plan.contacts.clear();
        plan
    });
    let hosts: Vec<bool> = (1..=3)
        .map(|host| {
            contacts
                .iter()
                .any(|c| c.contains(&format!("192.168.7.{host}>")))
        })
        .collect();
    assert_eq!(hosts, [true, false, true], "{contacts:?}");
}

#[test]
fn a_telephone_that_moved_takes_its_old_place_with_it() {
    let mut world = silent_world_with(registers);
    let instance = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"";
    for host in [1, 2] {
        let contact = format!("<sip:desk@192.168.7.{host}>;{instance}");
        register(&mut world, Registering::new(DESK, SECRET, &contact));
    }
    let contacts = &world
        .pbx
        .register_answers()
        .last()
        .expect("an answer")
        .contacts;
    assert_eq!(contacts, &["<sip:desk@192.168.7.2>;expires=3600"]);
}
