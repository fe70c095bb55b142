//! Traces of calls with the real binary, before a collector that is busy at first and checks every field of OTLP's JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::place::{Place, wait_until};
use tests::sbc::{NUMBER, Sbc, Setup, USER};
use tests::simulated::{Simulated, meta_address, pbx_address};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Collector {
    /// Requests answered 503 so far.
    refused: Arc<Mutex<usize>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start(place: &Place) -> (Collector, SocketAddr) {
        let listener = TcpListener::bind((place.address(41), 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let collector = Collector::default();
        let serving = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let collector = serving.clone();
                std::thread::spawn(move || collector.serve(stream));
            }
        });
        (collector, address)
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).ok()? == 0 {
                    return None;
                }
            }
            let lower = head.to_ascii_lowercase();
            assert!(lower.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
            assert!(
                lower.contains("\r\ncontent-type: application/json\r\n"),
                "{head}"
            );
            assert!(head.contains("Bearer let-me-in"), "{head}");
            let length = lower.split("content-length: ").nth(1)?.split('\r').next()?;
            let mut body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            let mut refused = self.refused.lock().expect("no panic");
            let status = match *refused {
                0 => {
                    *refused += 1;
                    "503 Busy"
                }
                _ => {
                    let body = String::from_utf8(body).expect("text");
                    self.taken.lock().expect("no panic").push(body);
                    "200 OK"
                }
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }

    /// Every span of every request, each checked.
    fn spans(&self) -> Vec<Value> {
        let taken = self.taken.lock().expect("no panic");
        taken.iter().flat_map(|body| spans_of(body)).collect()
    }
}

/// The fields an object may and must have (opentelemetry-proto, `trace.proto`, in its JSON form).
fn fields(object: &Value, must: &[&str], may: &[&str]) {
    let have = object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"));
    for name in have.keys() {
        assert!(
            must.contains(&name.as_str()) || may.contains(&name.as_str()),
            "{name} in {object}"
        );
    }
    for name in must {
        assert!(have.contains_key(*name), "no {name} in {object}");
    }
}

fn spans_of(body: &str) -> Vec<Value> {
    let request: Value = serde_json::from_str(body).expect("JSON");
    fields(&request, &["resourceSpans"], &[]);
    let mut found = Vec::new();
    for resource in request["resourceSpans"].as_array().expect("an array") {
        fields(resource, &["resource", "scopeSpans"], &["schemaUrl"]);
        fields(
            &resource["resource"],
            &["attributes"],
            &["droppedAttributesCount"],
        );
        let named = attributes(&resource["resource"]["attributes"]);
        assert_eq!(named["service.name"], "wa-sbc");
        for scope in resource["scopeSpans"].as_array().expect("an array") {
            fields(scope, &["scope", "spans"], &["schemaUrl"]);
            fields(&scope["scope"], &["name", "version"], &["attributes"]);
            for span in scope["spans"].as_array().expect("an array") {
                check(span);
                found.push(span.clone());
            }
        }
    }
    found
}

fn check(span: &Value) {
    fields(
        span,
        &[
            "traceId",
            "spanId",
            "name",
            "kind",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "attributes",
            "status",
        ],
        &["parentSpanId"],
    );
    let is_id = |value: &Value, digits: usize| {
        value.as_str().is_some_and(|id| {
            id.len() == digits
                && id.bytes().all(|b| b.is_ascii_hexdigit())
                && id.bytes().any(|b| b != b'0')
        })
    };
    assert!(
        is_id(&span["traceId"], 32) && is_id(&span["spanId"], 16),
        "{span}"
    );
    assert!(
        span.get("parentSpanId").is_none_or(|id| is_id(id, 16)),
        "{span}"
    );
    assert!(
        span["kind"]
            .as_u64()
            .is_some_and(|kind| (1..=5).contains(&kind)),
        "{span}"
    );
    let nanos = |name: &str| {
        span[name]
            .as_str()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let (from, to) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
    assert!(
        from.is_some() && from <= to && from > Some(1_700_000_000_000_000_000),
        "{span}"
    );
    fields(&span["status"], &[], &["code", "message"]);
    assert!(span["status"]["code"].as_u64().unwrap_or(0) <= 2, "{span}");
    attributes(&span["attributes"]);
}

/// Names and values; each value has exactly one type, and an integer is a text.
fn attributes(list: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for one in list.as_array().expect("an array") {
        fields(one, &["key", "value"], &[]);
        let value = one["value"].as_object().expect("an object");
        assert_eq!(value.len(), 1, "{one}");
        let (kind, value) = value.iter().next().expect("one");
        let fits = match kind.as_str() {
            "stringValue" => value.is_string(),
            "boolValue" => value.is_boolean(),
            "doubleValue" => value.is_f64(),
            "intValue" => value
                .as_str()
                .is_some_and(|text| text.parse::<i64>().is_ok()),
            _ => false,
        };
        assert!(fits, "{one}");
        let key = one["key"].as_str().expect("a name").to_owned();
        assert!(found.insert(key, value.clone()).is_none(), "{one} twice");
    }
    found
}

#[test]
fn every_call_becomes_a_trace_of_its_parts_without_numbers() {
    let place = Place::new("otlp");
    let authority = Authority::new(&place);
    let (collector, address) = Collector::start(&place);
    let token = place.write("otlp-token", "let-me-in\n");
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.tables = format!(
        "[otlp]\nurl = \"http://{address}/v1/traces\"\ntoken = {{ file = \"{}\" }}\n",
        token.display()
    );
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let _pbx = Simulated::pbx(
        &place,
        "pbx",
        &["--silent", "--answer-after", "0.3", "--at-most", "20"],
    );
    let calls = [
        "--silent",
        "--calls",
        "5",
        "--rate",
        "5",
        "--hang-up-after",
        "0.5",
        "--at-most",
        "20",
    ];
    let _meta = Simulated::meta(&place, &authority, "meta", &calls);
    let records = sbc.wait_for_records(5, LIMIT);
    let roots = || {
        collector
            .spans()
            .iter()
            .filter(|span| span["name"] == "call")
            .count()
    };
    wait_until("five traces", LIMIT, || roots() >= 5);
    assert_eq!(
        *collector.refused.lock().expect("no panic"),
        1,
        "it was busy at first"
    );

    let spans = collector.spans();
    let traces: BTreeSet<&str> = spans
        .iter()
        .filter_map(|span| span["traceId"].as_str())
        .collect();
    assert_eq!(traces.len(), 5, "one trace for each call");
    for record in &records {
        let root = spans
            .iter()
            .find(|span| {
                let named = attributes(&span["attributes"]);
                span["name"] == "call" && named.get("wa_sbc.key") == Some(&record["key"])
            })
            .unwrap_or_else(|| panic!("no trace of {record}"));
        let of_trace = || {
            spans
                .iter()
                .filter(|span| span["traceId"] == root["traceId"])
        };
        let names: BTreeSet<&str> = of_trace()
            .filter_map(|span| span["name"].as_str())
            .collect();
        let expected = [
            "call",
            "setup",
            "ringing",
            "media",
            "leg carrier",
            "leg pbx",
        ];
        assert_eq!(names, expected.into());
        for part in of_trace().filter(|span| span["name"] != "call") {
            assert_eq!(part["parentSpanId"], root["spanId"]);
        }
        let millis = |name: &str| record[name].as_u64().map(|ms| format!("{ms}000000"));
        assert_eq!(
            root["startTimeUnixNano"].as_str().map(str::to_owned),
            millis("started_ms")
        );
        assert_eq!(
            root["endTimeUnixNano"].as_str().map(str::to_owned),
            millis("ended_ms")
        );
        let media = of_trace()
            .find(|span| span["name"] == "media")
            .expect("listed above");
        assert_eq!(
            media["startTimeUnixNano"].as_str().map(str::to_owned),
            millis("answered_ms")
        );
        let of_call = attributes(&root["attributes"]);
        assert_eq!(of_call["wa_sbc.cause"], record["cause"]);
        assert_eq!(root["status"]["code"], 1);
        let leg = of_trace()
            .find(|span| span["name"] == "leg carrier")
            .expect("listed above");
        let packets = record["carrier"]["packets_received"].to_string();
        assert_eq!(
            attributes(&leg["attributes"])["wa_sbc.leg.packets_received"],
            packets
        );
    }
    let all = collector.taken.lock().expect("no panic").join("\n");
    for number in [NUMBER, USER] {
        assert!(
            !all.contains(number.trim_start_matches('+')),
            "{number} in {all}"
        );
    }
    assert!(!all.contains("wacid"), "{all}");
}
