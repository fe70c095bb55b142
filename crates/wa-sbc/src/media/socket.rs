//! A pair of UDP ports: RTP on an even one, RTCP on the odd one behind it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use media::Channel;
use socket2::{Domain, Protocol, Socket, Type};

use super::poll::Poll;

/// The receive buffer of a call's own socket: a second of audio and more.
pub(super) const RECEIVE_BUFFER: usize = 256 * 1024;

/// RTP and RTCP.
#[derive(Debug)]
pub(crate) struct Pair {
    sockets: [UdpSocket; 2],
}

/// Which of the sockets of a pair of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// RTP, for everybody.
    Rtp,
    /// RTCP.
    Rtcp,
    /// RTP, for the one it is connected to.
    Direct,
}

impl Door {
    pub(super) const ALL: [Door; 3] = [Door::Rtp, Door::Rtcp, Door::Direct];

    /// What comes in there.
    pub(super) fn channel(self) -> Channel {
        match self {
            Door::Rtp | Door::Direct => Channel::Rtp,
            Door::Rtcp => Channel::Rtcp,
        }
    }
}

impl Pair {
    /// Binds `port` and the port behind it; each has room for `buffer` octets that came in.
    pub(crate) fn bind(address: IpAddr, port: u16, dscp: u8, buffer: usize) -> io::Result<Self> {
        let bind = |port| bind(address, port, dscp, buffer);
        Ok(Self {
            sockets: [bind(port)?, bind(port + 1)?],
        })
    }

    /// Asks to be woken, with these tokens for RTP and RTCP.
    pub(super) fn register(&self, poll: &Poll, tokens: [u64; 2]) -> io::Result<()> {
        for (socket, token) in self.sockets.iter().zip(tokens) {
            poll.add(socket, token)?;
        }
        Ok(())
    }

    /// The socket of a channel.
    pub(crate) fn socket(&self, channel: Channel) -> &UdpSocket {
        &self.sockets[match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
        }]
    }
}

fn bind(address: IpAddr, port: u16, dscp: u8, buffer: usize) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, port);
    let socket = unbound(address, dscp, buffer)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket as all of media are, for an address of this family.
pub(super) fn unbound(address: SocketAddr, dscp: u8, buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    // Both are wishes: a system that grants less still carries calls.
    let _ = socket.set_recv_buffer_size(buffer);
    let class = u32::from(dscp) << 2;
    let _ = if address.is_ipv4() {
        socket.set_tos_v4(class)
    } else {
        socket.set_tclass_v6(class)
    };
    Ok(socket)
}
