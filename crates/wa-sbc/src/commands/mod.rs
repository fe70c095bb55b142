//! What the command line does beside carrying calls: one file per command.

pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod ladder;
