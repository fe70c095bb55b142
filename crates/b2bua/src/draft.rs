//! The record of a call while it is being written.

use std::time::{Duration, Instant, SystemTime};

use crate::metadata::Metadata;
use crate::profile::MetadataNames;
use crate::record::{Direction, pulses};

/// The times and facts of a running call.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) started: SystemTime,
    pub(crate) ringing: Option<SystemTime>,
    answered: Option<(Instant, SystemTime)>,
    ended: Option<(Instant, SystemTime)>,
    pub(crate) metadata: Metadata,
    pub(crate) digits: [u32; 2],
}

impl Draft {
    pub(crate) fn new(started: SystemTime, names: Option<&'static MetadataNames>) -> Self {
        Self {
            started,
            ringing: None,
            answered: None,
            ended: None,
            metadata: Metadata::new(names),
            digits: [0; 2],
        }
    }

    /// The called side rings; `true` the first time.
    pub(crate) fn rang(&mut self, wall: SystemTime) -> bool {
        let first = self.ringing.is_none();
        self.ringing.get_or_insert(wall);
        first
    }

    pub(crate) fn answered(&mut self, now: Instant, wall: SystemTime) {
        self.answered.get_or_insert((now, wall));
    }

    pub(crate) fn ended(&mut self, now: Instant, wall: SystemTime) {
        self.ended.get_or_insert((now, wall));
    }

    pub(crate) fn answered_at(&self) -> Option<SystemTime> {
        self.answered.map(|(_, wall)| wall)
    }

    pub(crate) fn ended_at(&self) -> SystemTime {
        self.ended.map_or(self.started, |(_, wall)| wall)
    }

    /// From answer to end; zero when unanswered.
    pub(crate) fn duration(&self) -> Duration {
        match (self.answered, self.ended) {
            (Some((from, _)), Some((to, _))) => to.saturating_duration_since(from),
            _ => Duration::ZERO,
        }
    }

    /// What an answered business-initiated call is charged by: the carrier's duration where it
    /// told one (Meta reference 11).
    pub(crate) fn pulses(&self, direction: Direction) -> Option<u64> {
        self.answered?;
        let told = self.metadata.duration().map(Duration::from_secs);
        let duration = told.unwrap_or_else(|| self.duration());
        (direction == Direction::BusinessInitiated).then(|| pulses(duration))
    }
}
