//! Configuration, in three layers and one direction.
//!
//! ```text
//!  file.rs      the TOML as written      deny_unknown_fields, spelled as the operator thinks
//!     │
//!     ▼         every objection names file, line, key and remedy
//!  settings.rs  the settings as meant    resolved, typed, secrets fetched
//!     │
//!     ▼
//!  b2bua::Settings, media::EngineSettings, rustls configurations
//! ```

mod file;
mod objection;
mod secret;
mod settings;

pub use file::File;
pub use objection::{ConfigError, Objection};
pub use secret::SecretSource;
pub use settings::{
    LogFormat, LogSettings, MediaSettings, Port, RecordSettings, Settings, StreamPort, TlsPort,
};
