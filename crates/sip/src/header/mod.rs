//! Typed readers of header values. They read; the header itself stays as it came.
//!
//! One file per header, named as the RFC names it.

pub mod auth;
mod cseq;
mod name_addr;
mod reason;
mod replaces;
mod session_expires;
mod via;
mod warning;

pub use cseq::CSeq;
pub use name_addr::NameAddr;
pub use reason::Reason;
pub use replaces::Replaces;
pub use session_expires::{Refresher, SessionExpires};
pub use via::Via;
pub(crate) use via::{MAGIC_COOKIE, stamped};
pub use warning::Warning;
pub(crate) use warning::escaped;

pub(crate) use crate::scan::unescaped;
