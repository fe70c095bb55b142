//! Wiring and shutdown order; reads like a list.

use std::sync::Arc;
use std::time::Duration;

use b2bua::Core;
use rustls::crypto::ring;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::Settings;
use crate::core_task::{Control, CoreTask};
use crate::error::Error;
use crate::media::Workers;
use crate::net::dial::Dialer;
use crate::net::flows::FlowIds;
use crate::net::listen::Listener;
use crate::net::{Bound, Flows, tls, udp};
use crate::records::Records;

/// Messages between the sockets and the core. When it is full, connections are not read.
const QUEUE: usize = 1024;

/// A running SBC. Dropping it ends every call at once.
#[derive(Debug)]
pub struct Running {
    bound: Bound,
    control: mpsc::Sender<Control>,
    certificates: Option<watch::Sender<Arc<rustls::ServerConfig>>>,
    task: JoinHandle<()>,
}

/// Binds everything, starts everything. Needs a multi-threaded tokio runtime.
pub async fn run(settings: Settings) -> Result<Running, Error> {
    raise_open_files();
    let (net_sender, net) = mpsc::channel(QUEUE);
    let (media_sender, media) = mpsc::unbounded_channel();
    let (control, controls) = mpsc::channel(8);
    let ids = FlowIds::default();
    let known = settings.known_networks();
    let mut bound = Bound::default();

    let mut certificates = None;
    if let Some(port) = &settings.tls {
        let (sender, config) = watch::channel(tls::server(&port.certificate, &port.key)?);
        let listener = Listener::bind(
            port.listen,
            Some(config),
            settings.limits,
            known.clone(),
            ids.clone(),
        )
        .await
        .map_err(|source| Error::Bind {
            transport: "TLS",
            address: port.listen,
            source,
        })?;
        bound.tls = Some(listener.local_addr()?);
        certificates = Some(sender);
        tokio::spawn(listener.run(net_sender.clone()));
    }
    if let Some(port) = &settings.tcp {
        let listener = Listener::bind(
            port.listen,
            None,
            settings.limits,
            known.clone(),
            ids.clone(),
        )
        .await
        .map_err(|source| Error::Bind {
            transport: "TCP",
            address: port.listen,
            source,
        })?;
        bound.tcp = Some(listener.local_addr()?);
        tokio::spawn(listener.run(net_sender.clone()));
    }
    let mut sockets = Vec::new();
    if let Some(port) = &settings.udp {
        let socket = udp::bind(port.listen).map_err(|source| Error::Bind {
            transport: "UDP",
            address: port.listen,
            source,
        })?;
        bound.udp = Some(socket.local_addr()?);
        tokio::spawn(udp::receive(
            socket.clone(),
            0,
            net_sender.clone(),
            Arc::default(),
        ));
        sockets.push(socket);
    }

    let mut seed = [0; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut seed)
        .map_err(|_| Error::Random)?;
    let task = CoreTask {
        core: Core::new(
            settings.core_bound_to(&bound),
            seed,
            clock::now(),
            clock::wall(),
        ),
        dialer: Arc::new(dialer(&settings, &bound)?),
        flows: Flows::new(sockets, ids)?,
        workers: Workers::start(&settings.media, &media_sender).map_err(Error::Media)?,
        records: Records::start(&settings.records)?,
        net,
        net_sender,
        media,
        control: controls,
    };
    tracing::info!(tls = ?bound.tls, udp = ?bound.udp, tcp = ?bound.tcp, "listening");
    Ok(Running {
        bound,
        control,
        certificates,
        task: tokio::spawn(task.run()),
    })
}

impl Running {
    /// The ports that were bound.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Gives new calls new settings and new connections a new certificate. Ports, media addresses
    /// and the places of records stay as they are until the next start.
    pub async fn reload(&self, settings: &Settings) -> Result<(), Error> {
        if let (Some(certificates), Some(port)) = (&self.certificates, &settings.tls) {
            certificates.send_replace(tls::server(&port.certificate, &port.key)?);
        }
        let core = Box::new(settings.core_bound_to(&self.bound));
        let _ = self.control.send(Control::Reload(core)).await;
        Ok(())
    }

    /// Takes no new calls from now on and begins to end; said twice, hangs up at once.
    pub async fn drain(&self, within: Duration) {
        let _ = self.control.send(Control::Stop { within }).await;
    }

    /// Waits for the end.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Lets running calls go on for `within`, hangs up what is left, writes the records, ends.
    pub async fn stop(mut self, within: Duration) {
        self.drain(within).await;
        self.ended().await;
    }
}

fn dialer(settings: &Settings, bound: &Bound) -> Result<Dialer, Error> {
    let mut authorities = std::collections::HashMap::new();
    for (host, path) in &settings.authorities {
        authorities.insert(host.clone(), tls::client(Some(path))?);
    }
    Ok(Dialer {
        limits: settings.limits,
        fixed: settings.fixed.clone(),
        authorities,
        tls: tls::client(None)?,
        sockets: bound.udp.into_iter().collect(),
    })
}

/// Each call needs four sockets, and ports drain for a while after it: ask for all we may have.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
