//! Every port we listen on, and what a reload makes of them.
//!
//! ```text
//!             in the old settings   in the new ones
//!   kept      yes                   yes      stays bound; new connections see new certificates
//!   opened    no                    yes      bound before anything else changes
//!   closed    yes                   no       TCP, TLS: accepts nobody, connections go on
//!                                            UDP: goes when the calls that know it are over
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use sip::Transport;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::flows::FlowIds;
use super::listen::Listener;
use super::{Bound, Door, Event, identity, tls, udp};
use crate::config::{CertificateFiles, Settings};
use crate::error::Error;

/// A port as the settings want it.
#[derive(Clone, Debug)]
struct Wanted {
    transport: Transport,
    listen: SocketAddr,
    name: Option<String>,
    tls: Option<Arc<ServerConfig>>,
}

/// A port that is bound.
#[derive(Debug)]
struct Open {
    transport: Transport,
    name: Option<String>,
    /// As written: the port may be 0.
    listen: SocketAddr,
    /// As bound.
    local: SocketAddr,
    certificates: Option<watch::Sender<Arc<ServerConfig>>>,
    task: AbortHandle,
    /// Over UDP: the index of the socket.
    index: Option<usize>,
    /// The settings no longer want it.
    leaving: bool,
}

/// A UDP socket and the task that receives from it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) task: AbortHandle,
}

/// What a reload made of the ports.
#[derive(Debug)]
pub(crate) struct Change {
    /// The ports that hold now.
    pub(crate) bound: Bound,
    /// New UDP sockets, in the order of their indices.
    pub(crate) opened: Vec<Received>,
    /// The UDP sockets that hold now.
    pub(crate) udp: Vec<(usize, SocketAddr)>,
}

/// Every port we listen on.
#[derive(Debug)]
pub(crate) struct Listeners {
    open: Vec<Open>,
    sockets: usize,
    door: Door,
    ids: FlowIds,
    events: mpsc::Sender<Event>,
    /// Meta's port had a certificate to show once.
    certified: bool,
}

impl Listeners {
    /// No port yet.
    pub(crate) fn new(door: Door, ids: FlowIds, events: mpsc::Sender<Event>) -> Self {
        Self {
            open: Vec::new(),
            sockets: 0,
            door,
            ids,
            events,
            certified: false,
        }
    }

    /// Makes the ports those of the settings. On an error everything is as before.
    pub(crate) async fn follow(&mut self, settings: &Settings) -> Result<Change, Error> {
        // One that was had and is gone is a mistake; one that is still ordered comes later.
        let may_lack = settings.acme.is_some() && !self.certified;
        let is_certified = settings
            .tls
            .as_ref()
            .is_some_and(|port| tls::certified(&port.certificate, &port.key).is_ok());
        let wanted = wanted(settings, may_lack && !is_certified)?;
        let mut fresh = Vec::new();
        let mut opened = Vec::new();
        for port in &wanted {
            if self.open.iter().any(|open| open.is(port)) {
                continue;
            }
            match self.bind(port, settings, &mut opened).await {
                Ok(open) => fresh.push(open),
                Err(error) => {
                    fresh.iter().for_each(|open| open.task.abort());
                    return Err(error);
                }
            }
        }
        // From here on nothing fails.
        self.sockets += opened.len();
        self.certified |= is_certified;
        if settings.tls.is_some() && !self.certified {
            tracing::warn!("there is no certificate yet: Meta cannot connect until there is");
        }
        self.door.know(settings.known_networks());
        self.open.retain(|open| !open.task.is_finished());
        for open in &mut self.open {
            let still = wanted.iter().find(|port| open.is(port));
            open.leaving = still.is_none();
            if let (Some(certificates), Some(config)) =
                (&open.certificates, still.and_then(|port| port.tls.clone()))
            {
                certificates.send_replace(config);
            }
            if open.leaving && open.index.is_none() {
                tracing::info!(listener = %open.local, "no longer listening");
                open.task.abort();
            }
        }
        self.open.append(&mut fresh);
        Ok(Change {
            bound: self.bound(&wanted),
            opened,
            udp: self
                .open
                .iter()
                .filter(|open| !open.leaving)
                .filter_map(|open| Some((open.index?, open.local)))
                .collect(),
        })
    }

    async fn bind(
        &self,
        port: &Wanted,
        settings: &Settings,
        opened: &mut Vec<Received>,
    ) -> Result<Open, Error> {
        let refused = |source| Error::Bind {
            transport: port.transport.via_name(),
            address: port.listen,
            source,
        };
        let open = |local, certificates, task, index| Open {
            transport: port.transport,
            name: port.name.clone(),
            listen: port.listen,
            local,
            certificates,
            task,
            index,
            leaving: false,
        };
        if port.transport == Transport::Udp {
            let index = self.sockets + opened.len();
            let socket = udp::bind(port.listen).map_err(refused)?;
            let local = socket.local_addr()?;
            let receiving = udp::receive(
                socket.clone(),
                index,
                self.events.clone(),
                Arc::default(),
                self.door.clone(),
            );
            let task = tokio::spawn(receiving).abort_handle();
            opened.push(Received {
                socket,
                task: task.clone(),
            });
            return Ok(open(local, None, task, Some(index)));
        }
        let (certificates, config) = match port.tls.clone().map(watch::channel) {
            Some((sender, config)) => (Some(sender), Some(config)),
            None => (None, None),
        };
        let listener = Listener::bind(
            port.listen,
            config,
            settings.limits,
            self.door.clone(),
            self.ids.clone(),
        )
        .await
        .map_err(refused)?;
        let local = listener.local_addr()?;
        let task = tokio::spawn(listener.run(self.events.clone())).abort_handle();
        Ok(open(local, certificates, task, None))
    }

    fn bound(&self, wanted: &[Wanted]) -> Bound {
        let mut bound = Bound::default();
        for port in wanted {
            let Some(open) = self.open.iter().find(|open| open.is(port)) else {
                continue;
            };
            let place = match (&port.name, port.transport) {
                (Some(name), _) => {
                    bound.named.insert(name.clone(), open.local);
                    continue;
                }
                (None, Transport::Tls) => &mut bound.tls,
                (None, Transport::Tcp) => &mut bound.tcp,
                (None, Transport::Udp) => &mut bound.udp,
            };
            *place = Some(open.local);
        }
        bound
    }
}

impl Open {
    /// Whether this is the port the settings mean. A name may change; where the system chooses
    /// the port it is all that tells one from another.
    fn is(&self, wanted: &Wanted) -> bool {
        (wanted.listen.port() != 0 || self.name == wanted.name)
            && (self.transport, self.listen) == (wanted.transport, wanted.listen)
            && self.certificates.is_some() == wanted.tls.is_some()
            && !self.task.is_finished()
    }
}

/// The ports of the settings, their certificates read. Without one of its own a handshake at Meta's port
/// fails, by an alert.
fn wanted(settings: &Settings, without_own: bool) -> Result<Vec<Wanted>, Error> {
    let mut ports = Vec::new();
    let plain = |transport, listen| Wanted {
        transport,
        listen,
        name: None,
        tls: None,
    };
    if let Some(port) = &settings.tls {
        let own = CertificateFiles {
            certificate: port.certificate.clone(),
            key: port.key.clone(),
        };
        let own = Some(own).filter(|_| !without_own);
        let all: Vec<_> = own
            .into_iter()
            .chain(port.certificates.iter().cloned())
            .collect();
        // Meta's port: no client certificate is ever asked for (Meta reference 2).
        ports.push(Wanted {
            tls: Some(identity::server(&all, None)?),
            ..plain(Transport::Tls, port.listen)
        });
    }
    ports.extend(settings.tcp.map(|port| plain(Transport::Tcp, port.listen)));
    ports.extend(settings.udp.map(|port| plain(Transport::Udp, port.listen)));
    for port in &settings.listeners {
        let tls = match port.transport {
            Transport::Tls => Some(identity::server(
                &port.certificates,
                port.client_ca.as_deref(),
            )?),
            _ => None,
        };
        ports.push(Wanted {
            name: Some(port.name.clone()),
            tls,
            ..plain(port.transport, port.listen)
        });
    }
    Ok(ports)
}
