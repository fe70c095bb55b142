//! Where calls go and when, as written: groups, routes of numbers, hours of trunks, aliases.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// `[[group]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: Spanned<String>,
    /// Its trunks.
    pub members: Vec<Spanned<Member>>,
}

/// One of the `members` of a group.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The trunk.
    pub trunk: String,
    /// Lower ones are tried first.
    #[serde(default = "one")]
    pub priority: u16,
    /// Its share among those of its priority.
    #[serde(default = "one")]
    pub weight: u16,
}

/// One of the `routes` of a number.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// User parameters the Request-URI has to have, all of them.
    pub user_params: BTreeMap<String, String>,
    /// The trunk or group.
    pub trunk: String,
}

/// `[trunk.hours]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hours {
    /// The time zone of its clock.
    pub timezone: Spanned<String>,
    /// Days and hours it is open; empty: always.
    pub open: Vec<Spanned<String>>,
    /// The trunk or group that takes calls outside; empty: nobody.
    pub outside: Spanned<String>,
}

impl Default for Hours {
    fn default() -> Self {
        let unplaced = |text: &str| Spanned::new(0..0, text.to_owned());
        Self {
            timezone: unplaced("UTC"),
            open: Vec::new(),
            outside: unplaced(""),
        }
    }
}

/// `[alias]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alias {
    /// The numbers users without a number are shown by; empty: by their word for them.
    pub range: Spanned<String>,
    /// Where they are kept.
    pub store: PathBuf,
}

impl Default for Alias {
    fn default() -> Self {
        Self {
            range: Spanned::new(0..0, String::new()),
            store: "/var/lib/wa-sbc/aliases.db".into(),
        }
    }
}

fn one() -> u16 {
    1
}
