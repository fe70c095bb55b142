//! Failures of the program: all of them for the operator.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::net::tls::TlsError;

/// Why the program cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate, a key or an authority is.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port cannot be bound.
    #[error(
        "cannot listen on {transport} {address}: {source}; is another program using it, or is the address not ours?"
    )]
    Bind {
        /// `UDP`, `TCP` or `TLS`.
        transport: &'static str,
        /// The address and port.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The media threads cannot be started.
    #[error("cannot start the media threads: {0}")]
    Media(io::Error),
    /// The file for records cannot be written.
    #[error("cannot write records to {path}: {source}")]
    Records {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The aliases of users cannot be kept.
    #[error("cannot keep aliases in {path}: {source}; name another file as store in [alias]")]
    Aliases {
        /// The database.
        path: std::path::PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Nobody records calls in a place that can be read back.
    #[error(
        "no calls are recorded: set sqlite = \"/var/lib/wa-sbc/calls.db\" (or file) in [records]"
    )]
    NoRecords,
    /// The place they are read from is not there.
    #[error(
        "no call was recorded in {path} yet: wa-sbc makes it when it starts; is this the configuration it runs with (--config)?"
    )]
    NoStore {
        /// The database or file.
        path: PathBuf,
    },
    /// Records cannot be read back.
    #[error("cannot read records from {path}: {source}")]
    Unreadable {
        /// The database or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory for traces cannot be had.
    #[error("cannot keep traces in {path}: {source}")]
    Traces {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The filter of the log is no filter.
    #[error("cannot log as `{filter}` says: {why}")]
    Log {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// A simulated peer cannot start.
    #[error("{0}")]
    Simulator(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// Anything else the system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
}
