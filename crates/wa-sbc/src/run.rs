//! Wiring and shutdown order; reads like a list.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use b2bua::Core;
use rustls::crypto::ring;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock;
use crate::config::Settings;
use crate::core_task::{Control, CoreTask, Reload, Sockets};
use crate::error::Error;
use crate::media::Workers;
use crate::net::dial::Dialer;
use crate::net::flows::FlowIds;
use crate::net::listeners::{Change, Listeners};
use crate::net::{Bound, Door, Flows, tls};
use crate::records::Records;

/// Messages between the sockets and the core. When it is full, connections are not read.
const QUEUE: usize = 1024;

/// A running SBC. Dropping it ends every call at once.
#[derive(Debug)]
pub struct Running {
    bound: Bound,
    control: mpsc::Sender<Control>,
    listeners: Listeners,
    task: JoinHandle<()>,
}

/// Binds everything, starts everything. Needs a multi-threaded tokio runtime.
pub async fn run(settings: Settings) -> Result<Running, Error> {
    raise_open_files();
    let (net_sender, net) = mpsc::channel(QUEUE);
    let (media_sender, media) = mpsc::unbounded_channel();
    let (control, controls) = mpsc::channel(8);
    let ids = FlowIds::default();
    let door = Door::default();
    let mut listeners = Listeners::new(door.clone(), ids.clone(), net_sender.clone());
    let Change { bound, opened, udp } = listeners.follow(&settings).await?;

    let mut seed = [0; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut seed)
        .map_err(|_| Error::Random)?;
    let mut task = CoreTask {
        core: Core::new(
            settings.core_bound_to(&bound),
            seed,
            clock::now(),
            clock::wall(),
        ),
        door,
        dialer: Arc::new(dialer(&settings, udp)?),
        flows: Flows::new(Vec::new(), ids)?,
        sockets: Sockets::default(),
        workers: Workers::start(&settings.media, &media_sender).map_err(Error::Media)?,
        records: Records::start(&settings.records, settings.core.node)?,
        net,
        net_sender,
        media,
        control: controls,
    };
    task.add_sockets(opened);
    say_listening(&bound);
    Ok(Running {
        bound,
        control,
        listeners,
        task: tokio::spawn(task.run()),
    })
}

impl Running {
    /// The ports that were bound.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Gives new calls new settings and new connections new certificates; ports that are new are
    /// bound, those that are the same stay bound. Media addresses and the places of records stay
    /// as they are until the next start. On an error everything is as before.
    pub async fn reload(&mut self, settings: &Settings) -> Result<(), Error> {
        // Everything that can fail, before anything changes.
        drop(dialer(settings, Vec::new())?);
        let Change { bound, opened, udp } = self.listeners.follow(settings).await?;
        if bound != self.bound {
            say_listening(&bound);
        }
        self.bound = bound;
        let reload = Reload {
            core: settings.core_bound_to(&self.bound),
            dialer: Arc::new(dialer(settings, udp)?),
            opened,
        };
        let _ = self.control.send(Control::Reload(Box::new(reload))).await;
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

fn say_listening(bound: &Bound) {
    let Bound {
        tls,
        udp,
        tcp,
        named,
    } = bound;
    tracing::info!(?tls, ?udp, ?tcp, more = ?named, "listening");
}

fn dialer(settings: &Settings, sockets: Vec<(usize, SocketAddr)>) -> Result<Dialer, Error> {
    let mut authorities = HashMap::new();
    let hosts = settings
        .authorities
        .keys()
        .chain(settings.identities.keys());
    for host in hosts {
        let authority = settings.authorities.get(host).map(PathBuf::as_path);
        let config = tls::client_as(authority, settings.identities.get(host))?;
        authorities.insert(host.clone(), config);
    }
    Ok(Dialer {
        limits: settings.limits,
        fixed: settings.fixed.clone(),
        authorities,
        tls: tls::client(None)?,
        sockets,
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
