//! SIPp as a PBX that sends the user on, another SIPp as whom it sends her to, the real binary between, the simulated Meta on
//! the other side: one stream for the user, and not one request Meta does not know.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::desk::{asked_nothing_forbidden, heard_the_agent};
use tests::metronome::undisturbed;
use tests::place::{Place, wait_until};
use tests::sbc::{Sbc, Setup, USER};
use tests::simulated::{Simulated, meta_address, pbx_address, user_speaks};
use tests::sipp::{Sipp, agent_says, messages, succeed};
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
    agent_says(&place, 20.0);
    let sipp = |name: &str, scenario: &str, local| Sipp::pbx(scenario, local).named(name);
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
    asked_nothing_forbidden(&meta);
    heard_the_agent(&meta);
    let heard = meta.events("heard").remove(0);
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

/// The dialog the first agent is in, as his PBX would name it to us: ours is the To tag (RFC 3891 §3), though we have called him.
fn dialog_of_the_first(place: &Place) -> Option<String> {
    let seen = messages(place, "pbx");
    let answer = &seen[seen.find("SIP/2.0 200 OK")?..];
    // His ACK has come, so the dialog is there.
    answer.find("ACK sip:")?;
    let header = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let tag = |value: String| value.split_once(";tag=").map(|(_, tag)| tag.to_owned());
    Some(format!(
        "{};to-tag={};from-tag={}",
        header("Call-ID:")?,
        tag(header("From:")?)?,
        tag(header("To:")?)?
    ))
}

/// A PBX transfers by itself: the second half of an attended transfer is a call of another telephone of its with Replaces
/// (RFC 3891), which names the dialog of the first one.
#[test]
fn a_colleague_with_another_sipp_takes_the_call_over_and_the_user_hears_one_stream() {
    undisturbed(|| {
        let story = "sipp-replaces";
        if !present(story, &["sipp"]) {
            return;
        }
        let place = Place::new(story);
        let authority = Authority::new(&place);
        let pbx = pbx_address(&place);
        let mut sbc = Sbc::start(&place, &authority, &Setup::new(meta_address(&place), pbx));
        agent_says(&place, 20.0);
        let sipp = |name: &str, scenario: &str, port| {
            Sipp::pbx(scenario, SocketAddr::new(pbx.ip(), port))
                .named(name)
                .fill("TALK", "3000")
        };
        let mut first = sipp("pbx", "pbx_answers", pbx.port()).answer(&place);
        let speaks = user_speaks();
        let mut arguments: Vec<&str> = speaks.iter().map(String::as_str).collect();
        arguments.extend(["--at-most", "25", "--calls", "1"]);
        let mut meta = Simulated::meta(&place, &authority, "meta", &arguments);
        let mut dialog = None;
        wait_until("the first agent talks", LIMIT, || {
            dialog = dialog_of_the_first(&place);
            dialog.is_some()
        });
        let dialog = dialog.expect("waited for");
        std::thread::sleep(Duration::from_millis(1_500));
        // Somebody else's dialog is nobody's.
        let mut nobody = sipp("nobody", "pbx_takes_nobody_over", 5080)
            .fill("REPLACES", &dialog.replace(";to-tag=", ";to-tag=x"))
            .fill("STATUS", "481")
            .call(&place, USER, sbc.sip);
        succeed(&place, "nobody", &mut nobody, LIMIT);
        let mut colleague = sipp("colleague", "pbx_takes_over", 5070)
            .fill("REPLACES", &dialog)
            .with(&["-mp", "7000"])
            .call(&place, USER, sbc.sip);
        // The first one is hung up, the colleague hangs up.
        succeed(&place, "pbx", &mut first, LIMIT);
        succeed(&place, "colleague", &mut colleague, LIMIT);
        meta.succeed(LIMIT);
        asked_nothing_forbidden(&meta);
        heard_the_agent(&meta);
        let records = sbc.wait_for_records(1, LIMIT);
        assert_eq!(records.len(), 1, "one call, one record: {records:?}");
        assert_eq!(
            (&records[0]["cause"], &records[0]["released_by"]),
            (&Value::from("normal"), &Value::from("pbx")),
            "{records:?}"
        );
    });
}
