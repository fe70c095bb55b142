//! Registrations both ways (RFC 3261 §10).
//!
//! ```text
//!   a PBX or telephone ──REGISTER──► serve: where it is now ◄── whom a user's call goes to
//!
//!   keep: we are an extension ──REGISTER──► the PBX, which then sends its calls here
//! ```

mod asked;
pub(crate) mod keep;
pub(crate) mod kept;
pub(crate) mod serve;
mod settings;

pub use kept::{KeptContact, Whereabouts};
pub use settings::{Access, Account, Registrar, Upstream};
