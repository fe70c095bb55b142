//! Accepting connections, within limits.
//!
//! | who | at most |
//! |---|---|
//! | everybody together | `connections` |
//! | everybody from networks nobody configured | half of them |
//! | one address of such a network | `per_source` |
//!
//! So strangers cannot take the places of those we are here for, and those are not limited by the
//! address they happen to come from: a carrier's edge opens a connection for every call.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use sip::{Flow, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Limits, Writer};
use super::flows::FlowIds;
use super::seldom::Seldom;
use super::tally::{Handshake, Role};
use super::{Door, Event, tls};
use crate::clock;

/// Rest after `accept` itself failed: out of file descriptors, most likely.
const REST: Duration = Duration::from_millis(200);

/// A listening TCP or TLS port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    limits: Limits,
    door: Door,
    ids: FlowIds,
    /// How often the log was told of handshakes that failed.
    failures: Seldom,
}

impl Listener {
    /// Binds the port; `door` knows who may come. With a TLS configuration everything on it is TLS; each new connection uses
    /// the one that holds when it comes, so a certificate can be renewed.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        limits: Limits,
        door: Door,
        ids: FlowIds,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            listener,
            tls,
            limits,
            door,
            ids,
            failures: Seldom::default(),
        })
    }

    /// The bound address: with the port the system chose, where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until nobody takes the events any more.
    pub async fn run(self, events: mpsc::Sender<Event>) {
        let doors = Doors {
            all: Arc::new(Semaphore::new(self.limits.connections)),
            strangers: Arc::new(Semaphore::new(self.limits.connections / 2)),
            sources: Sources::default(),
            refusals: Seldom::default(),
        };
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = events.closed() => return,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
            if !self.door.admits(clock::now(), remote.ip()) {
                continue;
            }
            match self.admit(&doors, remote.ip()) {
                Ok(place) => drop(tokio::spawn(
                    self.visitor(remote, place).serve(stream, events.clone()),
                )),
                Err(why) if doors.refusals.may(clock::now()) => {
                    tracing::warn!(%remote, why, "connection refused");
                }
                Err(why) => tracing::debug!(%remote, why, "connection refused"),
            }
        }
    }

    fn admit(&self, doors: &Doors, source: IpAddr) -> Result<Place, &'static str> {
        let enter = |door: &Arc<Semaphore>| door.clone().try_acquire_owned().ok();
        let all = enter(&doors.all).ok_or("too many connections")?;
        if self.door.knows(source) {
            return Ok(Place {
                _all: all,
                _stranger: None,
            });
        }
        let strangers = enter(&doors.strangers).ok_or("too many connections of strangers")?;
        let seat = doors.sources.admit(source, self.limits.per_source);
        let seat = seat.ok_or("too many connections from there")?;
        Ok(Place {
            _all: all,
            _stranger: Some((strangers, seat)),
        })
    }

    fn visitor(&self, remote: SocketAddr, place: Place) -> Visitor {
        let tls = self.tls.as_ref().map(|tls| tls.borrow().clone());
        Visitor {
            tls,
            limits: self.limits,
            ids: self.ids.clone(),
            remote,
            failures: self.failures.clone(),
            _place: place,
        }
    }
}

/// One accepted connection.
struct Visitor {
    tls: Option<Arc<ServerConfig>>,
    limits: Limits,
    ids: FlowIds,
    remote: SocketAddr,
    failures: Seldom,
    _place: Place,
}

impl Visitor {
    async fn serve(self, stream: TcpStream, events: mpsc::Sender<Event>) {
        let remote = self.remote;
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let Some(config) = self.tls.clone() else {
            return self.converse(stream, Transport::Tcp, local, events).await;
        };
        match timeout(
            self.limits.handshake,
            TlsAcceptor::from(config).accept(stream),
        )
        .await
        {
            Ok(Ok(stream)) => {
                Handshake::Done.count(Role::Server);
                self.converse(stream, Transport::Tls, local, events).await
            }
            Ok(Err(error)) => {
                Handshake::failed(&error).count(Role::Server);
                let hint = tls::hint(&error);
                match self.failures.may(clock::now()) {
                    true => tracing::info!(%remote, %error, hint, "TLS handshake failed"),
                    false => tracing::debug!(%remote, %error, hint, "TLS handshake failed"),
                }
            }
            Err(_) => {
                Handshake::TimedOut.count(Role::Server);
                match self.failures.may(clock::now()) {
                    true => tracing::info!(%remote, "TLS handshake not finished in time"),
                    false => tracing::debug!(%remote, "TLS handshake not finished in time"),
                }
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite>(
        self,
        stream: S,
        transport: Transport,
        local: SocketAddr,
        events: mpsc::Sender<Event>,
    ) {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let flow = Flow {
            id: self.ids.mint(),
            transport,
            local,
            remote: self.remote,
        };
        let (writer, queue) = Writer::new(&self.limits);
        let own = writer.downgrade();
        if events.send(Event::Accepted { flow, writer }).await.is_err() {
            return;
        }
        let end = connection::run(stream, flow, own, queue, &events, &self.limits).await;
        tracing::debug!(flow = ?flow.id, remote = %flow.remote, %end, "connection ended");
        let _ = events.send(Event::Closed(flow.id)).await;
    }
}

/// What is left to give.
struct Doors {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    sources: Sources,
    /// How often the log was told that somebody got nothing.
    refusals: Seldom,
}

/// The place of a connection, given back when it is dropped.
struct Place {
    _all: OwnedSemaphorePermit,
    _stranger: Option<(OwnedSemaphorePermit, Seat)>,
}

/// Who has how many connections.
#[derive(Clone, Debug, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Sources {
    fn admit(&self, source: IpAddr, limit: usize) -> Option<Seat> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Seat {
            sources: self.clone(),
            source,
        })
    }
}

/// A connection counted for its source, until it is dropped.
#[derive(Debug)]
struct Seat {
    sources: Sources,
    source: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sources = self
            .sources
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}
