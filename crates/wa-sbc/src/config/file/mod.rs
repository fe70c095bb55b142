//! The TOML as written: every key, with its default.
//!
//! The tables most is said of have a file each here: `sip`, `media`, `meta`, `number`, `trunk`. Every other table stands
//! beside this directory in the file of its subject, together with what it means. `etc/wa-sbc.toml` shows the same keys with
//! a word on each; a test compares the two.

mod media;
mod meta;
mod number;
mod sip;
mod trunk;

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::access::Registrar;
use super::acme::Acme;
use super::admission::Admission;
use super::capture::Capture;
use super::dns::Dns;
use super::hep::Hep;
use super::http::Http;
use super::listener::MoreListen;
use super::objection::ConfigError;
use super::otlp::Otlp;
use super::records::Records;
use super::reload::Reload;
use super::routing::{Alias, Group};
use super::trace::{Control, Trace};

use media::Media;
pub(super) use meta::Meta;
pub(super) use number::Number;
pub(super) use sip::Sip;
pub(super) use trunk::Trunk;

/// A configuration file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Files with further `[[number]]` tables; relative to this one, `*` in the last part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub number_files: Vec<String>,
    /// Our own SIP side.
    pub sip: Sip,
    /// Ports beyond those of `[sip]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listener: Vec<Spanned<MoreListen>>,
    /// Our own media side.
    pub media: Media,
    /// Meta's side.
    #[serde(default)]
    pub meta: Meta,
    /// WhatsApp business numbers.
    #[serde(default)]
    pub number: Vec<Spanned<Number>>,
    /// PBXs.
    #[serde(default)]
    pub trunk: Vec<Spanned<Trunk>>,
    /// How strangers are met, and how much may be asked.
    #[serde(default)]
    pub admission: Admission,
    /// How PBXs prove who they are, and register.
    #[serde(default)]
    pub registrar: Registrar,
    /// Several PBXs as one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Spanned<Group>>,
    /// Numbers for users who have none.
    #[serde(default)]
    pub alias: Alias,
    /// Headers the PBX gets to see.
    #[serde(default)]
    pub headers: Headers,
    /// Records of calls.
    #[serde(default)]
    pub records: Records,
    /// Metrics, health and the operator's interface.
    #[serde(default)]
    pub http: Http,
    /// The log.
    #[serde(default)]
    pub log: Log,
    /// Who is asked where names lead.
    #[serde(default)]
    pub dns: Dns,
    /// When the configuration is read again by itself.
    #[serde(default)]
    pub reload: Reload,
    /// What is remembered of calls.
    #[serde(default)]
    pub trace: Trace,
    /// Where a running program is asked.
    #[serde(default)]
    pub control: Control,
    /// An authority that gives us our certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// Where a Homer hears of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hep: Option<Hep>,
    /// Where traces of calls go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
    /// Where captures are written.
    #[serde(default)]
    pub capture: Capture,
}

/// `[headers]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// Pass Meta's metadata headers to the PBX.
    pub metadata: bool,
    /// What their prefix becomes; empty: stays.
    pub prefix: String,
    /// The header with Meta's id of the call; empty: as Meta names it.
    pub reference: String,
}

/// `[log]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged: `info`, `wa_sbc=debug,info`, …
    pub filter: String,
    /// `text` or `json`.
    pub format: Spanned<String>,
}

impl File {
    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<File, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        File::parse(path, &text)
    }

    /// Reads the text of a configuration file; `path` is named in objections.
    pub fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::syntax(path, text, &error))
    }

    /// The file as TOML with every default filled in. Secrets appear by their source only.
    pub fn print(&self) -> String {
        toml::to_string(self).expect("a configuration that was read can be written")
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            metadata: true,
            prefix: String::new(),
            reference: String::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            format: unplaced("text".into()),
        }
    }
}

/// A default value: it stands nowhere in the file.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// Of the program, of a number and of a trunk.
fn max_calls() -> usize {
    1000
}
