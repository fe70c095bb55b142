//! # fuzz: what strangers send, thrown at what reads it
//!
//! ```text
//! corpus/<target>/* ─► libFuzzer, guided by coverage (make fuzz) ─┐
//!                 └──► tests/tests/corpus.rs (make test) ─────────┴─► properties::<target>(bytes): panics if it does not hold
//! ```
//!
//! The properties stand in modules that know nothing of libFuzzer, so that the tests of the main workspace run the corpus through
//! the same ones. A finding becomes a file of the corpus and a test beside the code that was wrong.

mod properties;

/// Runs the property of this target.
///
/// # Panics
/// When it does not hold, or there is no such target.
pub fn run(target: &str, bytes: &[u8]) {
    properties::named(target)(bytes);
}
