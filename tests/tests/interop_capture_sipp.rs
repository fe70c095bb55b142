//! `wa-sbc capture` between a SIPp that plays Meta behind Kamailio, word for word, and a SIPp that plays the PBX: calls, and those
//! that become none. What tshark makes of the files, and what a replay does; `make capture-live` keeps them.

use tests::captured::{LIMIT, capture, judged, tables};
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{PASSWORD, USER};
use tests::scripted::Scripted;
use tests::tools::present;

/// Both scripts, and a wa-sbc between them that is captured.
struct Lab {
    both: Scripted,
    running: Running,
}

impl Lab {
    fn new(name: &str, challenge: Option<(&str, &str)>, of: &[&str]) -> Option<Lab> {
        if !present(name, &["tshark", "sipp", "kamailio"]) {
            return None;
        }
        let place = Place::new(&format!("live-{name}"));
        let both = Scripted::start(place, challenge, 10.0, |place, setup| {
            setup.tables = tables(place);
        });
        let running = capture(&both.place, &both.sbc, of);
        Some(Lab { both, running })
    }

    /// The one call is over; what the replay says.
    fn replayed(&mut self, kept: (&str, &str)) -> String {
        self.both.sbc.wait_for_records(1, LIMIT);
        judged(&self.both.place, &mut self.running, kept)
    }
}

#[test]
fn a_call_between_sipp_as_meta_and_a_sipp_pbx_is_captured_and_replayed() {
    let name = "sipp-user-calls";
    let Some(mut lab) = Lab::new(name, None, &["--trunk", "office"]) else {
        return;
    };
    let both = &lab.both;
    let (meta, pbx) = (both.meta("meta_calls"), both.pbx("pbx_answers"));
    both.user_calls(meta, pbx, LIMIT);
    let about = "SIPp behind Kamailio is Meta and calls, is challenged, a SIPp PBX answers; the caller hangs up.";
    let text = lab.replayed((name, about));
    for part in ["Meta 407 (INVITE)", "1600 Hz", "answered true"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_user_who_gives_up_is_captured_and_replayed() {
    let name = "sipp-user-gives-up";
    let Some(mut lab) = Lab::new(name, None, &["--number", USER]) else {
        return;
    };
    let both = &lab.both;
    let (meta, pbx) = (both.meta("meta_cancels"), both.pbx("pbx_rings_on"));
    both.user_calls(meta, pbx, LIMIT);
    let about = "SIPp behind Kamailio is Meta and calls, is challenged, and sends CANCEL while a SIPp PBX rings.";
    let text = lab.replayed((name, about));
    for part in ["Meta 487 (INVITE)", "PBX  CANCEL", "cancelled"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// A business-initiated call that Meta refuses with 403 and these words.
fn refused(name: &str, phrase: &str, status: &str, cause: &str, record: &str) {
    let challenge = Some(("MD5", PASSWORD));
    let Some(mut lab) = Lab::new(name, challenge, &["--all"]) else {
        return;
    };
    let both = &lab.both;
    let meta = both
        .meta("meta_refuses")
        .fill("STATUS", "403")
        .fill("PHRASE", phrase);
    let pbx = both
        .pbx("pbx_is_refused")
        .fill("STATUS", status)
        .fill("CAUSE", cause);
    both.business_calls(meta, pbx, LIMIT);
    let about = format!(
        "A SIPp PBX calls; SIPp behind Kamailio is Meta, challenges and refuses: {phrase}."
    );
    let text = lab.replayed((name, &about));
    for part in [
        "Meta INVITE +auth SDP",
        record,
        &format!("PBX  {status} (INVITE)"),
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn a_user_who_permitted_no_call_is_captured_and_replayed() {
    refused(
        "sipp-refused-permission",
        "No Approved Call Permission Found for this user",
        "403",
        "21",
        "no_call_permission 403",
    );
}

#[test]
fn a_business_that_does_not_pay_is_captured_and_replayed() {
    refused(
        "sipp-refused-payment",
        "Business eligibility payment issue",
        "503",
        "38",
        "no_payment_method 503",
    );
}

#[test]
fn a_wrong_password_is_captured_and_replayed() {
    refused(
        "sipp-refused-digest",
        "Invalid digest auth response",
        "500",
        "38",
        "wrong_password 500",
    );
}
