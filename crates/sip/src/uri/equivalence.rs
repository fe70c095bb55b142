//! When two URIs mean the same (RFC 3261 §19.1.4).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

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
            && unescape(self.part(&self.user)) == unescape(other.part(&other.user))
            && unescape(self.part(&self.password)) == unescape(other.part(&other.password))
            && self
                .part(&self.host)
                .eq_ignore_ascii_case(other.part(&other.host))
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && self.headers_agree(other)
            && other.headers_agree(self)
    }

    fn params_agree(&self, other: &Uri) -> bool {
        const TWO_SIDED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        Params::of(self.part(&self.params).as_bytes()).all(|(name, _)| {
            let name = String::from_utf8_lossy(name);
            match (self.param(&name), other.param(&name)) {
                (Some(ours), Some(theirs)) => {
                    unescape(ours).eq_ignore_ascii_case(&unescape(theirs))
                }
                _ => !TWO_SIDED.iter().any(|n| n.eq_ignore_ascii_case(&name)),
            }
        })
    }

    fn headers_agree(&self, other: &Uri) -> bool {
        fn pairs(headers: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
            headers.split('&').filter(|h| !h.is_empty()).map(|header| {
                let (name, value) = header.split_once('=').unwrap_or((header, ""));
                (name.to_ascii_lowercase(), unescape(value))
            })
        }
        pairs(self.part(&self.headers))
            .all(|mine| pairs(other.part(&other.headers)).any(|theirs| theirs == mine))
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
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
