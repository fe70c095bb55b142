//! Wiring and shutdown order; reads like a list.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use b2bua::{Core, Input};
use rustls::crypto::ring;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::acme::Progress;
use crate::aliases::Aliases;
use crate::capture::Captures;
use crate::clock;
use crate::config::Settings;
use crate::control;
use crate::core_task::{Control, CoreTask, Reload, Sockets};
use crate::doctor::Rounds;
use crate::error::Error;
use crate::hep;
use crate::http::{self, Operator, ReloadReply};
use crate::media::Workers;
use crate::net::dial::Dialer;
use crate::net::dns::Dns;
use crate::net::flows::FlowIds;
use crate::net::listeners::{Change, Listeners};
use crate::net::{Bound, Door, Flows, tls};
use crate::observe::Observers;
use crate::otlp;
use crate::records::Records;
use crate::supervisor::Supervisor;
use crate::tap::Taps;
use crate::trace::{Keeper, Trace};
use crate::whereabouts;

/// Messages between the sockets and the core. When it is full, connections are not read.
const QUEUE: usize = 1024;

/// A running SBC. Dropping it ends every call at once.
#[derive(Debug)]
pub struct Running {
    bound: Bound,
    control: mpsc::Sender<Control>,
    listeners: Listeners,
    task: JoinHandle<()>,
    http: Option<Http>,
    reloads: Option<mpsc::Receiver<ReloadReply>>,
}

/// The HTTP port.
#[derive(Debug)]
struct Http {
    bound: SocketAddr,
    certificate_files: Arc<RwLock<Vec<PathBuf>>>,
    rounds: Arc<Rounds>,
    task: AbortHandle,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Binds everything, starts everything. Needs a multi-threaded tokio runtime.
pub async fn run(settings: Settings) -> Result<Running, Error> {
    run_telling(settings, None).await
}

/// The same, and tells over HTTP how the orders of certificates go.
pub(crate) async fn run_telling(
    settings: Settings,
    acme: Option<Arc<Progress>>,
) -> Result<Running, Error> {
    raise_open_files();
    let (net_sender, net) = mpsc::channel(QUEUE);
    let (media_sender, media) = mpsc::unbounded_channel();
    let (control_sender, controls) = mpsc::channel(8);
    let ids = FlowIds::default();
    let door = Door::default();
    let mut listeners = Listeners::new(door.clone(), ids.clone(), net_sender.clone());
    let Change { bound, opened, udp } = listeners.follow(&settings).await?;

    let mut seed = [0; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut seed)
        .map_err(|_| Error::Random)?;
    let keeper =
        match &settings.trace.keep {
            Some((directory, files)) => Some(Keeper::start(directory, *files).map_err(
                |source| Error::Traces {
                    path: directory.clone(),
                    source,
                },
            )?),
            None => None,
        };
    let socket = settings.trace.socket.as_ref();
    let serving = socket.and_then(|path| control::serve(path, control_sender.downgrade()));
    let node = settings.core.node;
    let mut taps = Taps::default();
    let mut hep_counts = Arc::default();
    if let Some(settings) = &settings.hep {
        let sender = hep::Sender::start(settings)?;
        hep_counts = sender.counts();
        taps.add(Box::new(hep::Mirror::new(sender, settings.all)));
    }
    let mut otlp_counts = Arc::default();
    if let Some(settings) = &settings.otlp {
        let exporter = otlp::Exporter::start(settings, node)?;
        otlp_counts = exporter.counts();
        taps.add(Box::new(exporter));
    }
    let (asked_sender, asked) = mpsc::channel(64);
    let mut core = Core::new(
        settings.core_bound_to(&bound),
        seed,
        clock::now(),
        clock::wall(),
    );
    let mut aliases = None;
    if settings.core.aliases.is_some() || settings.alias_store.exists() {
        let (store, known) = Aliases::start(&settings.alias_store)?;
        core.handle(clock::now(), Input::Aliases(known));
        aliases = Some(store);
    }
    let registering = settings.core.trunks.iter().any(|t| t.access.registers);
    let store = Some(&settings.registration_store).filter(|path| !path.as_os_str().is_empty());
    let kept = store
        .filter(|_| registering)
        .and_then(|path| whereabouts::Store::start(path));
    let whereabouts = kept.map(|(store, known)| {
        core.handle(clock::now(), Input::Whereabouts(known));
        store
    });
    let mut task = CoreTask {
        trace: Trace::new(settings.trace.bounds).take(),
        taps,
        captures: Captures::new(settings.capture.clone(), settings.core.clone()),
        keeper,
        _serving: serving,
        core,
        aliases,
        whereabouts,
        door,
        dialer: Arc::new(dialer(&settings, udp)?),
        flows: Flows::new(Vec::new(), ids)?,
        sockets: Sockets::default(),
        workers: Workers::start(&settings.media, &media_sender).map_err(Error::Media)?,
        records: Records::start(&settings.records, node)?,
        held: Vec::new(),
        net,
        net_sender,
        media,
        control: controls,
        asked,
        observers: Observers::new(node, settings.http.answer_alarm),
        heartbeat: Supervisor::from_environment().heartbeat(),
    };
    let (reload, reloads) = mpsc::channel(1);
    let http = match settings.http.listen {
        None => None,
        Some(listen) => {
            let listener = http::bind(listen).await.map_err(|source| Error::Bind {
                transport: "HTTP",
                address: listen,
                source,
            })?;
            let rounds = Rounds::begin(&settings, settings.http.doctor_every)?;
            let certificate_files = Arc::new(RwLock::new(certificate_files(&settings)));
            let operator = Operator {
                node,
                token: settings.http.token.clone(),
                asked: asked_sender,
                control: control_sender.downgrade(),
                reload,
                events: task.observers.listeners.clone(),
                meters: task.observers.meters.clone(),
                traced: task.observers.traced.clone(),
                captures: task.captures.counts(),
                rounds: rounds.clone(),
                gauges: task.workers.gauges().into(),
                sinks: task.records.counts().into(),
                hep: hep_counts,
                otlp: otlp_counts,
                acme,
                records: settings.records.clone(),
                certificate_files: certificate_files.clone(),
                listens_for_tls: bound.tls.is_some(),
                started: clock::wall(),
            };
            let bound = listener.local_addr()?;
            tracing::info!(address = %bound, "metrics and the operator's interface");
            let task = tokio::spawn(http::serve(listener, operator)).abort_handle();
            Some(Http {
                bound,
                certificate_files,
                rounds,
                task,
            })
        }
    };
    task.add_sockets(opened);
    say_listening(&bound);
    say_cautions(&settings);
    Ok(Running {
        bound,
        control: control_sender,
        listeners,
        task: tokio::spawn(task.run()),
        http,
        reloads: Some(reloads),
    })
}

impl Running {
    /// The ports that were bound.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Where metrics and the operator's interface are.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.bound)
    }

    /// Who asks over HTTP that the configuration be read again; taken by whoever can.
    pub(crate) fn take_reloads(&mut self) -> Option<mpsc::Receiver<ReloadReply>> {
        self.reloads.take()
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
        say_cautions(settings);
        let reload = Reload {
            core: settings.core_bound_to(&self.bound),
            dialer: Arc::new(dialer(settings, udp)?),
            opened,
        };
        if let Some(http) = &self.http {
            http.rounds.follow(settings);
            let files = &http.certificate_files;
            *files.write().unwrap_or_else(PoisonError::into_inner) = certificate_files(settings);
        }
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

fn certificate_files(settings: &Settings) -> Vec<PathBuf> {
    let port = settings.tls.iter();
    port.flat_map(|port| {
        let more = port
            .certificates
            .iter()
            .map(|files| files.certificate.clone());
        std::iter::once(port.certificate.clone()).chain(more)
    })
    .collect()
}

fn say_cautions(settings: &Settings) {
    for caution in settings.cautions() {
        tracing::warn!("{caution}");
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
        keep_alives: settings.keep_alives.clone(),
        tls: tls::client(None)?,
        dns: Dns::new(&settings.name_servers),
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
