//! Asking memory for what will be needed soon.
//!
//! A thread with a thousand calls finds none of them in its caches: between two packets of a call lie those of all others, and what
//! the kernel does for each. Whoever asks before and does something else meanwhile need not wait, line after line
//! ([ADR 50](../../../docs/adr/0050-ask-memory-before.md)).

use prefetch_index::prefetch_index;

/// Octets memory gives at once.
const LINE: usize = 64;

/// Asks for all of it (what it points to excepted) and waits for nothing.
pub fn prefetch<T>(of: &T) {
    let first = std::ptr::from_ref(of).addr();
    let lines = first & !(LINE - 1)..first + size_of::<T>();
    for line in lines.step_by(LINE) {
        // The index of a slice's element is all that is asked for, and any element may be: a hint reads nothing.
        prefetch_index(ANCHOR, line.wrapping_sub(ANCHOR.as_ptr().addr()));
    }
}

/// Where addresses are counted from.
static ANCHOR: &[u8] = &[0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_stays_as_it_is() {
        let much: [u8; 1_000] = std::array::from_fn(|at| at as u8);
        prefetch(&much);
        prefetch(&());
        assert!(
            much.iter()
                .enumerate()
                .all(|(at, octet)| *octet == at as u8)
        );
    }
}
