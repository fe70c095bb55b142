//! A record on its way.

/// A record as the places it goes to want it: its key, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What makes writing it twice harmless.
    pub(super) key: String,
    /// The record as JSON, without the line end.
    pub(super) line: String,
    /// Whether it is all that will ever be known; else it came out of the journal after a crash.
    pub(super) complete: bool,
}
