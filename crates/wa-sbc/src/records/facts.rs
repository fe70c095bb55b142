//! A call that is not over, in the words its record will use.

use b2bua::event::Facts;
use serde_json::{Value, json};

use super::{key, millis_since_1970};

/// What identifies a call, with the names its record will use.
pub(crate) fn facts(node: u16, facts: &Facts) -> Value {
    json!({
        "key": key(node, facts.id, facts.started),
        "id": facts.id.0,
        "direction": facts.direction.label(),
        "reference": facts.reference,
        "carrier_call_id": facts.carrier_call_id,
        "pbx_call_id": facts.pbx_call_id,
        "number": facts.number.plus(),
        "user": facts.user,
        "trunk": &*facts.trunk,
        "started_ms": millis_since_1970(facts.started),
        "ringing_ms": facts.ringing.map(millis_since_1970),
        "answered_ms": facts.answered.map(millis_since_1970),
    })
}
