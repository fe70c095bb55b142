//! The doctor, with one fault injected at a time: the true cause is named, and the remedy with it.

mod acme;
mod each;
mod lab;
mod registrations;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab::{HOST, Lab, META, fails, meta, pbx, program, same, serve};
use wa_sbc::Settings;
use wa_sbc::doctor::{Verdict, examine};

#[test]
fn a_healthy_lab_passes_and_says_that_nothing_runs_yet() {
    let findings = Lab::new().examined(same);
    for finding in &findings {
        let expected = if finding.check == "port" {
            Verdict::Warn
        } else {
            Verdict::Pass
        };
        assert_eq!(finding.verdict, expected, "{finding}");
    }
    let checks = [
        "clock",
        "passwords",
        "dns",
        "addresses",
        "certificate",
        "port",
        "meta",
        "trunks",
        "media-ports",
    ];
    for check in checks {
        assert!(
            findings.iter().any(|finding| finding.check == check),
            "{check}"
        );
    }
}

#[test]
fn a_certificate_that_is_over_or_for_another_name_is_named_as_that() {
    let lab = Lab::new();
    lab.certificate("ours", HOST, -3);
    fails(&lab.examined(same), "certificate", "has expired");
    lab.certificate("ours", "other.example.com", 4_000);
    fails(
        &lab.examined(same),
        "certificate",
        "not for sbc.example.com but for",
    );
    lab.certificate("ours", HOST, 5);
    let soon = lab.examined(same);
    assert!(
        soon.iter()
            .any(|f| f.verdict == Verdict::Warn && f.found.contains("ends within 14 days")),
        "{soon:#?}"
    );
}

#[test]
fn a_certificate_nobody_public_vouches_for_is_named_as_that() {
    let lab = Lab::new();
    let mut patient = lab.patient(meta(lab.server("meta")), pbx(), same);
    patient.authority = None;
    let host = META.to_owned();
    patient
        .settings
        .authorities
        .insert(host, lab.path("ca.pem"));
    fails(&examine(&patient), "certificate", "nobody trusted vouches");
}

#[test]
fn a_slow_clock_is_named_first() {
    let lab = Lab::new();
    let mut patient = lab.patient(meta(lab.server("meta")), pbx(), same);
    patient.now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let findings = examine(&patient);
    let first = findings
        .iter()
        .find(|finding| finding.verdict == Verdict::Fail)
        .expect("a failure");
    assert!(
        first.check == "clock" && first.found.contains("days slow"),
        "{first}"
    );
}

#[test]
fn a_pbx_that_is_down_and_one_that_is_silent_are_told_apart() {
    let lab = Lab::new();
    let gone = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port");
    let patient = lab.patient(meta(lab.server("meta")), gone, same);
    fails(&examine(&patient), "trunks", "cannot be reached");
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let patient = lab.patient(
        meta(lab.server("meta")),
        mute.local_addr().expect("bound"),
        same,
    );
    fails(&examine(&patient), "trunks", "is silent");
}

#[test]
fn a_meta_out_of_reach_a_box_that_changes_alpn_and_one_that_opens_tls_are_told_apart() {
    let lab = Lab::new();
    let gone = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port");
    fails(
        &examine(&lab.patient(gone, pbx(), same)),
        "meta",
        "cannot be reached",
    );
    // Alert 120 (RFC 7301 §3.2), as Meta answers an application protocol it does not want.
    let alpn = serve(|mut stream| {
        let mut hello = [0; 512];
        let _ = stream.read(&mut hello);
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 120]);
    });
    fails(
        &examine(&lab.patient(alpn, pbx(), same)),
        "meta",
        "a box between us adds one (ALPN)",
    );
    lab.certificate("box", "proxy.example.net", 4_000);
    let opened = meta(lab.server("box"));
    fails(
        &examine(&lab.patient(opened, pbx(), same)),
        "meta",
        "shows a certificate for",
    );
}

#[test]
fn a_range_of_ports_somebody_else_has_is_named() {
    let lab = Lab::new();
    let address: IpAddr = [127, 0, 0, 1].into();
    let held: Vec<UdpSocket> = (42_200..42_210)
        .filter_map(|port| UdpSocket::bind((address, port)).ok())
        .collect();
    assert!(!held.is_empty());
    let findings = lab.examined(|text| text.replace("42000-42100", "42200-42209"));
    fails(
        &findings,
        "media-ports",
        "no media port of the range is free",
    );
}

#[test]
fn a_port_another_program_holds_is_named() {
    let lab = Lab::new();
    let other = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n");
    });
    let patient = lab.patient(meta(lab.server("meta")), pbx(), |text| {
        let line = text
            .lines()
            .find(|line| line.starts_with("tls"))
            .expect("a line")
            .to_owned();
        let listen = line.split('"').nth(1).expect("an address").to_owned();
        text.replace(&listen, &other.to_string())
    });
    fails(&examine(&patient), "port", "another program seems to hold");
}

#[test]
fn a_name_that_is_in_no_dns_is_named() {
    let lab = Lab::new();
    let mut patient = lab.patient(meta(lab.server("meta")), pbx(), same);
    patient.settings.fixed.remove(HOST);
    let number = Arc::make_mut(&mut patient.settings.core.numbers[0]);
    number.host = "sbc.invalid".into();
    lab.certificate("ours", "sbc.invalid", 4_000);
    fails(&examine(&patient), "dns", "sbc.invalid cannot be resolved");
}

#[test]
fn a_password_that_is_missing_is_named() {
    let lab = Lab::new();
    let mut patient = lab.patient(meta(lab.server("meta")), pbx(), same);
    Arc::make_mut(&mut patient.settings.core.numbers[0]).password = None;
    fails(
        &examine(&patient),
        "passwords",
        "+17125550259 has no password",
    );
}

#[test]
fn init_writes_a_configuration_the_doctor_can_read_and_nobody_else_the_password() {
    let lab = Lab::new();
    let path = |name: &str| lab.path(name).display().to_string();
    std::fs::write(lab.path("given"), "a-password-of-the-lab\n").expect("writable");
    let (config, pbx) = (path("new/wa-sbc.toml"), pbx().to_string());
    let (certificate, key, given) = (path("ours.pem"), path("ours.key"), path("given"));
    let arguments = [
        "--config",
        &config,
        "init",
        "--number",
        "+17125550259",
        "--host",
        "localhost",
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--public",
        "203.0.113.7",
        "--private",
        "127.0.0.1",
        "--pbx",
        &pbx,
        "--password-file",
        &given,
    ];
    let (code, said) = program(&arguments);
    assert_eq!(code, Some(0), "{said}");
    let (code, again) = program(&arguments);
    assert!(code == Some(1) && again.contains("--force"), "{again}");
    let secret = lab.path("new/sip-password");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&secret).expect("written").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&config).expect("written");
    assert!(!text.contains("a-password-of-the-lab"), "{text}");
    Settings::load(Path::new(&config)).expect("what init writes is right");

    let (code, json) = program(&[
        "--config",
        &config,
        "doctor",
        "--json",
        "--patience",
        "0.2",
        "--number",
        "+17125550259",
    ]);
    let findings: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let of = |check: &str| {
        findings
            .as_array()
            .expect("a list")
            .iter()
            .find(|f| f["check"] == check)
            .cloned()
    };
    assert_eq!(of("passwords").expect("looked at")["verdict"], "pass");
    assert_eq!(of("trunks").expect("looked at")["verdict"], "pass");
    assert_eq!(of("certificate").expect("looked at")["verdict"], "fail");
    assert_eq!(code, Some(1));
    let (code, said) = program(&["--config", &config, "doctor", "--number", "+4930123456"]);
    assert!(
        code == Some(1) && said.contains("+4930123456 is not configured"),
        "{said}"
    );
}

#[test]
fn init_asks_again_what_cannot_be_right_and_does_not_show_the_password() {
    let lab = Lab::new();
    let config = lab.path("asked/wa-sbc.toml");
    let words = format!(
        "{} --config {} init --certificate {} --key {}",
        env!("CARGO_BIN_EXE_wa-sbc"),
        config.display(),
        lab.path("ours.pem").display(),
        lab.path("ours.key").display(),
    );
    // A terminal of its own.
    let mut terminal = std::process::Command::new("script")
        .args(["-qec", &words, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("script(1) is on every Debian");
    let mut keys = terminal.stdin.take().expect("piped");
    let mut screen = terminal.stdout.take().expect("piped");
    let mut shown = String::new();
    for (question, answer) in [
        ("the WhatsApp business number", "17125550259"),
        ("no number with its country", "+17125550259"),
        ("our public DNS name", "https://sbc.example.com"),
        ("no public DNS name", "sbc.example.com"),
        ("the public address", "203.0.113.7"),
        ("the PBX reaches", "127.0.0.1"),
        ("host or host:port", "127.0.0.1:5080"),
        ("the SIP password", "a-password-of-the-lab"),
    ] {
        let mut byte = [0];
        let asked = |shown: &str| {
            shown
                .rfind(question)
                .is_some_and(|at| shown[at..].ends_with(": "))
        };
        while !asked(&shown) {
            assert_eq!(screen.read(&mut byte).expect("a terminal"), 1, "{shown}");
            shown.push(char::from(byte[0]));
        }
        writeln!(keys, "{answer}").expect("it listens");
    }
    screen.read_to_string(&mut shown).expect("to the end");
    assert!(terminal.wait().expect("it ends").success(), "{shown}");
    assert!(!shown.contains("a-password-of-the-lab"), "{shown}");
    let settings = Settings::load(&config).expect("what init writes is right");
    assert_eq!(settings.core.numbers[0].host, "sbc.example.com");
    let kept = std::fs::read_to_string(lab.path("asked/sip-password")).expect("kept");
    assert_eq!(kept.trim(), "a-password-of-the-lab");
}
