//! The fields of a record that databases show as columns, so that one asks for them without knowing JSON.
//!
//! The line is the record; a column is a view of a field of it (`docs/adr/0042-the-table-is-a-view-of-the-line.md`).
//! A field that is added here is added to tables that exist already, at their next start.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, a name, a number in the telephone's sense.
    Text,
    /// A count, a code, a duration.
    Integer,
    /// Milliseconds since 1970.
    Time,
}

/// The fields, by the name they have in the line.
pub(super) const VIEWS: &[(&str, Kind)] = &[
    ("started_ms", Kind::Time),
    ("ringing_ms", Kind::Time),
    ("answered_ms", Kind::Time),
    ("ended_ms", Kind::Time),
    ("duration_ms", Kind::Integer),
    ("carrier_duration_s", Kind::Integer),
    ("pulses", Kind::Integer),
    ("direction", Kind::Text),
    ("number", Kind::Text),
    ("number_id", Kind::Text),
    ("user", Kind::Text),
    ("user_id", Kind::Text),
    ("trunk", Kind::Text),
    ("far_leg", Kind::Text),
    ("reference", Kind::Text),
    ("carrier_call_id", Kind::Text),
    ("pbx_call_id", Kind::Text),
    ("released_by", Kind::Text),
    ("cause", Kind::Text),
    ("sip", Kind::Integer),
    ("q850", Kind::Integer),
];
