//! What is remembered, for readers.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use b2bua::CallId;
use bytes::Bytes;

use super::super::ring::{Head, Kind};
use super::super::scan;
use super::super::seen::{Crossed, Seen, Story, Wanted, What};
use super::{CALLS, STRANGERS, Told, Trace};

impl Trace {
    /// The stories somebody asks for, newest first.
    pub fn find(&self, query: &str) -> Vec<Story> {
        let wanted = Wanted::of(query);
        let about = |told: &Told| {
            self.entries(told).any(|(position, head)| {
                matches!(head.kind, Kind::Message { .. })
                    && wanted.is_in(self.rings[told.pool()].text(position))
            })
        };
        let all = self.stories.iter();
        let mut found: Vec<u64> = all
            .filter(|(_, told)| about(told))
            .map(|(key, _)| *key)
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
            .into_iter()
            .filter_map(|key| self.story(key))
            .collect()
    }

    /// The story of a call, running or over.
    pub(crate) fn of_call(&self, call: CallId) -> Option<Story> {
        let mut all = self.stories.iter();
        let known = all.find(|(_, told)| told.call == Some(call))?;
        self.story(*known.0)
    }

    /// The call a message belongs to, once there is one.
    pub(crate) fn call_of(&self, message: &[u8]) -> Option<CallId> {
        let hash = self.hasher.hash_one(scan::call_id(message)?);
        let (story, _) = self.by_call_id.get(&hash)?;
        self.stories.get(story)?.call
    }

    /// The story of the last call, or of the last INVITE where there was none.
    pub fn newest(&self) -> Option<Story> {
        let newest = |pool| {
            let all = self.stories.iter();
            let of_pool = all.filter(|(_, told)| told.pool() == pool);
            of_pool.map(|(key, _)| *key).max()
        };
        newest(CALLS)
            .or_else(|| newest(STRANGERS))
            .and_then(|key| self.story(key))
    }

    /// Stories remembered.
    pub fn len(&self) -> usize {
        self.stories.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.stories.is_empty()
    }

    /// The entries of a story, in order.
    pub(super) fn entries<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = (u64, Head)> {
        let ring = &self.rings[told.pool()];
        let mut next = told.first;
        std::iter::from_fn(move || {
            let position = next?;
            let head = ring.head(position);
            next = head.next;
            Some((position, head))
        })
    }

    /// A story for a reader.
    pub(super) fn story(&self, key: u64) -> Option<Story> {
        let told = self.stories.get(&key)?;
        let ring = &self.rings[told.pool()];
        let mut legs = Vec::new();
        let mut seen = VecDeque::with_capacity(told.seen);
        for (position, head) in self.entries(told) {
            let text = ring.text(position);
            let words = || String::from_utf8_lossy(text).into_owned();
            let what = match head.kind {
                Kind::Message {
                    inward,
                    gap,
                    transport,
                    local,
                    remote,
                } => What::Message(Crossed {
                    inward,
                    gap,
                    transport,
                    local,
                    remote,
                    bytes: Bytes::copy_from_slice(text),
                }),
                Kind::Fact(gap) => What::Fact { gap, text: words() },
                Kind::Leg(side) => {
                    legs.push((side, words()));
                    continue;
                }
                Kind::Gone => continue,
            };
            seen.push_back(Seen { at: head.at, what });
        }
        Some(Story {
            call: told.call,
            legs,
            carrier: told.carrier,
            seen,
            left_out: told.left_out,
        })
    }
}
