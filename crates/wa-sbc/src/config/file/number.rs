//! `[[number]]`: a WhatsApp business number.

use b2bua::settings::NumberLimits;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{max_calls, unplaced};
use crate::config::routing::Route;
use crate::config::secret::SecretSource;

/// `[[number]]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The business number, `+` and digits.
    pub e164: Spanned<String>,
    /// The host Meta calls it at; `sip.host` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host of our From; `host` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Spanned<String>>,
    /// The realm of our challenge; `sip.realm` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Digest user name; the digits of the number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Digest password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// Challenge Meta's calls.
    #[serde(default = "yes")]
    pub challenge: bool,
    /// Write `+` in From and Request-URI.
    #[serde(default = "yes")]
    pub plus: bool,
    /// The trunk or group.
    pub trunk: Spanned<String>,
    /// Where calls with certain user parameters go instead.
    #[serde(default)]
    pub routes: Vec<Spanned<Route>>,
    /// How SRTP keys towards Meta are exchanged.
    #[serde(default = "keying")]
    pub keying: Spanned<String>,
    /// Codecs towards Meta.
    #[serde(default = "meta_codecs")]
    pub codecs: Spanned<Vec<String>>,
    /// SRTP suites towards Meta.
    #[serde(default = "suites")]
    pub suites: Spanned<Vec<String>>,
    /// Seconds the PBX may ring.
    #[serde(default = "no_answer")]
    pub no_answer: Spanned<u64>,
    /// Seconds the WhatsApp user may ring.
    #[serde(default = "ring_limit")]
    pub ring_limit: u64,
    /// Calls at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// Calls at once with one user.
    #[serde(default = "calls_per_user")]
    pub calls_per_user: usize,
    /// Business-initiated calls begun in 24 hours.
    #[serde(default = "initiated_per_day")]
    pub initiated_per_day: u32,
    /// Business-initiated calls one user answered in 24 hours.
    #[serde(default = "connected_per_user_and_day")]
    pub connected_per_user_and_day: u32,
}

fn yes() -> bool {
    true
}

fn keying() -> Spanned<String> {
    unplaced("sdes".into())
}

fn meta_codecs() -> Spanned<Vec<String>> {
    unplaced(vec!["opus".into(), "telephone-event".into()])
}

fn suites() -> Spanned<Vec<String>> {
    unplaced(vec!["AES_CM_128_HMAC_SHA1_80".into()])
}

fn no_answer() -> Spanned<u64> {
    unplaced(25)
}

fn ring_limit() -> u64 {
    60
}

fn calls_per_user() -> usize {
    NumberLimits::default().calls_per_user
}

fn initiated_per_day() -> u32 {
    NumberLimits::default().initiated_per_day
}

fn connected_per_user_and_day() -> u32 {
    NumberLimits::default().connected_per_user_and_day
}
