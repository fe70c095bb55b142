//! A map that remembers what was used recently and cannot grow without bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Two generations: what is used moves into the young one; when that is full, the old one is
/// forgotten and the young one grows old. At least the last `capacity` keys used are known, at
/// most twice as many.
#[derive(Debug)]
pub struct Recent<K, V> {
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Copy> Recent<K, V> {
    /// Room for at least `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// Looks a key up, which counts as using it.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value);
        Some(value)
    }

    /// Remembers a key, or replaces what was known of it.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strangers_does_not_grow_the_map_nor_push_out_who_keeps_talking() {
        let mut recent = Recent::new(100);
        recent.insert(u64::MAX, 7);
        for stranger in 0..100_000 {
            recent.insert(stranger, 0);
            if stranger % 50 == 0 {
                assert_eq!(recent.get(&u64::MAX), Some(7));
            }
        }
        assert!(recent.len() <= 200, "{}", recent.len());
        assert_eq!(recent.get(&5), None);
    }

    #[test]
    fn a_newer_value_replaces_the_older_one_in_either_generation() {
        let mut recent = Recent::new(1);
        recent.insert(1, 'a');
        recent.insert(2, 'b');
        recent.insert(1, 'c');
        assert_eq!(recent.get(&1), Some('c'));
        assert_eq!(recent.get(&1), Some('c'));
    }
}
