//! The business calls a WhatsApp user and does not get through (Meta reference 8).

use sim::meta::knobs::BusinessNumber;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// Status and Q.850 cause the agent's PBX gets.
fn agent_learns(world: &mut sim::World, what_meta_said: &str) -> (u16, String) {
    world.agent_calls(agent());
    let story = world.story(secs(200));
    assert_eq!(story.record().answered, None);
    let all = story.all(Pbx, |what| match what {
        What::Refused { status, cause, .. } => Some((*status, cause.clone().unwrap_or_default())),
        _ => None,
    });
    assert_eq!(all.len(), 1, "{what_meta_said}");
    let (status, cause) = all[0].clone();
    let q850 = cause
        .split("cause=")
        .nth(1)
        .and_then(|c| c.split([';', ',', ' ']).next())
        .unwrap_or_default();
    (status, q850.to_owned())
}

/// The table of Meta reference 8, row by row.
#[test]
fn the_agent_learns_why_meta_refused() {
    for (status, text, to_pbx, q850) in [
        (
            403,
            "No Approved Call Permission Found: No approved call permission from the recipient",
            403,
            "21",
        ),
        (
            403,
            "The app 634974688087057 configured for SIP server meta-voip.example.com is not authorized for phone number id 106540352242922",
            500,
            "38",
        ),
        (
            403,
            "Business Initiated Connected Call Per Day Limit Hit",
            403,
            "21",
        ),
        (403, "Duplicate call", 486, "17"),
        (403, "Invalid digest auth response", 500, "38"),
        (403, "Proxy auth uri does not match SIP 'to' uri", 500, "38"),
        (403, "Business eligibility payment issue", 503, "38"),
        (403, "SDP Validation Error", 488, "88"),
        (404, "Not found", 404, "1"),
    ] {
        let mut world = silent_world();
        world.meta.script(meta_refuses(status, text));
        let got = agent_learns(&mut world, text);
        assert_eq!(got, (to_pbx, q850.to_owned()), "{status} {text}");
    }
}

#[test]
fn the_agent_learns_what_the_user_did() {
    for (status, text, to_pbx, q850) in [
        (408, "RTP Timeout", 408, "102"),
        (480, "Temporarily Unavailable", 480, "18"),
        (486, "User declined the call", 603, "21"),
        (410, "Gone", 404, "1"),
    ] {
        let mut world = silent_world();
        world.meta.script(user_refuses(secs(3), status, text));
        let got = agent_learns(&mut world, text);
        assert_eq!(got, (to_pbx, q850.to_owned()), "{status} {text}");
    }
}

#[test]
fn a_user_who_declined_is_not_called_again() {
    let mut world = silent_world();
    world
        .meta
        .script(user_refuses(secs(3), 486, "User declined the call"));
    agent_learns(&mut world, "486");
    let started = world
        .reports
        .iter()
        .filter(|r| r.peer == "meta" && matches!(r.what, What::Started { .. }))
        .count();
    assert_eq!(started, 1);
}

#[test]
fn meta_has_trouble_and_the_agent_hears_503() {
    let mut world = silent_world_with(|b| b.meta.script = meta_refuses(503, "Service Unavailable"));
    let (status, _) = agent_learns(&mut world, "503");
    assert_eq!(status, 503);
    let invites = world.messages(Sbc, Meta, "INVITE").len();
    assert!(
        invites <= 4,
        "one retry at most, each with its challenge: {invites}"
    );
}

#[test]
fn a_business_number_meta_does_not_know_is_the_operators_fault() {
    let mut world = silent_world_with(|b| {
        b.meta.numbers = vec![BusinessNumber::new("+17120000000", HOST, 5061, PASSWORD)];
    });
    let (status, q850) = agent_learns(&mut world, "400");
    assert_eq!((status, q850.as_str()), (500, "38"));
    assert_eq!(
        world
            .messages(
                Meta,
                Sbc,
                "SIP/2.0 400 Asset not found, invalid business phone number"
            )
            .len(),
        1
    );
}

#[test]
fn a_from_domain_meta_does_not_know_is_the_operators_fault() {
    let mut world = silent_world_with(|b| b.meta.numbers[0].hostname = "other.example.org".into());
    let (status, q850) = agent_learns(&mut world, "403");
    assert_eq!((status, q850.as_str()), (500, "38"));
    let told = world.messages(
        Meta,
        Sbc,
        "SIP/2.0 403 SIP server meta-voip.example.com from INVITE does not match",
    );
    assert_eq!(told.len(), 1);
}

#[test]
fn an_extension_calls_as_the_only_number_of_its_trunk() {
    let mut world = silent_world();
    let mut call = agent().hanging_up_after(secs(2));
    call.from = "237".into();
    world.agent_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Meta).answered);
}

#[test]
fn an_extension_of_a_trunk_with_two_numbers_is_refused_here() {
    let mut world = silent_world_with(|b| {
        let mut second = (*b.settings.numbers[0]).clone();
        second.e164 = b2bua::E164::parse("+17125550260").unwrap();
        b.settings.numbers.push(std::sync::Arc::new(second));
    });
    let mut call = agent();
    call.from = "237".into();
    world.agent_calls(call);
    assert!(world.until_quiet(secs(120)));
    assert!(
        world.messages(Sbc, Meta, "").is_empty(),
        "Meta is not bothered"
    );
    let refused = world.reports.iter().any(|r| {
        matches!(
            r.what,
            What::Refused {
                status: 403 | 404,
                ..
            }
        )
    });
    assert!(refused, "{}", world.ladder());
}

#[test]
fn a_stranger_on_the_network_cannot_call_out() {
    let mut world = silent_world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            t.networks = "192.0.2.0/24".parse().into_iter().collect()
        });
    });
    world.agent_calls(agent());
    assert!(world.until_quiet(secs(120)));
    assert!(world.messages(Sbc, Meta, "").is_empty());
    assert!(
        world
            .reports
            .iter()
            .any(|r| matches!(r.what, What::Refused { status: 403, .. })),
        "{}",
        world.ladder()
    );
}

#[test]
fn a_trunk_to_the_public_telephone_network_may_not_carry_the_call() {
    let mut world = silent_world_with(|b| with_trunk(&mut b.settings, |t| t.pstn = true));
    world.agent_calls(agent());
    assert!(world.until_quiet(secs(120)));
    assert!(world.messages(Sbc, Meta, "").is_empty());
    let cause = world.reports.iter().find_map(|r| match &r.what {
        What::Refused { cause, .. } => cause.clone(),
        _ => None,
    });
    assert!(
        cause.as_deref().is_some_and(|c| c.contains("cause=57")),
        "{cause:?}\n{}",
        world.ladder()
    );
}
