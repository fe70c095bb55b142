//! What the PBX and Meta read in each other's calls: header rules, numbers, identity, topology.

use b2bua::rules::{HeaderRule, HeaderRules, NumberPlan, Rewriting, Show, Verb};
use b2bua::settings::Identity;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

fn rule(verb: Verb, header: &str, value: &str) -> HeaderRule {
    HeaderRule {
        verb,
        header: header.into(),
        to: None,
        value: (!value.is_empty()).then(|| value.into()),
        matches: None,
    }
}

fn rules(peer: &b2bua::profile::PeerProfile, pass: &[&str], list: &[HeaderRule]) -> HeaderRules {
    let mut rules = HeaderRules::towards(peer);
    for name in pass {
        rules.pass(peer, name).expect("it may pass");
    }
    for rule in list {
        rules.push(peer, rule).expect("it compiles");
    }
    rules
}

/// An agent whose PBX tells a lot about itself.
fn talkative_agent() -> sim::pbx::knobs::AgentCall {
    let mut call = agent().hanging_up_after(secs(2));
    for (name, value) in [
        ("User-Agent", "Acme PBX 7.1 at 10.0.0.20"),
        ("P-Asserted-Identity", "<sip:+17125550259@10.0.0.20>"),
        ("Diversion", "<sip:4711@10.0.0.20>;reason=unconditional"),
        ("History-Info", "<sip:4711@10.0.0.20>;index=1"),
        ("X-Campaign", "spring-2026"),
        ("User-to-User", "56a390f3d2b7310023a2;encoding=hex"),
        ("Remote-Party-ID", "<sip:4711@10.0.0.20>;party=calling"),
        ("Call-Info", "<http://10.0.0.20/icon.png>"),
        ("Organization", "Acme inside"),
    ] {
        call.headers.push((name.into(), value.into()));
    }
    call
}

#[test]
fn meta_learns_nothing_of_the_pbx_behind_us_unless_a_rule_says_so() {
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(talkative_agent());
    let story = world.story(secs(120));
    story.is_clean();
    let call_ids: Vec<String> = story
        .messages(Pbx, Sbc, "INVITE")
        .iter()
        .filter_map(|invite| invite.header("Call-ID").map(str::to_owned))
        .collect();
    let said = world.passed.iter().filter(|message| message.to == Meta);
    for message in said {
        for secret in [
            "10.0.0.",
            "Acme",
            "4711",
            "spring",
            "56a390f3",
            &call_ids[0],
        ] {
            assert!(
                !message.text.contains(secret),
                "{secret}:\n{}",
                message.text
            );
        }
    }
}

#[test]
fn meta_hears_what_the_list_lets_pass_and_the_rules_add_on_both_invites_of_a_challenged_call() {
    let mut world = silent_world_with(|b| {
        let meta = b.settings.carrier.profile.clone();
        with_trunk(&mut b.settings, |t| {
            let copied = HeaderRule {
                to: Some("X-Year".into()),
                matches: Some("^(\\w+)-(\\d+)$".into()),
                ..rule(Verb::Copy, "X-Campaign", "${2}")
            };
            let named = rule(Verb::Set, "From", "\"Sales\" <sip:${number}@${domain}>");
            t.policy.to_carrier = rules(&meta, &["User-to-User"], &[copied, named]);
        });
    });
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(talkative_agent());
    let story = world.story(secs(120));
    story.is_clean();
    let invites = story.messages(Sbc, Meta, "INVITE");
    assert_eq!(invites.len(), 2, "the challenge is answered");
    for invite in invites {
        assert_eq!(
            invite.header("User-to-User"),
            Some("56a390f3d2b7310023a2;encoding=hex")
        );
        assert_eq!(invite.header("X-Year"), Some("2026"));
        assert_eq!(invite.header("X-Campaign"), None);
        let from = invite.header("From").expect("a From");
        assert!(
            from.starts_with("\"Sales\" <sip:+17125550259@meta-voip.example.com>;tag="),
            "{from}"
        );
    }
}

#[test]
fn the_pbx_reads_what_its_rules_make_of_a_users_call() {
    let mut world = silent_world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            let list = [
                rule(
                    Verb::Set,
                    "From",
                    "\"WhatsApp ${user}\" <sip:${user}@${domain}>",
                ),
                rule(
                    Verb::Add,
                    "Diversion",
                    "<sip:${number}@${domain}>;reason=unconditional",
                ),
                rule(Verb::Set, "User-Agent", "front door"),
                HeaderRule {
                    to: Some("X-Call-Ref".into()),
                    ..rule(Verb::Rename, "X-WA-Call-Id", "")
                },
                rule(Verb::Set, "X-Trunk", "${trunk} ${reference}"),
            ];
            t.policy.to_pbx = rules(&b2bua::profile::PBX, &[], &list);
        });
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    let from = invite.header("From").expect("a From");
    let named = "\"WhatsApp +12195550714\" <sip:+12195550714@10.0.0.5:5060>;tag=";
    assert!(from.starts_with(named), "{from}");
    assert_eq!(
        invite.header("Diversion"),
        Some("<sip:+17125550259@10.0.0.5:5060>;reason=unconditional")
    );
    assert_eq!(invite.headers("User-Agent"), ["front door"]);
    let reference = invite.header("X-Call-Ref").expect("renamed");
    assert_eq!(invite.header("X-WA-Call-Id"), None);
    assert_eq!(
        invite.header("X-Trunk"),
        Some(format!("office {reference}").as_str())
    );
    // The dialog goes on under the From we called with.
    let bye = story.messages(Sbc, Pbx, "BYE")[0];
    assert_eq!(bye.header("From"), Some(from));
}

#[test]
fn a_pbx_with_national_numbers_shows_what_it_can_dial() {
    let national = |b: &mut sim::world::Beginning| {
        with_trunk(&mut b.settings, |t| {
            t.policy.numbers = NumberPlan {
                country: "1".into(),
                national: "9".into(),
                international: "011".into(),
                show: Show::National,
                dialled: vec![Rewriting::prefix("77", "9").expect("fine")],
                ..NumberPlan::default()
            };
        });
    };
    let mut world = silent_world_with(national);
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    assert!(
        invite.text.starts_with("INVITE sip:97125550259@10.0.0.20;"),
        "{}",
        invite.text
    );
    let from = invite.header("From").expect("a From").to_owned();
    assert!(from.contains("<sip:92195550714@"), "{from}");

    for dialled in [
        "92195550714",
        "772195550714",
        "01112195550714",
        "+12195550714",
    ] {
        let mut world = silent_world_with(national);
        world.meta.script(user_answers(secs(1)));
        let mut call = agent().hanging_up_after(secs(2));
        (call.from, call.to) = ("97125550259".into(), dialled.into());
        world.agent_calls(call);
        let story = world.story(secs(120));
        story.is_clean();
        let invite = story.messages(Sbc, Meta, "INVITE")[0];
        assert!(
            invite
                .text
                .starts_with("INVITE sip:+12195550714@wa.meta.vc;"),
            "{dialled}: {}",
            invite.text
        );
        assert_eq!(story.record().user, USER);
    }
}

#[test]
fn a_pbx_that_trusts_us_is_told_the_identity_of_a_user_who_hides_his_number_from_the_telephone() {
    for (identity, from, asserted) in [
        (
            Identity::From,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            false,
        ),
        (
            Identity::Asserted,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            true,
        ),
    ] {
        let mut world = silent_world_with(|b| {
            with_trunk(&mut b.settings, |t| t.policy.identity = identity);
        });
        world.tamper(|from, to, text| {
            let invite = from == Meta && to == Sbc && text.starts_with("INVITE");
            Some(match invite {
                true => text.replacen(
                    "\r\nMax-Forwards",
                    "\r\nPrivacy: id;user\r\nMax-Forwards",
                    1,
                ),
                false => text.to_owned(),
            })
        });
        world.user_calls(user().hanging_up_after(secs(2)));
        let story = world.story(secs(120));
        story.is_clean();
        let invite = story.messages(Sbc, Pbx, "INVITE")[0];
        assert!(
            invite.header("From").is_some_and(|is| is.starts_with(from)),
            "{}",
            invite.text
        );
        assert_eq!(invite.header("P-Asserted-Identity").is_some(), asserted);
        if asserted {
            let told = invite.header("P-Asserted-Identity").expect("asserted");
            assert!(told.contains("<sip:+12195550714@10.0.0.5:5060>"), "{told}");
            assert_eq!(invite.header("Privacy"), Some("id"));
        }
        assert_eq!(
            story.record().user,
            USER,
            "the record knows him all the same"
        );
    }
}

#[test]
fn a_pbx_that_trusts_us_is_told_the_identity_of_every_user() {
    let mut world = silent_world_with(|b| {
        with_trunk(&mut b.settings, |t| t.policy.identity = Identity::Asserted);
    });
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    let from = invite.header("From").expect("a From");
    let asserted = invite.header("P-Asserted-Identity").expect("asserted");
    assert!(
        from.starts_with(&format!("{asserted};tag=")),
        "{from} {asserted}"
    );
    assert_eq!(invite.header("Privacy"), None);
}
