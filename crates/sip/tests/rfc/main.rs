//! The behaviour of the crate through its public door; the tree is the RFCs' table of contents.

mod allocations;
mod bench;
mod fixtures;
mod machines;
mod mutations;
mod network;
mod oracle;
mod rfc3261;
mod rfc4475;
mod rfc5118;
