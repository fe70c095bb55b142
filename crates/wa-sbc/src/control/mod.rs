//! The control socket: how `wa-sbc ladder` and its kin ask a running program.
//!
//! ```text
//!   client.rs ── one line of JSON ──► serve.rs ── Control ──► core task
//!             ◄─ "ok", the answer ──            ◄── stories ──
//! ```
//!
//! A Unix socket that only the owner may open; whoever may, sees calls and people.

mod ask;
mod captures;
mod client;
mod serve;

pub(crate) use ask::Ask;
pub(crate) use client::{Refused, ask};
pub(crate) use serve::{Serving, serve};
