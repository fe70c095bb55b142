//! `wa-sbc capture`: calls on disk, by the running program.

use std::io;
use std::path::Path;

use clap::{ArgGroup, Args};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::capture::Wish;
use crate::config::File;
use crate::control::Ask;

/// What is captured.
#[derive(Clone, Debug, Args)]
#[command(group(
    ArgGroup::new("of")
        .required(true)
        .multiple(false)
        .args(["call", "number", "trunk", "all", "list", "stop"])
))]
pub(crate) struct Options {
    /// Calls with this Call-ID or this id of Meta's (wacid, or what the log shows of it), on either leg.
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Calls of this telephone number, the business' or the user's, and whatever else names it.
    #[arg(long, value_name = "E164")]
    number: Option<String>,
    /// Calls by way of this trunk, those refused before they were any, and its OPTIONS and REGISTER.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Every call, and every message outside calls.
    #[arg(long)]
    all: bool,
    /// List the captures that run, and the last ones that ran.
    #[arg(long)]
    list: bool,
    /// End a capture.
    #[arg(long, value_name = "NAME")]
    stop: Option<String>,
    /// Files kept: when the last one is full, the oldest goes.
    #[arg(long, default_value_t = Wish::default().files)]
    files: u64,
    /// Megabytes of a file.
    #[arg(long, default_value_t = Wish::default().megabytes)]
    megabytes: u64,
    /// End by itself after so many seconds; without, until interrupted.
    #[arg(long)]
    seconds: Option<u64>,
    /// Write keys and digest answers too: whoever has the file can read recordings of the network.
    #[arg(long)]
    keys: bool,
    /// Return at once and capture until stopped.
    #[arg(long)]
    detach: bool,
    /// With --list: JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn ask(&self) -> Ask {
        if self.list {
            return Ask::Captures { json: self.json };
        }
        if let Some(name) = &self.stop {
            return Ask::StopCapture { name: name.clone() };
        }
        Ask::Capture {
            wish: Wish {
                call: self.call.clone(),
                number: self.number.clone(),
                trunk: self.trunk.clone(),
                all: self.all,
                files: self.files,
                megabytes: self.megabytes,
                seconds: self.seconds,
                keys: self.keys,
            },
            detach: self.detach,
        }
    }
}

/// Why there is no capture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("no wa-sbc answers at {path}: {source}")]
    Nobody { path: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Asks the running program; waits until the capture is over or somebody interrupts.
pub(crate) async fn main(config: &Path, options: &Options) -> Result<(), CaptureError> {
    let socket = File::load(config)?.control.socket;
    let connected = UnixStream::connect(&socket).await;
    let (from, mut to) = connected
        .map_err(|source| CaptureError::Nobody {
            path: socket.display().to_string(),
            source,
        })?
        .into_split();
    let mut line = serde_json::to_vec(&options.ask()).map_err(io::Error::from)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    let mut lines = BufReader::new(from).lines();
    match lines.next_line().await? {
        Some(verdict) if verdict == "ok" => {}
        Some(why) => return Err(CaptureError::Refused(why)),
        None => {
            return Err(CaptureError::Refused(
                "the program closed the connection".into(),
            ));
        }
    }
    let mut interrupted = false;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => println!("{line}"),
                None => return Ok(()),
            },
            signal = tokio::signal::ctrl_c(), if !interrupted => {
                signal?;
                interrupted = true;
                to.write_all(b"\n").await?;
            }
        }
    }
}
