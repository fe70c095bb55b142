//! The HTTP client for what leaves the house: no proxies, no redirects, certificates always verified.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// A client that believes the authorities of this file, or else the public ones, and takes at most so long
/// for a request. `table` is where the operator wrote it, for what is wrong with the file.
pub(crate) fn agent(
    authority: Option<&Path>,
    timeout: Duration,
    table: &'static str,
) -> io::Result<Agent> {
    let roots = match authority {
        Some(path) => RootCerts::from(certificates(path, table)?),
        None => RootCerts::WebPki,
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent("wa-sbc")
        .build();
    Ok(config.into())
}

fn certificates(path: &Path, table: &str) -> io::Result<Vec<Certificate<'static>>> {
    let wrong = |why: &dyn Display| {
        io::Error::other(format!("{}, the ca of {table}: {why}", path.display()))
    };
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(wrong(&"there is no certificate in it")),
        false => Ok(found),
    }
}
