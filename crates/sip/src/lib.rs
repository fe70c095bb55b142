//! # sip: RFC 3261 without sockets

mod flow;

pub use flow::{Flow, FlowId, Target, Transport};
