//! What every simulated peer is: a value that takes messages, packets and the time, and hands out
//! what it wants done. The same peers run in [`crate::world`] and on real sockets (`run`).
//!
//! ```text
//!  flow, message ─►┐                 ┌─► Send, Connect, Close
//!  datagram      ─►│  a peer's state │─► Bind, Datagram, Unbind
//!  timeout(now)  ─►┘                 └─► Report
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sip::{Flow, FlowId, Message, Target};

use crate::report::Report;

/// Something a peer wants done. Drain with [`Peer::poll`] after every input.
#[derive(Debug)]
pub enum Output {
    /// Write these bytes on a flow; on one still connecting, as soon as it is open.
    Send {
        /// The flow.
        flow: FlowId,
        /// A whole SIP message, or a keep-alive.
        bytes: Bytes,
    },
    /// Open a flow under an id the peer has minted (odd).
    Connect {
        /// The new flow's name.
        id: FlowId,
        /// Where to, and under which name the far end must prove itself.
        target: Target,
    },
    /// Close a flow once everything written is out.
    Close {
        /// The flow.
        id: FlowId,
    },
    /// Listen for datagrams on this address.
    Bind {
        /// Our media address.
        address: SocketAddr,
    },
    /// Stop listening.
    Unbind {
        /// Our media address.
        address: SocketAddr,
    },
    /// Send a datagram (RTP, RTCP, protected or not).
    Datagram {
        /// The bound address to leave from.
        from: SocketAddr,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Something worth telling.
    Report(Report),
}

/// A simulated peer: mutate, drain with [`Peer::poll`], wait until [`Peer::next_timeout`].
pub trait Peer {
    /// A message came on a flow.
    fn receive(&mut self, now: Instant, flow: Flow, message: Message);
    /// A flow this peer asked for is open.
    fn opened(&mut self, now: Instant, flow: Flow);
    /// A flow this peer asked for could not be opened.
    fn failed(&mut self, now: Instant, id: FlowId, why: &str);
    /// A flow is gone.
    fn closed(&mut self, now: Instant, id: FlowId);
    /// A datagram came to one of the bound addresses.
    fn datagram(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]);
    /// Everything due by `now` happens.
    fn timeout(&mut self, now: Instant);
    /// When [`Peer::timeout`] is due next.
    fn next_timeout(&self) -> Option<Instant>;
    /// The next thing to do, until `None`.
    fn poll(&mut self) -> Option<Output>;
}
