//! SIPp as Meta behind Kamailio as TLS edge, SIPp as the PBX: signalling to the letter, both sides written down in
//! `tests/sipp/`, the edge as strict about Routes as Meta.

use std::time::Duration;

use md5::Digest;
use tests::capture::Capture;
use tests::place::Place;
use tests::sbc::{NUMBER, PASSWORD, USER, USERNAME};
use tests::scripted::Scripted;
use tests::sipp::{Sipp, messages, succeed};
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(40);

/// Both scripts and the edge between them, the wire looked at where that is allowed.
struct Lab {
    both: Scripted,
    capture: Option<Capture>,
}

impl Lab {
    fn new(story: &str, challenge: Option<(&str, &str)>) -> Option<Lab> {
        if !present(story, &["sipp", "kamailio"]) {
            return None;
        }
        let place = Place::new(story);
        let capture = may_capture(story).then(|| {
            let network = format!("net {}", place.network());
            Capture::start(&place, "capture", &network, &[5060, 5070])
        });
        let both = Scripted::start(place, challenge, 40.0, |_, _| {});
        Some(Lab { both, capture })
    }

    fn meta(&self, scenario: &str) -> Sipp {
        self.both.meta(scenario)
    }

    fn pbx(&self, scenario: &str) -> Sipp {
        self.both.pbx(scenario)
    }

    fn user_calls(&mut self, meta: Sipp, pbx: Sipp) {
        self.both.user_calls(meta, pbx, SOON);
        self.nothing_to_object_to();
    }

    fn business_calls(&mut self, meta: Sipp, pbx: Sipp) {
        self.both.business_calls(meta, pbx, SOON);
        self.nothing_to_object_to();
    }

    fn nothing_to_object_to(&mut self) {
        let edge = self.both.edge.log();
        for fault in [
            "wrong Routes",
            "re-INVITE",
            "foreign Request-URI",
            "is not",
            "cannot relay",
        ] {
            assert!(
                !edge.contains(&format!("edge: {fault}")),
                "the edge complains:\n{edge}"
            );
        }
        if let Some(capture) = &mut self.capture {
            capture.stop();
            assert_eq!(
                capture.malformed(),
                Vec::<String>::new(),
                "tshark finds nothing malformed"
            );
        }
    }

    /// The edge challenged us, and took our answer.
    fn proved(&self) {
        let edge = &self.both.edge;
        let accepted = format!("edge: digest of {USERNAME} accepted");
        assert!(edge.log().contains(&accepted), "{}", edge.tail());
    }
}

fn md5(text: &str) -> String {
    md5::Md5::digest(text)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[test]
fn user_calls_is_challenged_and_hangs_up() {
    let Some(mut lab) = Lab::new("edge-uic-user-hangs-up", None) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_calls"), lab.pbx("pbx_answers"));
    lab.user_calls(meta, pbx);
    let seen = messages(&lab.both.place, "pbx");
    assert!(
        seen.to_lowercase()
            .contains("x-wa-meta-cta-payload: order=on-12853&src=button"),
        "{seen}"
    );
    assert!(
        seen.contains("wacid.HBgLMTIx1"),
        "the call's id reaches the PBX: {seen}"
    );
    let records = lab.both.sbc.wait_for_records(1, SOON);
    let record = records[0].to_string();
    assert!(
        record.contains("wacid.HBgLMTIx1") && record.contains("order=ON-12853"),
        "{record}"
    );
}

#[test]
fn user_calls_and_the_agent_hangs_up_along_metas_routes() {
    let Some(mut lab) = Lab::new("edge-uic-agent-hangs-up", None) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_calls_is_hung_up"), lab.pbx("pbx_hangs_up"));
    lab.user_calls(meta, pbx);
    let seen = messages(&lab.both.place, "meta");
    assert!(
        seen.contains("BYE sip:+12195550714@wa.meta.vc;transport=tls;ob SIP/2.0"),
        "{seen}"
    );
}

#[test]
fn user_gives_up_while_the_desk_rings() {
    let Some(mut lab) = Lab::new("edge-uic-cancel", None) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_cancels"), lab.pbx("pbx_rings_on"));
    lab.user_calls(meta, pbx);
}

#[test]
fn user_calls_a_busy_desk() {
    let Some(mut lab) = Lab::new("edge-uic-busy", None) else {
        return;
    };
    let (meta, pbx) = (
        lab.meta("meta_is_refused").fill("STATUS", "486"),
        lab.pbx("pbx_is_busy"),
    );
    lab.user_calls(meta, pbx);
}

#[test]
fn a_wrong_answer_to_our_challenge_is_403_and_never_rings() {
    let Some(mut lab) = Lab::new("edge-uic-wrong-password", None) else {
        return;
    };
    let mut calling = lab
        .meta("meta_is_refused")
        .fill("PASSWORD", "guessed")
        .fill("STATUS", "403")
        .call(&lab.both.place, NUMBER, lab.both.inner);
    succeed(&lab.both.place, "meta", &mut calling, SOON);
    if let Some(capture) = &mut lab.capture {
        capture.stop();
        assert_eq!(
            capture.count(&format!("sip && ip.dst == {}", lab.both.pbx.ip())),
            0,
            "the desk never heard of it"
        );
    }
}

#[test]
fn desk_calls_user_challenged_with_407_md5_and_hangs_up() {
    let Some(mut lab) = Lab::new("edge-bic-md5", Some(("MD5", PASSWORD))) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_answers"), lab.pbx("pbx_calls"));
    lab.business_calls(meta, pbx);
    lab.proved();
}

#[test]
fn desk_calls_user_challenged_with_407_sha_256_and_the_user_hangs_up() {
    let Some(mut lab) = Lab::new("edge-bic-sha256", Some(("SHA-256", PASSWORD))) else {
        return;
    };
    let (meta, pbx) = (
        lab.meta("meta_answers_hangs_up"),
        lab.pbx("pbx_calls_is_hung_up"),
    );
    lab.business_calls(meta, pbx);
    lab.proved();
}

#[test]
fn desk_calls_user_challenged_with_401() {
    let Some(mut lab) = Lab::new("edge-bic-401", None) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_challenges_401"), lab.pbx("pbx_calls"));
    lab.business_calls(meta, pbx);
    let seen = messages(&lab.both.place, "meta");
    let answer = seen
        .lines()
        .find_map(|line| line.strip_prefix("Authorization: Digest "))
        .unwrap_or_else(|| panic!("a 401 is answered with Authorization: {seen}"));
    let value = |name: &str| -> String {
        let parameter = answer
            .split(", ")
            .find_map(|one| one.strip_prefix(&format!("{name}=")));
        parameter
            .unwrap_or_else(|| panic!("no {name} in {answer}"))
            .trim_matches('"')
            .to_owned()
    };
    assert_eq!(value("uri"), format!("sip:{USER}@wa.meta.vc;transport=tls"));
    assert_eq!(
        (value("nc"), value("qop"), value("opaque")),
        ("00000001".into(), "auth".into(), "725a06fb2cd89a32".into())
    );
    let secret = md5(&format!("{}:wa.meta.vc:{PASSWORD}", value("username")));
    let request = md5(&format!("INVITE:{}", value("uri")));
    let proof = md5(&format!(
        "{secret}:2a487cb01d4ed43b:{}:{}:auth:{request}",
        value("nc"),
        value("cnonce")
    ));
    assert_eq!(value("response"), proof, "{answer}");
}

#[test]
fn desk_calls_user_without_permission_and_learns_why() {
    let Some(mut lab) = Lab::new("edge-bic-no-permission", None) else {
        return;
    };
    let phrase = "No Approved Call Permission Found for this user";
    let meta = lab
        .meta("meta_refuses")
        .fill("STATUS", "403")
        .fill("PHRASE", phrase);
    let pbx = lab
        .pbx("pbx_is_refused")
        .fill("STATUS", "403")
        .fill("CAUSE", "21");
    lab.business_calls(meta, pbx);
    let records = lab.both.sbc.wait_for_records(1, SOON);
    assert!(
        records[0]
            .to_string()
            .contains("No Approved Call Permission"),
        "{records:?}"
    );
}

#[test]
fn desk_calls_user_who_declines() {
    let Some(mut lab) = Lab::new("edge-bic-declined", None) else {
        return;
    };
    let meta = lab
        .meta("meta_refuses")
        .fill("STATUS", "486")
        .fill("PHRASE", "User declined the call");
    let pbx = lab
        .pbx("pbx_is_refused")
        .fill("STATUS", "603")
        .fill("CAUSE", "21");
    lab.business_calls(meta, pbx);
}

#[test]
fn a_wrong_password_ends_the_business_call_after_one_retry() {
    let Some(lab) = Lab::new("edge-bic-wrong-password", Some(("MD5", "another password"))) else {
        return;
    };
    // The edge does not accept our password: a second 407 ends the attempt, no loop.
    let mut calling = lab
        .pbx("pbx_is_refused")
        .fill("STATUS", "500")
        .fill("CAUSE", "38")
        .call(&lab.both.place, USER, lab.both.sbc.sip);
    succeed(&lab.both.place, "pbx", &mut calling, SOON);
    let attempts = lab
        .both
        .edge
        .log()
        .matches("INVITE sip:+12195550714@wa.meta.vc")
        .count();
    assert!(
        attempts <= 3,
        "{attempts} INVITEs with a wrong password: {}",
        lab.both.edge.tail()
    );
}
