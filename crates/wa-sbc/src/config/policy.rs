//! What a `[[trunk]]` may say about words and numbers, as written.

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// One rule of `to_pbx` or `to_meta`: exactly one of the five verbs, and what it needs.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// One more line of this header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// The only line of this header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// No line of this header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
    /// This header under another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
    /// This header of the caller's INVITE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// The new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The new value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What the old value has to fit.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
}

/// `[trunk.numbers]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Numbers {
    /// The country code of numbers dialled without one.
    pub country: Spanned<String>,
    /// What stands before a number of that country.
    pub national_prefix: Spanned<String>,
    /// What stands before a number of another country.
    pub international_prefix: Spanned<String>,
    /// `plus`, `digits`, `international` or `national`.
    pub show: Spanned<String>,
    /// What is done to a dialled number first.
    pub dialled: Vec<Spanned<Rewriting>>,
    /// What is done to a number shown at last.
    pub shown: Vec<Spanned<Rewriting>>,
}

impl Default for Numbers {
    fn default() -> Self {
        let unplaced = |text: &str| Spanned::new(0..0, text.to_owned());
        Self {
            country: unplaced(""),
            national_prefix: unplaced(""),
            international_prefix: unplaced("00"),
            show: unplaced("plus"),
            dialled: Vec::new(),
            shown: Vec::new(),
        }
    }
}

/// One change of a number: `prefix` or `match`, and what it becomes.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rewriting {
    /// Its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// A regular expression for all of it.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// What takes its place.
    pub becomes: String,
}
