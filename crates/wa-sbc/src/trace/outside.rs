//! Which Call-IDs outside calls are followed: the answer to an OPTIONS names neither trunk nor number.

use std::collections::{HashMap, VecDeque};

/// Call-IDs known at once; the oldest is forgotten for another.
pub(super) const AT_ONCE: usize = 1024;

/// The stories of requests outside calls, by a hash of their Call-ID.
#[derive(Debug, Default)]
pub(super) struct Outside {
    stories: HashMap<u64, u64>,
    /// In which order they began.
    began: VecDeque<u64>,
}

impl Outside {
    /// The story of a Call-ID.
    pub(super) fn story(&self, hash: u64) -> Option<u64> {
        self.stories.get(&hash).copied()
    }

    /// A story begins, of a Call-ID that has none; the one that is forgotten for it.
    pub(super) fn begin(&mut self, hash: u64, story: u64) -> Option<u64> {
        let forgotten = match self.began.len() < AT_ONCE {
            true => None,
            false => self.began.pop_front(),
        };
        self.stories.insert(hash, story);
        self.began.push_back(hash);
        self.stories.remove(&forgotten?)
    }
}
