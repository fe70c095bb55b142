//! How Meta's stack prints (Meta reference 5 and the documented samples): PJSIP's parameter order,
//! padded Content-Length, three Vias around two Record-Routes, the partner's Via with an IPv6
//! `received` of Meta's inside.

use sip::{Flow, Name, Request};

use crate::dice::Dice;

/// The value of Allow.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, NOTIFY, OPTIONS";
/// Meta's inside, as its `received` parameters show it.
const INSIDE: &str = "2803:6080:f934:8894:7eb5:24f9:300:0";

/// The three Vias of one request.
#[derive(Clone, Debug)]
pub(crate) struct Vias {
    /// The branch of Via 1 and Via 2.
    pub(crate) branch: String,
    /// The values, top first.
    pub(crate) values: [String; 3],
}

/// Fresh Vias: the edge, a proxy with the same branch, the gateway; the lower two are IPv6.
pub(crate) fn vias(dice: &mut Dice, edge: &str) -> Vias {
    let branch = format!("z9hG4bKPj{}", dice.hex(32));
    let inner = format!("z9hG4bKPj{}", dice.letters(32));
    let port = 50_000 + dice.below(15_000);
    // One of Meta's proxies in three has an address that ends in "::".
    let proxy = match dice.below(3) {
        0 => "2803:6080:e800:6746::",
        _ => "2803:6080:f948:9597:7253:922a:400:0",
    };
    let gateway = "2803:6080:f8bc:9272:e488:9927:400:0";
    Vias {
        values: [
            format!("SIP/2.0/TLS {edge};rport;branch={branch};alias"),
            format!("SIP/2.0/TLS [{proxy}]:5061;branch={branch}"),
            format!(
                "SIP/2.0/TLS [{gateway}]:{port};rport={port};received={gateway};branch={inner};alias"
            ),
        ],
        branch,
    }
}

/// `Content-Length` as the gateway prints it: right-aligned in five columns; two blanks before a 0.
pub(crate) fn content_length(body: &str) -> String {
    match body.len() {
        0 => "Content-Length:  0".into(),
        length => format!("Content-Length: {length:>5}"),
    }
}

/// Lines, an empty line and the body.
pub(crate) fn finish(mut lines: Vec<String>, body: &str) -> bytes::Bytes {
    if !body.is_empty() {
        lines.push("Content-Type: application/sdp".into());
    }
    lines.push(content_length(body));
    bytes::Bytes::from(format!("{}\r\n\r\n{body}", lines.join("\r\n")))
}

/// The values of a header, one per line as received.
pub(crate) fn values(request: &Request, name: &Name) -> Vec<String> {
    request
        .headers
        .all(name)
        .map(|text| text.as_str().into_owned())
        .collect()
}

/// A header's first value, empty when there is none.
pub(crate) fn value(headers: &sip::Headers, name: &Name) -> String {
    headers
        .first(name)
        .map(|text| text.as_str().into_owned())
        .unwrap_or_default()
}

/// The partner's Vias as PJSIP reprints them in a response: the top one with `rport`, `received`,
/// `branch` in this order, `received` an IPv6 address of Meta's inside without brackets.
pub(crate) fn echoed_vias(request: &Request, flow: &Flow) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (i, via) in values(request, &Name::Via).iter().enumerate() {
        let mut first_of_line = via.splitn(2, ',');
        let top = first_of_line.next().unwrap_or_default();
        if i > 0 {
            lines.push(format!("Via: {via}"));
            continue;
        }
        let mut parts = top.split(';').map(str::trim);
        let mut text = format!("Via: {}", parts.next().unwrap_or_default());
        let parameters: Vec<&str> = parts.collect();
        let named = |name: &str| {
            parameters.iter().copied().find(|p| {
                p.split('=')
                    .next()
                    .is_some_and(|n| n.eq_ignore_ascii_case(name))
            })
        };
        if named("rport").is_some() {
            text.push_str(&format!(";rport={}", flow.remote.port()));
        }
        text.push_str(&format!(";received={INSIDE}"));
        if let Some(branch) = named("branch") {
            text.push(';');
            text.push_str(branch);
        }
        for parameter in &parameters {
            let name = parameter
                .split('=')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if !matches!(name.as_str(), "rport" | "received" | "branch") {
                text.push(';');
                text.push_str(parameter);
            }
        }
        lines.push(text);
        if let Some(rest) = first_of_line.next() {
            lines.push(format!("Via: {}", rest.trim()));
        }
    }
    lines
}

/// A response of Meta's.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    /// Status.
    pub(crate) status: u16,
    /// Reason phrase.
    pub(crate) reason: &'a str,
    /// To tag; added only where the request's To has none.
    pub(crate) tag: Option<&'a str>,
    /// Record-Routes above the partner's.
    pub(crate) routes: &'a [String],
    /// Whether the partner's Record-Routes come back.
    pub(crate) echo_routes: bool,
    /// Lines behind CSeq.
    pub(crate) lines: Vec<String>,
    /// SDP.
    pub(crate) body: &'a str,
}

impl Reply<'_> {
    /// Prints it.
    pub(crate) fn print(self, request: &Request, flow: &Flow) -> bytes::Bytes {
        let mut lines = vec![format!("SIP/2.0 {} {}", self.status, self.reason)];
        lines.extend(echoed_vias(request, flow));
        lines.extend(
            self.routes
                .iter()
                .map(|route| format!("Record-Route: {route}")),
        );
        if self.echo_routes {
            lines.extend(
                values(request, &Name::RecordRoute)
                    .iter()
                    .map(|route| format!("Record-Route: {route}")),
            );
        }
        lines.push(format!(
            "Call-ID: {}",
            value(&request.headers, &Name::CallId)
        ));
        lines.push(format!("From: {}", value(&request.headers, &Name::From)));
        let to = value(&request.headers, &Name::To);
        match self.tag {
            Some(tag) if request.to_tag().is_none() => lines.push(format!("To: {to};tag={tag}")),
            _ => lines.push(format!("To: {to}")),
        }
        lines.push(format!("CSeq: {}", value(&request.headers, &Name::CSeq)));
        lines.extend(self.lines);
        finish(lines, self.body)
    }
}

/// A call id as Meta builds it (Meta reference 1): opaque, base64 of a small structure with both
/// numbers and a random token, sometimes with padding.
pub(crate) fn wacid(dice: &mut Dice, user: &str, number: &str) -> String {
    use base64::Engine as _;
    let mut bytes = vec![0x1c, 0x18, u8::try_from(user.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(user.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 0x20]);
    bytes.extend_from_slice(dice.hex(32).to_ascii_uppercase().as_bytes());
    bytes.extend_from_slice(&[0x1c, 0x18, u8::try_from(number.len()).unwrap_or(u8::MAX)]);
    bytes.extend_from_slice(number.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00]);
    bytes.resize(bytes.len() + dice.below(3) as usize, 0);
    format!(
        "wacid.{}",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    )
}
