//! The runners on loopback: two PBXs that call each other, and Meta's TLS manners.

use std::sync::Mutex;

use clap::{Args, Command, FromArgMatches};

use tokio::net::TcpListener;

use super::*;
use crate::cli::{MetaArgs, PbxArgs};

/// A sink that can be read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn events(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn event(&self, name: &str) -> serde_json::Value {
        self.events()
            .into_iter()
            .find(|event| event["event"] == name)
            .unwrap_or_else(|| panic!("no {name} in {:#?}", self.events()))
    }
}

fn parse<T: Args + FromArgMatches>(line: &str) -> T {
    let matches = T::augment_args(Command::new("peer"))
        .try_get_matches_from(line.split_whitespace())
        .unwrap();
    T::from_arg_matches(&matches).unwrap()
}

async fn pbx(line: &str) -> (Stage<super::pbx::Pbx>, Lines, PbxArgs) {
    let (args, lines): (PbxArgs, Lines) = (parse(line), Lines::default());
    (
        super::pbx::open(&args, Box::new(lines.clone()))
            .await
            .unwrap(),
        lines,
        args,
    )
}

/// One PBX calls another; both say a tone, the caller presses digits and hangs up.
async fn call_between(transport: &str, ports: u16, codecs: &str) {
    let callee = format!(
        "pbx --listen 127.0.0.1:{ports} --sbc 127.0.0.1:{} --codecs {codecs} --answer-after 0.2 --tone 400 --expect 1000 \
         --media-ports {}-{} --exit-after 1 --at-most 20",
        ports + 1,
        ports + 10,
        ports + 19
    );
    let caller = format!(
        "pbx --listen 127.0.0.1:{} --sbc 127.0.0.1:{ports} {transport} --codecs {codecs} --calls 1 --tone 1000 --expect 400 \
         --digits 5# --digits-after 1 --hang-up-after 3 --media-ports {}-{} --at-most 20",
        ports + 1,
        ports + 20,
        ports + 29
    );
    let (callee, heard_by_callee, callee_args) = pbx(&callee).await;
    let (caller, heard_by_caller, caller_args) = pbx(&caller).await;
    tokio::join!(callee.run(&callee_args.load), caller.run(&caller_args.load));
    for lines in [&heard_by_callee, &heard_by_caller] {
        let heard = lines.event("heard");
        assert_eq!(heard["tone_found"], true, "{heard}");
        assert!(
            heard["level_error_db"].as_f64().unwrap().abs() < 3.0,
            "{heard}"
        );
        assert_eq!(
            lines.event("summary")["violations"],
            0,
            "{:#?}",
            lines.events()
        );
        assert_eq!(lines.event("summary")["open"], 0);
    }
    assert_eq!(heard_by_callee.event("heard")["digits"], "5#");
    assert_eq!(heard_by_callee.event("bye")["by_far"], true);
    assert_eq!(heard_by_caller.event("bye_answered")["status"], 200);
}

#[tokio::test]
async fn two_telephones_hear_each_other_over_udp() {
    call_between("", 42_100, "PCMA,telephone-event").await;
}

#[tokio::test]
async fn two_telephones_hear_each_other_over_tcp() {
    call_between("--tcp", 42_200, "opus,telephone-event").await;
}

#[tokio::test]
async fn a_connection_leaves_from_the_address_the_peer_listens_on() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = far.local_addr().unwrap().port();
    let (stage, _, args) = pbx(&format!(
        "pbx --listen 127.9.8.7:42400 --sbc 127.0.0.1:{port} --tcp --calls 1 --silent --at-most 1"
    ))
    .await;
    let (accepted, _) = tokio::join!(far.accept(), stage.run(&args.load));
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.9.8.7");
}

/// Certificates of a throw-away authority for one name, as files.
fn certificates(name: &str) -> tempdir::Dir {
    let dir = tempdir::Dir::new(name);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    std::fs::write(dir.file("ca.pem"), ca_certificate.pem()).unwrap();
    std::fs::write(dir.file("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.file("key.pem"), key.serialize_pem()).unwrap();
    dir
}

/// A directory that goes away with its value.
mod tempdir {
    use std::path::PathBuf;

    pub(super) struct Dir(PathBuf);

    impl Dir {
        pub(super) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!(
                "sim-{name}-{}-{:x}",
                std::process::id(),
                super::fresh_seed()
            ));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        pub(super) fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Connects to a fresh Meta and sends REGISTER; what came back, or why nothing did.
async fn register(port: u16, alpn: &[&[u8]]) -> Result<String, String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = certificates("wa.meta.vc");
    let (cert, key, ca) = (
        dir.file("cert.pem"),
        dir.file("key.pem"),
        dir.file("ca.pem"),
    );
    let line = format!(
        "meta --listen 127.0.0.1:{port} --cert {} --key {} --ca {} --sbc 127.0.0.1:1 --number +17125550259 \
         --hostname sbc.example.com --password x --silent --at-most 3",
        cert.display(),
        key.display(),
        ca.display()
    );
    let (args, lines): (MetaArgs, Lines) = (parse(&line), Lines::default());
    let stage = super::meta::open(&args, Box::new(lines)).await.unwrap();
    let mut config = (*super::tls::client(&ca).unwrap()).clone();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let asking = async {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(|e| e.to_string())?;
        let name = rustls_pki_types::ServerName::try_from("wa.meta.vc").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut tls = connector
            .connect(name, tcp)
            .await
            .map_err(|e| e.to_string())?;
        let request = "REGISTER sip:wa.meta.vc SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;rport;branch=z9hG4bKr1\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+17125550259@wa.meta.vc>;tag=r1\r\nTo: <sip:+17125550259@wa.meta.vc>\r\n\
             Call-ID: reg-1@sbc.example.com\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
        tls.write_all(request.as_bytes())
            .await
            .map_err(|e| e.to_string())?;
        let mut buffer = vec![0; 4096];
        let length = tls.read(&mut buffer).await.map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    tokio::select! {
        answer = asking => answer,
        _ = stage.run(&args.load) => Err("Meta went away".into()),
    }
}

#[tokio::test]
async fn meta_refuses_a_register_as_documented() {
    let answer = register(42_301, &[]).await.unwrap();
    assert!(answer.starts_with("SIP/2.0 403 Forbidden\r\n"), "{answer}");
    assert!(
        answer.contains(";received=2803:") && answer.contains("tag=z9hG4bKr1"),
        "{answer}"
    );
}

#[tokio::test]
async fn meta_ends_a_handshake_that_offers_alpn_sip_with_alert_120() {
    let why = register(42_302, &[b"sip"]).await.unwrap_err();
    assert!(
        why.contains("NoApplicationProtocol") || why.contains("120"),
        "{why}"
    );
}

#[test]
fn callers_count_up_and_names_do_not() {
    assert_eq!(counted("+12195550714", 3), "+12195550717");
    assert_eq!(counted("0099", 1), "0100");
    assert_eq!(counted("US.1349", 5), "US.1349");
}
