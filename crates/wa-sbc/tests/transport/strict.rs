//! A PBX that wants to see our certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use wa_sbc::run;

use super::{Lab, SOON};

/// A PBX over TLS that lets nobody in without a certificate of the authority, and tells the first bytes it
/// reads.
async fn strict_pbx(lab: &Lab, heard: mpsc::Sender<String>) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(lab.scratch.path("ca.pem")).expect("PEM");
    roots.add(authority).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = CertificateDer::from_pem_file(lab.scratch.path("loopback.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(lab.scratch.path("loopback.key")).expect("PEM");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![chain], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let word = match acceptor.accept(stream).await {
                Ok(mut stream) => {
                    let mut buffer = [0; 4096];
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    String::from_utf8_lossy(&buffer[..length]).into_owned()
                }
                Err(error) => error.to_string(),
            };
            let _ = heard.send(word).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pbx_that_wants_our_certificate_gets_it_and_none_without_it_hears_a_word() {
    let lab = Lab::new();
    lab.authority.issue(
        "127.0.0.1",
        &lab.scratch.path("loopback.pem"),
        &lab.scratch.path("loopback.key"),
    );
    for shows in [true, false] {
        let (sender, mut heard) = mpsc::channel(4);
        let pbx = strict_pbx(&lab, sender).await;
        let mut keys = format!("extra_ca = \"{}\"\nping = 1\n", lab.path("ca.pem"));
        if shows {
            keys += &format!(
                "certificate = \"{}\"\nkey = \"{}\"\n",
                lab.path("pbx.pem"),
                lab.path("pbx.key")
            );
        }
        let running = run(lab.settings_of(&format!("sip:{pbx};transport=tls"), "", &keys))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let word = timeout(SOON, heard.recv())
            .await
            .expect("soon")
            .expect("a word");
        match shows {
            true => {
                assert!(word.starts_with("OPTIONS sip:"), "{word}");
                assert!(word.contains("Via: SIP/2.0/TLS sbc.example.com:"), "{word}");
            }
            false => assert!(word.contains("certificate"), "{word}"),
        }
        running.stop(Duration::ZERO).await;
    }
}
