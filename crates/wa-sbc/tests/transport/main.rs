//! A running SBC and the network around it, on loopback. This file is the laboratory the others use.

mod listeners;
mod names;
mod strict;
#[path = "../support/mod.rs"]
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
    authority: Authority,
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
        Self { scratch, authority }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path(name).display().to_string()
    }

    /// A configuration with further listeners.
    fn settings(&self, listeners: &str) -> Settings {
        self.settings_of("sip:127.0.0.1:9;transport=udp", listeners, "")
    }

    /// One whose trunk is there and has further keys.
    fn settings_of(&self, pbx: &str, listeners: &str, keys: &str) -> Settings {
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
peer = "{pbx}"
{keys}"#
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
