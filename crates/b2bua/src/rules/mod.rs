//! What an operator may change in the words of a call: headers and numbers, as data.
//!
//! ```text
//!   file ─► model (as written) ─► compile (judged once, at load) ─► apply (each INVITE of a leg B)
//! ```
//!
//! | part | what it is |
//! |---|---|
//! | `model` | a rule as written: a verb, a header, what it becomes |
//! | `names` | which headers a rule may name |
//! | `template` | texts with `${variables}` in them |
//! | `compile` | from written to compiled; every objection has a remedy |
//! | `apply` | the compiled rules at work on the headers of one INVITE |
//! | `numbers` | how a PBX dials and shows numbers |
//!
//! What SIP itself or a peer fixes no rule can touch: such a rule does not compile.

mod apply;
mod compile;
mod model;
mod names;
mod numbers;
mod pattern;
mod template;

pub use compile::HeaderRules;
pub use model::{HeaderRule, Verb, Wrong};
pub use numbers::{NumberPlan, Rewriting, Show};
pub use pattern::Pattern;
pub use template::Template;

pub(crate) use template::Facts;
