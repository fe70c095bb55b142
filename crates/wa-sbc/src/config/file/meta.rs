//! `[meta]`: Meta's side.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// `[meta]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Meta {
    /// The host of every Request-URI, and the name its certificate must have.
    pub host: String,
    /// The port it listens on; SRV records decide, else 5061, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Connect here instead of resolving the host (labs).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddr>,
    /// A further authority its certificate may come from (labs), PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_ca: Option<Spanned<PathBuf>>,
    /// Where its calls come from; empty: anywhere.
    pub networks: Vec<IpNet>,
    /// A file that names them, one a line, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks_file: Option<Spanned<PathBuf>>,
    /// Multiplex RTP and RTCP on one port.
    pub rtcp_mux: bool,
    /// Seconds without RTP and RTCP from Meta after which a call ends; 0: never.
    pub inactivity: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            host: whatsapp::facts::DOMAIN.to_owned(),
            port: None,
            connect: None,
            extra_ca: None,
            networks: whatsapp::networks::NETWORKS.to_vec(),
            networks_file: None,
            rtcp_mux: true,
            inactivity: whatsapp::facts::INACTIVITY.as_secs(),
        }
    }
}
