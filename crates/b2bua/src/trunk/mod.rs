//! Trunks: which of them takes a call.
//!
//! | part | what it is |
//! |---|---|
//! | `group` | several trunks as one: priority, weight, and an order drawn from them |
//! | `hours` | when a trunk takes calls |
//! | `select` | from a number and its INVITE to the trunks to try, one after the other |

pub(crate) mod group;
pub(crate) mod hours;
pub(crate) mod select;
