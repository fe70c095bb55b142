//! What the command line does beside carrying calls: one file per command.

pub(crate) mod ladder;
