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

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{Challenge, Credentials, Method, Name, Response, Secret, Text};

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

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// The response is neither 401 nor 407.
    #[error("the response is no challenge")]
    NoChallenge,
    /// No challenge uses an algorithm and quality we speak.
    #[error("no challenge with an algorithm we speak")]
    NotSupported,
    /// We answered already and were challenged again: the password is wrong.
    #[error("the credentials were refused")]
    Refused,
}

/// The client's side: answers for one account in one conversation.
#[derive(Clone, Debug)]
pub struct Answerer {
    username: String,
    password: Secret<String>,
    proxy: Asked,
    server: Asked,
}

/// What we know of one challenger: proxies ask with 407, the server with 401.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// An answer is under way and nobody said yet that it was right.
    answered: bool,
    /// The one second try for a stale nonce is used up.
    stale_once: bool,
    nonce: Text,
    count: u32,
}

impl Answerer {
    /// Answers with this account.
    pub fn new(username: impl Into<String>, password: Secret<String>) -> Answerer {
        Answerer {
            username: username.into(),
            password,
            proxy: Asked::default(),
            server: Asked::default(),
        }
    }

    /// Answers a 401 or 407: the header to put into the next request, with the same `uri` as its
    /// Request-URI. `cnonce` is a fresh random text.
    ///
    /// The first challenge with an algorithm we speak is taken, whole (RFC 8760 §2.4). A second
    /// challenge in a row is answered only if it says `stale=true`, and only once (RFC 3261
    /// §22.1); call [`Answerer::accepted`] when an answer was right.
    pub fn answer(
        &mut self,
        response: &Response,
        method: &Method,
        uri: &str,
        body: &[u8],
        cnonce: String,
    ) -> Result<(Name, Text), Unanswerable> {
        let (ask, reply, asked) = match response.status {
            401 => (Name::WwwAuthenticate, Name::Authorization, &mut self.server),
            407 => (
                Name::ProxyAuthenticate,
                Name::ProxyAuthorization,
                &mut self.proxy,
            ),
            _ => return Err(Unanswerable::NoChallenge),
        };
        let challenge = Challenge::all(&response.headers, &ask)
            .into_iter()
            .find(answerable)
            .ok_or(Unanswerable::NotSupported)?;
        if asked.answered {
            if !challenge.stale || asked.stale_once {
                return Err(Unanswerable::Refused);
            }
            asked.stale_once = true;
        }
        asked.answered = true;
        asked.count = if asked.nonce == challenge.nonce {
            asked.count.saturating_add(1)
        } else {
            1
        };
        asked.nonce = challenge.nonce.clone();
        let count = asked.count;
        let value = self.credentials(&challenge, count, method, uri, body, &cnonce);
        Ok((reply, value))
    }

    /// Says that the last answer was right, so that the next challenge is a new one.
    pub fn accepted(&mut self) {
        for asked in [&mut self.proxy, &mut self.server] {
            asked.answered = false;
            asked.stale_once = false;
        }
    }

    fn credentials(
        &self,
        challenge: &Challenge,
        count: u32,
        method: &Method,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Text {
        let algorithm = challenge.known_algorithm().unwrap_or(Algorithm::Md5);
        let qop = match &challenge.qop {
            None => None,
            Some(_) if challenge.offers_qop("auth") => Some("auth"),
            Some(_) => Some("auth-int"),
        };
        let nc = format!("{count:08x}");
        let response = Parts {
            algorithm,
            username: self.username.as_bytes(),
            realm: challenge.realm.as_bytes(),
            password: self.password.expose().as_bytes(),
            method: method.as_bytes(),
            uri: uri.as_bytes(),
            nonce: challenge.nonce.as_bytes(),
            quality: qop.map(|qop| (qop.as_bytes(), nc.as_bytes(), cnonce.as_bytes())),
            body,
        }
        .response();
        let username = crate::header::escaped(&self.username);
        let mut value = Vec::with_capacity(384);
        for piece in [
            &b"Digest username=\""[..],
            username.as_bytes(),
            b"\", realm=\"",
            challenge.realm.as_bytes(),
            b"\", nonce=\"",
            challenge.nonce.as_bytes(),
            b"\", uri=\"",
            uri.as_bytes(),
            b"\", response=\"",
            response.as_bytes(),
            b"\"",
        ] {
            value.extend_from_slice(piece);
        }
        if let Some(named) = &challenge.algorithm {
            value.extend_from_slice(b", algorithm=");
            value.extend_from_slice(named.as_bytes());
        }
        if qop.is_some() {
            value.extend_from_slice(format!(", cnonce=\"{cnonce}\"").as_bytes());
        }
        if let Some(opaque) = &challenge.opaque {
            value.extend_from_slice(b", opaque=\"");
            value.extend_from_slice(opaque.as_bytes());
            value.extend_from_slice(b"\"");
        }
        if let Some(qop) = qop {
            value.extend_from_slice(format!(", qop={qop}, nc={nc}").as_bytes());
        }
        Text::from(bytes::Bytes::from(value))
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

/// Digest with an algorithm and a quality of protection we speak.
fn answerable(challenge: &Challenge) -> bool {
    challenge.scheme.eq_ignore_case("Digest")
        && challenge.known_algorithm().is_some()
        && (challenge.qop.is_none()
            || challenge.offers_qop("auth")
            || challenge.offers_qop("auth-int"))
}

/// What credentials turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right, and for a fresh nonce of ours.
    Valid,
    /// Right, but the nonce is too old: challenge again with `stale=true`.
    Stale,
    /// The nonce is not ours, or of another call or realm: challenge again.
    ForeignNonce,
    /// Wrong user, password or digest: 403.
    Wrong,
}

/// The server's side: nonces that prove themselves, so that any node of a fleet can check them
/// and nothing is remembered.
#[derive(Clone)]
pub struct Challenger {
    keyed: Hmac<Sha256>,
    ttl: Duration,
}

/// Bytes of the stamp, the salt and the MAC in a nonce.
const STAMP: usize = 8;
const SALT: usize = 8;
const PROOF: usize = 16;

impl Challenger {
    /// Challenges with nonces proved by `secret` (the same on every node) and good for `ttl`.
    pub fn new(secret: [u8; 32], ttl: Duration) -> Challenger {
        let keyed = Hmac::<Sha256>::new_from_slice(&secret)
            .expect("HMAC takes keys of any length, this one is 32 bytes");
        Challenger { keyed, ttl }
    }

    /// The value of a Proxy-Authenticate or WWW-Authenticate: MD5, `qop="auth"` (what Meta is
    /// known to answer, Meta reference 4.2). `wall` is the time since the epoch, `salt` is random.
    pub fn challenge(
        &self,
        realm: &str,
        call_id: &Text,
        wall: Duration,
        salt: u64,
        stale: bool,
    ) -> Text {
        let realm = crate::header::escaped(realm);
        let mut nonce = [0; STAMP + SALT + PROOF];
        nonce[..STAMP].copy_from_slice(&(wall.as_millis() as u64).to_be_bytes());
        nonce[STAMP..STAMP + SALT].copy_from_slice(&salt.to_be_bytes());
        let proof = self.proof(&nonce[..STAMP + SALT], realm.as_bytes(), call_id);
        nonce[STAMP + SALT..].copy_from_slice(&proof);
        let stale = if stale { ",stale=true" } else { "" };
        Text::from(format!(
            "Digest realm=\"{realm}\",nonce=\"{}\",algorithm=MD5,qop=\"auth\"{stale}",
            hex(&nonce)
        ))
    }

    /// Judges credentials for this call. The hash is taken over their `uri` as received; whether
    /// that URI is the right one is the caller's to check (user and host; Meta drops parameters).
    pub fn verify<'p>(
        &self,
        credentials: &Credentials,
        method: &Method,
        call_id: &Text,
        wall: Duration,
        password_for: impl Fn(&str) -> Option<&'p Secret<String>>,
    ) -> Verdict {
        let Some(stamp) = self.stamp(credentials, call_id) else {
            return Verdict::ForeignNonce;
        };
        let username = credentials.plain_username();
        let Some(password) = password_for(&username) else {
            return Verdict::Wrong;
        };
        // Only `auth` was offered, so nothing else is taken.
        let offered = credentials
            .qop
            .as_ref()
            .is_none_or(|qop| qop.eq_ignore_case("auth"));
        if !offered || !credentials.matches(method, password.expose(), &[]) {
            return Verdict::Wrong;
        }
        // Only who knows the password learns that the nonce was merely old. A stamp from the
        // future (two nodes' clocks) is fresh.
        match wall.checked_sub(stamp) {
            Some(age) if age > self.ttl => Verdict::Stale,
            _ => Verdict::Valid,
        }
    }

    /// When the nonce was made, if it is ours for this call and realm.
    fn stamp(&self, credentials: &Credentials, call_id: &Text) -> Option<Duration> {
        let nonce: [u8; STAMP + SALT + PROOF] = unhex(credentials.nonce.as_bytes())?;
        let (signed, proof) = nonce.split_at(STAMP + SALT);
        let expected = self.proof(signed, credentials.realm.as_bytes(), call_id);
        if !bool::from(expected.as_slice().ct_eq(proof)) {
            return None;
        }
        let (stamp, _) = signed.split_first_chunk::<STAMP>()?;
        Some(Duration::from_millis(u64::from_be_bytes(*stamp)))
    }

    fn proof(&self, signed: &[u8], realm: &[u8], call_id: &Text) -> [u8; PROOF] {
        let mut mac = self.keyed.clone();
        mac.update(signed);
        mac.update(&(realm.len() as u64).to_be_bytes());
        mac.update(realm);
        mac.update(call_id.as_bytes());
        let full = mac.finalize().into_bytes();
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&full[..PROOF]);
        proof
    }
}

impl std::fmt::Debug for Challenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenger")
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
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

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).map(|v| v as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
