//! What a trunk wants otherwise than others: its words, its numbers, its hours.

use crate::rules::{HeaderRules, NumberPlan};

/// What a trunk wants otherwise than others. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct TrunkPolicy {
    /// What the INVITEs of users' calls to it say.
    pub to_pbx: HeaderRules,
    /// What the INVITEs of its calls to the carrier say.
    pub to_carrier: HeaderRules,
    /// How it dials and shows numbers.
    pub numbers: NumberPlan,
    /// How it is told who calls.
    pub identity: Identity,
}

/// How a PBX is told who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// By From. A caller who asked for privacy is anonymous (RFC 3323 §4.1).
    #[default]
    From,
    /// By From and P-Asserted-Identity, which also names a caller who asked for privacy, with
    /// `Privacy: id` for whoever comes after the PBX (RFC 3325 §9).
    Asserted,
}
