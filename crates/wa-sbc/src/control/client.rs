//! Asking a running program.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::ask::Ask;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Nobody listens there.
    #[error("no wa-sbc answers at {path}: {source}")]
    Nobody {
        /// The socket.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program said no.
    #[error("{0}")]
    Said(String),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Asks; the answer is read from what is returned until its end.
pub(crate) fn ask(socket: &Path, ask: &Ask) -> Result<impl Read + use<>, Refused> {
    let mut stream = UnixStream::connect(socket).map_err(|source| Refused::Nobody {
        path: socket.display().to_string(),
        source,
    })?;
    let mut line = serde_json::to_vec(ask).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = BufReader::new(stream);
    let mut verdict = String::new();
    answer.read_line(&mut verdict)?;
    match verdict.trim_end() {
        "ok" => Ok(answer),
        "" => Err(Refused::Said("the program closed the connection".into())),
        other => Err(Refused::Said(other.to_owned())),
    }
}
