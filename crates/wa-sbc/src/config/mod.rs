//! Configuration, in three layers and one direction.
//!
//! ```text
//!  file.rs      the TOML as written      deny_unknown_fields, spelled as the operator thinks
//!     │
//!     ▼
//!  resolve.rs   what it means            secrets fetched, every objection with its remedy
//!     │
//!     ▼
//!  settings.rs  the settings as meant    typed, complete
//!     │
//!     ▼
//!  b2bua::Settings, media::EngineSettings, rustls configurations
//! ```

mod file;
mod objection;
mod resolve;
mod secret;
mod settings;

pub use file::File;
pub use objection::{ConfigError, Objection};
pub use secret::SecretSource;
pub use settings::{
    LogFormat, LogSettings, MediaSettings, Port, RecordSettings, Settings, StreamPort, TlsPort,
};
