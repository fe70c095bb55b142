//! What grew in a busy hour becomes small again when the hour is over.
//!
//! The collections of the standard library keep the room they once needed. A program that runs for months
//! would stay as large as its busiest second was; a call to [`Slim::slim`] now and then keeps it as large
//! as what it holds, and costs nothing while that is much.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// Entries there may always be room for.
const SMALL: usize = 16;

/// Gives back what has long been empty.
pub trait Slim {
    /// Keeps room for twice what there is, if there is room for more than eight times as much.
    fn slim(&mut self);
}

/// The room to keep, when there is too much.
fn room(len: usize, capacity: usize) -> Option<usize> {
    let needed = len.max(SMALL);
    (capacity > 8 * needed).then_some(2 * needed)
}

impl<K: Eq + Hash, V, S: BuildHasher> Slim for HashMap<K, V, S> {
    fn slim(&mut self) {
        if let Some(room) = room(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

impl<T> Slim for VecDeque<T> {
    fn slim(&mut self) {
        if let Some(room) = room(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

impl<T> Slim for Vec<T> {
    fn slim(&mut self) {
        if let Some(room) = room(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

impl<T: Ord> Slim for BinaryHeap<T> {
    fn slim(&mut self) {
        if let Some(room) = room(self.len(), self.capacity()) {
            self.shrink_to(room);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // in whichever order a table is emptied, it is empty
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_full_and_is_nearly_empty_becomes_small_and_loses_nothing() {
        let mut table: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let grown = table.capacity();
        table.slim();
        assert_eq!(table.capacity(), grown, "it is full");
        table.retain(|n, _| *n < 10);
        table.slim();
        assert!(table.capacity() < 4 * SMALL, "{}", table.capacity());
        assert_eq!(table.len(), 10);
        let mut queue: VecDeque<u32> = (0..10_000).collect();
        queue.drain(..9_990);
        queue.slim();
        assert!(queue.capacity() < 4 * SMALL);
        assert_eq!(queue.front(), Some(&9_990));
        let kept = queue.capacity();
        queue.slim();
        assert_eq!(queue.capacity(), kept, "and stays as it is");
    }
}
