//! One line of the log per SIP message, at DEBUG: what a ladder is drawn from.

use bytes::Bytes;
use sip::{Message, Method, Name, Text, Transport};
use tracing::Level;

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

fn rung(way: &str, transport: Option<Transport>, message: &Message) {
    let transport = transport.map(Transport::param);
    let headers = message.headers();
    let call_id = headers.first(&Name::CallId).map(Text::as_str);
    let cseq = headers.first(&Name::CSeq).map(Text::as_str);
    let sdp = !message.body().is_empty();
    let text = match message {
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
    };
    tracing::debug!(target: TARGET, way, transport, text, cseq = cseq.as_deref(), call_id = call_id.as_deref(), sdp);
}
