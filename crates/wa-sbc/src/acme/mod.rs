//! The certificate Meta demands, from an authority that speaks ACME (RFC 8555), by HTTP-01.
//!
//! ```text
//!   start, every port opens ─► usable certificate there? ── no ──► order ──────────────┐
//!                                  │ yes                             ▲                 ▼
//!                                  └──► wait until a third of ───────┤   failed: pause of 2, 5, 15, 30, 60,
//!                                       its life is left             │   then 180 minutes; a reload ends it
//!                                            ▲                       └─────────────────┤
//!                                            └── listeners ◄── files ◄─────────────────┘ came
//! ```
//!
//! The port for the challenge is open while an order is under way and at no other time. The files are
//! those of `[sip] tls`, so that everything else is as with a certificate from elsewhere
//! ([ADR 37](../../../docs/adr/0037-a-certificate-that-is-not-there-yet.md)).

mod account;
mod client;
mod files;
mod keeper;
mod order;
mod progress;
mod responder;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};

use self::keeper::{Waited, World};
pub(crate) use self::progress::{Progress, remembered};
pub(crate) use self::responder::NOBODY;
use crate::clock;
use crate::config::AcmeSettings;
use crate::net::{tls, validity};

/// The keeper of the certificate.
#[derive(Debug)]
pub(crate) struct Acme {
    settings: AcmeSettings,
    /// How it goes.
    pub(crate) progress: Arc<Progress>,
    /// Told when the operator changed something.
    pub(crate) mended: Arc<Notify>,
    renewed: Option<mpsc::Sender<()>>,
}

impl Acme {
    /// Nothing done yet.
    pub(crate) fn new(settings: AcmeSettings) -> Self {
        Self {
            progress: Arc::new(Progress::new(&settings.account)),
            settings,
            mended: Arc::default(),
            renewed: None,
        }
    }

    /// Obtains a certificate if there is none that could be served and renews it in time, for ever; each
    /// time there is a new one, says so.
    pub(crate) async fn keep(mut self, renewed: mpsc::Sender<()>) {
        self.renewed = Some(renewed);
        let progress = self.progress.clone();
        keeper::keep(self, &progress).await;
    }
}

impl World for Acme {
    fn now(&self) -> SystemTime {
        clock::wall()
    }

    async fn wait(&mut self, time: Duration) -> Waited {
        tokio::select! {
            () = tokio::time::sleep(time) => Waited::Over,
            () = self.mended.notified() => Waited::Hurried,
        }
    }

    fn due(&self) -> Option<SystemTime> {
        due_of(&self.settings)
    }

    async fn order(&mut self) -> Result<(), String> {
        tracing::info!(names = ?self.settings.names, "asking the authority for a certificate");
        let issued = order::obtain(&self.settings).await?;
        files::write(&self.settings, &issued)?;
        tracing::info!(names = ?self.settings.names, "a new certificate is here");
        Ok(())
    }

    async fn renewed(&mut self) -> bool {
        match &self.renewed {
            Some(renewed) => renewed.send(()).await.is_ok(),
            None => false,
        }
    }
}

/// When the certificate that is there should be renewed: so many days before its end, but not before two
/// thirds of its life are over. `None`: there is none with its key, it is for another name, or an authority
/// gave it that is no longer the one.
pub(crate) fn due_of(settings: &AcmeSettings) -> Option<SystemTime> {
    let AcmeSettings {
        certificate, key, ..
    } = settings;
    tls::certified(certificate, key).ok()?;
    if account::is_elsewhere(settings) {
        return None;
    }
    let leaf = tls::leaf(certificate).ok()?;
    if !settings
        .names
        .iter()
        .all(|name| tls::is_made_for(&leaf, name))
    {
        return None;
    }
    let (from, until) = validity::of(&leaf)?;
    Some(due(from, until, settings.renew_before))
}

fn due(from: SystemTime, until: SystemTime, renew_before: Duration) -> SystemTime {
    let life = until.duration_since(from).unwrap_or_default();
    until - renew_before.min(life / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_certificate_is_renewed_by_days_and_a_short_one_by_thirds() {
        let day = Duration::from_secs(86_400);
        let from = SystemTime::UNIX_EPOCH + 20_000 * day;
        assert_eq!(due(from, from + 365 * day, 30 * day), from + 335 * day);
        assert_eq!(due(from, from + 90 * day, 30 * day), from + 60 * day);
        assert_eq!(due(from, from + 6 * day, 30 * day), from + 4 * day);
    }
}
