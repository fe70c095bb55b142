//! # sip: RFC 3261 without sockets
//!
//! ```text
//! bytes ─► Framer ─► parse ─► Message ─► Endpoint (transactions) ─► Event ─► Dialog
//!          streams   datagrams              │                                  │
//!                                           └──────────► Output::Send ◄────────┘
//! ```
//!
//! Time, randomness and bytes are arguments: nothing here reads a clock, opens a socket or draws
//! a number of its own. The use of an [`Endpoint`] is always the same: hand it something, drain
//! [`Endpoint::poll`], wait until [`Endpoint::next_timeout`].
//!
//! | does | does not |
//! |------|----------|
//! | messages byte for byte as they came, bounded (RFC 3261 §7, RFC 4475) | rewrite what it does not understand |
//! | streams by Content-Length, CRLF keep-alive (RFC 3261 §18.3, RFC 5626 §4.4.1) | WebSocket, SCTP, STUN keep-alive |
//! | INVITE and non-INVITE transactions (RFC 3261 §17, RFC 6026), CANCEL | stateful proxying, forking |
//! | `received` and `rport` (RFC 3261 §18.2.1, RFC 3581) | sockets, TLS |
//! | locating servers: NAPTR, SRV, A, AAAA (RFC 3263), the questions asked by others | asking them |
//! | RFC 2543 peers without a magic cookie (RFC 3261 §17.2.3) | merged-request detection (482) |
//! | dialogs: tags, CSeq, route set, loose and strict routing (RFC 3261 §12) | subscriptions |
//! | digest both ways, MD5 and SHA-256, `auth` and `auth-int` (RFC 7616, RFC 8760) | `-sess` algorithms, `userhash` |

pub mod dialog;
pub mod digest;
pub mod endpoint;
mod flow;
mod framing;
pub mod header;
mod headers;
mod ident;
mod lines;
mod malformed;
mod message;
mod method;
mod name;
mod parse;
pub mod resolve;
mod scan;
pub mod secret;
mod slim;
mod text;
mod timer;
mod transaction;
pub mod uri;

pub use dialog::{Dialog, DialogId, Hop, Refusal};
pub use digest::{Algorithm, Answerer, Challenger, NonceCounts, Unanswerable, Verdict};
pub use endpoint::{ClientKey, Counts, Endpoint, Event, Failure, Noise, Output, ServerKey};
pub use flow::{Flow, FlowId, Target, Transport};
pub use framing::{Frame, Framer};
pub use header::auth::{Challenge, Credentials};
pub use header::{CSeq, NameAddr, Reason, Refresher, Replaces, SessionExpires, Via, Warning};
pub use headers::Headers;
pub use ident::Ident;
pub use malformed::{Malformed, MalformedKind};
pub use message::{Message, Request, Response, reason_phrase};
pub use method::Method;
pub use name::Name;
pub use parse::{Limits, parse, parse_within};
pub use secret::Secret;
pub use slim::Slim;
pub use text::Text;
pub use timer::TimerSettings;
pub use uri::{InvalidUri, Scheme, Uri};
