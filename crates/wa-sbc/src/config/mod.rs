//! Configuration, in three layers and one direction.
//!
//! ```text
//!  file/        the TOML as written      deny_unknown_fields, spelled as the operator thinks
//!     │
//!     ▼
//!  resolve/     what it means            number files read, secrets fetched, every objection with its remedy
//!     │
//!     ▼
//!  settings.rs  the settings as meant    typed, complete
//!     │
//!     ▼
//!  b2bua::Settings, media::EngineSettings, rustls configurations
//! ```

mod access;
mod acme;
mod admission;
mod capture;
mod caution;
mod dns;
mod file;
mod hep;
mod http;
mod listener;
mod lists;
mod meta_port;
mod objection;
mod otlp;
mod policy;
mod postgres;
mod records;
mod reload;
mod resolve;
mod routing;
mod secret;
mod settings;
mod sources;
mod trace;
mod url;
mod webhook;

pub use acme::AcmeSettings;
pub use capture::CaptureSettings;
pub use file::File;
pub use hep::{HepSettings, HepTransport};
pub use http::HttpSettings;
pub use listener::CertificateFiles;
pub use meta_port::MetaPort;
pub use objection::{ConfigError, Objection};
pub use otlp::OtlpSettings;
pub use postgres::{PostgresSettings, PostgresTable};
pub use records::{RecordSettings, Rotation};
pub use secret::SecretSource;
pub use settings::{
    Listener, LogFormat, LogSettings, MediaSettings, Port, Settings, StreamPort, TlsPort,
};
pub use sources::{Fingerprint, Sources};
pub use trace::TraceSettings;
pub use webhook::WebhookSettings;
