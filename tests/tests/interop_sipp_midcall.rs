//! SIPp as a PBX that does in mid-call whatever it likes, the real binary between, the simulated Meta on the other side over
//! TLS and SRTP: every request is answered to the letter, and Meta finds no fault and no method beyond its five.

use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{NUMBER, Sbc, Setup, USER};
use tests::simulated::{Simulated, meta_address, pbx_address, user_speaks};
use tests::sipp::{Sipp, succeed};
use tests::tone::{AGENT_HZ, Audio, to_alaw};
use tests::tools::present;

const LIMIT: Duration = Duration::from_secs(30);

/// How one call went.
struct Outcome {
    meta: Simulated,
    record: Value,
}

/// One call between the simulated Meta and a scenario of SIPp.
fn call(story: &str, scenario: &str, user_calls: bool, meta: &[&str]) -> Option<Outcome> {
    if !present(story, &["sipp"]) {
        return None;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let pbx = pbx_address(&place);
    let mut sbc = Sbc::start(&place, &authority, &Setup::new(meta_address(&place), pbx));
    place.write(
        "agent.al",
        to_alaw(&Audio::tone(AGENT_HZ, 8000, 20.0).samples),
    );
    let sipp = Sipp::new("pbx", scenario, pbx)
        .codec("PCMA")
        .fill("TONE", "agent.al")
        .fill("CALLER", NUMBER);
    let speaks = user_speaks();
    let mut arguments: Vec<&str> = speaks.iter().map(String::as_str).collect();
    arguments.extend(meta);
    arguments.extend(["--at-most", "25"]);
    let (mut meta, mut sipp) = if user_calls {
        let sipp = sipp.answer(&place);
        arguments.extend(["--calls", "1"]);
        (
            Simulated::meta(&place, &authority, "meta", &arguments),
            sipp,
        )
    } else {
        arguments.extend(["--exit-after", "1"]);
        let meta = Simulated::meta(&place, &authority, "meta", &arguments);
        (meta, sipp.call(&place, USER, sbc.sip))
    };
    succeed(&place, "pbx", &mut sipp, LIMIT);
    // Ends with status 0 only if no rule was broken and nothing forbidden was asked.
    meta.succeed(LIMIT);
    let summary = meta.events("summary");
    assert_eq!(
        (&summary[0]["violations"], &summary[0]["forbidden"]),
        (&Value::from(0), &Value::from(0)),
        "{summary:?}"
    );
    let record = sbc.wait_for_records(1, LIMIT).remove(0);
    Some(Outcome { meta, record })
}

#[test]
fn a_pbx_holds_updates_and_tells_digits_and_meta_hears_keys_and_no_request() {
    undisturbed(|| {
        let hang_up = ["--hang-up-after", "8"];
        let Some(outcome) = call("sipp-changes", "pbx_changes", true, &hang_up) else {
            return;
        };
        let heard = &outcome.meta.events("heard")[0];
        assert_eq!(heard["digits"], "5#", "{heard}");
        assert_eq!(heard["ssrcs"], 1, "{heard}");
        assert_eq!(heard["bad"], 0, "{heard}");
        assert_eq!(outcome.record["cause"], "normal", "{}", outcome.record);
    });
}

#[test]
fn a_pbx_rings_reliably_and_answers_in_its_ringing() {
    undisturbed(|| {
        let hang_up = ["--hang-up-after", "3"];
        let story = call("sipp-reliable", "pbx_rings_reliably", true, &hang_up);
        let Some(outcome) = story else { return };
        assert_eq!(outcome.record["cause"], "normal", "{}", outcome.record);
        assert!(!outcome.meta.events("answered").is_empty());
    });
}

#[test]
fn a_pbx_calls_with_too_short_a_session_then_reliably_and_refreshes() {
    undisturbed(|| {
        let answer = ["--answer-after", "2"];
        let story = call("sipp-refreshes", "pbx_calls_and_refreshes", false, &answer);
        let Some(outcome) = story else { return };
        assert_eq!(outcome.record["cause"], "normal", "{}", outcome.record);
    });
}

#[test]
fn a_pbx_whose_offers_cross_is_told_to_wait_and_holds_afterwards() {
    undisturbed(|| {
        let Some(outcome) = call("sipp-glare", "pbx_offers_twice", true, &[]) else {
            return;
        };
        assert_eq!(outcome.record["cause"], "normal", "{}", outcome.record);
    });
}

#[test]
fn an_agent_who_picks_up_in_the_moment_the_user_gives_up_is_let_go() {
    undisturbed(|| {
        // Counted from the ringing: on a busy machine a call may take long to reach the desk.
        let gives_up = ["--cancel-ringing-after", "1"];
        let story = call(
            "sipp-cancel-race",
            "pbx_answers_despite_cancel",
            true,
            &gives_up,
        );
        let Some(outcome) = story else { return };
        assert_eq!(outcome.record["cause"], "cancelled", "{}", outcome.record);
    });
}
