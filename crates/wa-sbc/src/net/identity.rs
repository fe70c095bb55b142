//! Which certificate a TLS listener shows, and whether it wants to see one.
//!
//! | the far end asks for | it gets |
//! |---|---|
//! | a name one of our certificates is made for | that certificate, the first that fits |
//! | another name, or none | the first certificate (Meta reference 2: never require SNI) |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use super::tls::{self, TlsError};
use crate::config::CertificateFiles;

/// Our certificates on one port, the default one first.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let fitting = named.and_then(|name| self.0.iter().find(|key| is_made_for(key, &name)));
        fitting.or(self.0.first()).cloned()
    }
}

fn is_made_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// The server side with any number of certificates. A client certificate is asked for only where
/// an authority for it is given; then whoever has none is not let in.
pub(crate) fn server(
    certificates: &[CertificateFiles],
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let keys = certificates
        .iter()
        .map(|files| tls::certified(&files.certificate, &files.key).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let builder = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(tls::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, tls::provider())
                .build()
                .map_err(|_| TlsError::NoAuthority {
                    path: PathBuf::from(path),
                })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates(keys)));
    // A session is resumed from the ticket its client keeps (RFC 8446 §2.2): nothing of it is kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}
