//! A healthy lab, and what is asserted of findings.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection};
use wa_sbc::Settings;
use wa_sbc::doctor::{Finding, Patient, Verdict, examine};

pub(super) const HOST: &str = "sbc.example.com";
pub(super) const META: &str = "wa.meta.vc";

/// A lab with an authority, a healthy PBX and a healthy Meta; each test breaks one thing.
pub(super) struct Lab {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Lab {
    pub(super) fn new() -> Self {
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

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A certificate that is over so many days from now.
    pub(super) fn certificate(&self, file: &str, name: &str, days: i64) {
        self.certificate_for(file, name, -4_000, days);
    }

    /// A certificate for the time between these days from now.
    pub(super) fn certificate_for(&self, file: &str, name: &str, from: i64, until: i64) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let day = |days: i64| {
            let since = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .expect("after 1970");
            let seconds = since.as_secs() as i64 + days * 86_400;
            (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())).into()
        };
        (params.not_before, params.not_after) = (day(from), day(until));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).expect("writable");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("writable");
    }

    pub(super) fn server(&self, file: &str) -> Arc<ServerConfig> {
        wa_sbc::net::tls::server(
            &self.path(&format!("{file}.pem")),
            &self.path(&format!("{file}.key")),
        )
        .expect("a server")
    }

    pub(super) fn patient(
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
            stun: None,
            now: SystemTime::now(),
            patience: Duration::from_millis(600),
        }
    }

    /// The findings about a healthy lab with one thing changed.
    pub(super) fn examined(&self, change: impl Fn(String) -> String) -> Vec<Finding> {
        examine(&self.patient(meta(self.server("meta")), pbx(), change))
    }
}

/// A TLS server that shakes hands with everybody, for as long as the test runs.
pub(super) fn meta(config: Arc<ServerConfig>) -> SocketAddr {
    serve(move |mut stream| {
        let mut connection = ServerConnection::new(config.clone()).expect("a connection");
        while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
    })
}

pub(super) fn serve(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

/// A PBX that answers whatever it is asked.
pub(super) fn pbx() -> SocketAddr {
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
pub(super) fn fails(findings: &[Finding], check: &str, words: &str) {
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

/// Nothing fails; this check warns, in these words, and says what to do.
#[track_caller]
pub(super) fn warns(findings: &[Finding], check: &str, words: &str) {
    let failed = findings.iter().find(|f| f.verdict == Verdict::Fail);
    assert!(failed.is_none(), "{failed:?}");
    let warned = findings
        .iter()
        .find(|f| f.verdict == Verdict::Warn && f.check == check && f.found.contains(words));
    let warned = warned.unwrap_or_else(|| panic!("no `{words}`: {findings:#?}"));
    assert!(!warned.remedy.is_empty(), "{warned}");
}

pub(super) fn same(text: String) -> String {
    text
}

/// The program, as a script runs it.
pub(super) fn program(arguments: &[&str]) -> (Option<i32>, String) {
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
