//! SIPp as a PBX that sends the user on, another SIPp as whom it sends her to, the real binary between, the simulated Meta on
//! the other side: one stream for the user, and not one request Meta does not know.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, meta_address, pbx_address, user_speaks};
use tests::sipp::{Sipp, succeed};
use tests::tone::{AGENT_HZ, Audio, to_alaw};
use tests::tools::present;

const LIMIT: Duration = Duration::from_secs(30);

/// What is asked of whom the user is sent to.
struct Target {
    scenario: &'static str,
    /// Behind the address in Refer-To.
    headers: &'static str,
    /// A header of the INVITE, and how it begins.
    carries: (&'static str, &'static str),
}

/// A user calls, the PBX sends her on, she hangs up after 7 s. What Meta and the record say.
fn transfer(story: &str, scenario: &str, target: &Target) -> Option<(Value, Value)> {
    if !present(story, &["sipp"]) {
        return None;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let pbx = pbx_address(&place);
    let colleague = SocketAddr::new(pbx.ip(), 5070);
    let mut sbc = Sbc::start(&place, &authority, &Setup::new(meta_address(&place), pbx));
    place.write(
        "agent.al",
        to_alaw(&Audio::tone(AGENT_HZ, 8000, 20.0).samples),
    );
    let sipp = |name: &str, scenario: &str, local| {
        Sipp::new(name, scenario, local)
            .codec("PCMA")
            .fill("TONE", "agent.al")
    };
    let mut first = sipp("pbx", scenario, pbx)
        .fill("TARGET", &format!("sip:201@{colleague}{}", target.headers))
        .answer(&place);
    let mut second = sipp("colleague", target.scenario, colleague)
        .fill("HEADER", target.carries.0)
        .fill("VALUE", target.carries.1)
        .with(&["-mp", "7000"])
        .answer(&place);
    let speaks = user_speaks();
    let mut arguments: Vec<&str> = speaks.iter().map(String::as_str).collect();
    arguments.extend(["--hang-up-after", "7", "--at-most", "25", "--calls", "1"]);
    let mut meta = Simulated::meta(&place, &authority, "meta", &arguments);
    succeed(&place, "pbx", &mut first, LIMIT);
    succeed(&place, "colleague", &mut second, LIMIT);
    // Ends with status 0 only if no rule was broken and nothing forbidden was asked.
    meta.succeed(LIMIT);
    let summary = meta.events("summary");
    assert_eq!(
        (&summary[0]["violations"], &summary[0]["forbidden"]),
        (&Value::from(0), &Value::from(0)),
        "{summary:?}"
    );
    let heard = meta.events("heard").remove(0);
    assert_eq!(
        (&heard["ssrcs"], &heard["lost"], &heard["bad"]),
        (&Value::from(1), &Value::from(0), &Value::from(0)),
        "{heard}"
    );
    assert!(heard["tone_found"] == true, "{heard}");
    println!("{story}: user heard {heard}");
    Some((heard, sbc.wait_for_records(1, LIMIT).remove(0)))
}

#[test]
fn a_user_is_sent_on_blindly_by_a_sipp_pbx() {
    undisturbed(|| {
        let target = Target {
            scenario: "pbx_is_transferred_to",
            headers: "",
            carries: ("Referred-By", ".sip:desk@"),
        };
        let Some((_, record)) = transfer("sipp-blind", "pbx_transfers", &target) else {
            return;
        };
        assert_eq!(record["cause"], "normal", "{record}");
        assert_eq!(record["released_by"], "carrier", "{record}");
    });
}

#[test]
fn a_user_is_handed_over_by_a_sipp_pbx_that_asked_before() {
    undisturbed(|| {
        let target = Target {
            scenario: "pbx_is_transferred_to",
            headers: "?Replaces=7%40desk%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces",
            carries: ("Replaces", "7@desk;to-tag=1;from-tag=2"),
        };
        let Some((_, record)) = transfer("sipp-attended", "pbx_transfers", &target) else {
            return;
        };
        assert_eq!(record["cause"], "normal", "{record}");
    });
}

#[test]
fn a_user_sent_to_somebody_busy_stays_with_the_sipp_pbx() {
    undisturbed(|| {
        let target = Target {
            scenario: "pbx_is_busy",
            headers: "",
            carries: ("Referred-By", ".sip:desk@"),
        };
        let Some((heard, record)) = transfer("sipp-vain", "pbx_transfers_in_vain", &target) else {
            return;
        };
        assert_eq!(heard["tone_gaps"], 0, "{heard}");
        assert_eq!(record["cause"], "normal", "{record}");
    });
}
