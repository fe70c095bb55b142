//! Opening flows: a name becomes addresses, every address is tried, TLS verifies the name.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use sip::resolve::{Located, Server};
use sip::{Flow, FlowId, Target, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{self, Limits, Writer};
use super::dns::Dns;
use super::tally::{Handshake, Role};
use super::{Event, tls};

/// How long one address may take before the next one is tried beside it (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);
/// Longer than any attempt may take.
const FOREVER: Duration = Duration::from_secs(3600);

/// Everything needed to open flows.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// What a connection may take of us.
    pub limits: Limits,
    /// Fixed addresses of hosts (lower case), for labs: the name stays what TLS verifies.
    pub fixed: HashMap<String, SocketAddr>,
    /// TLS configurations of hosts (lower case) that are verified against authorities of their own.
    pub authorities: HashMap<String, Arc<ClientConfig>>,
    /// Hosts (lower case) whose connections are pinged after so long a silence.
    pub keep_alives: HashMap<String, Duration>,
    /// The TLS configuration of all other hosts.
    pub tls: Arc<ClientConfig>,
    /// The way to the DNS.
    pub dns: Dns,
    /// Our UDP sockets: index and address.
    pub sockets: Vec<(usize, SocketAddr)>,
}

/// Why a flow cannot be had.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{host} cannot be resolved: {why}")]
    Unresolved { host: String, why: String },
    #[error("no UDP socket of ours reaches {remote}; configure [sip] udp")]
    NoSocket { remote: SocketAddr },
    #[error("{remote}: {why}")]
    Unreachable { remote: SocketAddr, why: String },
}

impl Dialer {
    /// Opens a flow and, for TCP and TLS, runs it to its end. Everything is told by events.
    pub async fn dial(self: Arc<Self>, id: FlowId, target: Target, events: mpsc::Sender<Event>) {
        let opened = match target.transport {
            Transport::Udp => self.datagrams(id, &target, &events).await,
            Transport::Tcp | Transport::Tls => self.stream(id, &target, &events).await,
        };
        if let Err(error) = opened {
            let why = error.to_string();
            tracing::warn!(flow = ?id, host = %target.host, port = target.port,
                transport = target.transport.via_name(), why, "cannot connect");
            let _ = events.send(Event::Failed { id, why }).await;
        }
    }

    async fn datagrams(
        &self,
        id: FlowId,
        target: &Target,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), DialError> {
        let addresses = self.resolve(target).await?;
        let reached = addresses
            .iter()
            .find_map(|remote| Some((self.socket_for(*remote, target.from)?, *remote)));
        let Some((socket, remote)) = reached else {
            return Err(DialError::NoSocket {
                remote: addresses[0],
            });
        };
        let _ = events.send(Event::Resolved { id, socket, remote }).await;
        Ok(())
    }

    /// The socket bound to the wanted address and port, else to the address, else the first of the
    /// right family, else one of both families.
    fn socket_for(&self, remote: SocketAddr, from: Option<SocketAddr>) -> Option<usize> {
        let fitting = || {
            self.sockets
                .iter()
                .filter(|(_, local)| local.is_ipv4() == remote.is_ipv4())
        };
        let bound = |wanted: SocketAddr| fitting().find(|(_, local)| *local == wanted);
        let near = |wanted: SocketAddr| {
            fitting().find(|(_, local)| local.ip() == wanted.ip() || local.ip().is_unspecified())
        };
        let chosen = from.and_then(|from| bound(from).or_else(|| near(from)));
        let both = |(_, local): &&(usize, SocketAddr)| {
            local.is_ipv6() && local.ip().is_unspecified() && remote.is_ipv4()
        };
        chosen
            .or_else(|| fitting().next())
            .or_else(|| self.sockets.iter().find(both))
            .map(|(index, _)| *index)
    }

    /// Tries every address, the next one beside the last after a while (RFC 8305 §5); the first
    /// connection that is open wins.
    async fn stream(
        self: &Arc<Self>,
        id: FlowId,
        target: &Target,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), DialError> {
        let mut addresses = self.resolve(target).await?.into_iter().peekable();
        let mut attempts = JoinSet::new();
        let mut failed = None;
        loop {
            if let Some(remote) = addresses.next() {
                let (dialer, target) = (self.clone(), target.clone());
                attempts.spawn(async move { (remote, dialer.attempt(remote, &target).await) });
            }
            let patience = match addresses.peek() {
                Some(_) => STAGGER,
                None => FOREVER,
            };
            match timeout(patience, attempts.join_next()).await {
                Err(_) => {} // The next one beside it.
                Ok(Some(Ok((remote, Ok((stream, local)))))) => {
                    drop(attempts);
                    let flow = Flow {
                        id,
                        transport: target.transport,
                        local,
                        remote,
                    };
                    match stream {
                        Stream::Plain(stream) => self.converse(stream, flow, target, events).await,
                        Stream::Tls(stream) => {
                            self.converse(*stream, flow, target, events).await;
                        }
                    }
                    return Ok(());
                }
                Ok(Some(Ok((remote, Err(why))))) => {
                    tracing::info!(flow = ?id, host = %target.host, %remote, why, "address failed");
                    failed = Some(DialError::Unreachable { remote, why });
                }
                Ok(Some(Err(_))) => {} // It panicked or was dropped: no answer.
                Ok(None) if addresses.peek().is_none() => {
                    return Err(failed.unwrap_or_else(|| nothing(target)));
                }
                Ok(None) => {}
            }
        }
    }

    async fn attempt(
        &self,
        remote: SocketAddr,
        target: &Target,
    ) -> Result<(Stream, SocketAddr), String> {
        if target.transport == Transport::Tls {
            let (stream, local) = self.secure(remote, target).await?;
            return Ok((Stream::Tls(Box::new(stream)), local));
        }
        let (stream, local) = self.connect(remote, target).await?;
        Ok((Stream::Plain(stream), local))
    }

    async fn connect(
        &self,
        remote: SocketAddr,
        target: &Target,
    ) -> Result<(TcpStream, SocketAddr), String> {
        let attempt = async {
            let socket = if remote.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            if let Some(from) = target
                .from
                .filter(|from| from.is_ipv4() == remote.is_ipv4())
            {
                socket.bind(SocketAddr::new(from.ip(), 0))?;
            }
            let stream = socket.connect(remote).await?;
            stream.set_nodelay(true)?;
            let local = stream.local_addr()?;
            io::Result::Ok((stream, local))
        };
        match timeout(self.limits.connect, attempt).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "no connection within {} s",
                self.limits.connect.as_secs_f32()
            )),
        }
    }

    async fn secure(
        &self,
        remote: SocketAddr,
        target: &Target,
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, SocketAddr), String> {
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| format!("{} is no name TLS could verify", target.host))?;
        let (stream, local) = self.connect(remote, target).await?;
        let config = self
            .authorities
            .get(&target.host.to_ascii_lowercase())
            .unwrap_or(&self.tls)
            .clone();
        match timeout(
            self.limits.handshake,
            TlsConnector::from(config).connect(name, stream),
        )
        .await
        {
            Ok(Ok(stream)) => {
                Handshake::Done.count(Role::Client);
                Ok((stream, local))
            }
            Ok(Err(error)) => {
                Handshake::failed(&error).count(Role::Client);
                Err(match tls::hint(&error) {
                    Some(hint) => format!("TLS handshake: {error} ({hint})"),
                    None => format!("TLS handshake: {error}"),
                })
            }
            Err(_) => {
                Handshake::TimedOut.count(Role::Client);
                Err(format!(
                    "no TLS handshake within {} s",
                    self.limits.handshake.as_secs_f32()
                ))
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite>(
        &self,
        stream: S,
        flow: Flow,
        target: &Target,
        events: &mpsc::Sender<Event>,
    ) {
        let (writer, queue) = Writer::new(&self.limits);
        let own = writer.downgrade();
        if events.send(Event::Opened { flow, writer }).await.is_err() {
            return;
        }
        // A far end we asked for need not speak first.
        let limits = Limits {
            first_message: self.limits.idle,
            keep_alive: self
                .keep_alives
                .get(&target.host.to_ascii_lowercase())
                .copied(),
            ..self.limits
        };
        let end = connection::run(stream, flow, own, queue, events, &limits).await;
        tracing::debug!(flow = ?flow.id, remote = %flow.remote, %end, "connection ended");
        let _ = events.send(Event::Closed(flow.id)).await;
    }

    /// At least one address, or an error.
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(known) = target.at {
            return Ok(vec![known]);
        }
        let found = self.locate(target, &[target.transport]).await;
        let found: Vec<SocketAddr> = found
            .order(random)
            .into_iter()
            .map(|(_, address)| address)
            .collect();
        if found.is_empty() {
            return Err(nothing(target));
        }
        Ok(found)
    }

    /// Where a target is, by configuration or by the DNS.
    pub(crate) async fn locate(&self, target: &Target, transports: &[Transport]) -> Located {
        if let Some(fixed) = self.fixed.get(&target.host.to_ascii_lowercase()) {
            let server = Server {
                transport: target.transport,
                weight: 0,
                port: fixed.port(),
                addresses: vec![fixed.ip()],
            };
            return Located {
                ranks: vec![vec![server]],
                ttl: Duration::from_secs(3600),
            };
        }
        self.dns.locate(target, transports).await
    }
}

/// A connection that is open.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Draws the order of servers by their weights.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the first server of a rank is as good as any.
    let _ = ring::default_provider().secure_random.fill(&mut bytes);
    u32::from_be_bytes(bytes)
}

fn nothing(target: &Target) -> DialError {
    DialError::Unresolved {
        host: target.host.clone(),
        why: "the name has no address".into(),
    }
}
