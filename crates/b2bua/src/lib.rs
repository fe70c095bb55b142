//! # b2bua: calls without sockets and without a clock
//!
//! ```text
//!            ┌──────────────────────── Core ────────────────────────┐
//!  Input ───►│ sip::Endpoint ─► admission ─► Call { leg A, leg B }  │───► Output
//!            └──────────────────────────────────────────────────────┘
//! ```

mod admission;
mod alias;
mod call;
mod call_id;
pub mod cause;
pub mod comfort;
mod context;
mod core;
mod counters;
mod dial;
mod directory;
mod draft;
pub mod event;
mod flows;
mod health;
mod io;
mod late;
mod leg;
mod locate;
mod media;
mod metadata;
mod number;
pub mod operator;
mod privacy;
pub mod profile;
mod recent;
pub mod record;
mod registration;
pub mod rules;
mod service;
pub mod settings;
mod stream;
mod trunk;

pub use admission::{Load, Source};
pub use alias::{Alias, AliasRange};
pub use call_id::CallId;
pub use cause::Cause;
pub use core::Core;
pub use counters::Counters;
pub use event::CallEvent;
pub use io::{Input, Level, LogLine, Output};
pub use media::{LocalMedia, MediaCommand, MediaEvent, Network};
pub use number::{E164, Redacted};
pub use recent::Recent;
pub use record::Record;
pub use registration::{KeptContact, Whereabouts};
pub use service::{Service, Subject};
pub use settings::Settings;
