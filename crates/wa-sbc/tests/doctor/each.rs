//! Each check once more, with faults that are rarer or milder.

use std::cell::RefCell;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use wa_sbc::doctor::{Patient, Verdict, examine};

use super::lab::{HOST, Lab, META, fails, meta, pbx, program, same, serve, warns};

fn healthy(lab: &Lab) -> Patient {
    lab.patient(meta(lab.server("meta")), pbx(), same)
}

#[test]
fn clocks_that_went_back_or_far_ahead_are_named_before_what_they_break() {
    let lab = Lab::new();
    let mut patient = healthy(&lab);
    patient.now -= Duration::from_secs(3 * 3_600 - 60);
    fails(
        &examine(&patient),
        "clock",
        "written 2 h in the future: the clock went back",
    );
    patient.now = UNIX_EPOCH + Duration::from_secs(5_000_000_000);
    let findings = examine(&patient);
    let first = findings
        .iter()
        .find(|f| f.verdict == Verdict::Fail)
        .expect("much fails");
    assert!(
        first.check == "clock" && first.found.contains("decades fast"),
        "{first}"
    );
}

#[test]
fn a_password_that_is_empty_has_a_blank_at_its_end_or_is_not_asked_for_is_named() {
    let lab = Lab::new();
    let with = |password: &str, challenge| {
        let mut patient = healthy(&lab);
        let number = Arc::make_mut(&mut patient.settings.core.numbers[0]);
        number.password = Some(sip::Secret::new(password.to_owned()));
        number.challenge = challenge;
        examine(&patient)
    };
    fails(
        &with("", true),
        "passwords",
        "the password of +17125550259 is empty",
    );
    warns(
        &with("word ", true),
        "passwords",
        "begins or ends with white space",
    );
    warns(
        &with("word", false),
        "passwords",
        "taken without a challenge",
    );
}

#[test]
fn addresses_nobody_outside_reaches_and_networks_that_are_not_metas_are_named() {
    let lab = Lab::new();
    let private = lab.examined(|text| text.replace("203.0.113.7", "192.168.7.7"));
    warns(
        &private,
        "addresses",
        "192.168.7.7, which no packet from outside reaches",
    );
    let mut patient = healthy(&lab);
    patient.settings.core.carrier.networks.clear();
    warns(
        &examine(&patient),
        "addresses",
        "calls are taken from any address",
    );
    let lab_networks =
        lab.examined(|text| text.replace("[meta]\n", "[meta]\nnetworks = [\"10.0.0.0/8\"]\n"));
    warns(&lab_networks, "addresses", "from private networks");
}

#[test]
fn a_certificate_that_is_not_valid_yet_or_soon_over_is_named_as_that() {
    let lab = Lab::new();
    lab.certificate_for("ours", HOST, 2, 90);
    fails(
        &lab.examined(same),
        "certificate",
        "is not valid yet by the clock of this machine",
    );
    lab.certificate("ours", HOST, 10);
    warns(&lab.examined(same), "certificate", "ends within 14 days");
    std::fs::remove_file(lab.path("ours.key")).expect("it was there");
    fails(
        &lab.examined(same),
        "certificate",
        "cannot read a private key",
    );
}

#[test]
fn a_running_program_with_an_old_certificate_and_one_nobody_reaches_by_name_are_told_apart() {
    let lab = Lab::new();
    lab.certificate("old", "old.example.com", 4_000);
    let running = |file: &str| {
        let local = meta(lab.server(file));
        let mut patient = lab.patient(meta(lab.server("meta")), pbx(), |text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("tls"))
                .expect("a line");
            let listen = line.split('"').nth(1).expect("an address").to_owned();
            text.replace(&listen, &local.to_string())
        });
        patient.settings.fixed.insert(HOST.into(), local);
        patient
    };
    fails(
        &examine(&running("old")),
        "port",
        "still serves another certificate",
    );
    let mut patient = running("ours");
    let pass = examine(&patient);
    let port = pass.iter().find(|f| f.check == "port").expect("looked at");
    assert!(
        port.verdict == Verdict::Pass && port.found.contains("answers at"),
        "{port}"
    );
    // By its name it is where nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    patient
        .settings
        .fixed
        .insert(HOST.into(), closed.expect("a port"));
    warns(&examine(&patient), "port", "cannot be reached from here");
}

#[test]
fn a_meta_that_is_in_no_dns_shows_another_name_or_is_out_of_its_time_is_named_as_that() {
    let lab = Lab::new();
    let mut patient = healthy(&lab);
    patient.settings.core.carrier.target.host = "meta.invalid".into();
    fails(
        &examine(&patient),
        "meta",
        "meta.invalid cannot be resolved",
    );
    lab.certificate("meta", META, -10);
    fails(&lab.examined(same), "meta", "out of its time");
    lab.certificate("meta", "proxy.example.com", 4_000);
    fails(&lab.examined(same), "meta", "shows a certificate for");
}

#[test]
fn a_pbx_in_no_dns_and_one_that_speaks_something_else_are_named() {
    let lab = Lab::new();
    let at = |peer: &str| {
        lab.examined(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("peer"))
                .expect("a line");
            text.replace(line, &format!("networks = []\npeer = \"sip:{peer}\""))
                .replace("udp = {", "tcp = { listen = \"127.0.0.1:0\" }\nudp = {")
        })
    };
    fails(
        &at("pbx.invalid:5060;transport=udp"),
        "trunks",
        "pbx.invalid:5060 cannot be resolved",
    );
    let other = serve(|mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"220 mail.example.com ESMTP\r\n");
        std::thread::sleep(Duration::from_millis(100));
    });
    fails(
        &at(&format!("{other};transport=tcp")),
        "trunks",
        "what answers is no SIP",
    );
}

#[test]
fn media_ports_that_are_nearly_used_up_or_on_a_strange_address_are_named() {
    let lab = Lab::new();
    let held: Vec<UdpSocket> = (0..16)
        .filter_map(|n| UdpSocket::bind(("127.0.0.1", 42_400 + n)).ok())
        .collect();
    let few = lab.examined(|text| text.replace("42000-42100", "42400-42419"));
    warns(&few, "media-ports", "only 20 % of 10 pairs");
    drop(held);
    let strange = lab.examined(|text| {
        text.replace(
            "public_bind = \"127.0.0.1\"",
            "public_bind = \"203.0.113.7\"",
        )
    });
    fails(
        &strange,
        "media-ports",
        "media ports on 203.0.113.7 cannot be bound",
    );
}

#[test]
fn a_script_gets_status_0_for_warnings_and_1_for_a_failure() {
    let lab = Lab::new();
    lab.certificate("ours", "localhost", 4_000);
    let config = lab.path("wa-sbc.toml");
    std::fs::write(lab.path("password"), "a-password-of-the-lab\n").expect("writable");
    let (meta, pbx) = (meta(lab.server("meta")), pbx());
    let usual = RefCell::new(String::new());
    lab.patient(meta, pbx, |text| {
        usual.replace(text.clone());
        text
    });
    let password = lab.path("password");
    let own = format!("{{ file = \"{}\" }}\nchallenge = false", password.display());
    let text = usual.into_inner();
    let text = text
        .replace(HOST, "localhost")
        .replace("{ env = \"PASSWORD\" }", &own);
    std::fs::write(&config, text).expect("writable");
    let ca = lab.path("ca.pem").display().to_string();
    let config = config.display().to_string();
    let words = [
        "--config",
        &config,
        "doctor",
        "--ca",
        &ca,
        "--patience",
        "1",
    ];
    let (status, said) = program(&words);
    assert!(
        status == Some(0) && said.contains("WARN  passwords"),
        "{said}"
    );
    std::fs::remove_file(lab.path("ours.pem")).expect("it was there");
    let (status, said) = program(&words);
    assert!(
        status == Some(1) && said.contains("FAIL  certificate"),
        "{said}"
    );
}

/// A STUN server that sees everybody as one address and port; port 0: the one it really came from.
fn stun(seen: std::net::SocketAddrV4) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let at = socket.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            assert_eq!(
                (length, &buffer[..8]),
                (20, &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..]),
                "a question"
            );
            let port = if seen.port() == 0 {
                from.port()
            } else {
                seen.port()
            };
            let mut answer = vec![1, 1, 0, 12];
            answer.extend(&buffer[4..20]);
            answer.extend([0, 0x20, 0, 8, 0, 1]);
            answer.extend((port ^ 0x2112).to_be_bytes());
            answer.extend((seen.ip().to_bits() ^ 0x2112_a442).to_be_bytes());
            let _ = socket.send_to(&answer, from);
        }
    });
    at
}

#[test]
fn media_ports_that_look_different_from_outside_are_named_where_somebody_is_asked() {
    let lab = Lab::new();
    let seen_as = |address: &str| {
        let mut patient = healthy(&lab);
        patient.stun = Some(stun(address.parse().expect("an address")));
        examine(&patient)
    };
    fails(
        &seen_as("198.51.100.9:0"),
        "media-outside",
        "come from 198.51.100.9, but Meta is told to send media to 203.0.113.7",
    );
    warns(&seen_as("203.0.113.7:1025"), "media-outside", "into 1025");
    let right = seen_as("203.0.113.7:0");
    let found = right
        .iter()
        .find(|f| f.check == "media-outside")
        .expect("asked");
    assert!(
        found.verdict == Verdict::Pass && found.found.contains("as Meta is told"),
        "{found}"
    );
    let mut patient = healthy(&lab);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    patient.stun = Some(silent.local_addr().expect("bound").to_string());
    warns(&examine(&patient), "media-outside", "did not answer");
    assert!(
        lab.examined(same)
            .iter()
            .all(|f| f.check != "media-outside"),
        "nobody is asked unasked"
    );
}
