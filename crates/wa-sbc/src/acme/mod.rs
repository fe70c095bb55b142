//! The certificate Meta demands, from an authority that speaks ACME (RFC 8555), by HTTP-01.
//!
//! ```text
//!   start ─► files there and fitting? ── no ──► obtain ─┐
//!                    │ yes                              ▼
//!                    └──► wait until a third of its life is left ─► obtain ─► files ─► reload ─┐
//!                                      ▲                    │ failed: again in an hour         │
//!                                      └────────────────────┴──────────────────────────────────┘
//! ```
//!
//! The port for the challenge is open while an order is under way and at no other time. The files are
//! those of `[sip] tls`, so that everything else is as with a certificate from elsewhere.

mod client;
mod files;
mod order;
mod responder;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use crate::clock;
use crate::config::AcmeSettings;
use crate::error::Error;
use crate::net::{tls, validity};

/// After a failure: authorities count failures by the hour.
const AGAIN: Duration = Duration::from_secs(3600);
/// The longest time between two looks at the certificate: clocks jump, files are replaced.
const LOOK: Duration = Duration::from_secs(3600);

/// What happened, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct AcmeCounts {
    /// Certificates obtained.
    pub(crate) obtained: AtomicU64,
    /// Orders that failed.
    pub(crate) failed: AtomicU64,
}

/// The keeper of the certificate.
#[derive(Debug)]
pub(crate) struct Acme {
    settings: AcmeSettings,
    pub(crate) counts: Arc<AcmeCounts>,
}

impl Acme {
    /// Nothing done yet.
    pub(crate) fn new(settings: AcmeSettings) -> Self {
        Self {
            settings,
            counts: Arc::default(),
        }
    }

    /// Obtains a certificate if there is none that could be served: without one no port opens.
    pub(crate) async fn first(&self) -> Result<(), Error> {
        let AcmeSettings {
            certificate, key, ..
        } = &self.settings;
        if tls::certified(certificate, key).is_ok() {
            return Ok(());
        }
        tracing::info!(names = ?self.settings.names, "there is no certificate yet: asking for one");
        self.obtain().await.map_err(Error::Acme)
    }

    /// Renews in time, for ever; each time there is a new certificate, says so.
    pub(crate) async fn keep(self, renewed: mpsc::Sender<()>) {
        loop {
            let due = due_of(&self.settings).unwrap_or_else(clock::wall);
            let wait = due.duration_since(clock::wall()).unwrap_or_default();
            if !wait.is_zero() {
                tokio::time::sleep(wait.min(LOOK)).await;
                continue;
            }
            match self.obtain().await {
                Ok(()) => {
                    if renewed.send(()).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    tracing::error!(
                        why,
                        "the certificate is not renewed; it is tried again in an hour"
                    );
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn obtain(&self) -> Result<(), String> {
        let result = order::obtain(&self.settings).await;
        let result = result.and_then(|issued| files::write(&self.settings, &issued));
        match &result {
            Ok(()) => {
                self.counts.obtained.fetch_add(1, Ordering::Relaxed);
                tracing::info!(names = ?self.settings.names, "a new certificate is here");
            }
            Err(_) => drop(self.counts.failed.fetch_add(1, Ordering::Relaxed)),
        }
        result
    }
}

/// When the certificate that is there should be renewed: so many days before its end, but not before two
/// thirds of its life are over. `None`: there is none.
pub(crate) fn due_of(settings: &AcmeSettings) -> Option<SystemTime> {
    let leaf = tls::leaf(&settings.certificate).ok()?;
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
