//! When two URIs mean the same (RFC 3261 §19.1.4).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::collections::{BTreeMap, BTreeSet};

use super::{Scheme, Uri};
use crate::scan::Params;

impl Uri {
    /// The equality of RFC 3261 §19.1.4: escapes, the case of host and parameters, and the order
    /// of parameters do not matter; user, password, port and a one-sided `user`, `ttl`, `method`,
    /// `maddr` or `transport` do.
    pub fn equivalent(&self, other: &Uri) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        if self.scheme == Scheme::Other {
            return self.text == other.text;
        }
        self.has_user == other.has_user
            && unescape(self.part(&self.user).as_bytes())
                == unescape(other.part(&other.user).as_bytes())
            && unescape(self.part(&self.password).as_bytes())
                == unescape(other.part(&other.password).as_bytes())
            && self
                .part(&self.host)
                .eq_ignore_ascii_case(other.part(&other.host))
            && self.port == other.port
            && params_agree(&self.params(), &other.params())
            && self.headers_sorted() == other.headers_sorted()
    }

    /// The parameters by their names in small letters; of one written twice, the first.
    fn params(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (name, value) in Params::of(self.part(&self.params).as_bytes()) {
            let value = || unescape(value).to_ascii_lowercase();
            found.entry(name.to_ascii_lowercase()).or_insert_with(value);
        }
        found
    }

    /// The headers in an order that does not depend on how they are written.
    fn headers_sorted(&self) -> BTreeSet<(String, Vec<u8>)> {
        let headers = self.part(&self.headers).split('&');
        headers
            .filter(|header| !header.is_empty())
            .map(|header| {
                let (name, value) = header.split_once('=').unwrap_or((header, ""));
                (name.to_ascii_lowercase(), unescape(value.as_bytes()))
            })
            .collect()
    }
}

/// Parameters both have must be the same; some must not be missing on one side.
fn params_agree(ours: &BTreeMap<Vec<u8>, Vec<u8>>, theirs: &BTreeMap<Vec<u8>, Vec<u8>>) -> bool {
    const TWO_SIDED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];
    let both = ours
        .iter()
        .all(|(name, value)| theirs.get(name).is_none_or(|v| v == value));
    both && TWO_SIDED
        .iter()
        .all(|name| ours.contains_key(*name) == theirs.contains_key(*name))
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match after {
            [a, b, ..] if byte == b'%' => hex(*a).zip(hex(*b)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|d| d as u8)
}
