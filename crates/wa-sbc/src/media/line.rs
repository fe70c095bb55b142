//! One leg's own ports.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use media::{Channel, Packet};

use super::direct::Direct;
use super::socket::{Door, Pair};

/// Packets of a call are further apart than this, those of a flood are not.
const CROWDED: Duration = Duration::from_millis(5);

/// One leg's lease.
#[derive(Debug)]
pub(crate) struct Line {
    /// The bound address.
    pub(crate) address: IpAddr,
    /// What the far side was told instead of it.
    pub(crate) told: IpAddr,
    /// The RTP port.
    pub(crate) port: u16,
    pair: Pair,
    /// Where the system gave one.
    direct: Option<Direct>,
    /// When each of the sockets was last read.
    read: [Option<Instant>; Door::ALL.len()],
}

impl Line {
    /// A lease nothing was read from yet.
    pub(crate) fn new(
        address: IpAddr,
        told: IpAddr,
        port: u16,
        pair: Pair,
        direct: Option<Direct>,
    ) -> Self {
        Self {
            address,
            told,
            port,
            pair,
            direct,
            read: [None; Door::ALL.len()],
        }
    }

    /// Whether more comes to a socket than one call sends: there was something to read a moment ago.
    pub(crate) fn is_crowded(&mut self, now: Instant, door: Door) -> bool {
        let before = self.read[door as usize].replace(now);
        before.is_some_and(|before| now.saturating_duration_since(before) < CROWDED)
    }

    /// Takes one datagram. `Ok(None)`: there was an error instead; the next one may be good.
    pub(crate) fn receive(
        &self,
        door: Door,
        packet: &mut Packet,
    ) -> Result<Option<SocketAddr>, Empty> {
        let socket = match (door, &self.direct) {
            (Door::Direct, Some(direct)) => direct.socket(),
            (Door::Direct, None) => return Err(Empty),
            (Door::Rtp | Door::Rtcp, _) => self.pair.socket(door.channel()),
        };
        match socket.recv_from(packet.buffer_mut()) {
            Ok((length, source)) => {
                packet.set_len(length);
                Ok(Some(SocketAddr::new(
                    source.ip().to_canonical(),
                    source.port(),
                )))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Empty),
            Err(_) => Ok(None),
        }
    }

    /// Sends. A full socket buffer or a missing route loses the packet, as the network would.
    pub(crate) fn send(&mut self, channel: Channel, to: SocketAddr, packet: &Packet) {
        let direct = self.direct.as_mut().filter(|_| channel == Channel::Rtp);
        if !direct.is_some_and(|direct| direct.send(to, packet.as_slice())) {
            let _ = self.pair.socket(channel).send_to(packet.as_slice(), to);
        }
    }
}

/// There is no datagram left.
#[derive(Debug)]
pub(crate) struct Empty;
