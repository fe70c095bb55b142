//! Opening flows: a name becomes addresses, every address is tried, TLS verifies the name.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sip::{Flow, FlowId, Target, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{self, Limits, Writer};
use super::tally::{Handshake, Role};
use super::{Event, tls};

/// Everything needed to open flows.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// What a connection may take of us.
    pub limits: Limits,
    /// Fixed addresses of hosts (lower case), for labs: the name stays what TLS verifies.
    pub fixed: HashMap<String, SocketAddr>,
    /// TLS configurations of hosts (lower case) that are verified against authorities of their own.
    pub authorities: HashMap<String, Arc<ClientConfig>>,
    /// The TLS configuration of all other hosts.
    pub tls: Arc<ClientConfig>,
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
    /// right family.
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
        chosen.or_else(|| fitting().next()).map(|(index, _)| *index)
    }

    async fn stream(
        &self,
        id: FlowId,
        target: &Target,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), DialError> {
        let mut failed = None;
        for remote in self.resolve(target).await? {
            let attempt = match target.transport {
                Transport::Tls => match self.secure(remote, target).await {
                    Ok((stream, local)) => {
                        let flow = Flow {
                            id,
                            transport: Transport::Tls,
                            local,
                            remote,
                        };
                        self.converse(stream, flow, events).await;
                        return Ok(());
                    }
                    Err(why) => why,
                },
                _ => match self.connect(remote, target).await {
                    Ok((stream, local)) => {
                        let flow = Flow {
                            id,
                            transport: Transport::Tcp,
                            local,
                            remote,
                        };
                        self.converse(stream, flow, events).await;
                        return Ok(());
                    }
                    Err(why) => why,
                },
            };
            tracing::info!(flow = ?id, host = %target.host, %remote, why = attempt, "address failed");
            failed = Some(DialError::Unreachable {
                remote,
                why: attempt,
            });
        }
        Err(failed.unwrap_or_else(|| nothing(target)))
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
            ..self.limits
        };
        let end = connection::run(stream, flow, own, queue, events, &limits).await;
        tracing::debug!(flow = ?flow.id, remote = %flow.remote, %end, "connection ended");
        let _ = events.send(Event::Closed(flow.id)).await;
    }

    /// At least one address, or an error.
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, DialError> {
        if let Some(fixed) = self.fixed.get(&target.host.to_ascii_lowercase()) {
            return Ok(vec![*fixed]);
        }
        if let Ok(address) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, target.port)]);
        }
        let unresolved = |why: String| DialError::Unresolved {
            host: target.host.clone(),
            why,
        };
        let found = match timeout(
            self.limits.connect,
            lookup_host((target.host.as_str(), target.port)),
        )
        .await
        {
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(unresolved(error.to_string())),
            Err(_) => return Err(unresolved("no answer in time".into())),
        };
        if found.is_empty() {
            Err(nothing(target))
        } else {
            Ok(found)
        }
    }
}

fn nothing(target: &Target) -> DialError {
    DialError::Unresolved {
        host: target.host.clone(),
        why: "the name has no address".into(),
    }
}
