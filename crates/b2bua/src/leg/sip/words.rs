//! The headers we write: names of ourselves, reasons, and what a response copies.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sip::{Headers, Name, Reason, Request, Response, Text, Transport, Warning};

use crate::Cause;
use crate::profile::PeerProfile;

/// The methods anybody may try.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";

/// What our Via says behind the transport: host and port, and that the peer may use the connection too
/// (RFC 5923 §5).
pub(crate) fn sent_by(profile: &PeerProfile, transport: Transport, host_port: &str) -> Arc<str> {
    match profile.alias && transport.is_reliable() {
        true => format!("{host_port};alias").into(),
        false => host_port.into(),
    }
}

/// Host and port of such a value.
pub(crate) fn plain(sent_by: &str) -> &str {
    sent_by.split(';').next().unwrap_or(sent_by)
}

/// A response that may create or belongs to a dialog: Via, From, To, Call-ID, CSeq and every
/// Record-Route of the request byte for byte (RFC 3261 §12.1.1), our To tag, Contact and Allow.
pub(crate) fn dialog_response(
    request: &Request,
    status: u16,
    to_tag: &str,
    contact: &Text,
    profile: &PeerProfile,
    product: &str,
) -> Response {
    let mut response = response(request, status, to_tag, product);
    for route in request.headers.all(&Name::RecordRoute) {
        response.headers.push(Name::RecordRoute, route.clone());
    }
    response.headers.push(Name::Contact, contact.clone());
    response
        .headers
        .push(Name::Allow, super::extensions::allow(profile));
    super::extensions::put_supported(&mut response.headers, &profile.extensions);
    response
}

/// A response with our To tag and nothing else.
pub(crate) fn response(request: &Request, status: u16, to_tag: &str, product: &str) -> Response {
    let mut response = Response::to(request, status, sip::reason_phrase(status));
    if request.to_tag().is_none() {
        response.tag_to(to_tag);
    }
    if !product.is_empty() {
        response.headers.push(Name::Server, Text::from(product));
    }
    response
}

/// A final refusal for `cause`: its status, its Q.850 cause in a Reason header (RFC 6432), and
/// Retry-After where trying again makes sense.
pub(crate) fn refusal(request: &Request, cause: &Cause, to_tag: &str, product: &str) -> Response {
    let mut response = response(request, cause.sip(), to_tag, product);
    response.headers.push(Name::Reason, reason(cause));
    if cause.sip() == 503 {
        response.headers.push(Name::RetryAfter, Text::from("5"));
    }
    if !cause.hint().is_empty() {
        let warning = Warning::new(399, "sbc", cause.hint());
        response.headers.push(Name::Warning, warning.to_string());
    }
    response
}

/// The value of a Reason header (RFC 3326).
pub(crate) fn reason(cause: &Cause) -> Text {
    Text::from(Reason::q850(cause.q850(), q850_text(cause.q850())).to_string())
}

/// The body and its Content-Type.
pub(crate) fn put_sdp(headers: &mut Headers) {
    headers.set(Name::ContentType, Text::from("application/sdp"));
}

/// What a peer says about its refusal: the text of its Warning 399 where there is one
/// (Meta reference 5.5 shows the same sentence in both), else its reason phrase.
pub(crate) fn refusal_text(response: &Response) -> String {
    let warning = Warning::first(&response.headers).map(|warning| warning.text);
    let text = warning.as_ref().unwrap_or(&response.reason);
    text.as_str()
        .chars()
        .filter(|c| !c.is_control())
        .take(256)
        .collect()
}

/// Who asks to be left alone for longer than this asks for nothing else.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The seconds of a Retry-After, a day at most; a comment or parameters behind them say nothing to us.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    let value = headers.first(&Name::RetryAfter)?.as_str().into_owned();
    let digits = value
        .trim_start()
        .split(|c: char| !c.is_ascii_digit())
        .next()?;
    let wish = digits.parse().ok().map(Duration::from_secs)?;
    Some(wish.min(A_DAY))
}

/// The names ITU-T Q.850 gives the causes we use.
fn q850_text(cause: u8) -> &'static str {
    match cause {
        1 => "UNALLOCATED_NUMBER",
        16 => "NORMAL_CLEARING",
        17 => "USER_BUSY",
        18 => "NO_USER_RESPONSE",
        19 => "NO_ANSWER",
        20 => "SUBSCRIBER_ABSENT",
        21 => "CALL_REJECTED",
        28 => "INVALID_NUMBER_FORMAT",
        31 => "NORMAL_UNSPECIFIED",
        38 => "NETWORK_OUT_OF_ORDER",
        41 => "NORMAL_TEMPORARY_FAILURE",
        42 => "SWITCH_CONGESTION",
        47 => "RESOURCE_UNAVAILABLE",
        57 => "BEARERCAPABILITY_NOTAUTH",
        88 => "INCOMPATIBLE_DESTINATION",
        102 => "RECOVERY_ON_TIMER_EXPIRE",
        _ => "INTERWORKING",
    }
}

/// `<sip:user@host>` with an optional display name, quoted (RFC 3261 §25.1).
pub(crate) fn name_addr(display: Option<&str>, uri: &str) -> String {
    let display = display.filter(|text| !text.is_empty());
    // Contacts are kept as long as the call.
    let quoted = display.map_or(0, |display| display.len() + 3);
    let mut value = String::with_capacity(quoted + uri.len() + 2);
    if let Some(display) = display {
        value.push('"');
        for c in display.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                value.push('\\');
            }
            value.push(c);
        }
        value.push_str("\" ");
    }
    let _ = write!(value, "<{uri}>");
    value
}
