//! Media on real sockets.

mod ports;

pub use ports::{Counts, DRAIN_AT_MOST, PortRange, Ports, QUIET, TAKEN};
