//! TLS, both roles (Meta reference 2).
//!
//! | | server, towards whoever connects | client, towards the peer we call |
//! |---|---|---|
//! | certificate | ours, from PEM files, by SNI | none; towards a trunk that wants one, its own |
//! | verifies | nobody: Meta's client certificate names an internal host; on a port for trunks that asks for one, its chain | chain and name, always |
//! | ALPN | whatever is offered is ignored | none is offered: Meta answers `sip` with alert 120 |
//! | SNI | not required | sent, unless the peer is an IP address |
//!
//! One provider (ring), given explicitly, so a second one in the build can never decide for us.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, RootCertStore, ServerConfig};

use crate::config::CertificateFiles;

/// Why TLS cannot be set up. Every variant is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("cannot read {what} from {path}: {why}")]
    Unreadable {
        /// What was to be read: "a certificate", "a private key".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system or the parser says.
        why: String,
    },
    /// The certificate and the key do not make a server.
    #[error("{certificate} and {key} do not fit together: {why}")]
    Unusable {
        /// The file of the certificate chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls says.
        why: rustls::Error,
    },
    /// A file of authorities names none that could verify anybody.
    #[error("{path} holds no authority that could verify a client")]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of an authority is not one.
    #[error("{path} holds no usable authority: {why}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        why: rustls::Error,
    },
}

/// The server side: our chain and key, no client certificate asked, TLS 1.2 and 1.3.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let files = CertificateFiles {
        certificate: certificate.into(),
        key: key.into(),
    };
    super::identity::server(&[files], None)
}

/// The client side: verifies against the public authorities and those of the extra file, and
/// offers neither ALPN nor a certificate.
pub fn client(extra_authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    client_as(extra_authorities, None)
}

/// The same with a certificate of ours to show, should the peer ask for one.
pub fn client_as(
    extra_authorities: Option<&Path>,
    identity: Option<&CertificateFiles>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots(extra_authorities)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(CertificateFiles { certificate, key }) => builder
            .with_client_auth_cert(chain(certificate)?, secret(key)?)
            .map_err(|why| unusable(certificate, key, why))?,
    };
    Ok(Arc::new(config))
}

/// A chain and its key, which have to fit together.
pub(crate) fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(chain(certificate)?, secret(key)?, &provider())
        .map_err(|why| unusable(certificate, key, why))
}

/// The authorities of a file, and no others.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    add(&mut roots, path)?;
    Ok(roots)
}

/// What a peer that verifies us would object to, in plain words: the name, the dates, the chain.
///
/// Meta never sends an INVITE to a server it cannot verify, so `wa-sbc check` asks first.
pub fn objection(
    certificate: &Path,
    host: &str,
    authorities: Option<&Path>,
) -> Result<Option<String>, TlsError> {
    let chain = chain(certificate)?;
    let Some((end_entity, intermediates)) = chain.split_first() else {
        return Ok(Some("the file holds no certificate".into()));
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Ok(Some(format!(
            "{host} is no name a certificate can be made for"
        )));
    };
    if let Err(why) = ParsedCertificate::try_from(end_entity) {
        return Ok(Some(format!("the first certificate cannot be read: {why}")));
    }
    if !is_made_for(end_entity, host) {
        return Ok(Some(format!("the certificate is not made for {host}")));
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider())
            .build()
            .expect("the public authorities are not empty");
    match verifier.verify_server_cert(end_entity, intermediates, &name, &[], UnixTime::now()) {
        Ok(_) => Ok(None),
        Err(why) => Ok(Some(format!("the chain does not verify: {why}"))),
    }
}

/// Whether a certificate names a host.
pub(crate) fn is_made_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let name = ServerName::try_from(host).ok();
    let parsed = ParsedCertificate::try_from(certificate).ok();
    name.zip(parsed)
        .is_some_and(|(name, parsed)| verify_server_name(&parsed, &name).is_ok())
}

/// The first certificate of a file.
pub(crate) fn leaf(certificate: &Path) -> Result<CertificateDer<'static>, TlsError> {
    let first = chain(certificate)?.into_iter().next();
    Ok(first.expect("a chain is not empty"))
}

/// Until when the first certificate of a file is valid.
pub fn not_after(certificate: &Path) -> Result<Option<std::time::SystemTime>, TlsError> {
    Ok(chain(certificate)?
        .first()
        .and_then(|der| super::validity::not_after(der)))
}

/// What an operator should know about a failed handshake, where the error tells.
pub fn hint(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match error {
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => Some(
            "alert 120: the peer refuses the application protocol (ALPN); we offer none, so something between us does",
        ),
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate,
        ) => Some(
            "the peer does not trust our certificate: serve the full chain of a public authority",
        ),
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            Some("our certificate has expired")
        }
        rustls::Error::InvalidCertificate(_) => Some(
            "the peer's certificate does not verify for the name we called; we never go on without",
        ),
        rustls::Error::InvalidMessage(_) => Some("the peer does not speak TLS on this port"),
        _ => None,
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn roots(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = extra {
        add(&mut roots, path)?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|why| TlsError::Authority {
            path: path.into(),
            why,
        })?;
    }
    Ok(())
}

fn secret(key: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable("a private key", key, why))
}

fn unusable(certificate: &Path, key: &Path, why: rustls::Error) -> TlsError {
    TlsError::Unusable {
        certificate: certificate.into(),
        key: key.into(),
        why,
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |why| unreadable("a certificate", path, why);
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        return Err(unreadable(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn unreadable(what: &'static str, path: &Path, why: rustls::pki_types::pem::Error) -> TlsError {
    let why = match why {
        rustls::pki_types::pem::Error::Io(why) => why.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it".into(),
        other => format!("{other}"),
    };
    TlsError::Unreadable {
        what,
        path: path.into(),
        why,
    }
}
