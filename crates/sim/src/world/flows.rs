//! The flows of the world: every connection and every pair of UDP addresses, each with a name at
//! either end.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use sip::{Flow, FlowId, Transport};

use super::places::Places;
use super::{Party, flow_at};

/// How a flow carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// UDP: lost and overtaken.
    Datagrams,
    /// TCP or TLS: in order, or broken.
    Stream,
}

/// One flow between the core and a peer.
#[derive(Debug)]
struct Pipe {
    peer: Party,
    transport: Transport,
    /// The core's name and the peer's name; `None` once that end knows it is gone.
    sbc: Option<FlowId>,
    far: Option<FlowId>,
    sbc_address: SocketAddr,
    far_address: SocketAddr,
    /// When the last piece toward the core, and toward the peer, arrives.
    ahead: [Instant; 2],
    /// Dead without a sign: whoever writes next learns of it.
    dead: bool,
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    pipes: Vec<Pipe>,
    names: BTreeMap<(Party, FlowId), usize>,
    /// Even names for the end that did not open.
    minted: u64,
    ports: u16,
    places: Places,
}

impl Pipes {
    /// No flow yet between these places.
    pub(super) fn between(places: Places) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    /// A new stream from `opener`, who calls it `id`; nothing arrives on it before `first`. `at`: the
    /// address of the peer, if it has several.
    pub(super) fn stream(
        &mut self,
        peer: Party,
        opener: Party,
        id: FlowId,
        transport: Transport,
        at: Option<IpAddr>,
        first: Instant,
    ) -> usize {
        self.ports = self.ports.wrapping_add(1);
        let ephemeral = 40_000 + self.ports % 20_000;
        let (sbc_ip, far_ip) = match peer {
            Party::Meta => (self.places.public, at.unwrap_or(self.places.meta)),
            _ => (self.places.private, self.places.pbx),
        };
        let well_known = transport.default_port();
        let (sbc_port, far_port) = if opener == Party::Sbc {
            (ephemeral, well_known)
        } else {
            (well_known, ephemeral)
        };
        let sbc = SocketAddr::new(sbc_ip, sbc_port);
        let far = SocketAddr::new(far_ip, far_port);
        self.add(peer, opener, id, transport, (sbc, far), first)
    }

    /// The pair of UDP addresses between one of the core's and a peer: one pipe, whoever asks first.
    pub(super) fn datagrams(
        &mut self,
        peer: Party,
        (opener, id): (Party, FlowId),
        sbc: Option<SocketAddr>,
        now: Instant,
    ) {
        let usual = SocketAddr::new(self.places.private, 5060);
        let sbc = sbc.unwrap_or(usual);
        let known = self.pipes.iter().position(|pipe| {
            let ends = (pipe.peer, pipe.sbc_address);
            ends == (peer, sbc) && pipe.transport == Transport::Udp
        });
        match known {
            Some(pipe) => {
                // A second name for the same addresses.
                self.names.insert((opener, id), pipe);
            }
            None => {
                let far = SocketAddr::new(self.places.pbx, 5060);
                self.add(peer, opener, id, Transport::Udp, (sbc, far), now);
            }
        }
    }

    fn add(
        &mut self,
        peer: Party,
        opener: Party,
        id: FlowId,
        transport: Transport,
        (sbc_address, far_address): (SocketAddr, SocketAddr),
        first: Instant,
    ) -> usize {
        self.minted += 2;
        let minted = FlowId(self.minted);
        let (sbc, far) = if opener == Party::Sbc {
            (id, minted)
        } else {
            (minted, id)
        };
        let pipe = self.pipes.len();
        self.names.insert((Party::Sbc, sbc), pipe);
        self.names.insert((peer, far), pipe);
        self.pipes.push(Pipe {
            peer,
            transport,
            sbc: Some(sbc),
            far: Some(far),
            sbc_address,
            far_address,
            ahead: [first; 2],
            dead: false,
        });
        pipe
    }

    /// The flow a party calls `id`.
    pub(super) fn find(&self, party: Party, id: FlowId) -> Option<usize> {
        self.names.get(&(party, id)).copied()
    }

    /// All flows to a peer.
    pub(super) fn of(&self, peer: Party) -> Vec<usize> {
        (0..self.pipes.len())
            .filter(|i| self.pipes[*i].peer == peer && self.pipes[*i].sbc.is_some())
            .collect()
    }

    pub(super) fn peer(&self, pipe: usize) -> Party {
        self.pipes[pipe].peer
    }

    /// The other end.
    pub(super) fn far(&self, pipe: usize, from: Party) -> Party {
        if from == Party::Sbc {
            self.pipes[pipe].peer
        } else {
            Party::Sbc
        }
    }

    pub(super) fn carrier(&self, pipe: usize) -> Carrier {
        match self.pipes[pipe].transport {
            Transport::Udp => Carrier::Datagrams,
            _ => Carrier::Stream,
        }
    }

    /// The flow as an end sees it, as long as it has it.
    pub(super) fn flow(&self, pipe: usize, at: Party) -> Option<Flow> {
        let pipe = &self.pipes[pipe];
        match at {
            Party::Sbc => Some(flow_at(
                pipe.sbc?,
                pipe.transport,
                pipe.sbc_address,
                pipe.far_address,
            )),
            _ => Some(flow_at(
                pipe.far?,
                pipe.transport,
                pipe.far_address,
                pipe.sbc_address,
            )),
        }
    }

    /// Whether an end still has the flow.
    pub(super) fn is_up(&self, pipe: usize, at: Party) -> bool {
        self.flow(pipe, at).is_some()
    }

    /// A stream dies without a sign.
    pub(super) fn kill(&mut self, pipe: usize) {
        self.pipes[pipe].dead = true;
    }

    pub(super) fn is_dead(&self, pipe: usize) -> bool {
        self.pipes[pipe].dead
    }

    /// An end loses the flow; gives it a last time.
    pub(super) fn take_end(&mut self, pipe: usize, at: Party) -> Option<Flow> {
        let flow = self.flow(pipe, at)?;
        let end = &mut self.pipes[pipe];
        if at == Party::Sbc {
            end.sbc = None;
        } else {
            end.far = None;
        }
        self.names.remove(&(at, flow.id));
        Some(flow)
    }

    pub(super) fn ahead(&self, pipe: usize, to: Party) -> Instant {
        self.pipes[pipe].ahead[usize::from(to != Party::Sbc)]
    }

    pub(super) fn set_ahead(&mut self, pipe: usize, to: Party, at: Instant) {
        self.pipes[pipe].ahead[usize::from(to != Party::Sbc)] = at;
    }
}
