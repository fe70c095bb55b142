//! `[sip]`: our own side of signalling, and its first listeners.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::max_calls;
use crate::config::listener::CertificateFiles;

/// `[sip]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Our public name: what Meta calls, verifies and is told to come back to.
    pub host: Spanned<String>,
    /// The realm of our challenges; the host when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The port Meta connects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<TlsListen>>,
    /// The UDP port for PBXs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<Spanned<Listen>>,
    /// The TCP port for PBXs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Spanned<Listen>>,
    /// Accepted connections of one listener at once.
    #[serde(default = "connections")]
    pub connections: usize,
    /// Accepted connections of one listener at once from one address of a network nobody configured.
    #[serde(default = "connections_per_source")]
    pub connections_per_source: usize,
    /// Calls at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// Seconds a challenge of ours may be answered.
    #[serde(default = "nonce_ttl")]
    pub nonce_ttl: u64,
    /// Number of this node in a fleet.
    #[serde(default)]
    pub node: u16,
    /// `User-Agent` and `Server`; empty for none.
    #[serde(default = "product")]
    pub product: String,
    /// Seconds running calls have to end after SIGTERM.
    #[serde(default = "drain")]
    pub drain: u64,
}

/// A TLS listener.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsListen {
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Further certificates, for those who ask for other names (SNI).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// The port the outside reaches us at; the bound one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
}

/// A UDP or TCP listener.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// `host` or `host:port` as PBXs reach us; the bound address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

fn connections() -> usize {
    4096
}

fn connections_per_source() -> usize {
    32
}

fn nonce_ttl() -> u64 {
    60
}

fn product() -> String {
    "wa-sbc".into()
}

fn drain() -> u64 {
    60
}
