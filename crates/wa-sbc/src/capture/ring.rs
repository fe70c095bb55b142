//! From a media thread to the writer of captures: a ring of words taken beforehand, one side puts, the other
//! takes. Neither ever waits, locks or allocates; what does not fit is dropped and counted.
//!
//! ```text
//!   word 0        length of the bytes
//!   words 1..     what is said beside them: as many as HEAD says
//!   the rest      the bytes, eight to a word
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words said beside the bytes.
pub(crate) const HEAD: usize = 9;

/// What both ends share. Positions only grow; a word's place is its position modulo the size.
#[derive(Debug)]
struct Shared {
    words: Box<[AtomicU64]>,
    put: AtomicU64,
    taken: AtomicU64,
    dropped: AtomicU64,
}

/// The end that puts.
#[derive(Debug)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
    put: u64,
}

/// The end that takes.
#[derive(Debug)]
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    taken: u64,
}

/// A ring of so many bytes.
pub(crate) fn ring(bytes: usize) -> (Producer, Consumer) {
    let words = (0..bytes / 8).map(|_| AtomicU64::new(0)).collect();
    let shared = Arc::new(Shared {
        words,
        put: AtomicU64::new(0),
        taken: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    let producer = Producer {
        shared: shared.clone(),
        put: 0,
    };
    (producer, Consumer { shared, taken: 0 })
}

impl Shared {
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[(position % self.words.len() as u64) as usize]
    }
}

impl Producer {
    /// Puts; `false`: there was no room.
    pub(crate) fn put(&mut self, head: [u64; HEAD], bytes: &[u8]) -> bool {
        let shared = &*self.shared;
        let needed = (1 + HEAD + bytes.len().div_ceil(8)) as u64;
        let waiting = self.put - shared.taken.load(Ordering::Acquire);
        if waiting + needed > shared.words.len() as u64 {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let mut at = self.put;
        let mut store = |word: u64| {
            shared.word(at).store(word, Ordering::Relaxed);
            at += 1;
        };
        store(bytes.len() as u64);
        head.into_iter().for_each(&mut store);
        for eight in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            store(u64::from_le_bytes(word));
        }
        self.put = at;
        // Whoever sees the new position sees the words before it.
        shared.put.store(at, Ordering::Release);
        true
    }
}

impl Consumer {
    /// Takes what was put first; the bytes are added to `out`.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>) -> Option<[u64; HEAD]> {
        let shared = &*self.shared;
        if self.taken == shared.put.load(Ordering::Acquire) {
            return None;
        }
        let mut at = self.taken;
        let mut load = || {
            let word = shared.word(at).load(Ordering::Relaxed);
            at += 1;
            word
        };
        let length = load() as usize;
        let head = std::array::from_fn(|_| load());
        let end = out.len() + length;
        while out.len() < end {
            let eight = load().to_le_bytes();
            out.extend(&eight[..(end - out.len()).min(8)]);
        }
        self.taken = at;
        shared.taken.store(at, Ordering::Release);
        Some(head)
    }

    /// How often there was no room since this was asked last.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_puts_another_takes_whole_and_in_order() {
        const COUNT: u64 = 20_000;
        let (mut producer, mut consumer) = ring(4_096);
        let put = std::thread::spawn(move || {
            let mut head = [7; HEAD];
            let bytes: Vec<u8> = (0..251).collect();
            for number in 0..COUNT {
                head[0] = number;
                while !producer.put(head, &bytes[..number as usize % bytes.len()]) {
                    std::thread::yield_now();
                }
            }
        });
        let mut bytes = Vec::new();
        let mut next = 0;
        while next < COUNT {
            bytes.clear();
            let Some(head) = consumer.take(&mut bytes) else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!((head[0], head[HEAD - 1]), (next, 7));
            assert_eq!(bytes.len() as u64, next % 251);
            assert!(bytes.iter().copied().eq(0..(next % 251) as u8));
            next += 1;
        }
        put.join().expect("it put everything");
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (mut producer, mut consumer) = ring(8 * (1 + HEAD + 1) * 2);
        let head = [0; HEAD];
        assert!(producer.put(head, b"one") && producer.put(head, b"two"));
        assert!(!producer.put(head, b"three") && !producer.put(head, &[0; 4_000]));
        assert_eq!((consumer.dropped(), consumer.dropped()), (2, 0));
        let mut bytes = Vec::new();
        assert!(consumer.take(&mut bytes).is_some());
        assert!(producer.put(head, b"three"));
        while consumer.take(&mut bytes).is_some() {}
        assert_eq!(bytes, b"onetwothree");
    }

    #[test]
    fn putting_allocates_nothing() {
        let (mut producer, mut consumer) = ring(1 << 16);
        let work = allocation_counter::measure(|| {
            for _ in 0..10_000 {
                producer.put([1; HEAD], &[2; 172]);
            }
        });
        assert_eq!(work.count_total, 0, "{work:?}");
        assert!(consumer.dropped() > 9_000);
        assert!(consumer.take(&mut Vec::new()).is_some());
    }
}
