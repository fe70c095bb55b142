//! Strangers: scanners, replayers and throwers of packets, who belong to no call.

use std::net::SocketAddr;

use b2bua::Input;
use bytes::Bytes;
use sip::{Flow, FlowId, Transport};

use super::World;

/// Names of strangers' flows start here: even, and higher than any the links mint.
const FIRST: u64 = 1 << 40;

impl World {
    /// Somebody at `from` sends the core a SIP message. What it answers is kept in
    /// [`World::told_strangers`].
    pub fn stranger_says(&mut self, transport: Transport, from: SocketAddr, text: &str) {
        let local = match transport {
            Transport::Udp | Transport::Tcp => SocketAddr::new(self.places.private, 5060),
            Transport::Tls => SocketAddr::new(self.places.public, 5061),
        };
        let flow = Flow {
            id: FlowId(FIRST + 2 * u64::from(from.port())),
            transport,
            local,
            remote: from,
        };
        let Ok(message) = sip::parse(Bytes::copy_from_slice(text.as_bytes())) else {
            return;
        };
        self.core.handle(self.now, Input::Sip { flow, message });
        self.settle();
    }

    /// Somebody at `from` throws a packet at every media port the core has open.
    pub fn stranger_throws(&mut self, from: SocketAddr, bytes: &[u8]) {
        for port in self.relay.addresses() {
            self.relay.receive(self.now, port, from, bytes);
        }
        self.settle();
    }

    /// The core sends on a flow that is no link's; `false` when it is no stranger's either.
    pub(super) fn tell_stranger(&mut self, flow: FlowId, bytes: &[u8]) -> bool {
        let is_strangers = flow.0 >= FIRST;
        if is_strangers {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.told_strangers.push(text);
        }
        is_strangers
    }
}
