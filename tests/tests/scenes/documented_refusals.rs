//! Every refusal Meta documents, word for word as it is printed (Meta reference 8): what the agent's
//! PBX gets, what the record says, and whether the operator is woken up.

use b2bua::Level;
use sim::meta::knobs::{BusinessScript, Then};
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// Status and reason phrase of a published sample.
fn sample(name: &str) -> (u16, String) {
    let path = format!(
        "{}/../crates/sim/samples/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).expect("the sample is there");
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.splitn(3, ' ').skip(1);
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a status");
    (status, words.next().unwrap_or_default().to_owned())
}

/// Meta says this to our call; the agent gets `status` with Q.850 `q850`, the record gets `label`.
fn agent_gets(name: &str, status: u16, q850: u8, label: &str, alarm: bool) {
    let (said, reason) = sample(name);
    let mut world = silent_world();
    // What Meta itself finds out is said at once; what becomes of ringing takes its time.
    let script = match said {
        400 | 403 | 404 | 500 | 503 => meta_refuses(said, &reason),
        _ => BusinessScript {
            then: Then::Refuse(secs(3), said, reason.clone()),
            ..BusinessScript::default()
        },
    };
    // However often it is called.
    world.meta.settings_mut().script = script;
    world.agent_calls(agent());
    let story = world.story(secs(200));
    story.is_clean();
    let (got, cause) = story
        .all(Pbx, |what| match what {
            What::Refused { status, cause, .. } => {
                Some((*status, cause.clone().unwrap_or_default()))
            }
            _ => None,
        })
        .remove(0);
    assert_eq!(got, status, "{name}");
    assert!(
        cause.starts_with(&format!("Q.850;cause={q850}")),
        "{name}: {cause}"
    );
    let record = story.record();
    assert_eq!(
        (record.cause.label(), record.cause.q850()),
        (label, q850),
        "{name}"
    );
    assert!(
        record.cause.to_string().contains(&reason),
        "{name}: the words are kept: {}",
        record.cause
    );
    assert_eq!(record.released_by.label(), "carrier", "{name}");
    assert_eq!((record.answered, record.pulses), (None, None), "{name}");
    let warned = world
        .log
        .iter()
        .any(|line| line.level == Level::Warn && line.text.contains(label));
    assert_eq!(warned, alarm, "{name}: {:#?}", world.log);
    // Each attempt and its challenge; only trouble of Meta's own is worth a second attempt.
    let invites = world.messages(Sbc, Meta, "INVITE");
    let attempts = if matches!(said, 500 | 503) { 2 } else { 1 };
    assert_eq!(invites.len(), 2 * attempts, "{name}: {}", world.ladder());
    if let [_, first, second, _] = invites[..] {
        let pause = second.at - first.at;
        assert!(
            pause >= secs(2) && pause <= ms(5_100),
            "2 to 5 s after the refusal: {pause:?}"
        );
    }
}

#[test]
fn trouble_of_metas_that_passes_costs_the_agent_only_a_few_seconds() {
    let mut world = world();
    world.meta.script(meta_refuses(503, "Service Unavailable"));
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(3)));
    let story = world.story(secs(200));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.messages(Sbc, Pbx, "SIP/2.0 503").len(), 0);
}

#[test]
fn the_business_number_is_unknown_to_meta() {
    agent_gets(
        "error-400-invalid-number.sip",
        500,
        38,
        "unknown_business_number",
        true,
    );
}

#[test]
fn the_sip_server_is_not_the_one_meta_has_configured() {
    agent_gets(
        "error-403-domain-mismatch.sip",
        500,
        38,
        "from_domain_mismatch",
        true,
    );
}

#[test]
fn the_app_may_not_use_the_number() {
    agent_gets(
        "error-403-app-not-authorized.sip",
        500,
        38,
        "app_not_authorized",
        true,
    );
}

#[test]
fn the_user_has_not_permitted_calls() {
    agent_gets(
        "error-403-no-permission.sip",
        403,
        21,
        "no_call_permission",
        false,
    );
}

#[test]
fn the_user_has_had_enough_calls_today() {
    agent_gets("error-403-daily-limit.sip", 403, 21, "daily_limit", false);
}

#[test]
fn the_user_is_on_the_line_with_us_already() {
    agent_gets(
        "error-403-duplicate-call.sip",
        486,
        17,
        "duplicate_call",
        false,
    );
}

#[test]
fn the_password_was_reset() {
    agent_gets("error-403-digest.sip", 500, 38, "wrong_password", true);
}

#[test]
fn something_on_the_way_rewrites_to() {
    agent_gets(
        "error-403-digest-uri.sip",
        500,
        38,
        "digest_uri_mismatch",
        true,
    );
}

#[test]
fn the_business_has_not_paid() {
    agent_gets("error-403-payment.sip", 503, 38, "no_payment_method", true);
}

#[test]
fn the_number_is_switched_to_another_keying() {
    agent_gets("error-403-sdp.sip", 488, 88, "sdp_refused", true);
}

#[test]
fn the_request_uri_names_no_user_of_metas() {
    agent_gets(
        "error-404-ip-request-uri.sip",
        404,
        1,
        "request_uri_refused",
        true,
    );
}

#[test]
fn the_users_app_heard_no_media() {
    agent_gets("error-408-rtp-timeout.sip", 408, 102, "rtp_timeout", true);
}

#[test]
fn the_user_does_not_pick_up() {
    agent_gets("error-480.sip", 480, 18, "user_unavailable", false);
}

#[test]
fn the_user_declines() {
    agent_gets("error-486.sip", 603, 21, "user_declined", false);
}

#[test]
fn meta_has_an_error_of_its_own() {
    agent_gets("error-500-reinvite.sip", 500, 41, "meta_error", true);
}

#[test]
fn meta_is_out_of_service() {
    agent_gets("error-503.sip", 503, 41, "meta_unavailable", true);
}

#[test]
fn the_pbxs_refusals_reach_the_user_with_their_cause() {
    for (said, to_meta, label) in [
        (486, 486, "busy"),
        (600, 486, "busy"),
        (480, 480, "unavailable"),
        (603, 603, "declined"),
        (403, 603, "declined"),
        (404, 404, "not_found"),
        (488, 488, "media_refused"),
        (500, 500, "peer_error"),
        (503, 503, "peer_unavailable"),
        (408, 480, "peer_timeout"),
        (302, 480, "redirected"),
    ] {
        let mut world = silent_world();
        world.pbx.script(pbx_refuses(secs(2), said, "So it is"));
        world.user_calls(user());
        let story = world.story(secs(200));
        story.is_clean();
        assert_eq!(story.refused(Meta).0, to_meta, "the PBX said {said}");
        let record = story.record();
        assert_eq!(
            (record.cause.label(), record.released_by.label()),
            (label, "pbx"),
            "the PBX said {said}"
        );
    }
}
