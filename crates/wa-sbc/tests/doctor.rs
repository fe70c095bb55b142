//! The doctor, with one fault injected at a time: the true cause is named, and the remedy with it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection};
use wa_sbc::Settings;
use wa_sbc::doctor::{Finding, Patient, Verdict, examine};

const HOST: &str = "sbc.example.com";
const META: &str = "wa.meta.vc";

/// A lab with an authority, a healthy PBX and a healthy Meta; each test breaks one thing.
struct Lab {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wa-sbc-doctor-{}-{unique}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("an authority");
        std::fs::write(directory.join("ca.pem"), certificate.pem()).expect("writable");
        let issuer = Issuer::new(params, key);
        let lab = Self { directory, issuer };
        lab.certificate("ours", HOST, 4_000);
        lab.certificate("meta", META, 4_000);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A certificate that is over so many days from now.
    fn certificate(&self, file: &str, name: &str, days: i64) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let day = |days: i64| {
            let since = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .expect("after 1970");
            let seconds = since.as_secs() as i64 + days * 86_400;
            (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())).into()
        };
        (params.not_before, params.not_after) = (day(-4_000), day(days));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).expect("writable");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("writable");
    }

    fn server(&self, file: &str) -> Arc<ServerConfig> {
        wa_sbc::net::tls::server(
            &self.path(&format!("{file}.pem")),
            &self.path(&format!("{file}.key")),
        )
        .expect("a server")
    }

    fn patient(
        &self,
        meta: SocketAddr,
        pbx: SocketAddr,
        change: impl Fn(String) -> String,
    ) -> Patient {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let tls = free.local_addr().expect("bound");
        let text = format!(
            r#"[sip]
host = "{HOST}"
tls = {{ listen = "{tls}", certificate = "{ours}.pem", key = "{ours}.key" }}
udp = {{ listen = "127.0.0.1:0" }}
[media]
public = "203.0.113.7"
public_bind = "127.0.0.1"
private = "127.0.0.1"
ports = "42000-42100"
[meta]
connect = "{meta}"
[[number]]
e164 = "+17125550259"
password = {{ env = "PASSWORD" }}
trunk = "office"
[[trunk]]
name = "office"
peer = "sip:{pbx};transport=udp"
"#,
            ours = self.path("ours").display(),
        );
        let environment =
            |name: &str| (name == "PASSWORD").then(|| "a-password-of-the-lab".to_owned());
        let text = change(text);
        let mut settings = Settings::read(Path::new("wa-sbc.toml"), &text, environment)
            .unwrap_or_else(|error| panic!("{error}"));
        // The name of the lab is in no DNS.
        settings.fixed.insert(HOST.into(), tls);
        Patient {
            settings,
            number: None,
            authority: Some(self.path("ca.pem")),
            now: SystemTime::now(),
            patience: Duration::from_millis(600),
        }
    }

    /// The findings about a healthy lab with one thing changed.
    fn examined(&self, change: impl Fn(String) -> String) -> Vec<Finding> {
        examine(&self.patient(meta(self.server("meta")), pbx(), change))
    }
}

/// A TLS server that shakes hands with everybody, for as long as the test runs.
fn meta(config: Arc<ServerConfig>) -> SocketAddr {
    serve(move |mut stream| {
        let mut connection = ServerConnection::new(config.clone()).expect("a connection");
        while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
    })
}

fn serve(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

/// A PBX that answers whatever it is asked.
fn pbx() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let bytes = bytes::Bytes::copy_from_slice(&buffer[..length]);
            if let Ok(sip::Message::Request(request)) = sip::parse(bytes) {
                let answer = sip::Response::to(&request, 200, "OK");
                let _ = socket.send_to(&answer.to_bytes(), from);
            }
        }
    });
    address
}

/// Exactly this check fails, in these words, and says what to do.
#[track_caller]
fn fails(findings: &[Finding], check: &str, words: &str) {
    let failed: Vec<&Finding> = findings
        .iter()
        .filter(|f| f.verdict == Verdict::Fail)
        .collect();
    assert!(!failed.is_empty(), "nothing fails: {findings:#?}");
    for finding in &failed {
        assert_eq!(finding.check, check, "{finding}");
        assert!(!finding.remedy.is_empty(), "{finding}");
    }
    assert!(
        failed.iter().any(|f| f.found.contains(words)),
        "no `{words}`: {failed:#?}"
    );
}

fn same(text: String) -> String {
    text
}

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

/// The program, as a script runs it.
fn program(arguments: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_wa-sbc"))
        .args(arguments)
        .env_remove("WA_SBC_CONFIG")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
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

/// A PBX that takes the registration of whoever knows this password, and answers everybody else 401.
fn registrar(password: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = judged(&buffer[..length], password) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// The same over TLS.
fn secure_registrar(config: Arc<ServerConfig>, password: &'static str) -> SocketAddr {
    use std::io::{Read, Write};
    serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            // A PBX is free to answer in pieces.
            for piece in judged(&buffer[..length], password)
                .unwrap_or_default()
                .chunks(100)
            {
                let _ = stream.write_all(piece);
            }
        }
    })
}

fn judged(request: &[u8], password: &str) -> Option<Vec<u8>> {
    let parsed = sip::parse(bytes::Bytes::copy_from_slice(request));
    let Ok(sip::Message::Request(request)) = parsed else {
        return None;
    };
    let given = sip::Credentials::all(&request.headers, &sip::Name::Authorization);
    let right = given
        .first()
        .is_some_and(|given| given.matches(&request.method, password, &[]));
    let status = match request.method {
        sip::Method::Register if !right => 401,
        _ => 200,
    };
    let mut response = sip::Response::to(&request, status, sip::reason_phrase(status));
    if status == 401 {
        let challenge = "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
        response.headers.push(sip::Name::WwwAuthenticate, challenge);
    }
    Some(response.to_bytes().to_vec())
}

#[test]
fn a_registration_the_pbx_would_refuse_is_found_before_calls_are_lost() {
    let lab = Lab::new();
    let register = "\n[trunk.register]\nusername = \"1200\"\npassword = { env = \"PASSWORD\" }\n";
    let examined = |password| {
        examine(
            &lab.patient(meta(lab.server("meta")), registrar(password), |text| {
                text + register
            }),
        )
    };
    let findings = examined("a-password-of-the-lab");
    let fine = findings
        .iter()
        .find(|finding| finding.check == "registrations");
    let fine = fine.expect("looked at");
    assert_eq!(fine.verdict, Verdict::Pass, "{fine}");
    assert!(
        fine.found
            .contains("extension 1200 may register with 127.0.0.1"),
        "{fine}"
    );
    let findings = examined("another");
    fails(&findings, "registrations", "refuses the password");
    assert!(
        findings
            .iter()
            .all(|finding| !finding.to_string().contains("a-password-of"))
    );
}

#[test]
fn a_registration_over_tls_is_tried_as_calls_would_have_it() {
    let lab = Lab::new();
    lab.certificate("pbx", "127.0.0.1", 4_000);
    let pbx = secure_registrar(lab.server("pbx"), "a-password-of-the-lab");
    let ca = lab.path("ca.pem");
    let examined = |register: &str, authority: bool| {
        let mut patient = lab.patient(meta(lab.server("meta")), pbx, |text| {
            let trust = match authority {
                true => format!("extra_ca = \"{}\"\n", ca.display()),
                false => String::new(),
            };
            text.replace("transport=udp", "transport=tls") + &trust + register
        });
        // Meta's authority is told otherwise: here it is that of the trunk that counts.
        patient.settings.authorities.insert(META.into(), ca.clone());
        patient.authority = None;
        let findings = examine(&patient);
        let of = |check: &'static str| {
            let mut all = findings
                .iter()
                .filter(move |finding| finding.check == check);
            all.next()
                .unwrap_or_else(|| panic!("{check}: {findings:#?}"))
                .clone()
        };
        (of("trunks"), of("registrations"))
    };
    let register = |user: &str, password: &str| {
        format!("[trunk.register]\nusername = \"{user}\"\npassword = {{ {password} }}\n")
    };
    let right = register("1200", "env = \"PASSWORD\"");
    let (trunk, registration) = examined(&right, true);
    assert_eq!(trunk.verdict, Verdict::Pass, "{trunk}");
    assert!(trunk.found.contains("answers OPTIONS with 200"), "{trunk}");
    assert_eq!(registration.verdict, Verdict::Pass, "{registration}");

    let wrong = lab.path("wrong");
    std::fs::write(&wrong, "another").expect("writable");
    let (_, refused) = examined(
        &register("1200", &format!("file = \"{}\"", wrong.display())),
        true,
    );
    assert!(refused.found.contains("refuses the password"), "{refused}");

    // Without its authority no call would get through, and no registration.
    let (trunk, registration) = examined(&right, false);
    assert!(trunk.found.contains("no TLS handshake"), "{trunk}");
    assert!(
        registration.found.contains("does not verify"),
        "{registration}"
    );
}
