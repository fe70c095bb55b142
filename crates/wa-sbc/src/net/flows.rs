//! The flows that can be sent on, owned by whoever owns the core.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use sip::{Flow, FlowId, Slim, Transport};
use tokio::net::UdpSocket;

use super::connection::Writer;
use b2bua::{Recent, Source};

/// Messages that wait for a connection to open.
const WAITING: usize = 64;
/// Pairs of UDP addresses that are remembered at least.
const PAIRS: usize = 32 * 1024;

/// All flows: open connections, connections on their way, pairs of UDP addresses.
#[derive(Debug)]
pub struct Flows {
    connections: HashMap<FlowId, Connection>,
    /// Those that were closed leave their place empty.
    sockets: Vec<Option<Arc<UdpSocket>>>,
    locals: Vec<SocketAddr>,
    pairs: Recent<(usize, SocketAddr), FlowId>,
    remotes: Recent<FlowId, (usize, SocketAddr)>,
    minted: FlowIds,
    /// Datagrams the system did not take at once (a full socket buffer, no route).
    pub undelivered: u64,
}

#[derive(Debug)]
struct Connection {
    transport: Transport,
    /// Known once it is open.
    source: Option<Source>,
    /// Its addresses, once it is open.
    flow: Option<Flow>,
    state: State,
}

#[derive(Debug)]
enum State {
    Opening(Vec<Bytes>),
    Open(Writer),
}

/// What became of bytes that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// They are on their way, as far as we can tell.
    Yes,
    /// The flow is gone, or its far end does not keep up.
    FlowLost,
}

/// Mints the even ids: those of flows the network opened.
#[derive(Clone, Debug, Default)]
pub struct FlowIds(Arc<std::sync::atomic::AtomicU64>);

impl FlowIds {
    /// An id that was never used before.
    pub fn mint(&self) -> FlowId {
        FlowId(2 + 2 * self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

impl Flows {
    /// No flow yet; `sockets` are the UDP sockets messages leave from, by index.
    pub fn new(sockets: Vec<Arc<UdpSocket>>, minted: FlowIds) -> std::io::Result<Self> {
        let locals = sockets
            .iter()
            .map(|socket| socket.local_addr())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            connections: HashMap::new(),
            sockets: sockets.into_iter().map(Some).collect(),
            locals,
            pairs: Recent::new(PAIRS),
            remotes: Recent::new(PAIRS),
            minted,
            undelivered: 0,
        })
    }

    /// One more UDP socket; its index is the next one.
    pub fn add_socket(&mut self, socket: Arc<UdpSocket>) -> std::io::Result<()> {
        self.locals.push(socket.local_addr()?);
        self.sockets.push(Some(socket));
        Ok(())
    }

    /// Nothing is sent from this socket any more.
    pub fn close_socket(&mut self, index: usize) {
        if let Some(socket) = self.sockets.get_mut(index) {
            *socket = None;
        }
    }

    /// A connection was asked for: what is sent on it waits until it is open.
    pub fn opening(&mut self, id: FlowId, transport: Transport) {
        let state = State::Opening(Vec::new());
        let opening = Connection {
            transport,
            source: None,
            flow: None,
            state,
        };
        self.connections.insert(id, opening);
    }

    /// A connection is open; what waited goes out.
    pub fn open(&mut self, flow: Flow, writer: Writer) -> Sent {
        let sent = self
            .take_waiting(flow.id)
            .into_iter()
            .all(|bytes| writer.send(bytes));
        if !sent {
            return Sent::FlowLost;
        }
        let open = Connection {
            transport: flow.transport,
            source: Some(Source::of(flow.remote.ip())),
            flow: Some(flow),
            state: State::Open(writer),
        };
        self.connections.insert(flow.id, open);
        Sent::Yes
    }

    /// The far end of a UDP flow that was asked for; what waited goes out.
    pub fn resolved(&mut self, id: FlowId, socket: usize, remote: SocketAddr) -> Flow {
        self.remotes.insert(id, (socket, remote));
        self.pairs.insert((socket, remote), id);
        for bytes in self.take_waiting(id) {
            self.datagram(socket, remote, &bytes);
        }
        self.udp_flow(id, socket, remote)
    }

    /// The flow a datagram came on: the one known for the pair of addresses, or a new one.
    pub fn of_datagram(&mut self, socket: usize, remote: SocketAddr) -> Flow {
        let id = self.pairs.get(&(socket, remote)).unwrap_or_else(|| {
            let id = self.minted.mint();
            self.pairs.insert((socket, remote), id);
            id
        });
        self.remotes.insert(id, (socket, remote));
        self.udp_flow(id, socket, remote)
    }

    /// Sends bytes on a flow. Never waits.
    pub fn send(&mut self, id: FlowId, bytes: Bytes) -> Sent {
        match self
            .connections
            .get_mut(&id)
            .map(|connection| &mut connection.state)
        {
            Some(State::Open(writer)) if writer.send(bytes.clone()) => Sent::Yes,
            Some(State::Opening(waiting)) if waiting.len() < WAITING => {
                waiting.push(bytes);
                Sent::Yes
            }
            Some(_) => self.lose(id),
            None => match self.remotes.get(&id) {
                Some((socket, remote)) => {
                    self.datagram(socket, remote, &bytes);
                    Sent::Yes
                }
                None => Sent::FlowLost,
            },
        }
    }

    /// A flow with its addresses, while it can be sent on and they are known.
    pub fn flow(&mut self, id: FlowId) -> Option<Flow> {
        if let Some(connection) = self.connections.get(&id) {
            return connection.flow;
        }
        let (socket, remote) = self.remotes.get(&id)?;
        Some(self.udp_flow(id, socket, remote))
    }

    /// The transport of a flow, while it can be sent on.
    pub fn transport(&mut self, id: FlowId) -> Option<Transport> {
        let connection = self
            .connections
            .get(&id)
            .map(|connection| connection.transport);
        connection.or_else(|| self.remotes.get(&id).map(|_| Transport::Udp))
    }

    /// A connection is gone, or could not be had. `false` when it was unknown already.
    pub fn closed(&mut self, id: FlowId) -> bool {
        self.connections.remove(&id).is_some()
    }

    /// Lets go of every connection of a source: each writes what is queued and closes.
    pub fn let_go_of(&mut self, source: Source) {
        self.connections
            .retain(|_, connection| connection.source != Some(source));
    }

    /// Lets go of every connection: each writes what is queued and closes. How many there are.
    pub fn let_go(&mut self) -> usize {
        let open = self.connections.len();
        self.connections.clear();
        open
    }

    /// Gives back the memory a busier hour needed.
    pub fn slim(&mut self) {
        self.connections.slim();
    }

    /// Connections open or on their way.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn lose(&mut self, id: FlowId) -> Sent {
        // Dropping the writer closes the connection.
        self.connections.remove(&id);
        Sent::FlowLost
    }

    fn take_waiting(&mut self, id: FlowId) -> Vec<Bytes> {
        match self
            .connections
            .remove(&id)
            .map(|connection| connection.state)
        {
            Some(State::Opening(waiting)) => waiting,
            _ => Vec::new(),
        }
    }

    fn udp_flow(&self, id: FlowId, socket: usize, remote: SocketAddr) -> Flow {
        Flow {
            id,
            transport: Transport::Udp,
            local: self.locals[socket],
            remote,
        }
    }

    fn datagram(&mut self, socket: usize, remote: SocketAddr, bytes: &Bytes) {
        // A datagram may be lost here as well as on its way: SIP over UDP retransmits.
        let to = match (self.locals[socket], remote.ip()) {
            // A socket of both families reaches IPv4 by its addresses dressed as IPv6.
            (SocketAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), remote.port())
            }
            _ => remote,
        };
        let sent = match &self.sockets[socket] {
            Some(socket) => socket.try_send_to(bytes, to).map(drop),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        if let Err(error) = sent {
            self.undelivered += 1;
            tracing::debug!(%remote, %error, "datagram not sent");
        }
    }
}
