//! HEP3 to a Homer: the SIP of both legs of every call, and our RTCP reports, as they happen.
//!
//! ```text
//!   core task ─ Moment ─► Mirror: whose message is it, between which addresses?
//!                            │ bounded queue; what finds no room is counted and gone
//!                            ▼
//!                         thread: secrets out, chunks.rs ─► UDP datagram or TCP ─► Homer
//! ```
//!
//! Both legs of a call carry one correlation id, the Call-ID of the leg that was there first, so that
//! the collector shows one call. Calls never wait for any of this.

mod chunks;
mod json;
mod mirror;
mod send;

pub(crate) use mirror::Mirror;
pub(crate) use send::{HepCounts, Sender};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use sdp::report::SentReport;

/// What is sent on.
#[derive(Clone, Debug)]
struct Item {
    at: SystemTime,
    from: SocketAddr,
    to: SocketAddr,
    /// IANA's number of the protocol: 6 for TCP and TLS, 17 for UDP.
    protocol: u8,
    /// What joins the legs of a call; `None`: it belongs to no call.
    correlation: Option<Arc<str>>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A SIP message.
    Sip(Bytes),
    /// A report of ours.
    Rtcp(SentReport),
}

/// IANA's numbers of protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;
