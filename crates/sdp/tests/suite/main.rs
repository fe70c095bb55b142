//! The crate from outside: published descriptions, mutated input, secrets, and a foreign reader.

mod oracle;
mod properties;
mod samples;
mod secrets;
