//! Media on real sockets: OS threads that own `media::Session`s.
//!
//! ```text
//!  core task ──command──► worker thread: { ports, sockets, sessions }  ◄──► UDP
//!            ◄──event────
//! ```
//!
//! A call belongs to one thread from `Open` to the end of the draining of its ports; nothing is
//! shared between threads.

mod claims;
mod commands;
mod direct;
mod gauge;
mod line;
mod outbox;
mod poll;
mod ports;
mod room;
mod shared;
mod socket;
mod watch;
mod worker;
mod workers;

pub use gauge::Gauge;
pub use ports::{Counts, DRAIN_AT_MOST, PortRange, Ports, QUIET, TAKEN};
pub use workers::Workers;
