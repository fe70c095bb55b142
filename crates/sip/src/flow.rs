//! Flows: the paths messages travel on (RFC 5626 §3), named but not owned by this crate.

use std::fmt;
use std::net::SocketAddr;

/// A transport protocol for SIP (RFC 3261 §18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP: requests and responses are retransmitted.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// Whether the transport delivers or fails (RFC 3261 §17: retransmission timers stay off).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The name in a Via header: `UDP`, `TCP`, `TLS`.
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The value of a `transport` URI parameter: `udp`, `tcp`, `tls`.
    pub const fn param(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// The port when none is written: 5061 for TLS, else 5060.
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Tls => 5061,
            Transport::Udp | Transport::Tcp => 5060,
        }
    }
}

/// The name of a flow: a TCP or TLS connection, or a pair of UDP addresses.
///
/// Ids of flows the network opened are even, ids of flows the core asked for are odd, so both
/// sides can mint them without asking each other. An id is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow-{}", self.0)
    }
}

/// A flow a message came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Its name.
    pub id: FlowId,
    /// Its transport.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The far end: where the bytes really came from.
    pub remote: SocketAddr,
}

/// Where a new flow is to lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The transport to use.
    pub transport: Transport,
    /// Host name or IP address literal (no brackets); over TLS also the name to verify and the SNI.
    pub host: String,
    /// Port; 0 where none is written, because then SRV records may know better (RFC 3263 §4.2).
    pub port: u16,
    /// The local address to leave from, when it matters (a trunk's listener). Datagrams leave from
    /// the socket bound to it; connections take its address and a port of their own.
    pub from: Option<SocketAddr>,
    /// Where `host` was found, once somebody has looked; whoever opens the flow need not.
    pub at: Option<SocketAddr>,
}
