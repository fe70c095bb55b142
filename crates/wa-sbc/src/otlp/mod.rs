//! A trace of every call for OpenTelemetry, when the call is over: OTLP over HTTP, as JSON.
//!
//! ```text
//!   core task ─ Ended ─► Exporter ─ bounded queue ─► thread: spans.rs ─► POST …/v1/traces
//!                            │ what finds no room is counted and gone
//! ```
//!
//! Everything in a trace comes from the call's record, so the two cannot differ. The ids are made from the
//! record's key: whoever has the one finds the other.

mod send;
mod spans;

pub(crate) use send::{Exporter, OtlpCounts};
