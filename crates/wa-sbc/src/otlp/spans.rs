//! The spans of one call, made from its record.
//!
//! ```text
//!   call       ├──────────────────────────────────────────┤  from the INVITE to the end
//!   ├ setup    ├──────┤                                       to the first ringing, the answer or the end
//!   ├ ringing         ├─────┤                                 to the answer or the end
//!   ├ media                 ├──────────────────────────────┤  from the answer to the end
//!   ├ leg carrier ├────────────────────────────────────────┤  what the leg agreed on and measured
//!   └ leg pbx  ├──────────────────────────────────────────┤
//! ```

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::log::redact;

/// SPAN_KIND of the OTLP protocol.
#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// STATUS_CODE of the OTLP protocol.
const OK: u8 = 1;
const ERROR: u8 = 2;

/// What a record says of the call that identifies people: only where the operator asked for it.
const PERSONAL: &[&str] = &[
    "reference",
    "carrier_call_id",
    "pbx_call_id",
    "number_id",
    "user_id",
];
/// Fields of the record that become attributes of the call.
const OF_CALL: &[&str] = &[
    "key",
    "direction",
    "number",
    "user",
    "trunk",
    "far_leg",
    "duration_ms",
    "released_by",
    "cause",
    "text",
    "hint",
    "sip",
    "q850",
    "peer_status",
    "peer_text",
    "complete",
];

/// A whole request for these records (lines of JSON) of this node.
pub(super) fn request(node: u16, lines: &[String], numbers: bool) -> String {
    let records = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let spans: Vec<Value> = records.flat_map(|record| of(&record, numbers)).collect();
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", json!("wa-sbc")),
        ("service.version", json!(version)),
        ("service.instance.id", json!(node.to_string())),
    ];
    let resource: Vec<Value> = resource
        .iter()
        .filter_map(|(key, value)| attribute(key, value))
        .collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{
                "scope": { "name": "wa-sbc", "version": version },
                "spans": spans,
            }],
        }],
    })
    .to_string()
}

/// The spans of one record; the call's own first.
fn of(record: &Value, numbers: bool) -> Vec<Value> {
    let key = record["key"].as_str().unwrap_or_default();
    let at = |name: &str| record[name].as_u64();
    let started = at("started_ms").unwrap_or_default();
    let ended = at("ended_ms").unwrap_or(started).max(started);
    let (ringing, answered) = (at("ringing_ms"), at("answered_ms"));
    let root = id(key, "call");
    let mut spans = Vec::new();
    let mut span =
        |name: &str, kind: Kind, from: u64, to: u64, attributes: Vec<Value>, status: Value| {
            let mut span = json!({
                "traceId": hex(&Sha256::digest(key)[..16]),
                "spanId": id(key, name),
                "name": name,
                "kind": kind as u8,
                "startTimeUnixNano": nanos(from),
                "endTimeUnixNano": nanos(to.max(from)),
                "attributes": attributes,
                "status": status,
            });
            if name != "call" {
                span["parentSpanId"] = json!(root);
            }
            spans.push(span);
        };
    let failed = answered.is_none() || record["cause"] != "normal";
    let status = match failed {
        false => json!({ "code": OK }),
        true => json!({ "code": ERROR, "message": record["cause"] }),
    };
    span(
        "call",
        Kind::Server,
        started,
        ended,
        of_call(record, numbers),
        status,
    );
    let none = || json!({});
    let set_up = ringing.or(answered).unwrap_or(ended);
    span("setup", Kind::Internal, started, set_up, Vec::new(), none());
    if let Some(ringing) = ringing {
        let over = answered.unwrap_or(ended);
        span("ringing", Kind::Internal, ringing, over, Vec::new(), none());
    }
    if let Some(answered) = answered {
        let first = &record["answer_to_first_audio_ms"];
        let attributes = ["carrier", "pbx"]
            .iter()
            .filter_map(|leg| attribute(&format!("wa_sbc.first_audio_to_{leg}_ms"), &first[*leg]));
        span(
            "media",
            Kind::Internal,
            answered,
            ended,
            attributes.collect(),
            none(),
        );
    }
    let by_user = record["direction"] == "user_initiated";
    for (leg, calls) in [("carrier", by_user), ("pbx", !by_user)] {
        let kind = if calls { Kind::Server } else { Kind::Client };
        let fields = record[leg].as_object().into_iter().flatten();
        let attributes =
            fields.filter_map(|(name, value)| attribute(&format!("wa_sbc.leg.{name}"), value));
        span(
            &format!("leg {leg}"),
            kind,
            started,
            ended,
            attributes.collect(),
            none(),
        );
    }
    spans
}

fn of_call(record: &Value, numbers: bool) -> Vec<Value> {
    let personal: &[&str] = if numbers { PERSONAL } else { &[] };
    let fields = OF_CALL.iter().chain(personal);
    fields
        .filter_map(|name| match &record[*name] {
            Value::String(text) if text.is_empty() => None,
            // The key is made of a time, and no text of a person.
            Value::String(text) if !numbers && *name != "key" => {
                attribute(&format!("wa_sbc.{name}"), &json!(redact(text)))
            }
            value => attribute(&format!("wa_sbc.{name}"), value),
        })
        .collect()
}

/// An attribute with its typed value; nothing where there is none. Integers are texts in OTLP's JSON.
fn attribute(key: &str, value: &Value) -> Option<Value> {
    let value = match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let mut pair = Map::new();
    pair.insert("key".into(), key.into());
    pair.insert("value".into(), value);
    Some(pair.into())
}

fn nanos(millis: u64) -> String {
    (u128::from(millis) * 1_000_000).to_string()
}

/// The id of one span of a call.
fn id(key: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("{key} {name}"))[..8])
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::line;
    use crate::records::tests_record as record;

    fn spans(numbers: bool) -> Vec<Value> {
        let request = request(3, &[line(3, &record(7))], numbers);
        let request: Value = serde_json::from_str(&request).expect("JSON");
        let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        spans.as_array().expect("spans").clone()
    }

    fn text<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
        let mut all = span["attributes"].as_array()?.iter();
        all.find(|one| one["key"] == key)?["value"]["stringValue"].as_str()
    }

    #[test]
    fn the_parts_of_a_call_lie_within_it_and_have_names_of_their_own() {
        let spans = spans(false);
        let number = |span: &Value, key: &str| {
            span[key]
                .as_str()
                .and_then(|text| text.parse::<u128>().ok())
        };
        let root = &spans[0];
        let mut ids = std::collections::BTreeSet::new();
        for span in &spans {
            assert!(ids.insert(span["spanId"].to_string()), "{span}");
            assert_eq!(span["traceId"], root["traceId"]);
            let part = [span, root].map(|of| {
                (
                    number(of, "startTimeUnixNano"),
                    number(of, "endTimeUnixNano"),
                )
            });
            assert!(part[0].0 >= part[1].0 && part[0].1 <= part[1].1, "{span}");
            assert!(part[0].0 <= part[0].1, "{span}");
        }
        let children = spans.iter().skip(1);
        assert!(
            children
                .clone()
                .all(|span| span["parentSpanId"] == root["spanId"])
        );
        assert!(root.get("parentSpanId").is_none());
        assert!(children.count() >= 3);
    }

    #[test]
    fn numbers_are_shortened_unless_asked_for() {
        let of = record(7);
        let spans = [false, true].map(spans);
        let all = serde_json::to_string(&spans[0]).expect("JSON");
        assert!(!all.contains(of.number.digits()), "{all}");
        assert!(!all.contains(of.user.trim_start_matches('+')), "{all}");
        assert!(text(&spans[0][0], "wa_sbc.reference").is_none());
        assert_eq!(
            text(&spans[1][0], "wa_sbc.number"),
            Some(&*of.number.plus())
        );
        assert_eq!(
            text(&spans[1][0], "wa_sbc.reference"),
            of.reference.as_deref()
        );
    }
}
