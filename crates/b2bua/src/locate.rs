//! Where the names of trunks and carrier lead now (RFC 3263), kept fresh so that no call waits for the DNS.
//!
//! ```text
//!   a name in the settings ─► Locate ─► Located ─┐
//!                               ▲                │ its time to live is over,
//!                               └────────────────┘ or 30 s later when nothing was found
//! ```
//!
//! A call goes to every address of a name in turn, drawn anew for each call by rank and weight;
//! those a call could not reach stand last for 30 s. While nothing is known of a name (or nothing
//! any more) the name itself is the destination, and whoever opens the flow looks for it. An answer
//! that is empty does not make the last good one forgotten: the DNS may be what is broken.
//!
//! The carrier is called by its name, over whatever connection there is, unless one of its addresses
//! has to be avoided: then at the first one that has not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sip::resolve::Located;
use sip::{Target, Transport};

use crate::settings::Settings;

/// How long until a name is looked for again of which nothing is known.
const RETRY: Duration = Duration::from_secs(30);
/// Times to live are taken within these bounds: nobody asks without pause, nobody believes for days.
const TTL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// How long an address stands last after a call could not reach it.
const REST: Duration = Duration::from_secs(30);
/// The longest time for which it may ask to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Where the names of trunks and carrier lead now.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    known: HashMap<Target, Known>,
    /// Which name is to be looked for when, by a number of ours for it.
    schedule: BTreeSet<(Instant, u64)>,
    names: HashMap<u64, Target>,
    rests: BTreeMap<SocketAddr, Instant>,
}

#[derive(Debug)]
struct Known {
    id: u64,
    transports: Vec<Transport>,
    found: Located,
}

impl Locations {
    /// Looks for the names of these settings. What is known of those that stay is kept.
    pub(crate) fn watch(&mut self, now: Instant, settings: &Settings) {
        let mut before = std::mem::take(&mut self.known);
        self.schedule.clear();
        self.names.clear();
        let carrier = std::iter::once((&settings.carrier.target, &[][..]));
        let of_trunks = settings.trunks.iter().flat_map(|trunk| {
            let names = trunk.destinations().chain(trunk.registrars());
            names.map(|target| (target, trunk.transports.as_slice()))
        });
        for (target, transports) in carrier.chain(of_trunks) {
            if is_name(target) && !self.known.contains_key(target) {
                let id = self.names.len() as u64;
                let found = before.remove(target).map(|known| known.found);
                let transports = match transports {
                    [] => vec![target.transport],
                    several => several.to_vec(),
                };
                self.names.insert(id, target.clone());
                self.schedule.insert((now, id));
                self.known.insert(
                    target.clone(),
                    Known {
                        id,
                        transports,
                        found: found.unwrap_or_default(),
                    },
                );
            }
        }
    }

    /// When a name is to be looked for next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// The next name to be looked for now, and the transports the DNS may choose from.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Target, Vec<Transport>)> {
        let &(at, id) = self.schedule.first().filter(|(at, _)| *at <= now)?;
        self.schedule.remove(&(at, id));
        let target = self.names.get(&id)?.clone();
        let transports = self.known.get(&target)?.transports.clone();
        // Should no answer come at all.
        self.schedule.insert((now + RETRY, id));
        Some((target, transports))
    }

    /// A name was looked for.
    pub(crate) fn located(&mut self, now: Instant, target: &Target, found: Located) {
        let Some(known) = self.known.get_mut(target) else {
            return; // A reload forgot it meanwhile.
        };
        let id = known.id;
        let again = if found.ranks.is_empty() {
            now + RETRY
        } else {
            let ttl = found.ttl.clamp(TTL.0, TTL.1);
            known.found = found;
            now + ttl
        };
        self.schedule.retain(|(_, other)| *other != id);
        self.schedule.insert((again, id));
        self.rests.retain(|_, until| *until > now);
    }

    /// A call could not reach this address.
    pub(crate) fn unreachable(&mut self, now: Instant, address: SocketAddr) {
        self.rests.insert(address, now + REST);
    }

    /// This address refused for trouble of its own, and may have said how long it lasts.
    pub(crate) fn asks_for_rest(
        &mut self,
        now: Instant,
        address: SocketAddr,
        pause: Option<Duration>,
    ) {
        let until = now + pause.unwrap_or(REST).min(LONGEST_REST);
        let rest = self.rests.entry(address).or_insert(until);
        *rest = until.max(*rest);
    }

    /// Whether an address had better be avoided for now.
    pub(crate) fn rests(&self, now: Instant, address: SocketAddr) -> bool {
        self.rests.get(&address).is_some_and(|until| *until > now)
    }

    /// An address of a name where nobody asked to be left alone, should any other have done so. `None`:
    /// the name is as good as any of its addresses.
    pub(crate) fn detour(
        &self,
        now: Instant,
        target: &Target,
        dice: impl FnMut() -> u32,
    ) -> Option<Target> {
        let places = self.expand(now, vec![target.clone()], dice);
        let rests = |place: &Target| place.at.is_some_and(|at| self.rests(now, at));
        let avoided = places.iter().any(rests);
        let free = places
            .into_iter()
            .find(|place| place.at.is_some() && !rests(place));
        free.filter(|_| avoided)
    }

    /// The destinations with every name replaced by its addresses, in the order they are to be
    /// tried; `dice` gives any number.
    pub(crate) fn expand(
        &self,
        now: Instant,
        destinations: Vec<Target>,
        mut dice: impl FnMut() -> u32,
    ) -> Vec<Target> {
        let mut all = Vec::new();
        for target in destinations {
            let found = self.known.get(&target).map(|known| &known.found);
            let order = found
                .map(|found| found.order(&mut dice))
                .unwrap_or_default();
            if order.is_empty() {
                all.push(target);
                continue;
            }
            let (fresh, tired): (Vec<_>, Vec<_>) =
                order.into_iter().partition(|(_, at)| !self.rests(now, *at));
            let places = fresh.into_iter().chain(tired);
            all.extend(places.map(|(transport, at)| Target {
                transport,
                at: Some(at),
                ..target.clone()
            }));
        }
        all
    }
}

fn is_name(target: &Target) -> bool {
    target.at.is_none() && target.host.parse::<IpAddr>().is_err()
}
