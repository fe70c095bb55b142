//! From a number and its INVITE to the trunks that may take the call, one after the other.
//!
//! ```text
//!  user parameters of the Request-URI ─► a route of the number ─┐
//!                                 none ─► the number's own ──────┴─► trunk, or group in its order
//!        closed ─► where its calls go outside its hours ─► the same once more, else 480
//! ```

use std::sync::Arc;
use std::time::Duration;

use sip::{Name, Request, Uri};

use crate::Cause;
use crate::directory::Directory;
use crate::settings::{Number, Trunk};

/// How often calls may be handed on from one closed trunk to another.
const HANDED_ON: usize = 3;

/// Why no trunk takes a call.
pub(crate) struct NoTrunk {
    pub(crate) cause: Cause,
    /// For the log.
    pub(crate) why: String,
}

/// The trunks that may take a user's call to `number` at a time of day, at least one.
pub(crate) fn trunks(
    directory: &Directory,
    number: &Number,
    invite: &Request,
    wall: Duration,
    dice: u64,
) -> Result<Vec<Arc<Trunk>>, Box<NoTrunk>> {
    let mut name = destination(number, &invite.uri).clone();
    for _ in 0..=HANDED_ON {
        let all = directory.trunks(&name, dice);
        let Some(first) = all.first() else {
            let why = format!("trunk {name} of {} does not exist", number.e164);
            return Err(none(Cause::UnknownNumber, why));
        };
        let lawful: Vec<_> = all.iter().filter(|trunk| !trunk.pstn).collect();
        if lawful.is_empty() {
            let why = format!("trunk {} leads to the PSTN", first.name);
            return Err(none(Cause::PstnForbidden, why));
        }
        let is_open = |trunk: &Trunk| trunk.policy.hours.as_ref().is_none_or(|h| h.are_at(wall));
        let open: Vec<Arc<Trunk>> = lawful
            .iter()
            .filter(|trunk| is_open(trunk))
            .map(|trunk| (*trunk).clone())
            .collect();
        if !open.is_empty() {
            return Ok(open);
        }
        let outside = lawful.iter().find_map(|trunk| trunk.policy.outside.clone());
        match outside {
            Some(other) => name = other,
            None => break,
        }
    }
    let why = format!("{name} of {} is closed", number.e164);
    Err(none(Cause::Closed, why))
}

fn none(cause: Cause, why: String) -> Box<NoTrunk> {
    Box::new(NoTrunk { cause, why })
}

/// The trunk or group a call is for: by the first route whose user parameters (RFC 4904, Meta
/// reference 3.2) its Request-URI has, else the number's own.
fn destination<'a>(number: &'a Number, uri: &Uri) -> &'a Arc<str> {
    let has = |(key, value): &(String, String)| {
        uri.user_param(key)
            .is_some_and(|is| is.eq_ignore_ascii_case(value))
    };
    let route = number
        .routes
        .iter()
        .find(|route| route.user_params.iter().all(has));
    route.map_or(&number.trunk, |route| &route.trunk)
}

/// The business number a trunk calls as: named by P-Asserted-Identity or From, as the trunk writes
/// numbers; else the only one it has.
pub(crate) fn calling<'a>(
    directory: &'a Directory,
    trunk: &Trunk,
    invite: &Request,
) -> Option<&'a Arc<Number>> {
    let mine = |number: &&Arc<Number>| directory.serves(trunk, number);
    let asserted = invite.headers.list(&Name::PAssertedIdentity).next();
    let asserted = asserted.and_then(|value| sip::NameAddr::read(&value));
    let named = [asserted, invite.from()]
        .into_iter()
        .flatten()
        .filter_map(|address| {
            let user = address.uri.user_base().unwrap_or_default();
            trunk.policy.numbers.dialled(user)
        })
        .find_map(|e164| directory.number(&e164).filter(mine));
    named.or_else(|| directory.only_number(&trunk.name))
}
