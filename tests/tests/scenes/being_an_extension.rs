//! The SBC as an extension of a PBX: it registers, stays registered, proves itself, and is called.

use std::sync::Arc;
use std::time::Duration;

use b2bua::Input;
use b2bua::operator::{Registration, Reply, Wish};
use b2bua::profile::Digits;
use b2bua::settings::{Access, Account, Upstream};
use sim::World;
use sim::pbx::knobs::{Hash, PbxRegistrar, PbxScript};
use sim::pbx::refer::Referral;
use sim::report::What;
use sim::scene::*;
use sim::world::Beginning;
use sim::world::Party::{Pbx, Sbc};
use sip::{Secret, Transport};

const EXTENSION: &str = "1200";
const SECRET: &str = "pY7mQ2vX9kT4";

fn extension(b: &mut Beginning) {
    with_trunk(&mut b.settings, |trunk| {
        // Nothing but the registration says who the PBX is.
        trunk.networks.clear();
        trunk.access = Access {
            account: None,
            registers: false,
            upstream: Some(Upstream {
                servers: vec![trunk.target.clone()],
                domain: "pbx.example.com".into(),
                extension: EXTENSION.into(),
                account: Account {
                    username: EXTENSION.into(),
                    password: Secret::new(SECRET.into()),
                },
                expires: secs(600),
            }),
        };
    });
    b.settings.carrier.networks = "69.171.224.0/19".parse().into_iter().collect();
    b.pbx.registrar = Some(PbxRegistrar::new(EXTENSION, SECRET));
}

fn registrar(b: &mut Beginning, change: impl FnOnce(&mut PbxRegistrar)) {
    extension(b);
    change(b.pbx.registrar.as_mut().expect("it has one"));
}

fn state(world: &mut World) -> Registration {
    world.tell_core(Input::Operator {
        ticket: 1,
        wish: Wish::Trunks,
    });
    match world.replies.pop() {
        Some(Reply::Trunks(mut trunks)) => trunks.remove(0).registration.expect("we register"),
        other => panic!("{other:?}"),
    }
}

/// When REGISTERs left us.
fn asked(world: &World) -> Vec<Duration> {
    let all = world.messages(Sbc, Pbx, "REGISTER");
    all.iter().map(|passed| passed.at).collect()
}

#[test]
fn the_pbx_knows_us_from_the_start_and_never_forgets_us() {
    for hash in [Hash::Md5, Hash::Sha256] {
        let mut world = silent_world_with(|b| registrar(b, |r| r.hash = hash));
        world.pass(secs(1));
        let guest = world.pbx.guest().expect("registered").clone();
        assert_eq!(
            guest.contact.to_string(),
            "sip:1200@10.0.0.5:5060;transport=udp"
        );
        assert_eq!(guest.granted, 600);
        let first = world.messages(Sbc, Pbx, "REGISTER")[1];
        assert!(
            first
                .text
                .starts_with("REGISTER sip:pbx.example.com SIP/2.0")
        );
        assert!(
            first
                .header("To")
                .is_some_and(|to| to == "<sip:1200@pbx.example.com>")
        );

        // Two hours long, no registration grows older than the PBX keeps it; nor is it pestered.
        world.pass(secs(7_200));
        let answers = world.messages(Pbx, Sbc, "SIP/2.0 200");
        let taken: Vec<Duration> = answers
            .iter()
            .filter(|answer| {
                answer
                    .header("CSeq")
                    .is_some_and(|cseq| cseq.ends_with("REGISTER"))
            })
            .map(|answer| answer.at)
            .collect();
        let gaps: Vec<_> = taken.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(
            gaps.iter().all(|gap| (secs(399)..secs(502)).contains(gap)),
            "{gaps:?}"
        );
        let call_ids: std::collections::BTreeSet<_> = world
            .messages(Sbc, Pbx, "REGISTER")
            .iter()
            .filter_map(|register| register.header("Call-ID").map(str::to_owned))
            .collect();
        assert_eq!(call_ids.len(), 1, "RFC 3261 10.2.4: one Call-ID");
        let state = state(&mut world);
        assert_eq!(
            (state.state, state.server.as_deref()),
            ("registered", Some("10.0.0.20:5060"))
        );
    }
}

#[test]
fn a_user_reaches_the_agents_of_a_pbx_that_takes_calls_of_its_extensions_only() {
    let mut world = world_with(|b| registrar(b, |r| r.challenges_calls = true));
    world.pass(secs(1));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let invites = story.messages(Sbc, Pbx, "INVITE");
    assert_eq!(invites.len(), 2, "one challenge");
    let from = invites[1].header("From").expect("a From");
    assert!(
        from.starts_with("\"12195550714\" <sip:1200@pbx.example.com>"),
        "{from}"
    );
    assert!(invites[1].header("Proxy-Authorization").is_some());
}

/// A PBX that wants to know at every request who we are, and takes each answer once.
fn distrustful(b: &mut Beginning) {
    registrar(b, |r| {
        (r.challenges_calls, r.challenges_requests, r.uses) = (true, true, 1);
    });
}

/// How many requests of a kind we sent, and how many of them with a proof.
fn proofs(story: &Story<'_>, start: &str) -> (usize, usize) {
    let all = story.messages(Sbc, Pbx, start);
    let proved = all
        .iter()
        .filter(|m| m.header("Proxy-Authorization").is_some());
    (all.len(), proved.count())
}

#[test]
fn a_pbx_that_asks_who_we_are_at_every_word_keeps_its_call_and_hears_the_goodbye() {
    for user_calls in [true, false] {
        for takes_update in [true, false] {
            let mut world = silent_world_with(distrustful);
            if !takes_update {
                world.tamper(|from, _, text| {
                    Some(match from {
                        Pbx => text.replace(", UPDATE", ""),
                        _ => text.to_owned(),
                    })
                });
            }
            world.pass(secs(1));
            let mut answers = agent_answers(secs(1));
            answers.headers = vec![("Session-Expires".into(), "90;refresher=uac".into())];
            world.pbx.script(answers);
            let mut answers = user_answers(secs(1));
            answers.talk.hang_up_after = Some(secs(100));
            world.meta.script(answers);
            if user_calls {
                world.user_calls(user().hanging_up_after(secs(100)));
            } else {
                let mut call = agent();
                call.headers = vec![
                    ("Supported".into(), "timer".into()),
                    ("Session-Expires".into(), "90;refresher=uas".into()),
                ];
                world.agent_calls(call);
            }
            let story = world.story(secs(300));
            story.is_clean();
            let which = format!("{user_calls} {takes_update}");
            assert_eq!(story.ended(Pbx).by, "far", "{which}");
            assert_eq!(story.record().cause.label(), "normal", "{which}");
            assert!(story.ended(Pbx).duration_ms >= 100_000, "{which}");
            assert_eq!(proofs(&story, "BYE"), (2, 1), "{which}");
            let refreshes = match takes_update {
                true => proofs(&story, "UPDATE"),
                // The call itself was asked for twice too.
                false if user_calls => {
                    let (all, proved) = proofs(&story, "INVITE");
                    (all - 2, proved - 1)
                }
                false => proofs(&story, "INVITE"),
            };
            assert_eq!(refreshes, (4, 2), "{which}");
        }
    }
}

#[test]
fn a_pbx_that_asks_who_we_are_at_every_word_is_told_the_users_keys() {
    let mut world = world_with(|b| {
        distrustful(b);
        with_trunk(&mut b.settings, |trunk| {
            Arc::make_mut(&mut trunk.profile).digits = Digits::Info;
            trunk.codecs.retain(|codec| codec.is_audio());
        });
    });
    world.pass(secs(1));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().pressing(secs(2), "12").hanging_up_after(secs(6)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Pbx), "12");
    assert_eq!(proofs(&story, "INFO"), (4, 2));
}

#[test]
fn a_pbx_that_asks_who_we_are_at_every_word_has_its_reliable_ringing_acknowledged() {
    let mut world = silent_world_with(distrustful);
    world.pass(secs(1));
    world.pbx.script(PbxScript {
        ring: Some((ms(100), 180)),
        reliable: true,
        ..agent_answers(secs(4))
    });
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(proofs(&story, "PRACK"), (2, 1));
    let rang = story.messages(Pbx, Sbc, "SIP/2.0 180");
    assert!(rang.len() <= 2, "rings again until it is acknowledged");
    assert_eq!(proofs(&story, "BYE"), (2, 1));
}

#[test]
fn a_pbx_that_asks_who_we_are_at_every_word_hears_how_its_transfer_goes() {
    let mut world = silent_world_with(distrustful);
    world.pass(secs(1));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(16)));
    world.pass(secs(4));
    world.pbx.script(agent_answers(secs(3)));
    world.now(|world, now| world.pbx.refer(now, None, &Referral::blind("201")));
    let story = world.story(secs(120));
    story.is_clean();
    let told = story.all(Pbx, |what| match what {
        What::Notified { status, over } => Some((*status, *over)),
        _ => None,
    });
    assert_eq!(told, [(100, false), (180, false), (200, true)]);
    assert_eq!(proofs(&story, "NOTIFY"), (6, 3));
}

#[test]
fn a_pbx_that_refuses_our_proof_at_the_goodbye_leaves_nothing_behind() {
    let mut world = silent_world_with(|b| registrar(b, |r| r.challenges_requests = true));
    world.tamper(|from, _, text| {
        // A box that spoils every proof of ours inside the call.
        let bye = from == Sbc && text.starts_with("BYE");
        Some(match bye {
            true => text.replace("response=\"", "response=\"0"),
            false => text.to_owned(),
        })
    });
    world.pass(secs(1));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(3)));
    assert!(world.until(secs(60), |world| world.records.len() == 1));
    world.pass(secs(40));
    assert_eq!(
        world.messages(Sbc, Pbx, "BYE").len(),
        2,
        "not asked for ever"
    );
    assert!(world.core.is_idle());
    assert_eq!(world.ports_in_use(), 0);
}

#[test]
fn agents_of_the_pbx_that_knows_us_call_users_and_nobody_else_does() {
    let mut world = world_with(extension);
    world.pass(secs(1));
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(6)));
    world.story(secs(120)).is_clean().both_heard_each_other();

    let elsewhere = "198.51.100.7:5060".parse().expect("an address");
    let invite = world.messages(Pbx, Sbc, "INVITE")[0]
        .text
        .replace("z9hG4bK", "z9hG4bKx");
    let invite = invite.replace("Call-ID: ", "Call-ID: x");
    world.stranger_says(Transport::Udp, elsewhere, &invite);
    let told = world.told_strangers.last().expect("an answer");
    assert!(told.starts_with("SIP/2.0 403"), "{told}");

    // A PBX that never took us is a stranger too.
    let mut world = silent_world_with(|b| registrar(b, |r| r.account.1 = "another".into()));
    world.pass(secs(1));
    world.agent_calls(agent());
    assert_eq!(world.story(secs(120)).refused(Pbx).0, 403);
}

#[test]
fn a_call_sent_to_our_extension_goes_to_whom_the_agent_dialled() {
    let mut world = silent_world_with(extension);
    world.pass(secs(1));
    world.tamper(|from, _, text| {
        let sent = match from {
            Pbx if text.starts_with("INVITE sip:+12195550714@") => {
                text.replacen("sip:+12195550714@", "sip:1200@", 1)
            }
            _ => text.to_owned(),
        };
        Some(sent)
    });
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_pbx_that_wants_longer_registrations_gets_them() {
    let mut world = silent_world_with(|b| registrar(b, |r| r.least = 900));
    world.pass(secs(1));
    assert_eq!(world.pbx.guest().expect("registered").granted, 900);
    let refused = world.messages(Pbx, Sbc, "SIP/2.0 423").len();
    world.pass(secs(3_000));
    assert_eq!(
        world.messages(Pbx, Sbc, "SIP/2.0 423").len(),
        refused,
        "asked for once"
    );
}

#[test]
fn a_nonce_that_grew_stale_costs_a_message_and_no_registration() {
    let mut world = silent_world_with(|b| registrar(b, |r| r.uses = 0));
    world.pass(secs(1));
    // The PBX finds every nonce stale; it is asked no second time in a row.
    assert_eq!(asked(&world).len(), 3);
    let mut world = silent_world_with(|b| registrar(b, |r| r.uses = 1));
    world.pass(secs(2_000));
    assert!(world.pbx.registrations() >= 4, "{}", world.ladder());
}

#[test]
fn a_wrong_password_is_told_once_and_not_tried_again_and_again() {
    let mut world = silent_world_with(|b| registrar(b, |r| r.account.1 = "another".into()));
    world.pass(secs(3_600));
    let state = state(&mut world);
    assert_eq!(state.state, "refused");
    assert_eq!(state.trouble.as_deref(), Some("it refuses the password"));
    let asked = asked(&world);
    // Two messages a try, and five to ten minutes between tries.
    assert!((12..=26).contains(&asked.len()), "{asked:?}");
    let warnings = world
        .log
        .iter()
        .filter(|line| line.text.contains("not registered"));
    assert_eq!(warnings.count(), 1, "{:?}", world.log);
    assert!(world.log.iter().all(|line| !line.text.contains(SECRET)));
}

#[test]
fn a_pbx_that_asks_for_a_pause_gets_it() {
    let mut world = silent_world_with(|b| {
        registrar(b, |r| {
            r.refusals = vec![(503, vec![("Retry-After".into(), "120".into())])];
        });
    });
    world.pass(secs(119));
    assert_eq!(asked(&world).len(), 1);
    assert_eq!(state(&mut world).state, "unreachable");
    world.pass(secs(2));
    assert!(world.pbx.guest().is_some());
    assert_eq!(state(&mut world).trouble, None);
}

#[test]
fn a_pbx_that_is_down_is_asked_less_and_less_and_found_when_it_is_back() {
    let mut world = silent_world_with(|b| {
        extension(b);
        b.pbx_link.loss = 1.0;
    });
    world.pass(secs(3_600));
    let tries = world.messages(Sbc, Pbx, "REGISTER");
    let branches: std::collections::BTreeSet<_> = tries
        .iter()
        .filter_map(|passed| passed.header("Via"))
        .collect();
    assert!((6..=12).contains(&branches.len()), "{branches:#?}");
    world.pbx_link.loss = 0.0;
    assert!(
        world.until(secs(700), |world| world.pbx.guest().is_some()),
        "within ten minutes"
    );
}

#[test]
fn the_next_server_takes_us_and_our_calls_when_the_first_is_gone() {
    let mut world = silent_world_with(|b| {
        extension(b);
        with_trunk(&mut b.settings, |trunk| {
            let living = trunk.target.clone();
            trunk.target.host = "10.0.0.99".into();
            trunk.backups = vec![living.clone()];
            let upstream = trunk.access.upstream.as_mut().expect("we register");
            upstream.servers = vec![trunk.target.clone(), living];
        });
    });
    world.pass(secs(1));
    assert!(world.pbx.guest().is_some(), "{}", world.ladder());
    assert_eq!(state(&mut world).server.as_deref(), Some("10.0.0.20:5060"));
    let before = world.at();
    world.user_calls(user().hanging_up_after(secs(2)));
    assert!(world.until(secs(2), |world| {
        !world.messages(Sbc, Pbx, "INVITE").is_empty()
    }));
    assert!(
        world.at() - before < ms(500),
        "without waiting for the one that is gone"
    );
    world.story(secs(60)).is_clean();
}

#[test]
fn a_pbx_that_restarts_is_told_again_where_we_are() {
    let mut world = silent_world_with(|b| {
        extension(b);
        b.pbx.sbc.transport = Transport::Tcp;
        with_trunk(&mut b.settings, |trunk| {
            trunk.target.transport = Transport::Tcp;
            let upstream = trunk.access.upstream.as_mut().expect("we register");
            upstream.servers = vec![trunk.target.clone()];
        });
    });
    world.pass(secs(5));
    assert_eq!(world.pbx.registrations(), 1);
    world.reset_connections(Pbx);
    world.pass(secs(4));
    assert_eq!(world.pbx.registrations(), 2, "{}", world.ladder());
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
}

#[test]
fn whoever_drains_us_tells_the_pbx_that_we_leave_and_that_we_are_back() {
    let mut world = silent_world_with(extension);
    world.pass(secs(1));
    world.tell_core(Input::Operator {
        ticket: 1,
        wish: Wish::Drain(true),
    });
    assert!(world.core.is_leaving());
    world.pass(secs(1));
    assert!(world.pbx.guest().is_none(), "{}", world.ladder());
    assert!(!world.core.is_leaving());
    assert_eq!(state(&mut world).state, "left");
    world.pass(secs(1_200));
    assert!(world.pbx.guest().is_none());
    world.tell_core(Input::Operator {
        ticket: 1,
        wish: Wish::Drain(false),
    });
    world.pass(secs(1));
    assert!(world.pbx.guest().is_some());
}

#[test]
fn a_reload_takes_leave_where_we_are_no_extension_any_more() {
    let mut world = silent_world_with(extension);
    world.pass(secs(1));
    let mut b = beginning();
    extension(&mut b);
    // The same once more changes nothing.
    world.tell_core(Input::Reload(Box::new(b.settings.clone())));
    world.pass(secs(1));
    assert_eq!(world.pbx.registrations(), 1);
    let trunk = Arc::make_mut(&mut b.settings.trunks[0]);
    trunk.access = Access::default();
    trunk.networks = "10.0.0.20/32".parse().into_iter().collect();
    world.tell_core(Input::Reload(Box::new(b.settings)));
    world.pass(secs(1));
    assert!(world.pbx.guest().is_none(), "{}", world.ladder());
}
