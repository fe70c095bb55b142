//! Digest: we answer challenges, we challenge (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! ```text
//! client   ──401/407: first challenge we can answer──► Answered ──any other reply──► accepted
//!                                                     │    │
//!                                    stale=true, once │    │ challenged again
//!                                                     ▼    ▼
//!                                               Answered  Unanswerable::Refused
//!
//! server   nonce = stamp ‖ salt ‖ MAC(secret, stamp ‖ salt ‖ realm ‖ Call-ID)    (no memory)
//!          MAC wrong → ForeignNonce · too old → Stale · digest wrong → Wrong · else Valid
//! ```
//!
//! The hash is always taken over the parameters exactly as they stand in the header: peers send a
//! `uri` that differs from the Request-URI, and an `nc` that is not the first (Meta reference 4).

mod answerer;
mod challenger;
mod replay;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use answerer::{Answerer, Unanswerable};
pub use challenger::{Challenger, Verdict};
pub use replay::NonceCounts;

use crate::{Credentials, Method, Text};

/// A digest algorithm (RFC 7616 §3.2, RFC 8760 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// The algorithm of this name, case ignored.
    pub fn named(name: &Text) -> Option<Algorithm> {
        if name.eq_ignore_case("MD5") {
            Some(Algorithm::Md5)
        } else if name.eq_ignore_case("SHA-256") {
            Some(Algorithm::Sha256)
        } else {
            None
        }
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The hash of `parts` joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        let joined = parts.join(&b':');
        match self {
            Algorithm::Md5 => hex(&Md5::digest(&joined)),
            Algorithm::Sha256 => hex(&Sha256::digest(&joined)),
        }
    }
}

/// Everything a digest is taken over (RFC 7616 §3.4.1).
struct Parts<'a> {
    algorithm: Algorithm,
    username: &'a [u8],
    realm: &'a [u8],
    password: &'a [u8],
    method: &'a [u8],
    uri: &'a [u8],
    nonce: &'a [u8],
    /// qop, nc, cnonce; none for RFC 2069 peers.
    quality: Option<(&'a [u8], &'a [u8], &'a [u8])>,
    body: &'a [u8],
}

impl Parts<'_> {
    fn response(&self) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let ha1 = hash(&[self.username, self.realm, self.password]);
        let ha2 = match self.quality {
            Some((qop, ..)) if qop.eq_ignore_ascii_case(b"auth-int") => {
                hash(&[self.method, self.uri, hash(&[self.body]).as_bytes()])
            }
            _ => hash(&[self.method, self.uri]),
        };
        match self.quality {
            Some((qop, nc, cnonce)) => {
                hash(&[ha1.as_bytes(), self.nonce, nc, cnonce, qop, ha2.as_bytes()])
            }
            None => hash(&[ha1.as_bytes(), self.nonce, ha2.as_bytes()]),
        }
    }
}

impl Credentials {
    /// The user name with the escapes of its quoted string taken off.
    pub fn plain_username(&self) -> String {
        let plain = crate::header::unescaped(self.username.as_bytes());
        String::from_utf8_lossy(&plain).into_owned()
    }

    /// Whether the digest is the one of this password, taken over the parameters as they stand
    /// (RFC 7616 §3.4.1); `body` counts for `auth-int` only. Compared in constant time.
    pub fn matches(&self, method: &Method, password: &str, body: &[u8]) -> bool {
        let Some(algorithm) = self.known_algorithm() else {
            return false;
        };
        let quality = match (&self.qop, &self.nc, &self.cnonce) {
            (None, ..) => None,
            (Some(qop), Some(nc), Some(cnonce))
                if qop.eq_ignore_case("auth") || qop.eq_ignore_case("auth-int") =>
            {
                Some((qop.as_bytes(), nc.as_bytes(), cnonce.as_bytes()))
            }
            _ => return false,
        };
        let expected = Parts {
            algorithm,
            username: self.plain_username().as_bytes(),
            realm: self.realm.as_bytes(),
            password: password.as_bytes(),
            method: method.as_bytes(),
            uri: self.uri.as_bytes(),
            nonce: self.nonce.as_bytes(),
            quality,
            body,
        }
        .response();
        let given = self.response.as_bytes().to_ascii_lowercase();
        self.scheme.eq_ignore_case("Digest") && bool::from(expected.as_bytes().ct_eq(&given))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
