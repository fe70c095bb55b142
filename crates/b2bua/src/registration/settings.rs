//! What the operator decided about accounts and registrations.

use std::net::SocketAddr;
use std::time::Duration;

use sip::{Algorithm, Flow, Secret, Target, Transport};

/// How a trunk and we know each other beyond its networks. The default: not at all.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Its requests are challenged, and this is the right answer.
    pub account: Option<Account>,
    /// It is called wherever it has registered, and nowhere else. Needs an account.
    pub registers: bool,
    /// We register with it, as an extension of its.
    pub upstream: Option<Upstream>,
}

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct Account {
    /// Digest user name, and the user of its address of record. No two trunks have the same.
    pub username: String,
    /// Digest password.
    pub password: Secret<String>,
}

/// Our registration with a PBX (RFC 3261 §10.2).
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where REGISTER goes: the first that takes it.
    pub servers: Vec<Target>,
    /// The host of the Request-URI, and of our address of record.
    pub domain: String,
    /// Which extension of the PBX we are.
    pub extension: String,
    /// Digest user name and password, for REGISTER and for the calls we send it.
    pub account: Account,
    /// How long a registration lasts, as we ask for it.
    pub expires: Duration,
}

/// How PBXs prove who they are, and for how long they may register.
#[derive(Clone, Debug)]
pub struct Registrar {
    /// The realm of our challenges.
    pub realm: String,
    /// What they may be answered with, the most wanted first; at least one.
    pub algorithms: Vec<Algorithm>,
    /// The shortest registration; shorter ones get 423 (RFC 3261 §10.3).
    pub min_expires: Duration,
    /// The longest one, and that of who asks for none.
    pub max_expires: Duration,
    /// Contacts one trunk may have at once; one more takes the place of that which would end first.
    pub contacts: usize,
    /// Where the carrier connects over TLS: nobody registers there. `None`: over TLS, nowhere.
    pub carrier_door: Option<SocketAddr>,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            realm: String::new(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(3_600),
            contacts: 10,
            carrier_door: None,
        }
    }
}

impl Registrar {
    /// Whether a flow came to where the carrier connects.
    pub(crate) fn is_carriers(&self, flow: &Flow) -> bool {
        flow.transport == Transport::Tls
            && self.carrier_door.is_none_or(|door| {
                door.port() == flow.local.port()
                    && (door.ip().is_unspecified() || door.ip() == flow.local.ip())
            })
    }
}
