//! A world whose calls are over: what holds then, whatever happened, and the questions scenes ask.

use std::time::Duration;

use b2bua::Record;

use crate::report::{Ended, Heard, What};
use crate::world::{Party, Passed, World};

impl World {
    /// Lets the calls end and looks at what is left: nothing, or this panics with the ladder.
    pub fn story(&mut self, limit: Duration) -> Story<'_> {
        let quiet = self.until_quiet(limit);
        assert!(
            quiet,
            "after {limit:?} something is left: core idle {}, calls {}, ports {}, Meta {:?}, PBX {:?}\n{}",
            self.core.is_idle(),
            self.core.calls(),
            self.ports_in_use(),
            self.meta.calls().collect::<Vec<_>>(),
            self.pbx.calls().collect::<Vec<_>>(),
            self.ladder(),
        );
        self.check_the_end();
        Story { world: self }
    }

    /// What holds when every call is over, whatever happened before: one record per admitted INVITE,
    /// no port leased, nothing forbidden asked of Meta, no bug of ours.
    fn check_the_end(&self) {
        let counters = self.core.counters();
        let admitted = usize::try_from(counters.admitted).unwrap_or(usize::MAX);
        assert_eq!(
            self.records.len(),
            admitted,
            "one record per admitted INVITE\n{}",
            self.ladder()
        );
        assert_eq!(self.ports_in_use(), 0, "ports are still leased");
        assert_eq!(counters.bugs, 0, "bugs of ours\n{}", self.ladder());
        assert_eq!(
            self.meta.counts().forbidden,
            0,
            "Meta was asked what nobody may ask it\n{}",
            self.ladder()
        );
    }
}

/// A world whose calls are over, and questions about them.
#[derive(Debug)]
pub struct Story<'a> {
    world: &'a World,
}

impl Story<'_> {
    /// The record of the only call.
    pub fn record(&self) -> &Record {
        match &self.world.records[..] {
            [record] => record,
            records => panic!(
                "{} records instead of one\n{}",
                records.len(),
                self.world.ladder()
            ),
        }
    }

    /// Nobody broke a rule, and nothing forbidden was sent.
    pub fn is_clean(&self) -> &Self {
        let broken = self.broken();
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.world.ladder());
        self
    }

    /// The rules that were broken, in words.
    pub fn broken(&self) -> Vec<String> {
        self.world
            .reports
            .iter()
            .filter_map(|report| match &report.what {
                What::Violation { rule } => {
                    Some(format!("{} {}: {rule}", report.peer, report.call))
                }
                What::Forbidden { method } => Some(format!(
                    "{} {}: forbidden {method}",
                    report.peer, report.call
                )),
                _ => None,
            })
            .collect()
    }

    /// What a peer said last about its only call.
    pub fn ended(&self, party: Party) -> &Ended {
        self.one(party, "end", |what| match what {
            What::Ended(ended) => Some(ended),
            _ => None,
        })
    }

    /// What a peer heard in its only call.
    pub fn heard(&self, party: Party) -> &Heard {
        self.one(party, "verdict on audio", |what| match what {
            What::Heard(heard) => Some(heard),
            _ => None,
        })
    }

    /// Status and reason with which a peer's only call was refused.
    pub fn refused(&self, party: Party) -> (u16, &str) {
        self.one(party, "refusal", |what| match what {
            What::Refused { status, reason, .. } => Some((*status, reason.as_str())),
            _ => None,
        })
    }

    /// Everything of one kind a peer told.
    pub fn all<'s, T: 's>(
        &'s self,
        party: Party,
        pick: impl Fn(&'s What) -> Option<T> + 's,
    ) -> Vec<T> {
        let name = if party == Party::Meta { "meta" } else { "pbx" };
        self.world
            .reports
            .iter()
            .filter(|r| r.peer == name)
            .filter_map(|r| pick(&r.what))
            .collect()
    }

    /// The digits a peer heard.
    pub fn digits(&self, party: Party) -> String {
        let digits = self.all(party, |what| match what {
            What::Digit { digit, .. } => Some(*digit),
            _ => None,
        });
        digits.into_iter().collect()
    }

    /// Messages of one kind: those whose start line begins so, from one party to another.
    pub fn messages(&self, from: Party, to: Party, start: &str) -> Vec<&Passed> {
        self.world.messages(from, to, start)
    }

    /// Both ends heard the other's tone: within 3 dB, no hole above 40 ms.
    pub fn both_heard_each_other(&self) -> &Self {
        for party in [Party::Meta, Party::Pbx] {
            let heard = self.heard(party);
            let well =
                heard.tone_found && heard.tone_gaps == 0 && heard.level_error_db.abs() <= 3.0;
            assert!(well, "{party:?} {heard:#?}\n{}", self.world.ladder());
        }
        self
    }

    fn one<'s, T: 's>(
        &'s self,
        party: Party,
        kind: &str,
        pick: impl Fn(&'s What) -> Option<T> + 's,
    ) -> T {
        let mut all = self.all(party, pick);
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => one,
            (last, _) => {
                let count = all.len() + usize::from(last.is_some());
                panic!(
                    "{party:?} told {count} times of an {kind}\n{}",
                    self.world.ladder()
                )
            }
        }
    }
}
