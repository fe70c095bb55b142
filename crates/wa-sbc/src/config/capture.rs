//! `[capture]`: where `wa-sbc capture` has its files written, and how much of the disk they may take.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[capture]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Where captures are written; made when the first one begins.
    pub dir: PathBuf,
    /// Megabytes all captures there may take together; one that could exceed it is refused.
    pub megabytes: u64,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            dir: "/var/lib/wa-sbc/captures".into(),
            megabytes: 1_000,
        }
    }
}

/// Captures, as meant.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    /// Where they are written.
    pub directory: PathBuf,
    /// Bytes all of them may take.
    pub bytes: u64,
}

impl CaptureSettings {
    pub(super) fn of(capture: &Capture) -> Self {
        Self {
            directory: capture.dir.clone(),
            bytes: capture.megabytes.saturating_mul(1_000_000),
        }
    }
}
