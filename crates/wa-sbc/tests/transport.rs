//! Listeners of a running SBC on loopback: certificates by name, client certificates, reload.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use support::{Authority, Scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wa_sbc::config::CertificateFiles;
use wa_sbc::net::tls;
use wa_sbc::{Running, Settings, run};

const HOST: &str = "sbc.example.com";
const OTHER: &str = "voice.example.org";

struct Lab {
    scratch: Scratch,
}

impl Lab {
    fn new() -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new();
        authority.write(&scratch.path("ca.pem"));
        for (host, name) in [(HOST, "own"), (OTHER, "other"), ("pbx.example.com", "pbx")] {
            authority.issue(
                host,
                &scratch.path(&format!("{name}.pem")),
                &scratch.path(&format!("{name}.key")),
            );
        }
        Self { scratch }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path(name).display().to_string()
    }

    /// A configuration with further listeners.
    fn settings(&self, listeners: &str) -> Settings {
        let (own, own_key) = (self.path("own.pem"), self.path("own.key"));
        let (other, other_key) = (self.path("other.pem"), self.path("other.key"));
        let text = format!(
            r#"[sip]
host = "{HOST}"
[sip.tls]
listen = "127.0.0.1:0"
certificate = "{own}"
key = "{own_key}"
certificates = [{{ certificate = "{other}", key = "{other_key}" }}]
[sip.udp]
listen = "127.0.0.1:0"
{listeners}
[media]
public = "127.0.0.1"
private = "127.0.0.1"
ports = "42100-42199"
[[number]]
e164 = "+17125550259"
password = {{ env = "WA_SIP_PASSWORD" }}
trunk = "office"
[[trunk]]
name = "office"
peer = "sip:127.0.0.1:9;transport=udp"
"#
        );
        Settings::read(Path::new("test.toml"), &text, |_| Some("s3cret".into()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn start(&self, listeners: &str) -> Running {
        run(self.settings(listeners))
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn client(&self) -> Arc<ClientConfig> {
        tls::client(Some(&self.scratch.path("ca.pem"))).expect("a client")
    }

    /// A client that shows the certificate of a PBX.
    fn client_with_certificate(&self) -> Arc<ClientConfig> {
        let files = CertificateFiles {
            certificate: self.scratch.path("pbx.pem"),
            key: self.scratch.path("pbx.key"),
        };
        tls::client_as(Some(&self.scratch.path("ca.pem")), Some(&files)).expect("a client")
    }

    /// A listener of this name that wants to see a certificate.
    fn mutual(&self, name: &str) -> String {
        format!(
            "[[listener]]\nname = \"{name}\"\ntransport = \"tls\"\nlisten = \"127.0.0.1:0\"\n\
             certificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
            self.path("own.pem"),
            self.path("own.key"),
            self.path("ca.pem")
        )
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(config).connect(name, stream).await
}

fn options(transport: &str, branch: &str) -> String {
    format!(
        "OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5060;rport;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: {branch}@example.com\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Whether a connection is answered.
async fn is_answered<S>(stream: &mut S, branch: &str) -> bool
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = [0; 4096];
    let exchange = async {
        stream.write_all(options("TLS", branch).as_bytes()).await?;
        stream.read(&mut buffer).await
    };
    let length = timeout(Duration::from_secs(5), exchange).await;
    matches!(length, Ok(Ok(length)) if buffer[..length].starts_with(b"SIP/2.0 200"))
}

/// The answer to a datagram, and who sent it.
async fn answer(to: SocketAddr, branch: &str, patience: Duration) -> Option<(String, SocketAddr)> {
    let own = SocketAddr::new(to.ip(), 0);
    let socket = UdpSocket::bind(own).await.expect("a port");
    socket
        .send_to(options("UDP", branch).as_bytes(), to)
        .await
        .expect("sent");
    let mut buffer = [0; 4096];
    let (length, from) = timeout(patience, socket.recv_from(&mut buffer))
        .await
        .ok()?
        .ok()?;
    Some((
        String::from_utf8_lossy(&buffer[..length]).into_owned(),
        from,
    ))
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_name_gets_its_certificate_and_all_others_the_default_one() {
    let lab = Lab::new();
    let running = lab.start("").await;
    let address = running.bound().tls.expect("bound");
    for name in [HOST, OTHER] {
        handshake(lab.client(), address, name).await.expect(name);
    }
    let error = handshake(lab.client(), address, "unknown.example.com")
        .await
        .expect_err("no certificate is made for it")
        .to_string();
    assert!(
        error.contains(HOST) && !error.contains(OTHER),
        "the default one: {error}"
    );
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_for_trunks_may_want_a_certificate_and_metas_port_never_does() {
    let lab = Lab::new();
    let running = lab.start(&lab.mutual("branches")).await;
    let mutual = running.bound().named["branches"];
    let metas = running.bound().tls.expect("bound");
    let mut shown = handshake(lab.client_with_certificate(), mutual, HOST)
        .await
        .expect("let in");
    assert!(is_answered(&mut shown, "shown").await);
    // Over TLS 1.3 the client learns of the refusal with its first read.
    let refused = match handshake(lab.client(), mutual, HOST).await {
        Ok(mut stream) => !is_answered(&mut stream, "none").await,
        Err(_) => true,
    };
    assert!(refused, "nobody gets in without a certificate");
    let mut plain = handshake(lab.client(), metas, HOST)
        .await
        .expect("no question asked");
    assert!(is_answered(&mut plain, "plain").await);
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_opens_and_closes_ports_and_leaves_the_others_and_all_connections_alone() {
    let lab = Lab::new();
    let udp = |name: &str| {
        format!("[[listener]]\nname = \"{name}\"\ntransport = \"udp\"\nlisten = \"127.0.0.1:0\"\n")
    };
    let mut running = lab
        .start(&format!("{}{}", lab.mutual("going"), udp("old")))
        .await;
    let before = running.bound().clone();
    let mut kept = handshake(lab.client(), before.tls.expect("bound"), HOST)
        .await
        .expect("in");
    let mut going = handshake(lab.client_with_certificate(), before.named["going"], HOST)
        .await
        .expect("in");
    assert!(is_answered(&mut kept, "k1").await && is_answered(&mut going, "g1").await);
    assert!(answer(before.named["old"], "o1", SOON).await.is_some());

    // Another certificate, another listener.
    let renewed = Authority::new();
    renewed.write(&lab.scratch.path("ca2.pem"));
    renewed.issue(
        HOST,
        &lab.scratch.path("own.pem"),
        &lab.scratch.path("own.key"),
    );
    running
        .reload(&lab.settings(&udp("new")))
        .await
        .expect("good settings");
    let after = running.bound().clone();
    assert_eq!((before.tls, before.udp), (after.tls, after.udp));

    // Connections go on, over the port that stayed and over the one that went.
    assert!(is_answered(&mut kept, "k2").await && is_answered(&mut going, "g2").await);
    let again = tls::client(Some(&lab.scratch.path("ca2.pem"))).expect("a client");
    handshake(again, after.tls.expect("bound"), HOST)
        .await
        .expect("the renewed certificate");
    let (text, from) = answer(after.named["new"], "n1", SOON)
        .await
        .expect("a new port");
    assert!(
        text.starts_with("SIP/2.0 200") && from == after.named["new"],
        "{text}"
    );
    assert!(
        TcpStream::connect(before.named["going"]).await.is_err(),
        "nobody new comes in"
    );
    assert!(
        answer(before.named["old"], "o2", Duration::from_millis(500))
            .await
            .is_none()
    );

    // What cannot be had changes nothing.
    let taken = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let impossible = udp("taken").replace(
        "127.0.0.1:0",
        &taken.local_addr().expect("bound").to_string(),
    );
    running
        .reload(&lab.settings(&impossible))
        .await
        .expect_err("the port is taken");
    assert_eq!(*running.bound(), after);
    assert!(
        answer(after.named["new"], "n2", SOON).await.is_some(),
        "the old settings hold"
    );
    assert!(is_answered(&mut kept, "k3").await);
    running.stop(Duration::ZERO).await;
}
