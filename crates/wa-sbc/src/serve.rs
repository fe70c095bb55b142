//! `wa-sbc run`: carries calls and does what signals, files, the operator and the keeper of the certificate ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::acme::Acme;
use crate::config::{LogSettings, Settings};
use crate::error::Error;
use crate::http::ReloadReply;
use crate::net::tls;
use crate::signals::{Signals, Wish};
use crate::supervisor::Supervisor;
use crate::watch::Watch;
use crate::{log, rehearsal, run};

/// What runs, and what it was last told.
struct Served {
    path: PathBuf,
    settings: Settings,
    running: run::Running,
    watch: Watch,
    supervisor: Supervisor,
    /// The keeper of the certificate, who tries again what the operator has mended.
    mended: Option<Arc<Notify>>,
}

/// Serves until told to end. `log`: how it is logged, by these settings and the command line.
pub(crate) async fn serve(
    path: &Path,
    log: impl FnOnce(&Settings) -> LogSettings,
) -> Result<(), Error> {
    let settings = Settings::load(path)?;
    log::install(&log(&settings))?;
    let mut signals = Signals::listen()?;
    rehearsal::hold();
    let acme = settings.acme.clone().map(Acme::new);
    let progress = acme.as_ref().map(|acme| acme.progress.clone());
    let mut served = Served {
        path: path.to_owned(),
        watch: Watch::new(&settings),
        supervisor: Supervisor::from_environment(),
        mended: acme.as_ref().map(|acme| acme.mended.clone()),
        running: run::run_telling(settings.clone(), progress).await?,
        settings,
    };
    let (renewed, mut renewals) = mpsc::channel(1);
    // Held, so that without a keeper nothing ever comes.
    let _held = renewed.clone();
    if let Some(acme) = acme {
        tokio::spawn(acme.keep(renewed));
    }
    served.ready();
    let mut asked = served.running.take_reloads();
    loop {
        tokio::select! {
            () = served.running.ended() => return Ok(()),
            wish = signals.next() => match wish {
                Wish::End => {
                    let drain = served.settings.drain;
                    served.supervisor.stopping(drain);
                    served.running.drain(drain).await;
                }
                Wish::Reload => drop(served.reload().await),
            },
            Some(()) = renewals.recv() => served.show_certificates().await,
            () = served.watch.changed() => drop(served.reload().await),
            Some(reply) = next(&mut asked) => {
                let done = served.reload().await;
                let _ = reply.send(done);
            }
        }
    }
}

/// Who asks over HTTP for a reload; nobody ever where nothing is served.
async fn next(asked: &mut Option<mpsc::Receiver<ReloadReply>>) -> Option<ReloadReply> {
    match asked {
        Some(asked) => asked.recv().await,
        None => std::future::pending().await,
    }
}

impl Served {
    /// What the service manager shows of us.
    fn ready(&self) {
        let core = &self.settings.core;
        let (numbers, trunks) = (core.numbers.len(), core.trunks.len());
        let lacks = self.settings.tls.as_ref().filter(|_| self.mended.is_some());
        let lacks = lacks.is_some_and(|port| tls::certified(&port.certificate, &port.key).is_err());
        let more = match lacks {
            true => ", no certificate yet: the log says how its order goes",
            false => "",
        };
        self.supervisor
            .ready(&format!("{numbers} numbers, {trunks} trunks{more}"));
    }

    /// A configuration that is wrong changes nothing; the error says why.
    async fn reload(&mut self) -> Result<(), String> {
        self.supervisor.reloading();
        let reloaded = match Settings::load(&self.path) {
            Ok(settings) => self.running.reload(&settings).await.map(|()| settings),
            Err(error) => Err(error.into()),
        };
        let settings = match reloaded {
            Ok(settings) => settings,
            Err(error) => {
                self.supervisor
                    .ready("configuration not reloaded, the old one stays: see the log");
                tracing::error!(%error, "configuration not reloaded; the old one stays");
                return Err(error.to_string());
            }
        };
        self.watch.follow(&settings);
        self.settings = settings;
        self.ready();
        let core = &self.settings.core;
        tracing::info!(path = %self.path.display(), numbers = core.numbers.len(),
            trunks = core.trunks.len(), "configuration reloaded; new calls use it");
        if let Some(mended) = &self.mended {
            mended.notify_one();
        }
        Ok(())
    }

    /// A new certificate is shown whatever has become of the configuration's file meanwhile.
    async fn show_certificates(&mut self) {
        match self.running.reload(&self.settings).await {
            Ok(()) => {
                tracing::info!("the new certificate is shown to whoever connects from now on");
                self.ready();
            }
            Err(error) => tracing::error!(%error, "the new certificate cannot be shown"),
        }
    }
}
