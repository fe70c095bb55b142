//! # wa-sbc: the program
//!
//! ```text
//!   cli ─► config ─► run ─► net (tokio) ─┐
//!                     │                  ├─► core_task (b2bua::Core) ─► records, log
//!                     └──► media threads ┘
//! ```
//!
//! Everything a call *is* stands in other crates; this one owns the sockets, the threads and the
//! clock. It is a library with a thin `main`, so that tests can [`run`] it in their own process.

mod acme;
mod aliases;
mod calls;
mod capture;
pub mod cli;
mod clock;
mod commands;
pub mod config;
mod control;
mod core_task;
mod database;
mod demo;
pub mod doctor;
mod error;
mod hep;
mod http;
mod init;
mod ladder;
mod load;
pub mod log;
pub mod media;
mod meters;
pub mod net;
mod observe;
mod otlp;
mod papers;
pub mod pcap;
mod plain;
pub mod records;
mod reference;
mod rehearsal;
pub mod replay;
mod run;
mod serve;
mod signals;
mod supervisor;
mod tap;
pub mod trace;
mod traced;
mod watch;
mod whereabouts;

pub use config::Settings;
pub use error::Error;
pub use run::{Running, run};
