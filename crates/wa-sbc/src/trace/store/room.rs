//! How entries find room: what is in their way is forgotten, the oldest story first.

use std::hash::BuildHasher;
use std::time::SystemTime;

use b2bua::CallId;
use sip::Slim;

use super::super::ring::{Head, Kind, Ring};
use super::super::scan;
use super::{Told, Trace};

impl Trace {
    pub(super) fn add_silently(&mut self, story: u64, at: SystemTime, kind: Kind, text: &[u8]) {
        let Some(pool) = self.stories.get(&story).map(Told::pool) else {
            return;
        };
        if !self.rings[pool].holds(text.len()) {
            return;
        }
        while !self.rings[pool].has_room(text.len()) {
            self.forget_oldest(pool);
        }
        // It may have been the oldest itself.
        let Some(told) = self.stories.get_mut(&story) else {
            return;
        };
        let ring = &mut self.rings[pool];
        let head = Head {
            kind,
            at,
            story,
            next: None,
        };
        let position = ring.push(head, text);
        match told.first {
            None => told.first = Some(position),
            Some(_) => ring.change(told.last, |head| head.next = Some(position)),
        }
        told.last = position;
        if matches!(kind, Kind::Leg(_)) {
            return;
        }
        told.seen += 1;
        if told.seen == self.per_call / 4 {
            told.kept = Some(position);
        }
        if told.seen > self.per_call {
            thin(told, ring);
        }
    }

    /// A story whose first entry is larger than the memory is none, nor is one that was in its own way.
    pub(super) fn unless_empty(&mut self, story: u64, call_id: &str) {
        let is_told = |told: &Told| told.first.is_some();
        if self.stories.get(&story).is_some_and(is_told) {
            return;
        }
        let hash = self.hasher.hash_one(call_id);
        if self.belongs(hash, story) {
            self.by_call_id.remove(&hash);
        }
        self.forget(story);
    }

    /// A stranger's INVITE became a call: its story moves.
    pub(super) fn promote(&mut self, story: u64, call: CallId) {
        let Some(told) = self.stories.get(&story) else {
            return;
        };
        let pool = told.pool();
        let ring = &mut self.rings[pool];
        let mut moving = Vec::new();
        let mut next = told.first;
        while let Some(position) = next {
            let head = ring.head(position);
            moving.push((head, ring.text(position).to_vec()));
            ring.change(position, |head| head.kind = Kind::Gone);
            next = head.next;
        }
        let by = self.following.by(story);
        let told = Told {
            call: Some(call),
            carrier: told.carrier,
            left_out: told.left_out,
            ..Told::default()
        };
        self.stories.insert(story, told);
        for (head, text) in moving {
            self.add_silently(story, head.at, head.kind, &text);
        }
        if by != 0 {
            self.following.follows(by, call);
        }
    }

    /// Makes room; the story an entry leaves is forgotten with it.
    pub(super) fn forget_oldest(&mut self, pool: usize) {
        let Some(position) = self.rings[pool].oldest() else {
            return;
        };
        let Head { kind, story, .. } = self.rings[pool].head(position);
        if kind != Kind::Gone {
            self.forget(story);
        }
        self.rings[pool].forget_oldest();
    }

    pub(super) fn forget(&mut self, key: u64) {
        let Some(told) = self.stories.remove(&key) else {
            return;
        };
        self.following.forget(key);
        let ring = &self.rings[told.pool()];
        let mut next = told.first;
        while let Some(position) = next {
            let head = ring.head(position);
            let text = ring.text(position);
            let call_id = match head.kind {
                Kind::Message { .. } => scan::call_id(text),
                Kind::Leg(_) => std::str::from_utf8(text).ok(),
                Kind::Fact(_) | Kind::Gone => None,
            };
            if let Some(call_id) = call_id {
                let hash = self.hasher.hash_one(call_id);
                if self.belongs(hash, key) {
                    self.by_call_id.remove(&hash);
                }
            }
            next = head.next;
        }
        if let Some(call) = told.call {
            self.by_call.remove(&call);
        }
    }

    /// Whether a Call-ID is one of this story.
    pub(super) fn belongs(&self, hash: u64, key: u64) -> bool {
        let known = self.by_call_id.get(&hash);
        known.is_some_and(|(story, _)| *story == key)
    }

    /// Gives back the memory a busier hour needed; what the rings hold stays where it is.
    pub fn slim(&mut self) {
        self.by_call.slim();
        self.awaited.slim();
    }
}

/// One thing too many is remembered of a call: how it began explains more than its middle does.
fn thin(told: &mut Told, ring: &mut Ring) {
    let after = |told: &Told, ring: &Ring| match told.kept {
        Some(kept) => ring.head(kept).next,
        None => told.first,
    };
    while let Some(position) = after(told, ring) {
        let Head { kind, next, .. } = ring.head(position);
        if matches!(kind, Kind::Leg(_)) {
            told.kept = Some(position);
            continue;
        }
        match told.kept {
            Some(kept) => ring.change(kept, |head| head.next = next),
            None => told.first = next,
        }
        ring.change(position, |head| head.kind = Kind::Gone);
        told.seen -= 1;
        told.left_out += 1;
        return;
    }
}
