//! What the core counted: metrics as plain numbers for the program to show.

use std::collections::BTreeMap;

use crate::Cause;

/// What the core counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// INVITEs that belong to no dialog.
    pub invites: u64,
    /// INVITEs answered with a challenge.
    pub challenges: u64,
    /// INVITEs that became calls.
    pub admitted: u64,
    /// INVITEs refused before they became calls, by the label of the cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Calls that ended, each with a record.
    pub ended: u64,
    /// Final refusals nobody acknowledged (RFC 3261 timer H).
    pub refusals_unacknowledged: u64,
    /// BYEs of ours that were refused, or never answered, over a fresh connection neither; by the name of
    /// the peer's profile. Somebody may hear silence for a while.
    pub byes_failed: BTreeMap<&'static str, u64>,
    /// Answers that came when nobody waited for them any more; each was hung up.
    pub late_answers: u64,
    /// Wrong digests, whoever gave them.
    pub wrong_digests: u64,
    /// Messages of strangers that were forgotten without an answer.
    pub dropped: u64,
    /// Sources that were shut out for a time, in all.
    pub bans: u64,
    /// Sources that are shut out now.
    pub banned: usize,
    /// Broken invariants of ours, each of which cost one call.
    pub bugs: u64,
}

impl Counters {
    pub(crate) fn refuse(&mut self, cause: &Cause) {
        *self.refused.entry(cause.label()).or_default() += 1;
    }
}
