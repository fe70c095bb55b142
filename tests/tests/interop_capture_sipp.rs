//! `wa-sbc capture` between a SIPp that plays Meta behind Kamailio, word for word, and a SIPp that plays the PBX: calls, and those
//! that become none. What tshark makes of the files, and what a replay does; `make capture-live` keeps them.

use std::net::SocketAddr;

use tests::captured::{LIMIT, capture, judged, tables};
use tests::certificates::Authority;
use tests::kamailio::Edge;
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{DOMAIN, HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::sipp::{Sipp, succeed};
use tests::tone::{AGENT_HZ, Audio, to_alaw};
use tests::tools::present;

/// A wa-sbc that is captured, between the two.
struct Lab {
    place: Place,
    sbc: Sbc,
    running: Running,
    _edge: Running,
    inner: SocketAddr,
    meta: SocketAddr,
    pbx: SocketAddr,
}

impl Lab {
    fn new(name: &str, challenge: Option<(&str, &str)>, of: &[&str]) -> Option<Lab> {
        if !present(name, &["tshark", "sipp", "kamailio"]) {
            return None;
        }
        let place = Place::new(&format!("live-{name}"));
        let authority = Authority::new(&place);
        let at = |host, port| SocketAddr::new(place.address(host), port);
        let (outer, inner) = (at(21, 5061), at(22, 5070));
        let (meta, pbx) = (at(23, 5060), at(31, 5060));
        let identity = authority.identity(&place, &["wa.meta.vc"]);
        let edge = Edge {
            outer,
            inner,
            sbc: at(1, 5061),
            sbc_host: HOST,
            sipp: meta,
            sipp_transport: "udp",
            challenge,
        }
        .start(&place, &authority, &identity);
        let mut setup = Setup::new(outer, pbx);
        setup.tables = tables(&place);
        let sbc = Sbc::start(&place, &authority, &setup);
        let running = capture(&place, &sbc, of);
        place.write(
            "agent.al",
            to_alaw(&Audio::tone(AGENT_HZ, 8000, 10.0).samples),
        );
        Some(Lab {
            place,
            sbc,
            running,
            _edge: edge,
            inner,
            meta,
            pbx,
        })
    }

    fn meta(&self, scenario: &str) -> Sipp {
        Sipp::new("meta", scenario, self.meta)
            .fill("HOST", HOST)
            .fill("DOMAIN", DOMAIN)
            .fill("CALLER", USER)
            .fill("CALLEE", r"\+12195550714")
            .fill("USER", USERNAME)
            .fill("PASSWORD", PASSWORD)
            .fill("TALK", "1500")
            .with(&["-auth_uri", &format!("{NUMBER}@{HOST}")])
    }

    fn pbx(&self, scenario: &str) -> Sipp {
        Sipp::new("pbx", scenario, self.pbx)
            .codec("PCMA")
            .fill("TONE", "agent.al")
            .fill("TALK", "1500")
            .fill("CALLER", NUMBER)
    }

    /// The user calls; what the replay says.
    fn user_calls(&mut self, meta: Sipp, pbx: Sipp, kept: (&str, &str)) -> String {
        let mut answering = pbx.answer(&self.place);
        let mut calling = meta.call(&self.place, NUMBER, self.inner);
        self.end(&mut calling, &mut answering, kept)
    }

    /// The business calls; what the replay says.
    fn business_calls(&mut self, meta: Sipp, pbx: Sipp, kept: (&str, &str)) -> String {
        let mut answering = meta.answer(&self.place);
        let mut calling = pbx.call(&self.place, USER, self.sbc.sip);
        self.end(&mut answering, &mut calling, kept)
    }

    fn end(&mut self, meta: &mut Running, pbx: &mut Running, kept: (&str, &str)) -> String {
        succeed(&self.place, "meta", meta, LIMIT);
        succeed(&self.place, "pbx", pbx, LIMIT);
        self.sbc.wait_for_records(1, LIMIT);
        judged(&self.place, &mut self.running, kept)
    }
}

#[test]
fn a_call_between_sipp_as_meta_and_a_sipp_pbx_is_captured_and_replayed() {
    let name = "sipp-user-calls";
    let Some(mut lab) = Lab::new(name, None, &["--trunk", "office"]) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_calls"), lab.pbx("pbx_answers"));
    let about = "SIPp behind Kamailio is Meta and calls, is challenged, a SIPp PBX answers; the caller hangs up.";
    let text = lab.user_calls(meta, pbx, (name, about));
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
    let (meta, pbx) = (lab.meta("meta_cancels"), lab.pbx("pbx_rings_on"));
    let about = "SIPp behind Kamailio is Meta and calls, is challenged, and sends CANCEL while a SIPp PBX rings.";
    let text = lab.user_calls(meta, pbx, (name, about));
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
    let meta = lab
        .meta("meta_refuses")
        .fill("STATUS", "403")
        .fill("PHRASE", phrase);
    let pbx = lab
        .pbx("pbx_is_refused")
        .fill("STATUS", status)
        .fill("CAUSE", cause);
    let about = format!(
        "A SIPp PBX calls; SIPp behind Kamailio is Meta, challenges and refuses: {phrase}."
    );
    let text = lab.business_calls(meta, pbx, (name, &about));
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
