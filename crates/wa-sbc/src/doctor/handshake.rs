//! A TLS handshake as a peer that verifies would do it, and what that peer would object to.
//!
//! The chain is fetched first and judged afterwards: so the judgement can name the cause, and be made
//! for another time than now.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    PeerMisbehaved, SignatureScheme,
};

use crate::net::tls;

/// Why there was no handshake.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody answers at that address.
    Unreachable(io::Error),
    /// Somebody between us changes the application protocol (ALPN).
    Alpn(String),
    /// It is no TLS, or another failure.
    Failed(String),
}

/// Who answered a handshake.
#[derive(Debug)]
pub(super) struct Shown(Vec<CertificateDer<'static>>);

/// What is wrong with a certificate, as a verifying peer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// It is over.
    Expired,
    /// It has not begun.
    NotYet,
    /// It is for another name.
    Name(String),
    /// Nobody trusted vouches for it.
    Chain(String),
}

/// Shakes hands with whoever answers at `address`, asking for `name`, offering no ALPN.
pub(super) fn shake(address: SocketAddr, name: &str, patience: Duration) -> Result<Shown, Trouble> {
    let stream = TcpStream::connect_timeout(&address, patience).map_err(Trouble::Unreachable)?;
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .map_err(Trouble::Unreachable)?;
    shake_over(stream, name)
}

fn shake_over(mut stream: impl Read + Write, name: &str) -> Result<Shown, Trouble> {
    let witness = Arc::new(Witness::default());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Trouble::Failed(format!("{name} is no name TLS could verify")))?;
    let mut connection = ClientConnection::new(Arc::new(config), name)
        .map_err(|error| Trouble::Failed(error.to_string()))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(trouble)?;
    }
    connection.send_close_notify();
    let _ = connection.complete_io(&mut stream);
    let chain = witness.0.lock().map(|chain| chain.clone());
    Ok(Shown(chain.unwrap_or_default()))
}

fn trouble(error: io::Error) -> Trouble {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => Trouble::Alpn(
            "the handshake ends with alert 120: the far side was offered an application protocol it refuses".into(),
        ),
        Some(rustls::Error::PeerMisbehaved(
            PeerMisbehaved::UnsolicitedEncryptedExtension
            | PeerMisbehaved::UnsolicitedServerHelloExtension
            | PeerMisbehaved::SelectedUnofferedApplicationProtocol,
        )) => Trouble::Alpn("the far side chose an application protocol we never offered".into()),
        Some(rustls::Error::InvalidMessage(_)) => {
            Trouble::Failed("what answers speaks no TLS".into())
        }
        Some(other) => Trouble::Failed(other.to_string()),
        None if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Trouble::Failed("it takes the connection and says nothing".into())
        }
        None => Trouble::Failed(error.to_string()),
    }
}

impl Shown {
    /// What a peer that trusts the public authorities, and `authority`, objects to at that time.
    pub(super) fn objection(
        &self,
        name: &str,
        authority: Option<&Path>,
        now: SystemTime,
    ) -> Result<Option<Objection>, String> {
        let roots = tls::roots(authority).map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| error.to_string())?;
        let Some((end_entity, intermediates)) = self.0.split_first() else {
            return Ok(Some(Objection::Chain("it shows no certificate".into())));
        };
        let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let at = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let verified = verifier.verify_server_cert(end_entity, intermediates, &server, &[], at);
        let Err(why) = verified else { return Ok(None) };
        use CertificateError as E;
        Ok(Some(match why {
            rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. }) => {
                Objection::Expired
            }
            rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. }) => {
                Objection::NotYet
            }
            rustls::Error::InvalidCertificate(E::NotValidForNameContext { presented, .. }) => {
                Objection::Name(presented.join(", "))
            }
            rustls::Error::InvalidCertificate(E::NotValidForName) => Objection::Name(String::new()),
            rustls::Error::InvalidCertificate(E::UnknownIssuer) if self.0.len() == 1 => {
                Objection::Chain(
                    "nobody trusted vouches for it, and no intermediate is sent along".into(),
                )
            }
            rustls::Error::InvalidCertificate(E::UnknownIssuer) => Objection::Chain(
                "nobody trusted vouches for the last certificate of the chain".into(),
            ),
            other => Objection::Chain(other.to_string()),
        }))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Takes every chain and remembers it; the signatures of the handshake are verified all the same.
#[derive(Debug, Default)]
struct Witness(Mutex<Vec<CertificateDer<'static>>>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut chain) = self.0.lock() {
            chain.push(end_entity.clone().into_owned());
            chain.extend(intermediates.iter().map(|der| der.clone().into_owned()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
