//! `wa-sbc init`: a working configuration for one number and one PBX.
//!
//! What is not given as a flag is asked, if somebody is there to answer. The password goes into a file of
//! its own that its owner reads, and the group of a directory that gives its group to what is made in it
//! (as the package makes `/etc/wa-sbc`: root configures, the service reads). Nothing that exists is
//! overwritten unless told so, but for a configuration that configures nothing.

mod ask;
mod write;

use std::io::{self, BufRead, IsTerminal};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use ask::Question;
use write::Answers;

/// Where the service of a package keeps what it writes.
const STATE: &str = "/var/lib/wa-sbc";
/// The configuration that is meant when none is named.
const INSTALLED: &str = "/etc/wa-sbc/wa-sbc.toml";

/// What a configuration needs to know.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The WhatsApp business number: + and digits.
    #[arg(long, value_name = "E164")]
    number: Option<String>,
    /// Our public DNS name: what Meta's settings of the number name, and the certificate is made for.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Have Let's Encrypt give the certificate, to whose terms you agree by this; this is whom it writes to.
    /// Port 80 of the name has to lead here.
    #[arg(long, value_name = "MAIL", conflicts_with_all = ["certificate", "key"])]
    acme: Option<String>,
    /// The address Meta sends media to.
    #[arg(long, value_name = "ADDRESS")]
    public: Option<IpAddr>,
    /// The address of this machine the PBX reaches.
    #[arg(long, value_name = "ADDRESS")]
    private: Option<IpAddr>,
    /// The PBX: host or host:port.
    #[arg(long, value_name = "HOST[:PORT]")]
    pbx: Option<String>,
    /// How the PBX is reached.
    #[arg(long, default_value = "udp", value_parser = ["udp", "tcp", "tls"])]
    transport: String,
    /// A file with the SIP password Meta made for the number; asked for (or read from standard input)
    /// when absent.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where records and traces are kept. Default: /var/lib/wa-sbc for a configuration in /etc, else
    /// beside the configuration.
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Overwrite what exists.
    #[arg(long)]
    force: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    /// Something was not said, and nobody is there to say it.
    #[error("{flag} is missing: {what}")]
    Missing {
        /// The flag.
        flag: &'static str,
        /// What it says.
        what: &'static str,
    },
    /// It exists.
    #[error("{0} exists; --force overwrites it")]
    Exists(String),
    /// It cannot be written.
    #[error("{path}: {source}")]
    Unwritable {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// What was said makes no configuration.
    #[error("what was given makes no configuration:\n{0}")]
    Wrong(crate::config::ConfigError),
    /// The terminal is gone.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Asks, writes, and says what to do next.
pub(crate) fn main(config: &Path, options: &Options) -> Result<(), InitError> {
    let directory = config.parent().unwrap_or(Path::new("."));
    let path = |value: &Option<PathBuf>| value.as_ref().map(|path| path.display().to_string());
    let address = |value: &Option<IpAddr>| value.map(|address| address.to_string());
    let state = match &options.state {
        Some(state) => state.clone(),
        None if directory.starts_with("/etc") => PathBuf::from(STATE),
        None => directory.to_owned(),
    };
    // What is ordered is put where the service may write.
    let ordered = |name: &str| {
        let path = options.acme.as_ref().map(|_| state.join(name));
        path.map(|path| path.display().to_string())
    };
    let text = |given: Option<String>, flag, what, objection| {
        let question = Question {
            flag,
            what,
            objection,
        };
        ask::answer(given, &question)
    };
    let mut answers = Answers {
        number: text(
            options.number.clone(),
            "--number",
            "the WhatsApp business number, + and digits",
            ask::number,
        )?,
        host: text(
            options.host.clone(),
            "--host",
            "our public DNS name, as in Meta's settings of the number",
            ask::host,
        )?,
        certificate: text(
            path(&options.certificate).or(ordered("fullchain.pem")),
            "--certificate",
            "the file of the certificate chain (PEM); there is none yet? begin again with --acme",
            ask::anything,
        )?,
        key: text(
            path(&options.key).or(ordered("key.pem")),
            "--key",
            "the file of its key (PEM)",
            ask::anything,
        )?,
        acme: options.acme.clone(),
        public: text(
            address(&options.public),
            "--public",
            "the public address of this machine",
            ask::address,
        )?,
        private: text(
            address(&options.private),
            "--private",
            "the address of this machine the PBX reaches",
            ask::address,
        )?,
        pbx: text(
            options.pbx.clone(),
            "--pbx",
            "the PBX, host or host:port",
            ask::anything,
        )?,
        transport: options.transport.clone(),
        secret: directory.join("sip-password"),
        state: state.clone(),
    };
    let password = match &options.password_file {
        Some(file) => std::fs::read_to_string(file).map_err(|source| InitError::Unwritable {
            path: file.display().to_string(),
            source,
        })?,
        None if io::stdin().is_terminal() => ask::secret(
            "--password-file",
            "the SIP password Meta made for the number (not shown)",
        )?,
        None => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line
        }
    };
    if password.trim().is_empty() {
        let what = "the SIP password: GET /<phone number id>/settings?include_sip_credentials=true";
        return Err(InitError::Missing {
            flag: "--password-file",
            what,
        });
    }
    answers.number.retain(|char| !char.is_whitespace());
    let mode = write::write(config, &answers, password.trim(), options.force)?;
    println!(
        "wrote {} and {} (mode 0{:o})",
        config.display(),
        answers.secret.display(),
        mode & 0o777
    );
    if config == Path::new(INSTALLED) {
        println!(
            "next:\n  wa-sbc check\n  wa-sbc doctor                  before and after the start\n  systemctl enable --now wa-sbc"
        );
    } else {
        println!(
            "next:\n  wa-sbc --config {0} check\n  wa-sbc --config {0} doctor\n  wa-sbc --config {0} run",
            config.display()
        );
    }
    Ok(())
}
