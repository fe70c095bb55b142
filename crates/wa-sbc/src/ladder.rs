//! One line of the log per SIP message, at DEBUG: what a ladder is drawn from.

use bytes::Bytes;
use sip::{Message, Method, Name, Text, Transport};
use tracing::Level;

use crate::log::TRACED;

/// The target to switch on: `--log wa_sbc::ladder=debug,info`.
pub(crate) const TARGET: &str = "wa_sbc::ladder";

/// A message that came in.
pub(crate) fn came(transport: Transport, message: &Message) {
    if tracing::enabled!(target: TARGET, Level::DEBUG) {
        rung("in", Some(transport), message);
    }
}

/// A message that goes out.
pub(crate) fn left(transport: Option<Transport>, bytes: &Bytes) {
    if tracing::enabled!(target: TARGET, Level::DEBUG)
        && let Ok(message) = sip::parse(bytes.clone())
    {
        rung("out", transport, &message);
    }
}

/// A message of a call that is traced: told whatever the filter says.
pub(crate) fn of_traced(call: u64, way: &str, transport: Option<Transport>, bytes: &Bytes) {
    let Ok(message) = sip::parse(bytes.clone()) else {
        return;
    };
    let transport = transport.map(Transport::param);
    let headers = message.headers();
    let call_id = headers.first(&Name::CallId).map(Text::as_str);
    let cseq = headers.first(&Name::CSeq).map(Text::as_str);
    let (text, sdp) = (words(&message), !message.body().is_empty());
    tracing::debug!(target: TRACED, call, way, transport, text, cseq = cseq.as_deref(), call_id = call_id.as_deref(), sdp);
}

fn rung(way: &str, transport: Option<Transport>, message: &Message) {
    let transport = transport.map(Transport::param);
    let headers = message.headers();
    let call_id = headers.first(&Name::CallId).map(Text::as_str);
    let cseq = headers.first(&Name::CSeq).map(Text::as_str);
    let (text, sdp) = (words(message), !message.body().is_empty());
    tracing::debug!(target: TARGET, way, transport, text, cseq = cseq.as_deref(), call_id = call_id.as_deref(), sdp);
}

/// Method or status, and whether a request answers a challenge.
fn words(message: &Message) -> String {
    let headers = message.headers();
    match message {
        Message::Request(request) => {
            let credentials = [Name::ProxyAuthorization, Name::Authorization];
            let answers = credentials.iter().any(|name| headers.first(name).is_some());
            let answers = if answers && request.method == Method::Invite {
                " + credentials"
            } else {
                ""
            };
            format!("{}{answers}", request.method)
        }
        Message::Response(response) => format!("{} {}", response.status, response.reason),
    }
}
