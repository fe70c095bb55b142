//! One port towards Meta for all calls of a thread: a pair of sockets, written to by the dozen.
//!
//! ```text
//!  Meta ──► socket ──one by one──► whose? (claims.rs) ──► its room ──► the PBX, from the call's own port
//!       ◄──32 at once── outbox ◄──────────────────────── rooms
//! ```

use std::io;
use std::net::SocketAddr;

use b2bua::LocalMedia;
use media::{Channel, Packet};
use socket2::SockRef;

use super::outbox::Outbox;
use super::poll::Poll;
use super::socket::Pair;
use crate::config::MediaSettings;

/// What the two sockets are called when they can be read.
const TOKENS: [u64; 2] = [u64::MAX - 2, u64::MAX - 1];
/// The receive buffer of each: half a second of 1,000 calls.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The port.
pub(super) struct SharedPort {
    pair: Pair,
    local: LocalMedia,
    outbox: Outbox,
}

impl SharedPort {
    /// Binds `port` and the one behind it.
    pub(super) fn bind(settings: &MediaSettings, port: u16, poll: &Poll) -> io::Result<Self> {
        let pair = Pair::bind(settings.public_bind, port, settings.dscp, RECEIVE_BUFFER)?;
        pair.register(poll, TOKENS)?;
        let room = SockRef::from(pair.socket(Channel::Rtp)).recv_buffer_size();
        if room.is_ok_and(|room| room < RECEIVE_BUFFER) {
            tracing::warn!(
                port,
                "the system gives the port all calls share less room than it should have: \
                 set net.core.rmem_max to {RECEIVE_BUFFER}"
            );
        }
        Ok(Self {
            pair,
            local: LocalMedia {
                address: settings.public,
                rtp_port: port,
                rtcp_port: port + 1,
            },
            outbox: Outbox::new(),
        })
    }

    /// What Meta is told of it.
    pub(super) fn local(&self) -> LocalMedia {
        self.local
    }

    /// Which of its sockets a token means, if it means one.
    pub(super) fn channel(token: u64) -> Option<Channel> {
        match TOKENS.iter().position(|of| *of == token)? {
            0 => Some(Channel::Rtp),
            _ => Some(Channel::Rtcp),
        }
    }

    /// Puts a packet down for the next [`SharedPort::flush`].
    pub(super) fn send(&mut self, channel: Channel, to: SocketAddr, packet: &Packet) {
        let socket = self.pair.socket(channel);
        match channel {
            Channel::Rtp => self.outbox.push(socket, to, packet.as_slice()),
            // Few, and from another socket.
            Channel::Rtcp => drop(socket.send_to(packet.as_slice(), to)),
        }
    }

    /// Sends what was put down.
    pub(super) fn flush(&mut self) {
        self.outbox.flush(self.pair.socket(Channel::Rtp));
    }

    /// Takes one datagram; where it came from: IPv4 as such, however the socket dresses it. `None`: there is
    /// none left.
    pub(super) fn receive(&self, channel: Channel, packet: &mut Packet) -> Option<SocketAddr> {
        let came = self.pair.socket(channel).recv_from(packet.buffer_mut());
        // An error that is not "nothing there" is none of this socket, which nobody is connected to.
        let (length, source) = came.ok()?;
        packet.set_len(length);
        Some(SocketAddr::new(source.ip().to_canonical(), source.port()))
    }
}
