//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, SIPp on both
//! sides with Kamailio as Meta's TLS edge. All complete. (What is left afterwards is looked at in `e2e_load.rs`.)

use std::time::{Duration, Instant};

use tests::place::Place;
use tests::sbc::PASSWORD;
use tests::scripted::Scripted;
use tests::sipp::Sipp;
use tests::tools::present;

const CALLS: u32 = 1000;
const RATE: &str = "50";

/// So many calls, each with a user of its own: there is one call at a time between a business and a user.
fn many(sipp: Sipp, name: &str) -> Sipp {
    sipp.named(name)
        .fill("CALLEE", r"\+1219555[0-9]+")
        .fill("CALLED", "+1219555[call_number]")
        .fill("TALK", "1000")
        .calls(CALLS)
        .quietly()
}

fn user_calls(both: &Scripted) {
    let meta = many(both.meta("meta_calls"), "uic-meta")
        .fill("CALLER", "+1219555[call_number]")
        .with(&["-r", RATE, "-l", "1000"]);
    let pbx = many(both.pbx("pbx_answers_silently"), "uic-pbx");
    both.user_calls(meta, pbx, limit(CALLS));
}

fn business_calls(both: &Scripted) {
    let meta = many(both.meta("meta_answers"), "bic-meta");
    let pbx = many(both.pbx("pbx_calls_silently"), "bic-pbx").with(&["-r", RATE, "-l", "1000"]);
    both.business_calls(meta, pbx, limit(CALLS));
}

fn limit(calls: u32) -> Duration {
    Duration::from_secs(60 + u64::from(calls) / 20)
}

#[test]
fn a_thousand_calls_each_way_at_50_a_second_through_an_edge() {
    let story = "load";
    if !present(story, &["sipp", "kamailio"]) {
        return;
    }
    let place = Place::new("load-edge");
    let mut both = Scripted::start(place, Some(("MD5", PASSWORD)), 1.0, |_, setup| {
        setup.log = "info";
    });

    let began = Instant::now();
    user_calls(&both);
    println!(
        "load through Kamailio: 1,000 user-initiated calls in {:.1?}",
        began.elapsed()
    );
    let began = Instant::now();
    business_calls(&both);
    println!(
        "load through Kamailio: 1,000 business-initiated calls in {:.1?}",
        began.elapsed()
    );
    let calls = 2 * CALLS as usize;
    let records = both.sbc.wait_for_records(calls, Duration::from_secs(5));
    assert_eq!(records.len(), calls, "one record for every call");
}
