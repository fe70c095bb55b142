//! Who is shut out for a time: strangers that keep asking for what is not theirs.
//!
//! ```text
//!  offence ──► counted per source ──`after` of them within `window`──► banned for `time`
//!                   │                                                    │
//!                   └── a right digest forgives, so does time            └── tells nobody, hears nothing
//! ```
//!
//! Both tables are bounded: under a flood from more sources than fit, those heard of least
//! recently are forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::source::Source;
use crate::recent::Recent;

/// The most offenders remembered at once; twice as many while generations change.
const OFFENDERS: usize = 10_000;
/// The most bans at once. Beyond it the one that would end first ends.
const BANS: usize = 50_000;

/// When a source is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanPolicy {
    /// So many offences are one too many; 0: nobody is ever banned.
    pub after: u32,
    /// Within this time from the first of them.
    pub window: Duration,
    /// How long a ban lasts.
    pub time: Duration,
}

/// What a stranger did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offence {
    /// Asked for something that is not here, or not for it.
    Refused,
    /// Was challenged; a right answer forgives it.
    Challenged,
    /// Gave a wrong digest.
    Guessed,
    /// Asked faster than strangers may.
    Flooded,
    /// Named itself as a program that looks for victims.
    Scanned,
    /// Sent what is no SIP.
    Malformed,
}

/// What is known of an offender, since the first offence of its window.
#[derive(Clone, Copy, Debug)]
struct Offender {
    since: Instant,
    offences: u32,
    guesses: u32,
}

/// A source that was just banned, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) source: Source,
    pub(crate) until: Instant,
    pub(crate) offences: u32,
    /// How many of them were wrong digests.
    pub(crate) guesses: u32,
}

/// Offenders and the banned.
#[derive(Debug)]
pub(crate) struct Bans {
    offenders: Recent<Source, Offender>,
    banned: BTreeMap<Source, Instant>,
    ends: BTreeSet<(Instant, Source)>,
}

impl Default for Bans {
    fn default() -> Self {
        Self {
            offenders: Recent::new(OFFENDERS),
            banned: BTreeMap::new(),
            ends: BTreeSet::new(),
        }
    }
}

impl Bans {
    /// Counts an offence; the ban it leads to, if it does.
    pub(crate) fn offend(
        &mut self,
        now: Instant,
        policy: &BanPolicy,
        source: Source,
        offence: Offence,
    ) -> Option<Ban> {
        let fresh = Offender {
            since: now,
            offences: 0,
            guesses: 0,
        };
        let known = self.offenders.get(&source);
        let mut offender = known
            .filter(|offender| now < offender.since + policy.window)
            .unwrap_or(fresh);
        offender.offences += match offence {
            Offence::Scanned => policy.after.max(1),
            _ => 1,
        };
        offender.guesses += u32::from(offence == Offence::Guessed);
        if policy.after == 0 || offender.offences < policy.after {
            self.offenders.insert(source, offender);
            return None;
        }
        self.offenders.remove(&source);
        let until = now + policy.time;
        self.ban(source, until);
        Some(Ban {
            source,
            until,
            offences: offender.offences,
            guesses: offender.guesses,
        })
    }

    /// A source proved who it is.
    pub(crate) fn forgive(&mut self, source: Source) {
        self.offenders.remove(&source);
    }

    /// Whether a source is banned.
    pub(crate) fn is_banned(&mut self, now: Instant, source: Source) -> bool {
        self.expire(now);
        self.banned.contains_key(&source)
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, ended)) = self.ends.first()
            && at <= now
        {
            self.ends.pop_first();
            self.banned.remove(&ended);
        }
    }

    /// Who is banned, and until when.
    pub(crate) fn all(&mut self, now: Instant) -> Vec<(Source, Instant)> {
        self.expire(now);
        self.banned
            .iter()
            .map(|(source, until)| (*source, *until))
            .collect()
    }

    /// Bans a source somebody named.
    pub(crate) fn name(&mut self, source: Source, until: Instant) {
        self.offenders.remove(&source);
        self.ban(source, until);
    }

    /// Ends a ban; whether there was one.
    pub(crate) fn lift(&mut self, now: Instant, source: Source) -> bool {
        self.expire(now);
        self.offenders.remove(&source);
        let former = self.banned.remove(&source);
        if let Some(former) = former {
            self.ends.remove(&(former, source));
        }
        former.is_some()
    }

    /// How many are banned.
    pub(crate) fn len(&self) -> usize {
        self.banned.len()
    }

    fn ban(&mut self, source: Source, until: Instant) {
        if let Some(former) = self.banned.insert(source, until) {
            self.ends.remove(&(former, source));
        }
        self.ends.insert((until, source));
        while self.banned.len() > BANS
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.banned.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BanPolicy = BanPolicy {
        after: 3,
        window: Duration::from_secs(60),
        time: Duration::from_secs(600),
    };

    fn source(n: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from(n).into())
    }

    #[allow(clippy::disallowed_methods)] // the one moment virtual time is counted from
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_third_offence_in_a_minute_bans_for_ten() {
        let (now, mut bans) = (start(), Bans::default());
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut offend = |seconds, offence| {
            bans.offend(at(seconds), &POLICY, source(1), offence)
                .is_some()
        };
        assert!(!offend(0, Offence::Refused));
        assert!(!offend(59, Offence::Guessed));
        // The window of the first is over, so this is the first of a new one.
        assert!(!offend(60, Offence::Refused));
        assert!(!offend(61, Offence::Malformed));
        assert!(offend(62, Offence::Guessed));
        assert!(bans.is_banned(at(62), source(1)));
        assert!(bans.is_banned(at(661), source(1)));
        assert!(!bans.is_banned(at(662), source(1)));
        assert_eq!(bans.len(), 0);
        assert!(!bans.is_banned(at(62), source(2)), "somebody else");
    }

    #[test]
    fn who_proves_itself_begins_anew_and_a_scanner_is_out_at_once() {
        let (now, mut bans) = (start(), Bans::default());
        for _ in 0..10 {
            for _ in 0..2 {
                let ban = bans.offend(now, &POLICY, source(1), Offence::Challenged);
                assert_eq!(ban, None);
            }
            bans.forgive(source(1));
        }
        let ban = bans.offend(now, &POLICY, source(2), Offence::Scanned);
        assert_eq!(ban.map(|ban| ban.source), Some(source(2)));
        let never = BanPolicy { after: 0, ..POLICY };
        assert_eq!(bans.offend(now, &never, source(3), Offence::Scanned), None);
    }

    #[test]
    fn wrong_digests_are_told_apart() {
        let (now, mut bans) = (start(), Bans::default());
        bans.offend(now, &POLICY, source(1), Offence::Guessed);
        bans.offend(now, &POLICY, source(1), Offence::Refused);
        let ban = bans.offend(now, &POLICY, source(1), Offence::Guessed);
        let ban = ban.expect("the third");
        assert_eq!((ban.offences, ban.guesses), (3, 2));
    }

    #[test]
    fn a_flood_from_everywhere_fills_neither_table() {
        let (now, mut bans) = (start(), Bans::default());
        for n in 0..200_000 {
            bans.offend(now, &POLICY, source(n), Offence::Refused);
            bans.offend(now, &POLICY, source(n), Offence::Scanned);
        }
        assert!(bans.offenders.len() <= 2 * OFFENDERS);
        assert_eq!((bans.len(), bans.ends.len()), (BANS, BANS));
        let later = now + POLICY.time;
        assert!(!bans.is_banned(later, source(199_999)));
        assert_eq!((bans.len(), bans.ends.len()), (0, 0));
    }
}
