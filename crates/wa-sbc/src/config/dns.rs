//! `[dns]`: who is asked where names lead.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `[dns]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Name servers, `address:port`; empty: those of this machine (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
}
