//! Noticing that a file of the configuration changed, without being told.
//!
//! Files are looked at, not subscribed to: that works on every file system, for files that are
//! replaced by a rename, and for directories behind symbolic links.

use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::{Fingerprint, Settings, Sources};

/// Watches the files of the configuration, where the configuration says so.
#[derive(Debug)]
pub(crate) struct Watch {
    sources: Sources,
    every: Option<Duration>,
    /// What was there when the configuration was read last, whether it was good or not.
    read: Fingerprint,
}

impl Watch {
    /// Watches the files of these settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            sources: settings.sources.clone(),
            every: settings.watch,
            read: settings.sources.fingerprint(),
        }
    }

    /// Watches the files of these settings instead.
    pub(crate) fn follow(&mut self, settings: &Settings) {
        *self = Self::new(settings);
    }

    /// Returns when a file changed and none changed since the look before: whoever writes several
    /// files has finished. May be dropped and called again at any time.
    pub(crate) async fn changed(&mut self) {
        let Some(every) = self.every else {
            return pending().await;
        };
        let mut before = None;
        loop {
            sleep(every).await;
            let now = self.sources.fingerprint();
            if now != self.read && before.as_ref() == Some(&now) {
                self.read = now;
                return;
            }
            before = Some(now);
        }
    }
}
