//! # wa-sbc: the program
//!
//! ```text
//!   cli ─► config ─► run ─► net (tokio) ─┐
//!                     │                  ├─► core_task (b2bua::Core) ─► records, log
//!                     └──► media threads ┘
//! ```
//!
//! Everything a call *is* stands in other crates; this one owns the sockets, the threads and the
//! clock. It is a library with a thin `main`, so that tests can run it in their own process.

pub mod config;
mod error;
pub mod log;
pub mod media;
pub mod net;
pub mod records;

pub use config::Settings;
pub use error::Error;
