//! `[[listener]]` and the certificates of TLS listeners: ports beyond the three of `[sip]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sip::Transport;
use toml::Spanned;

use super::file::Sip;

/// `[[listener]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MoreListen {
    /// What trunks call it by.
    pub name: Spanned<String>,
    /// `udp`, `tcp` or `tls`.
    pub transport: Spanned<String>,
    /// Address and port to bind.
    pub listen: Spanned<SocketAddr>,
    /// Certificate chain (TLS), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Private key (TLS), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Further certificates, for those who ask for other names (TLS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// Whoever connects has to show a certificate of this authority (TLS), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// `host` or `host:port` as PBXs reach us; the bound address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

impl MoreListen {
    /// Its transport, if it is one of ours.
    pub(super) fn transport(&self) -> Option<Transport> {
        transport_named(self.transport.get_ref())
    }

    /// Certificate and key, where both are written.
    pub(super) fn pair(&self) -> Option<CertificateFiles> {
        Some(CertificateFiles {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
        })
    }
}

/// The transport an operator calls by this name.
pub(super) fn transport_named(name: &str) -> Option<Transport> {
    [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|transport| transport.param().eq_ignore_ascii_case(name))
}

/// A listener as a trunk sees it, wherever it is written.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) listen: SocketAddr,
    pub(super) advertise: Option<String>,
}

/// The listener a trunk's requests leave from: the one it names, else the first of its transport
/// and of the address family of its peer, else the first of its transport. `None` over TLS where
/// no other is named than that of `[sip]`.
pub(super) fn door_for(
    sip: &Sip,
    more: &[Spanned<MoreListen>],
    named: Option<&str>,
    transport: Transport,
    is_ipv4: Option<bool>,
) -> Option<Door> {
    let first = match transport {
        Transport::Tls => None,
        Transport::Udp => sip.udp.as_ref(),
        Transport::Tcp => sip.tcp.as_ref(),
    };
    let first = first.map(|listen| Door {
        listen: listen.get_ref().listen,
        advertise: listen.get_ref().advertise.clone(),
    });
    let door = |listen: &MoreListen| Door {
        listen: *listen.listen.get_ref(),
        advertise: listen.advertise.clone(),
    };
    let of_transport = || {
        more.iter()
            .map(Spanned::get_ref)
            .filter(|listen| listen.transport() == Some(transport))
    };
    if let Some(name) = named {
        return of_transport()
            .find(|listen| listen.name.get_ref() == name)
            .map(door);
    }
    if transport == Transport::Tls {
        return None; // The port of [sip], which the outside knows by our public name.
    }
    let all: Vec<Door> = first.into_iter().chain(of_transport().map(door)).collect();
    let fits = |door: &&Door| is_ipv4.is_none_or(|v4| door.listen.is_ipv4() == v4);
    all.iter().find(fits).or(all.first()).cloned()
}
