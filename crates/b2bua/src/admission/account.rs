//! Who proves by digest to be a trunk (RFC 3261 §22, RFC 8760): for INVITE and REGISTER alike.
//!
//! Whoever names an account that is not there, or not there for its network, is challenged, hashed
//! and refused exactly as who gives a wrong password: neither word nor time tells which names exist.

use std::sync::Arc;
use std::time::Duration;

use sip::{Credentials, Flow, Name, Request, Text, Uri, Verdict};

use super::{Admission, same_user, user_of};
use crate::directory::Directory;
use crate::registration::Registrar;
use crate::settings::Trunk;

/// A request whose sender says to be a trunk.
pub(crate) struct Claim<'a> {
    pub(crate) registrar: &'a Registrar,
    pub(crate) directory: &'a Directory,
    /// The time of day, since 1970.
    pub(crate) wall: Duration,
    pub(crate) flow: &'a Flow,
    pub(crate) request: &'a Request,
    /// Fresh randomness, should it be challenged.
    pub(crate) salt: u64,
}

/// What a claim turns out to be.
pub(crate) enum Proof {
    /// It is this trunk.
    Right(Arc<Trunk>),
    /// It has to answer one of these first.
    Challenge(Vec<Text>),
    /// It is not.
    Wrong,
}

impl Admission {
    /// Judges a claim.
    pub(crate) fn prove(&mut self, claim: &Claim<'_>) -> Proof {
        let Claim {
            registrar,
            directory,
            wall,
            flow,
            request,
            salt,
        } = *claim;
        let realm = registrar.realm.as_str();
        let call_id = request.call_id().cloned().unwrap_or(Text::EMPTY);
        let challenge = |stale| {
            let one = |algorithm: &sip::Algorithm| {
                self.challenger
                    .challenge_with(*algorithm, realm, &call_id, wall, salt, stale)
            };
            Proof::Challenge(registrar.algorithms.iter().map(one).collect())
        };
        let credentials = [Name::ProxyAuthorization, Name::Authorization]
            .iter()
            .flat_map(|name| Credentials::all(&request.headers, name))
            .find(|credentials| credentials.realm.as_bytes() == realm.as_bytes());
        let Some(credentials) = credentials else {
            return challenge(false);
        };
        let trunk = directory.account(&credentials.plain_username(), flow.remote.ip());
        let password = trunk.and_then(|trunk| trunk.access.account.as_ref());
        // Whoever is unknown is hashed all the same: the time tells nothing either.
        let expected = password.map_or(&self.decoy, |account| &account.password);
        let verdict = self
            .challenger
            .verify(&credentials, &request.method, &call_id, wall, |_| {
                Some(expected)
            });
        let offered = credentials
            .known_algorithm()
            .is_some_and(|algorithm| registrar.algorithms.contains(&algorithm));
        let trunk = match (verdict, trunk) {
            (Verdict::ForeignNonce, _) => return challenge(false),
            (Verdict::Wrong, _) | (_, None) => return Proof::Wrong,
            _ if !offered || !names(&credentials, request) => return Proof::Wrong,
            (Verdict::Stale, _) => return challenge(true),
            (Verdict::Valid, Some(trunk)) => trunk,
        };
        match self.nonces.admit(&credentials, wall) {
            true => Proof::Right(trunk.clone()),
            // A count that came before: its owner is to take a fresh nonce, and need not ask anybody
            // for the password again.
            false => challenge(true),
        }
    }
}

/// Whether the digest was made for where the request goes.
fn names(credentials: &Credentials, request: &Request) -> bool {
    Uri::parse(&credentials.uri).is_ok_and(|uri| {
        same_user(user_of(&uri), user_of(&request.uri))
            && uri.host().eq_ignore_ascii_case(request.uri.host())
    })
}
