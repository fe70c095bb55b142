//! TLS both ways: names, authorities, what is asked of a client, handshakes that do not go on.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use sip::{Message, Target, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use wa_sbc::net::{Event, tls};

use super::{HOST, Lab, OPTIONS, accepted, dial, failure, limits, listen, next, target};

#[tokio::test]
async fn towards_meta_the_name_is_sent_and_no_alpn() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    let server = lab.server();
    let seen = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let start = LazyConfigAcceptor::new(Default::default(), stream)
            .await
            .expect("a hello");
        let hello = start.client_hello();
        let seen = (
            hello.server_name().map(str::to_owned),
            hello.alpn().map(Iterator::count),
        );
        start.into_stream(server).await.expect("a handshake");
        seen
    });
    let event = dial(dialer, target(Transport::Tls)).await;
    assert!(
        matches!(event, Event::Opened { flow, .. } if flow.transport == Transport::Tls),
        "{event:?}"
    );
    assert_eq!(seen.await.expect("no panic"), (Some(HOST.to_owned()), None));
}

#[tokio::test]
async fn a_peer_whose_certificate_has_another_name_is_refused() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    let other = "other.example.com";
    dialer.fixed.insert(other.into(), address);
    dialer.authorities.insert(other.into(), lab.client());
    let why = failure(
        dial(
            dialer,
            Target {
                host: other.into(),
                ..target(Transport::Tls)
            },
        )
        .await,
    );
    assert!(
        why.contains("TLS handshake") && why.contains("does not verify for the name we called"),
        "{why}"
    );
}

#[tokio::test]
async fn a_peer_whose_authority_is_not_trusted_is_refused() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    dialer.authorities.clear();
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
}

#[tokio::test]
async fn an_authority_of_one_host_is_no_authority_for_another() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    let config = dialer.authorities.remove(HOST).expect("set by the lab");
    dialer.authorities.insert("pbx.example.com".into(), config);
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
}

/// Notices whether a server asks for a client certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_client_is_asked_for_no_certificate_and_its_alpn_is_ignored() {
    let lab = Lab::new();
    let (address, mut events) = listen(Some(lab.server()), limits()).await;
    let asked = Arc::new(Asked::default());
    let mut config = (*lab.client()).clone();
    config.alpn_protocols = vec![b"sip".to_vec()];
    config.client_auth_cert_resolver = asked.clone();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from(HOST).expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config.clone()))
            .connect(name, stream)
            .await
            .expect(HOST);
        assert_eq!(stream.get_ref().1.alpn_protocol(), None, "{version:?}");
        stream.write_all(OPTIONS.as_bytes()).await.expect("written");
        let (_flow, _writer) = accepted(&mut events).await;
        assert!(matches!(
            next(&mut events).await,
            Event::Message {
                message: Message::Request(_),
                ..
            }
        ));
        assert!(!asked.0.load(Ordering::Relaxed));
        drop(stream);
        assert!(matches!(next(&mut events).await, Event::Closed(_)));
    }
}

#[tokio::test]
async fn openssl_verifies_our_name_and_chain_and_negotiates_no_alpn() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let run = tokio::process::Command::new("openssl")
        .args([
            "s_client",
            "-alpn",
            "sip",
            "-servername",
            HOST,
            "-verify_hostname",
            HOST,
            "-verify_return_error",
        ])
        .arg("-CAfile")
        .arg(lab.scratch.path("ca.pem"))
        .args(["-connect", &address.to_string()])
        .stdin(Stdio::null())
        .output();
    let Ok(output) = timeout(Duration::from_secs(10), run)
        .await
        .expect("openssl ends")
    else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "Verify return code: 0 (ok)",
        "No client certificate CA names sent",
        "No ALPN negotiated",
    ] {
        assert!(
            text.contains(expected),
            "no `{expected}` in\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut silent = TcpStream::connect(address).await.expect("a connection");
    let read = timeout(Duration::from_secs(3), silent.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("no TLS handshake within 0.5 s"), "{why}");
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_named_as_such() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream
            .write_all(b"SIP/2.0 400 Bad Request\r\n\r\n")
            .await
            .expect("written");
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(
        why.contains("the peer does not speak TLS on this port"),
        "{why}"
    );
}

#[test]
fn alert_120_tells_the_operator_about_alpn() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    let hint = tls::hint(&std::io::Error::other(alert)).expect("a hint");
    assert!(
        hint.contains("alert 120") && hint.contains("ALPN"),
        "{hint}"
    );
}
