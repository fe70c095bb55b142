//! The server's side of digest: nonces that prove themselves (RFC 7616 §3.3, RFC 3261 §22.1).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Algorithm, hex};
use crate::{Credentials, Method, Secret, Text};

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
        self.challenge_with(Algorithm::Md5, realm, call_id, wall, salt, stale)
    }

    /// The same for another algorithm: one header each, the most wanted first (RFC 8760 §2.4).
    pub fn challenge_with(
        &self,
        algorithm: Algorithm,
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
            "Digest realm=\"{realm}\",nonce=\"{}\",algorithm={},qop=\"auth\"{stale}",
            hex(&nonce),
            algorithm.name()
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
