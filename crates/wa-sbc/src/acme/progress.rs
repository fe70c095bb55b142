//! How the orders went: for the metrics, `/readyz` and the doctor.
//!
//! What went wrong last stands in a file beside the account as well, so that a doctor who is asked on the
//! command line knows it, and a program that is started again and again does not ask each time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::files;

/// What follows a failure. Authorities count failures by the hour, Let's Encrypt to five.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(180 * 60),
];
/// A start asks at once, but not more often than this.
const RESTART: Duration = Duration::from_secs(60);

/// Orders that failed and were not followed by one that went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    /// How many.
    pub(crate) in_a_row: u32,
    /// Why the last one did.
    pub(crate) why: String,
    /// When that was, Unix seconds.
    pub(crate) at: u64,
    /// When the next one is made, Unix seconds.
    pub(crate) again: u64,
}

/// How the orders went, and go on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    obtained: AtomicU64,
    failed: AtomicU64,
    /// Unix seconds.
    next: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
    /// Beside the account; empty: kept nowhere.
    file: PathBuf,
}

impl Progress {
    /// With what is remembered beside this account.
    pub(super) fn new(account: &Path) -> Self {
        let mut trouble = remembered(account);
        if let Some(trouble) = &mut trouble {
            trouble.again = trouble.again.min(trouble.at + RESTART.as_secs());
        }
        Self {
            trouble: Mutex::new(trouble),
            file: beside(account),
            ..Self::default()
        }
    }

    /// Certificates obtained since the start.
    pub(crate) fn obtained(&self) -> u64 {
        self.obtained.load(Ordering::Relaxed)
    }

    /// Orders that failed since the start.
    pub(crate) fn failed_in_all(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Orders that failed since the last that went well.
    pub(crate) fn failures(&self) -> u32 {
        self.trouble().map_or(0, |trouble| trouble.in_a_row)
    }

    /// When the next order is made, Unix seconds; 0 before anybody knows.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// What goes wrong.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    pub(super) fn again(&self) -> Option<SystemTime> {
        let trouble = self.trouble()?;
        Some(UNIX_EPOCH + Duration::from_secs(trouble.again))
    }

    pub(super) fn plan(&self, next: SystemTime) {
        self.next.store(seconds(next), Ordering::Relaxed);
    }

    /// The pause is over: what failed may go now.
    pub(super) fn hurry(&self) {
        if let Some(trouble) = &mut *self.lock() {
            trouble.again = trouble.at;
        }
    }

    pub(super) fn succeeded(&self) {
        self.obtained.fetch_add(1, Ordering::Relaxed);
        *self.lock() = None;
        let _ = std::fs::remove_file(&self.file);
    }

    /// One more failure, and the pause that follows it.
    pub(super) fn failed(&self, why: &str, now: SystemTime) -> Duration {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let before = self.failures();
        let pause = PAUSES[(before as usize).min(PAUSES.len() - 1)];
        let trouble = Trouble {
            in_a_row: before.saturating_add(1),
            why: why.to_owned(),
            at: seconds(now),
            again: seconds(now + pause),
        };
        if !self.file.as_os_str().is_empty()
            && let Ok(text) = serde_json::to_string(&trouble)
            && let Err(error) = files::write_secret(&self.file, &text)
        {
            tracing::debug!(%error, "what went wrong is not remembered");
        }
        *self.lock() = Some(trouble);
        pause
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong last with the orders of this account, as the running program left it.
pub(crate) fn remembered(account: &Path) -> Option<Trouble> {
    let text = std::fs::read_to_string(beside(account)).ok()?;
    serde_json::from_str(&text).ok()
}

fn beside(account: &Path) -> PathBuf {
    match account.file_name() {
        Some(_) => account.with_extension("trouble.json"),
        None => PathBuf::new(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_remembered_over_a_restart_and_forgotten_with_a_success() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-trouble-{}", std::process::id()));
        let account = directory.join("account.json");
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let progress = Progress::new(&account);
        progress.failed("one", at(1_000));
        assert_eq!(progress.failed("two", at(2_000)).as_secs(), 300);

        let next = Progress::new(&account);
        let trouble = next.trouble().expect("remembered");
        assert_eq!((trouble.in_a_row, &*trouble.why), (2, "two"));
        assert_eq!(
            next.again(),
            Some(at(2_060)),
            "a start does not sit out the pause"
        );
        assert_eq!(
            next.failed("three", at(3_000)).as_secs(),
            900,
            "pauses grow on"
        );

        next.succeeded();
        assert_eq!(remembered(&account), None);
        assert_eq!(
            (next.failures(), next.failed_in_all(), next.obtained()),
            (0, 1, 1)
        );
        let _ = std::fs::remove_dir_all(&directory);
    }
}
