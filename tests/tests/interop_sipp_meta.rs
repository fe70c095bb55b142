//! SIPp as Meta behind Kamailio as TLS edge, SIPp as the PBX: signalling to the letter, both sides written down in
//! `tests/sipp/`, the edge as strict about Routes as Meta.

use std::net::SocketAddr;
use std::time::Duration;

use md5::Digest;
use tests::capture::Capture;
use tests::certificates::Authority;
use tests::kamailio::Edge;
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{DOMAIN, HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::sipp::{Sipp, messages, succeed};
use tests::tone::{AGENT_HZ, Audio, to_alaw};
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(40);

struct Lab {
    place: Place,
    edge: Running,
    sbc: Sbc,
    inner: SocketAddr,
    meta: SocketAddr,
    pbx: SocketAddr,
    capture: Option<Capture>,
}

impl Lab {
    fn new(story: &str, challenge: Option<(&str, &str)>) -> Option<Lab> {
        if !present(story, &["sipp", "kamailio"]) {
            return None;
        }
        let captured = may_capture(story);
        let place = Place::new(story);
        let authority = Authority::new(&place);
        let (outer, inner) = (
            SocketAddr::new(place.address(21), 5061),
            SocketAddr::new(place.address(22), 5070),
        );
        let (meta, pbx) = (
            SocketAddr::new(place.address(23), 5060),
            SocketAddr::new(place.address(31), 5060),
        );
        let capture = captured.then(|| {
            Capture::start(
                &place,
                "capture",
                &format!("net {}", place.network()),
                &[5060, 5070],
            )
        });
        let identity = authority.identity(&place, &["wa.meta.vc"]);
        let edge = Edge {
            outer,
            inner,
            sbc: SocketAddr::new(place.address(1), 5061),
            sbc_host: HOST,
            sipp: meta,
            sipp_transport: "udp",
            challenge,
        }
        .start(&place, &authority, &identity);
        let sbc = Sbc::start(&place, &authority, &Setup::new(outer, pbx));
        place.write(
            "agent.al",
            to_alaw(&Audio::tone(AGENT_HZ, 8000, 40.0).samples),
        );
        Some(Lab {
            place,
            edge,
            sbc,
            inner,
            meta,
            pbx,
            capture,
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
            .with(&[
                "-auth_uri",
                &format!("{NUMBER}@{HOST}"),
                "-cid_str",
                "outgoing:wacid.HBgLMTIxOTU1NTA3MTQVAgASGCA%p%u=",
            ])
    }

    fn pbx(&self, scenario: &str) -> Sipp {
        Sipp::new("pbx", scenario, self.pbx)
            .codec("PCMA")
            .fill("TONE", "agent.al")
            .fill("TALK", "1500")
            .fill("CALLER", NUMBER)
    }

    // A user calls: the PBX waits, Meta calls through the edge, both scenarios come to their end.
    fn user_calls(&mut self, meta: Sipp, pbx: Sipp) {
        let mut answering = pbx.answer(&self.place);
        let mut calling = meta.call(&self.place, NUMBER, self.inner);
        self.end(&mut calling, &mut answering);
    }

    // The business calls: Meta waits behind the edge, the PBX calls.
    fn business_calls(&mut self, meta: Sipp, pbx: Sipp) {
        let mut answering = meta.answer(&self.place);
        let mut calling = pbx.call(&self.place, USER, self.sbc.sip);
        self.end(&mut answering, &mut calling);
    }

    fn end(&mut self, meta: &mut Running, pbx: &mut Running) {
        succeed(&self.place, "meta", meta, SOON);
        succeed(&self.place, "pbx", pbx, SOON);
        let edge = self.edge.log();
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
    let seen = messages(&lab.place, "pbx");
    assert!(
        seen.to_lowercase()
            .contains("x-wa-meta-cta-payload: order=on-12853&src=button"),
        "{seen}"
    );
    assert!(
        seen.contains("wacid.HBgLMTIx1"),
        "the call's id reaches the PBX: {seen}"
    );
    let records = lab.sbc.wait_for_records(1, SOON);
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
    let seen = messages(&lab.place, "meta");
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
    let mut calling = Sipp::new("meta", "meta_is_refused", lab.meta)
        .fill("HOST", HOST)
        .fill("USER", USERNAME)
        .fill("CALLER", USER)
        .with(&["-auth_uri", &format!("{NUMBER}@{HOST}")])
        .fill("PASSWORD", "guessed")
        .fill("STATUS", "403")
        .call(&lab.place, NUMBER, lab.inner);
    succeed(&lab.place, "meta", &mut calling, SOON);
    if let Some(capture) = &mut lab.capture {
        capture.stop();
        assert_eq!(
            capture.count(&format!("sip && ip.dst == {}", lab.pbx.ip())),
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
    assert!(
        lab.edge
            .log()
            .contains(&format!("edge: digest of {USERNAME} accepted")),
        "{}",
        lab.edge.tail()
    );
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
    assert!(
        lab.edge
            .log()
            .contains(&format!("edge: digest of {USERNAME} accepted")),
        "{}",
        lab.edge.tail()
    );
}

#[test]
fn desk_calls_user_challenged_with_401() {
    let Some(mut lab) = Lab::new("edge-bic-401", None) else {
        return;
    };
    let (meta, pbx) = (lab.meta("meta_challenges_401"), lab.pbx("pbx_calls"));
    lab.business_calls(meta, pbx);
    let seen = messages(&lab.place, "meta");
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
    let records = lab.sbc.wait_for_records(1, SOON);
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
        .call(&lab.place, USER, lab.sbc.sip);
    succeed(&lab.place, "pbx", &mut calling, SOON);
    let attempts = lab
        .edge
        .log()
        .matches("INVITE sip:+12195550714@wa.meta.vc")
        .count();
    assert!(
        attempts <= 3,
        "{attempts} INVITEs with a wrong password: {}",
        lab.edge.tail()
    );
}
