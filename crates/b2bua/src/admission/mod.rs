//! Who may call: number, trunk and direction of a new INVITE, and its digest.
//!
//! ```text
//!  INVITE ─┬─ over TLS, to a number at its host ── carrier ──┬─ known network, right digest ─► Admit
//!          │                                                 └─ else 407, 403
//!          ├─ from a trunk's network ── business-initiated ──── a number of that trunk ──────► Admit
//!          ├─ where accounts are good ── right digest of a trunk ── the same ────────────────► Admit
//!          └─ else 403; 404 to the carrier only: nothing a scanner could learn from
//! ```
//!
//! | part | where |
//! |---|---|
//! | who may call | here |
//! | who proves to be a trunk | `account.rs` |
//! | how much may go on | `limits.rs` |
//! | how fast one source may ask | `rate.rs`, by `source.rs` |
//! | who is shut out for a time | `bans.rs` |
//! | how much the machine can take | `overload.rs` |
//! | what the operator decides about all that | `policy.rs` |
//!
//! A stranger over TLS is challenged for any user at a host of ours, and its wrong answer costs and
//! hears the same whether there is such a number or not.
//!
//! The direction never follows from a header anyone can send.

pub(crate) mod account;
mod bans;
pub(crate) mod burden;
pub(crate) mod limits;
mod overload;
pub(crate) mod policy;
mod rate;
mod source;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{
    Challenger, Credentials, Flow, Method, Name, NonceCounts, Request, Secret, Text, Transport,
    Uri, Verdict,
};

use crate::Cause;
use crate::alias::Aliases;
use crate::directory::Directory;
use crate::number::E164;
use crate::recent::Recent;
use crate::record::Direction;
use crate::settings::{Number, Settings, Trunk};
use crate::trunk::select;

use account::{Claim, Proof};
pub use bans::BanPolicy;
pub(crate) use bans::{Ban, Bans, Offence};
pub(crate) use overload::{Calls, Overload, Turn};
pub use overload::{Load, OverloadPolicy};
pub use rate::Rate;
pub(crate) use rate::{Bucket, Rates};
pub use source::Source;

/// The most nonces whose use is remembered at once.
const NONCES: usize = 4_096;
/// The most sources remembered because they proved who they are; twice as many while generations
/// change.
const ACQUAINTED: usize = 10_000;
/// How long a proof is good for the source it came from.
const ACQUAINTANCE: Duration = Duration::from_secs(24 * 3600);

/// Decides about new INVITEs.
#[derive(Debug)]
pub(crate) struct Admission {
    challenger: Challenger,
    /// Whose counts may not come twice.
    nonces: NonceCounts,
    /// What answers for numbers that are not here: nobody has it.
    decoy: Secret<String>,
    /// Until when a source counts as known that gave a right digest, or that we called.
    acquainted: Recent<Source, Instant>,
    pub(crate) bans: Bans,
    /// The pace of strangers' requests, and of new calls of those we know.
    pub(crate) strangers: Rates,
    pub(crate) callers: Rates,
    pub(crate) overload: Overload,
}

/// An INVITE without a To tag, and where and when it came.
pub(crate) struct Asking<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) directory: &'a Directory,
    /// The time of day, since 1970.
    pub(crate) wall: Duration,
    pub(crate) flow: &'a Flow,
    pub(crate) invite: &'a Request,
    /// The trunk it comes from, as far as its address says.
    pub(crate) trunk: Option<&'a Arc<Trunk>>,
    /// It came from a configured network, or from where somebody proved who they are.
    pub(crate) known: bool,
    /// Fresh randomness, should it be challenged.
    pub(crate) salt: u64,
    /// Fresh randomness, should it choose among trunks.
    pub(crate) dice: u64,
    pub(crate) aliases: &'a Aliases,
}

impl Asking<'_> {
    /// Why whoever was called is not to be found here.
    fn not_here(&self) -> String {
        match E164::parse(user_of(&self.invite.uri)) {
            None => "the called user is no number".into(),
            Some(called) => match self.directory.number(&called) {
                Some(number) => format!(
                    "{called} is ours, but is called at another host than its {}",
                    number.host
                ),
                None => format!("{called} is no number of the configuration"),
            },
        }
    }
}

/// What becomes of an INVITE.
pub(crate) enum Decision {
    Admit(Box<Admitted>),
    /// 407 with these Proxy-Authenticates.
    Challenge(Vec<Text>),
    Reject {
        cause: Cause,
        /// For the log; names no number in full.
        why: String,
    },
}

/// An INVITE that becomes a call.
pub(crate) struct Admitted {
    pub(crate) direction: Direction,
    pub(crate) number: Arc<Number>,
    pub(crate) trunk: Arc<Trunk>,
    /// The trunks to try after it, in this order.
    pub(crate) others: Vec<Arc<Trunk>>,
    /// The user of the carrier: `+` and digits, or an opaque name.
    pub(crate) user: String,
    /// The digest was asked for, and was right.
    pub(crate) proved: bool,
    /// The number of a user who has none.
    pub(crate) alias: Option<E164>,
    /// Worth a warning although it was admitted.
    pub(crate) remark: Option<String>,
}

impl Admitted {
    /// What the call will weigh, if its first trunk takes it ([`burden`]).
    pub(crate) fn weight(&self) -> usize {
        burden::of(burden::is_decoded(
            self.direction,
            &self.number,
            &self.trunk,
        ))
    }

    /// Lets the first trunk that takes calls now have it, if there is one, and keeps only such
    /// trunks to try after it.
    pub(crate) fn make_room(&mut self, takes: impl Fn(&Trunk) -> bool) {
        self.others.retain(|trunk| takes(trunk));
        if !takes(&self.trunk) && !self.others.is_empty() {
            self.trunk = self.others.remove(0);
        }
    }
}

impl Admission {
    /// Forgets the nonces nobody can use any more.
    pub(crate) fn forget(&mut self, wall: Duration) {
        self.nonces.forget(wall);
    }

    pub(crate) fn new(secret: [u8; 32], ttl: Duration) -> Self {
        Self {
            challenger: Challenger::new(secret, ttl),
            nonces: NonceCounts::new(ttl, NONCES),
            decoy: Secret::new(secret.iter().map(|byte| format!("{byte:02x}")).collect()),
            acquainted: Recent::new(ACQUAINTED),
            bans: Bans::default(),
            strangers: Rates::default(),
            callers: Rates::default(),
            overload: Overload::default(),
        }
    }

    /// A source is known from now on: we called it, or it proved who it is.
    pub(crate) fn acquaint(&mut self, now: Instant, address: IpAddr) {
        self.acquainted
            .insert(Source::of(address), now + ACQUAINTANCE);
    }

    /// A source gave a right digest.
    pub(crate) fn proved(&mut self, now: Instant, address: IpAddr) {
        self.acquaint(now, address);
        self.bans.forgive(Source::of(address));
    }

    /// Whether a source proved who it is.
    pub(crate) fn is_acquainted(&mut self, now: Instant, address: IpAddr) -> bool {
        let until = self.acquainted.get(&Source::of(address));
        until.is_some_and(|until| now < until)
    }

    /// Decides about an INVITE without a To tag.
    pub(crate) fn decide(&mut self, asking: &Asking<'_>) -> Decision {
        let source = asking.flow.remote;
        if let Some(number) = called_number(asking) {
            return self.carrier_calls(asking, number.clone());
        }
        let to_carrier = asking.settings.registrar.is_carriers(asking.flow);
        match asking.trunk {
            Some(trunk) if trunk.access.account.is_some() => self.account_calls(asking),
            Some(trunk) => trunk_calls(asking, trunk, false),
            None if !to_carrier && asking.directory.has_roaming_trunks() => {
                self.account_calls(asking)
            }
            None if asking.flow.transport == Transport::Tls && asking.known => reject(
                Cause::UnknownNumber,
                format!("{}, asked by {source}", asking.not_here()),
            ),
            None if asking.flow.transport == Transport::Tls => self.stranger_calls(asking),
            None => reject(Cause::Forbidden, format!("{source} belongs to no trunk")),
        }
    }

    /// Somebody calls who has to prove which trunk it is.
    fn account_calls(&mut self, asking: &Asking<'_>) -> Decision {
        let claim = Claim {
            registrar: &asking.settings.registrar,
            directory: asking.directory,
            wall: asking.wall,
            flow: asking.flow,
            request: asking.invite,
            salt: asking.salt,
        };
        match self.prove(&claim) {
            Proof::Right(trunk) => trunk_calls(asking, &trunk, true),
            Proof::Challenge(challenges) => Decision::Challenge(challenges),
            Proof::Wrong => wrong_digest("a trunk"),
        }
    }

    fn carrier_calls(&mut self, asking: &Asking<'_>, number: Arc<Number>) -> Decision {
        let source = asking.flow.remote;
        let known_source = asking.settings.carrier.owns(source.ip());
        if !number.challenge && !known_source {
            return self.stranger_calls(asking);
        }
        if number.challenge
            && let Some(decision) = self.check_digest(asking, &number.realm, Some(&number))
        {
            return decision;
        }
        let Asking {
            directory,
            invite,
            wall,
            dice,
            ..
        } = *asking;
        let mut trunks = match select::trunks(directory, &number, invite, wall, dice) {
            Ok(trunks) => trunks.into_iter(),
            Err(none) => return reject(none.cause, none.why),
        };
        let Some(trunk) = trunks.next() else {
            return reject(Cause::UnknownNumber, "no trunk takes the call".into());
        };
        let Some(user) = asking
            .invite
            .from()
            .map(|from| user_of(&from.uri).to_owned())
        else {
            return reject(Cause::Forbidden, "the INVITE has no From".into());
        };
        let remark = (!known_source)
            .then(|| format!("right digest, but {source} is no known address of the carrier"));
        let direction = Direction::UserInitiated;
        let number_challenge = number.challenge;
        Decision::Admit(Box::new(Admitted {
            direction,
            number,
            trunk,
            others: trunks.collect(),
            user,
            proved: number_challenge,
            alias: None,
            remark,
        }))
    }

    /// A stranger over TLS. To a host of ours: the challenge every number there has, and never a
    /// right answer, so that nobody learns which numbers there are.
    fn stranger_calls(&mut self, asking: &Asking<'_>) -> Decision {
        let host = asking.invite.uri.host();
        let Some(realm) = asking.directory.realm_at(host) else {
            let why = format!("no such host here, asked by {}", asking.flow.remote);
            return reject(Cause::Forbidden, why);
        };
        let decision = self.check_digest(asking, realm, None);
        decision.unwrap_or_else(|| wrong_digest("a number that is not here"))
    }

    /// RFC 3261 §22.3 with the tolerance of Meta reference 4.2: the hash is over the `uri` as
    /// received, of which only user and host have to agree with the Request-URI. `None`: it is
    /// right, which it can only be for a number.
    fn check_digest(
        &mut self,
        asking: &Asking<'_>,
        realm: &str,
        number: Option<&Number>,
    ) -> Option<Decision> {
        let Asking { invite, wall, .. } = *asking;
        let call_id = invite.call_id().cloned().unwrap_or(Text::EMPTY);
        let challenge = |stale| {
            let challenger = &self.challenger;
            let challenge = challenger.challenge(realm, &call_id, wall, asking.salt, stale);
            Decision::Challenge(vec![challenge])
        };
        let credentials = [Name::ProxyAuthorization, Name::Authorization]
            .iter()
            .flat_map(|name| Credentials::all(&invite.headers, name))
            .find(|credentials| credentials.realm.as_bytes() == realm.as_bytes());
        let Some(credentials) = credentials else {
            return Some(challenge(false));
        };
        let password = number
            .filter(|number| same_user(&credentials.plain_username(), &number.username))
            .and_then(|number| number.password.as_ref());
        // Whoever is unknown is hashed all the same: the time tells nothing either.
        let expected = password.unwrap_or(&self.decoy);
        let verdict = self
            .challenger
            .verify(&credentials, &Method::Invite, &call_id, wall, |_| {
                Some(expected)
            });
        let whose = number.map_or_else(
            || "a number that is not here".to_owned(),
            |number| number.e164.to_string(),
        );
        match verdict {
            Verdict::ForeignNonce => return Some(challenge(false)),
            Verdict::Wrong => return Some(wrong_digest(&whose)),
            _ if password.is_none() => return Some(wrong_digest(&whose)),
            Verdict::Stale => return Some(challenge(true)),
            Verdict::Valid => {}
        }
        let named = Uri::parse(&credentials.uri).is_ok_and(|uri| {
            same_user(user_of(&uri), user_of(&invite.uri))
                && uri.host().eq_ignore_ascii_case(invite.uri.host())
        });
        if !named {
            return Some(wrong_digest(&whose));
        }
        match self.nonces.admit(&credentials, wall) {
            true => None,
            false => Some(challenge(false)),
        }
    }
}

/// The number an INVITE of the carrier is for: over TLS, to one of our numbers at its host.
fn called_number<'a>(asking: &Asking<'a>) -> Option<&'a Arc<Number>> {
    let Asking {
        directory,
        flow,
        invite,
        ..
    } = *asking;
    if flow.transport != Transport::Tls {
        return None;
    }
    let e164 = E164::parse(user_of(&invite.uri))?;
    let number = directory.number(&e164)?;
    invite
        .uri
        .host()
        .eq_ignore_ascii_case(&number.host)
        .then_some(number)
}

fn trunk_calls(asking: &Asking<'_>, trunk: &Arc<Trunk>, proved: bool) -> Decision {
    let Asking {
        settings, invite, ..
    } = *asking;
    if trunk.pstn {
        return reject(
            Cause::PstnForbidden,
            format!("trunk {} comes from the PSTN", trunk.name),
        );
    }
    let Some(number) = select::calling(asking.directory, trunk, invite) else {
        let why = format!("the caller is no number of trunk {}", trunk.name);
        return reject(Cause::Forbidden, why);
    };
    let called = called_by(trunk, invite);
    let called = called.as_str();
    let opaque = settings
        .carrier
        .profile
        .opaque_user
        .is_some_and(|form| form.fits(called));
    let dialled = trunk.policy.numbers.dialled(called).filter(|_| !opaque);
    let aliased = |number: &E164| asking.aliases.user(number).map(str::to_owned);
    let (user, alias) = match dialled {
        _ if opaque => (called.to_owned(), None),
        None => return reject(Cause::UnknownNumber, "the called user is no number".into()),
        Some(number) => match aliased(&number) {
            Some(user) => (user, Some(number)),
            None if asking.aliases.owns(&number) => {
                return reject(Cause::UnknownNumber, "nobody has the called alias".into());
            }
            None => (number.plus(), None),
        },
    };
    Decision::Admit(Box::new(Admitted {
        direction: Direction::BusinessInitiated,
        number: number.clone(),
        trunk: trunk.clone(),
        others: Vec::new(),
        user,
        proved,
        alias,
        remark: None,
    }))
}

/// Whom a trunk calls: who is named by the Request-URI; by To, where a PBX has put our own extension
/// there because it sends us what was dialled for us.
fn called_by(trunk: &Trunk, invite: &Request) -> String {
    let named = user_of(&invite.uri);
    let upstream = trunk.access.upstream.as_ref();
    match (upstream, invite.to()) {
        (Some(upstream), Some(to)) if upstream.extension == named => user_of(&to.uri).to_owned(),
        _ => named.to_owned(),
    }
}

/// The user of a URI without its parameters; empty where it has none.
fn user_of(uri: &Uri) -> &str {
    uri.user_base().unwrap_or_default()
}

/// User names are compared on their digits, with or without `+`; other names byte for byte.
fn same_user(a: &str, b: &str) -> bool {
    match (E164::parse(a), E164::parse(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn wrong_digest(whose: &str) -> Decision {
    reject(Cause::BadCredentials, format!("wrong digest for {whose}"))
}

fn reject(cause: Cause, why: String) -> Decision {
    Decision::Reject { cause, why }
}
