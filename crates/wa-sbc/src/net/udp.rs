//! SIP over UDP: one receiving loop per socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::{Door, Event};
use crate::clock;

/// The socket's receive buffer: a burst of calls must not be lost while the core is busy.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Rest after receiving failed, so that a lasting fault does not take a whole CPU.
const REST: Duration = Duration::from_millis(1);
/// Larger than any datagram.
const DATAGRAM: usize = 65_536;

/// Binds a socket for SIP.
pub fn bind(address: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system may grant less; then less it is.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(Arc::new(UdpSocket::from_std(socket.into())?))
}

/// Datagrams that became nothing.
#[derive(Debug, Default)]
pub struct Noise {
    /// No SIP.
    pub malformed: AtomicU64,
    /// Dropped because the core was busy; SIP retransmits.
    pub overflow: AtomicU64,
}

/// Receives until nobody takes the events any more. `index` names the socket in the events.
pub async fn receive(
    socket: Arc<UdpSocket>,
    index: usize,
    events: mpsc::Sender<Event>,
    noise: Arc<Noise>,
    door: Door,
) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = events.closed() => return,
        };
        let (length, remote) = match received {
            Ok(received) => received,
            Err(error) => {
                // A far end's ICMP error may surface here; it says nothing about the next datagram.
                tracing::trace!(%error, "receiving a datagram failed");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // Over a socket of both families IPv4 comes dressed as IPv6.
        let seen = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        if !door.admits(clock::now(), seen.ip()) {
            continue;
        }
        let bytes = &buffer[..length];
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            continue; // a keep-alive
        }
        let bytes = Bytes::copy_from_slice(bytes);
        match sip::parse(bytes.clone()) {
            Ok(message) => {
                if events
                    .try_send(Event::Datagram {
                        socket: index,
                        remote: seen,
                        message,
                        bytes,
                    })
                    .is_err()
                {
                    noise.overflow.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(why) => {
                noise.malformed.fetch_add(1, Ordering::Relaxed);
                let _ = events.try_send(Event::Malformed(seen.ip()));
                tracing::debug!(%remote, ?why, "no SIP message");
                if let Some(reply) = why.reply() {
                    let _ = socket.try_send_to(&reply, remote);
                }
            }
        }
    }
}
