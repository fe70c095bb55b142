//! Messages and flows the tests of this room speak of.

use bytes::Bytes;
use sip::{Flow, FlowId, Transport};

/// As much of a message as a trace looks at.
pub(super) fn message(start: &str, call_id: &str) -> Bytes {
    format!("{start}\r\nCall-ID: {call_id}\r\nFrom: <sip:+12195550714@h>\r\n\r\n").into()
}

/// A connection to the PBX.
pub(super) fn flow(transport: Transport) -> Flow {
    Flow {
        id: FlowId(2),
        transport,
        local: "10.0.0.5:5060".parse().expect("an address"),
        remote: "10.0.0.20:5060".parse().expect("an address"),
    }
}
