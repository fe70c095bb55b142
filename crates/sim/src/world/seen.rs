//! What a world has seen: every SIP message sent, and whatever crossed the core's border.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Party, World};

/// One SIP message on its way, for the ladder and for tests on bytes.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When it was sent, from the beginning of the world.
    pub at: Duration,
    /// By whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// Number of the connection, or pair of addresses, it was sent on.
    pub connection: usize,
    /// Its text, non-UTF-8 bytes replaced.
    pub text: String,
    /// When it arrived first, if it did.
    pub arrived: Option<Duration>,
}

/// Something that crossed the core's border, as a capture there would have it: what came in when it
/// arrived, what went out when it left.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// When, from the beginning of the world.
    pub at: Duration,
    /// Towards the core.
    pub inward: bool,
    /// The peer.
    pub peer: Party,
    /// How SIP was carried; `None` for media.
    pub transport: Option<sip::Transport>,
    /// The core's address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The message or packet.
    pub bytes: Vec<u8>,
}

impl Passed {
    /// The value of a header, its first line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    /// All values of a header, one per line.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.text
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .lines()
            .skip(1)
            .filter_map(|line| {
                let (n, value) = line.split_once(':')?;
                n.trim().eq_ignore_ascii_case(name).then_some(value.trim())
            })
            .collect()
    }

    /// The body.
    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }
}

impl World {
    /// Messages whose start line begins so, from one party to another.
    pub fn messages(&self, from: Party, to: Party, start: &str) -> Vec<&Passed> {
        self.passed
            .iter()
            .filter(|p| p.from == from && p.to == to && p.text.starts_with(start))
            .collect()
    }
}
