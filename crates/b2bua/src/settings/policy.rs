//! What a trunk wants otherwise than others: its words, its numbers, its hours.

use std::sync::Arc;

use crate::rules::{HeaderRules, NumberPlan};
use crate::trunk::hours::Hours;

/// What a trunk wants otherwise than others. The default changes nothing.
#[derive(Clone, Debug)]
pub struct TrunkPolicy {
    /// What the INVITEs of users' calls to it say.
    pub to_pbx: HeaderRules,
    /// What the INVITEs of its calls to the carrier say.
    pub to_carrier: HeaderRules,
    /// How it dials and shows numbers.
    pub numbers: NumberPlan,
    /// How it is told who calls.
    pub identity: Identity,
    /// When it takes users' calls; `None`: always.
    pub hours: Option<Hours>,
    /// The trunk or group that takes them outside those hours; `None`: nobody does.
    pub outside: Option<Arc<str>>,
    /// Unanswered OPTIONS that make a destination dead, at least one.
    pub dead_after: u8,
    /// Answered OPTIONS that make a dead destination alive, at least one.
    pub alive_after: u8,
}

impl Default for TrunkPolicy {
    fn default() -> Self {
        Self {
            to_pbx: HeaderRules::default(),
            to_carrier: HeaderRules::default(),
            numbers: NumberPlan::default(),
            identity: Identity::default(),
            hours: None,
            outside: None,
            dead_after: 2,
            alive_after: 1,
        }
    }
}

/// Where the calls of a number go whose Request-URI has certain user parameters (RFC 4904).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name and value; all of them have to be there.
    pub user_params: Vec<(String, String)>,
    /// The trunk or group.
    pub trunk: Arc<str>,
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
