//! What a session has to say, until it is fetched: packets, events, reports.
//!
//! One outbox serves all sessions of a thread, as one [`Packet`](crate::Packet) does: whoever works with a session lends it, and
//! empties it before another session has it. So a session keeps no room for what is fetched at once anyway.

use std::collections::VecDeque;

use sdp::Side;
use sdp::report::SentReport;

use crate::queue::Queue;
use crate::session::Event;

/// Events that can wait to be fetched; more are not kept.
const EVENTS: usize = 16;

/// Reports that can wait to be fetched: the last ones of both legs, and those before.
const REPORTS: usize = 4;

/// What a session has to say. All room is taken when it is made.
pub struct Outbox {
    pub(crate) queue: Queue,
    events: VecDeque<Event>,
    /// Beside the other events: with a report among them each would be seven times as large.
    reports: VecDeque<(Side, SentReport)>,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            events: VecDeque::with_capacity(EVENTS),
            reports: VecDeque::with_capacity(REPORTS),
        }
    }

    /// The next thing to tell.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next report that left, and for which leg; none unless
    /// [`EngineSettings::tell_reports`](crate::EngineSettings::tell_reports) asks.
    pub fn report(&mut self) -> Option<(Side, SentReport)> {
        self.reports.pop_front()
    }

    /// Whether everything has been fetched, so that another session may have it.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.events.is_empty() && self.reports.is_empty()
    }

    /// Throws away what a session left that broke.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.events.clear();
        self.reports.clear();
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }

    pub(crate) fn tell_report(&mut self, to: Side, report: SentReport) {
        if self.reports.len() < REPORTS {
            self.reports.push_back((to, report));
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}
