//! `[trace]` and `[control]`: what is remembered of calls, and where a running program is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::trace::Bounds;

/// `[trace]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// Messages and facts remembered of each call; 0: none.
    pub messages: usize,
    /// Megabytes for all calls together.
    pub memory: usize,
    /// Keep the traces of failed calls in this directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whether failed calls are kept there.
    pub on_failure: bool,
    /// Traces kept there; the oldest leave.
    pub files: usize,
}

/// `[control]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The socket `wa-sbc ladder` and `wa-sbc capture` ask; empty: none.
    pub socket: PathBuf,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            messages: 256,
            memory: 32,
            dir: None,
            on_failure: true,
            files: 1000,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: "/run/wa-sbc/control.sock".into(),
        }
    }
}

/// Traces, as meant.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// How much is remembered.
    pub bounds: Bounds,
    /// Where failed calls are kept, and how many.
    pub keep: Option<(PathBuf, usize)>,
    /// The control socket.
    pub socket: Option<PathBuf>,
}

impl TraceSettings {
    /// What the two tables mean.
    pub(super) fn of(trace: &Trace, control: &Control) -> Self {
        let kept = trace.dir.clone().filter(|_| trace.on_failure);
        let socket = Some(control.socket.clone());
        Self {
            bounds: Bounds {
                per_call: trace.messages,
                bytes: trace.memory.saturating_mul(1 << 20),
            },
            keep: kept.map(|dir| (dir, trace.files)),
            socket: socket.filter(|path| !path.as_os_str().is_empty()),
        }
    }
}
