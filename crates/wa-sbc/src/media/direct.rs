//! A second socket on an RTP port, for the far side that is spoken with all the time: connected, as the kernel calls it.
//!
//! ```text
//!                     ┌─ from and to where packets have been going for a second ── direct ─┐
//!  the port of a leg ─┤                                                                    ├─ the call
//!                     └─ from and to anywhere else ──────────────────────────────── open ──┘
//! ```
//!
//! The kernel knows the way from a connected socket and need not look for it at every packet, and what strangers send to the port waits
//! elsewhere than the caller's packets do ([ADR 51](../../../../docs/adr/0051-a-socket-for-the-one-spoken-with.md)). Whom we believe is
//! still the session's business: both sockets are read.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::SockRef;

use super::socket::unbound;

/// So many packets in a row to one address are worth a connection: a second of audio.
const STEADY: u32 = 50;

/// The second socket of a port.
#[derive(Debug)]
pub(crate) struct Direct {
    socket: UdpSocket,
    /// Whom it is connected to.
    to: Option<SocketAddr>,
    /// Where the last packets went that did not go that way, and how many of them.
    towards: Option<(SocketAddr, u32)>,
}

impl Direct {
    /// Binds where `open` is bound already, and where nobody else can bind, then as before. It is connected to nobody yet.
    pub(super) fn beside(open: &UdpSocket, dscp: u8, buffer: usize) -> io::Result<Self> {
        let address = open.local_addr()?;
        let socket = unbound(address, dscp, buffer)?;
        // The kernel asks both sockets when the second one is bound, and never again.
        let open = SockRef::from(open);
        open.set_reuse_address(true)?;
        let bound = socket
            .set_reuse_address(true)
            .and_then(|()| socket.bind(&address.into()));
        open.set_reuse_address(false)?;
        bound?;
        socket.set_reuse_address(false)?;
        Ok(Self {
            socket: socket.into(),
            to: None,
            towards: None,
        })
    }

    /// The socket.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends, if it is connected to there. `false`: it is not, and nothing was sent.
    pub(super) fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.to == Some(to) {
            let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            if self.socket.send(bytes).is_err_and(|error| refused(&error)) {
                // That was said of a packet before this one, which has not left.
                let _ = self.socket.send(bytes);
            }
            return true;
        }
        let before = self.towards.filter(|(towards, _)| *towards == to);
        let count = before.map_or(1, |(_, count)| count + 1);
        self.towards = Some((to, count));
        if count.is_multiple_of(STEADY) && self.socket.connect(to).is_ok() {
            self.to = Some(to);
            self.towards = None;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("non-blocking");
        let at = socket.local_addr().expect("bound");
        (socket, at)
    }

    fn heard(socket: &UdpSocket) -> Vec<(SocketAddr, u8)> {
        let mut buffer = [0; 16];
        let next = || {
            socket
                .recv_from(&mut buffer)
                .ok()
                .map(|(_, from)| (from, buffer[0]))
        };
        std::iter::from_fn(next).collect()
    }

    /// A port with both its sockets, the second connected to `to` as sending does it.
    fn connected(to: SocketAddr) -> (UdpSocket, SocketAddr, Direct) {
        let (open, port) = socket();
        let mut direct = Direct::beside(&open, 0, 65_536).expect("a second socket");
        for _ in 0..STEADY {
            assert!(!direct.send(to, b"?"), "connected at once");
        }
        (open, port, direct)
    }

    #[test]
    fn after_a_second_the_far_side_is_heard_and_spoken_to_by_the_second_socket_and_others_by_the_first()
     {
        let ((peer, at), (stranger, from)) = (socket(), socket());
        let (open, port, mut direct) = connected(at);
        assert!(direct.send(at, b"a"));
        assert!(!direct.send(from, b"b"));
        assert_eq!(heard(&peer), [(port, b'a')]);
        assert_eq!(heard(&stranger), []);
        peer.send_to(b"c", port).expect("sent");
        stranger.send_to(b"d", port).expect("sent");
        assert_eq!(heard(direct.socket()), [(at, b'c')]);
        assert_eq!(heard(&open), [(from, b'd')]);
    }

    #[test]
    fn where_packets_go_elsewhere_for_a_second_it_follows() {
        let ((_, at), (other, elsewhere)) = (socket(), socket());
        let (_open, port, mut direct) = connected(at);
        for _ in 0..STEADY {
            assert!(!direct.send(elsewhere, b"?"));
        }
        assert!(direct.send(elsewhere, b"e"));
        assert_eq!(heard(&other), [(port, b'e')]);
    }

    #[test]
    fn a_far_side_that_was_away_hears_the_first_packet_after_it_is_back() {
        let (peer, at) = socket();
        let (_open, port, mut direct) = connected(at);
        drop(peer);
        assert!(direct.send(at, b"f"));
        let peer = UdpSocket::bind(at).expect("free again");
        peer.set_nonblocking(true).expect("non-blocking");
        assert!(direct.send(at, b"g"));
        assert_eq!(heard(&peer), [(port, b'g')]);
    }

    #[test]
    fn nobody_else_may_bind_there() {
        let (_, at) = socket();
        let (_open, port, _direct) = connected(at);
        let thief = unbound(port, 0, 65_536).expect("a socket");
        thief.set_reuse_address(true).expect("a wish");
        assert!(thief.bind(&port.into()).is_err());
    }
}
