//! Sockets for SIP: whatever comes in becomes an [`Event`], whatever goes out goes by [`FlowId`].
//!
//! ```text
//!  listen ──accept──► connection ──┐                       ┌── Flows ──► Writer ──► connection
//!  dial ────connect─► connection ──┼──► Event ──► core ──►─┤
//!  udp ──────────────────────────  ┘   (bounded)           └──────────► UDP socket
//! ```

pub(crate) mod agent;
pub mod connection;
pub mod dial;
pub mod dns;
pub mod door;
pub mod flows;
mod identity;
pub mod listen;
pub(crate) mod listeners;
mod seldom;
pub mod tally;
pub mod tls;
pub mod udp;
pub mod validity;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use connection::Writer;
use sip::resolve::Located;
use sip::{Flow, FlowId, Message, Target};

pub use connection::Limits;
pub use door::Door;
pub use flows::Flows;

/// The ports that were bound: with the numbers the system chose, where 0 was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The TLS port.
    pub tls: Option<SocketAddr>,
    /// The UDP port.
    pub udp: Option<SocketAddr>,
    /// The TCP port.
    pub tcp: Option<SocketAddr>,
    /// Further ports, by the names of their listeners.
    pub named: HashMap<String, SocketAddr>,
}

/// What the network tells.
#[derive(Debug)]
pub enum Event {
    /// Somebody opened a connection to us.
    Accepted {
        /// The connection.
        flow: Flow,
        /// Its sending end.
        writer: Writer,
    },
    /// A connection we asked for is open.
    Opened {
        /// The connection.
        flow: Flow,
        /// Its sending end.
        writer: Writer,
    },
    /// The far end of a UDP flow we asked for is known.
    Resolved {
        /// The flow.
        id: FlowId,
        /// Which of our sockets it leaves from.
        socket: usize,
        /// The far end.
        remote: SocketAddr,
    },
    /// What the DNS knows of a target, or knows no more.
    Located {
        /// The target, as it was asked for.
        target: Target,
        /// Where it is.
        found: Located,
    },
    /// A flow we asked for cannot be had.
    Failed {
        /// The flow.
        id: FlowId,
        /// Why, in plain words.
        why: String,
    },
    /// A message on a connection.
    Message {
        /// The connection.
        flow: Flow,
        /// The message.
        message: Message,
        /// The same as it was on the wire.
        bytes: Bytes,
    },
    /// A message in a datagram.
    Datagram {
        /// Which of our sockets it came in on.
        socket: usize,
        /// Where it came from.
        remote: SocketAddr,
        /// The message.
        message: Message,
        /// The same as it was on the wire.
        bytes: Bytes,
    },
    /// Something that is no SIP came from there.
    Malformed(IpAddr),
    /// A connection is gone.
    Closed(FlowId),
}
