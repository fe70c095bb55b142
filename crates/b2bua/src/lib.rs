//! # b2bua: calls without sockets and without a clock
//!
//! ```text
//!            ┌──────────────────────── Core ────────────────────────┐
//!  Input ───►│ sip::Endpoint ─► admission ─► Call { leg A, leg B }  │───► Output
//!            └──────────────────────────────────────────────────────┘
//! ```

pub mod cause;
mod counters;
mod io;
mod media;
mod number;
pub mod profile;
pub mod record;
pub mod settings;

pub use cause::Cause;
pub use counters::Counters;
pub use io::{CallId, Input, Level, LogLine, Output};
pub use media::{LocalMedia, MediaCommand, MediaEvent, Network};
pub use number::{E164, Redacted};
pub use record::Record;
pub use settings::Settings;
