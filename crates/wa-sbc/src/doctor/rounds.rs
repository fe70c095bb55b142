//! The doctor's rounds: the checks that disturb nobody, made again and again while the program runs, for
//! `/readyz`, `/v1/doctor` and the metrics.
//!
//! A thread of its own makes them, because checks wait for the network. It ends with whoever holds the
//! rounds.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::{Finding, Patient, Verdict, checks};
use crate::clock;
use crate::config::Settings;

/// How long anything may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What was found, and when.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// When.
    pub(crate) at: SystemTime,
    /// What.
    pub(crate) findings: Vec<Finding>,
}

/// The rounds.
#[derive(Debug)]
pub(crate) struct Rounds {
    settings: RwLock<Settings>,
    last: RwLock<Option<Round>>,
}

impl Rounds {
    /// Begins them; without `every` none is made.
    pub(crate) fn begin(settings: &Settings, every: Option<Duration>) -> io::Result<Arc<Rounds>> {
        let rounds = Arc::new(Rounds {
            settings: RwLock::new(settings.clone()),
            last: RwLock::default(),
        });
        if let Some(every) = every {
            let weak = Arc::downgrade(&rounds);
            std::thread::Builder::new()
                .name("doctor".into())
                .spawn(move || {
                    loop {
                        std::thread::sleep(every);
                        let Some(rounds) = weak.upgrade() else {
                            return;
                        };
                        rounds.make();
                    }
                })?;
        }
        Ok(rounds)
    }

    /// Examines these settings from now on.
    pub(crate) fn follow(&self, settings: &Settings) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings.clone();
    }

    /// What was found last.
    pub(crate) fn last(&self) -> Option<Round> {
        self.last
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn make(&self) {
        let settings = self
            .settings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let at = clock::wall();
        let patient = Patient {
            settings,
            number: None,
            authority: None,
            stun: None,
            now: at,
            patience: PATIENCE,
        };
        let mut findings = Vec::new();
        for check in checks().iter().filter(|check| !check.disturbs()) {
            let found = check.run(&patient).into_iter();
            findings.extend(found.map(|finding| finding.of(check.name())));
        }
        let round = Round { at, findings };
        let before = self.last();
        for (check, verdict) in round.worst() {
            let was = before
                .as_ref()
                .and_then(|round| round.worst().get(check).copied());
            if verdict == Verdict::Fail && was != Some(Verdict::Fail) {
                round.say(check);
            }
        }
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(round);
    }
}

impl Round {
    /// The worst verdict of each check.
    pub(crate) fn worst(&self) -> BTreeMap<&'static str, Verdict> {
        let mut worst = BTreeMap::new();
        for finding in &self.findings {
            let verdict = worst.entry(finding.check).or_insert(finding.verdict);
            *verdict = finding.verdict.max(*verdict);
        }
        worst
    }

    /// One line of the log for what began to fail.
    fn say(&self, check: &str) {
        let failed = self
            .findings
            .iter()
            .filter(|finding| finding.check == check && finding.verdict == Verdict::Fail);
        for Finding { found, remedy, .. } in failed {
            tracing::warn!(check, remedy, "the doctor found: {found}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_check_counts() {
        let findings = vec![
            Finding::pass("one").of("names"),
            Finding::fail("two", "do").of("names"),
            Finding::warn("three", "do").of("names"),
            Finding::warn("four", "do").of("port"),
        ];
        let round = Round {
            at: SystemTime::UNIX_EPOCH,
            findings,
        };
        let worst: Vec<_> = round.worst().into_iter().collect();
        assert_eq!(worst, [("names", Verdict::Fail), ("port", Verdict::Warn)]);
    }

    #[test]
    fn what_binds_ports_of_calls_or_registers_is_not_done_in_rounds() {
        let all = checks();
        let disturbing: Vec<_> = all.iter().filter(|check| check.disturbs()).collect();
        let names: Vec<_> = disturbing.iter().map(|check| check.name()).collect();
        assert_eq!(names, ["registrations", "media-ports", "media-outside"]);
    }
}
