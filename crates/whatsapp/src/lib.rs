//! # whatsapp: everything known about the far side of WhatsApp Business Calling
//!
//! ```text
//!  facts ──► profile::META ──► b2bua (which knows peers only as data)
//!   │  └───► headers, refusal
//!   └──────► docs/meta.md
//! ```
//!
//! A change at Meta is a change in this crate and nowhere else. Section numbers are those of the
//! Meta reference, the collection of documented and observed behaviour this program is built from.
//!
//! | file | knows |
//! |------|-------|
//! | [`facts`] | one constant per fact, with its source, date and consequence |
//! | [`profile`] | how Meta wants to be treated, as a [`b2bua::profile::PeerProfile`] |
//! | [`domain`] | which domain our From may name |
//! | [`headers`] | `x-wa-meta-*` |
//! | [`refusal`] | what Meta's refusals mean, and whether trying again helps |
//! | [`networks`] | where Meta's packets come from |

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod domain;
pub mod facts;
pub mod headers;
pub mod networks;
pub mod profile;
pub mod refusal;

pub use profile::META;
