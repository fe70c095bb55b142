//! A certificate that is ordered.

use std::net::TcpListener;

use wa_sbc::doctor::{Patient, Verdict, examine};

use super::lab::{HOST, Lab, fails, meta, pbx, warns};

/// A lab whose certificate is ordered, from an authority that asks at this address.
fn ordering(lab: &Lab, asks: &str) -> Patient {
    let table = format!(
        "\n[acme]\ndirectory = \"https://acme.example.com/dir\"\nagree = true\nlisten = \"{asks}\"\naccount = \"{}\"\n",
        lab.path("account.json").display(),
    );
    lab.patient(meta(lab.server("meta")), pbx(), |text| text + &table)
}

fn trouble(lab: &Lab) {
    let text =
        r#"{"in_a_row": 3, "why": "port 80 is shut", "at": 1795777777, "again": 1795778677}"#;
    std::fs::write(lab.path("account.trouble.json"), text).expect("writable");
}

#[test]
fn a_certificate_that_will_be_ordered_is_no_fault_before_the_start() {
    let lab = Lab::new();
    std::fs::remove_file(lab.path("ours.pem")).expect("it was there");
    let findings = examine(&ordering(&lab, "127.0.0.1:0"));
    warns(&findings, "acme", "it is ordered at the start");
    warns(&findings, "certificate", "orders it at the start");
}

#[test]
fn an_authority_that_gives_none_is_named_with_its_reason_and_only_warns_while_the_old_one_lasts() {
    let lab = Lab::new();
    trouble(&lab);
    let patient = ordering(&lab, "127.0.0.1:0");
    warns(
        &examine(&patient),
        "acme",
        "3 time(s) in a row, last at 2026-11-27 11:09 UTC: port 80 is shut",
    );
    std::fs::remove_file(lab.path("ours.key")).expect("it was there");
    let findings = examine(&patient);
    fails(&findings, "acme", "port 80 is shut");
    let remedy = findings
        .iter()
        .find(|f| f.verdict == Verdict::Fail)
        .map(|f| f.remedy.as_str());
    assert!(
        remedy.is_some_and(
            |remedy| remedy.contains("reload") && remedy.contains("2026-11-27 11:24 UTC")
        ),
        "{remedy:?}"
    );
}

#[test]
fn a_certificate_for_a_name_we_no_longer_have_is_ordered_anew() {
    let lab = Lab::new();
    lab.certificate("ours", "old.example.com", 4_000);
    warns(
        &examine(&ordering(&lab, "127.0.0.1:0")),
        "acme",
        "no certificate for sbc.example.com",
    );
}

#[test]
fn a_port_of_the_challenge_that_another_program_holds_is_named() {
    let lab = Lab::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let asks = other.local_addr().expect("bound").to_string();
    let mut patient = ordering(&lab, &asks);
    patient.patience = std::time::Duration::from_millis(200);
    fails(&examine(&patient), "acme", "another program listens on");
}

#[test]
fn a_short_lived_certificate_that_renews_itself_is_nothing_to_warn_of() {
    let lab = Lab::new();
    lab.certificate_for("ours", HOST, -1, 5);
    let findings = examine(&ordering(&lab, "127.0.0.1:0"));
    let certificate = findings.iter().find(|f| f.check == "certificate");
    let certificate = certificate.expect("looked at");
    assert!(
        certificate.verdict == Verdict::Pass && certificate.found.contains("renews itself"),
        "{certificate}"
    );
    lab.certificate_for("ours", HOST, -5, 1);
    warns(
        &examine(&ordering(&lab, "127.0.0.1:0")),
        "certificate",
        "ends within 14 days",
    );
}

#[test]
fn a_certificate_of_an_authority_we_left_is_ordered_anew() {
    let lab = Lab::new();
    let account = |directory: &str| {
        let text = format!("{{\"id\": \"x\", \"directory\": \"{directory}\"}}");
        std::fs::write(lab.path("account.json"), text).expect("writable");
        examine(&ordering(&lab, "127.0.0.1:0"))
    };
    let same = account("https://acme.example.com/dir");
    let acme: Vec<_> = same.iter().filter(|f| f.check == "acme").collect();
    assert!(acme.iter().all(|f| f.verdict == Verdict::Pass), "{acme:?}");
    warns(
        &account("https://staging.example.com/dir"),
        "acme",
        "it is ordered at the start",
    );
}
