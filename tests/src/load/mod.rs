//! Load: both sides of many user-initiated calls from one thread, Meta over TLS connections that stay, the PBX over UDP. What it
//! says are the documented samples with other numbers in them.

mod generator;
mod talk;
mod tls;
mod words;

pub use generator::{Generator, Load, Pace};
pub use talk::{Heard, Talk};
