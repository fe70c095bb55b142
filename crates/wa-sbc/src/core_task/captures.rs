//! The owner of the core and captures: which calls go into which, and what was seen of them.

use std::sync::Arc;

use b2bua::event::Facts;
use b2bua::operator::Wish;
use b2bua::{CallId, Input};

use super::{CoreTask, FOR_A_CAPTURE};
use crate::capture::{self, Watched};
use crate::clock;
use crate::trace::{Bounds, News, Trace};

/// What is remembered for captures where nothing else is.
const FOR_CAPTURES: Bounds = Bounds {
    per_call: 256,
    bytes: 8 << 20,
};

/// And afterwards.
const NOTHING: Bounds = Bounds {
    per_call: 0,
    bytes: 0,
};

impl CoreTask {
    /// A call goes into the captures that want it.
    pub(super) fn capture(&mut self, facts: &Facts) {
        self.trace
            .follow_call(facts.id, self.captures.wanting(facts));
        self.watch(facts.id);
    }

    /// The media thread of a captured call shows its packets.
    fn watch(&mut self, call: CallId) {
        if let Some((by, carrier)) = self.trace.followers(call) {
            self.workers.watch(call, Watched { by, carrier });
        }
    }

    /// Hands on what was seen of captured calls.
    pub(super) fn tell_captures(&mut self) {
        let mut seen = Vec::new();
        for news in self.trace.news() {
            match news {
                News::Seen(followed) => seen.push(followed),
                News::Follows { call, .. } => self.watch(call),
            }
        }
        self.captures.seen(seen);
    }

    pub(super) fn begin_capture(
        &mut self,
        wish: capture::Wish,
    ) -> Result<Arc<capture::Status>, String> {
        let workers = &self.workers;
        let (by, follow, status) = self.captures.begin(wish, clock::wall(), || workers.tap())?;
        if !self.trace.is_on() {
            self.trace = Trace::borrowed(FOR_CAPTURES);
        }
        self.trace.follow(by, follow);
        let input = Input::Operator {
            ticket: FOR_A_CAPTURE,
            wish: Wish::Calls,
        };
        self.core.handle(clock::now(), input);
        Ok(status)
    }

    pub(super) fn tidy_captures(&mut self) {
        let over = self.captures.tidy();
        if over != 0 {
            self.trace.unfollow(over);
            self.workers.unwatch(over);
            if self.captures.is_idle() {
                self.workers.untap();
                if self.trace.is_borrowed() {
                    self.trace = Trace::new(NOTHING);
                }
            }
        }
    }
}
