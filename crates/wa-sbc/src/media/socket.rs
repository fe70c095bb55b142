//! A pair of UDP sockets: RTP on an even port, RTCP on the odd one behind it.

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
    socket.bind(&address.into())?;
    Ok(socket.into())
}
