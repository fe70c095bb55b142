//! `[reload]`: when the configuration is read again by itself.

use serde::{Deserialize, Serialize};

/// `[reload]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// Read everything again when a file changed: configuration, number files, certificates, keys,
    /// passwords.
    pub watch: bool,
    /// Seconds between two looks at the files.
    pub every: u64,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            watch: false,
            every: 2,
        }
    }
}
