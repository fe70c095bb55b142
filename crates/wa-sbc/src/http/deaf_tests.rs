//! The interface of a program whose core answers nothing any more: it ends, or hangs.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::Settings;

const SETTINGS: &str = r#"
[sip]
host = "sbc.example.com"
tls = { listen = "127.0.0.1:0", certificate = "certificate.pem", key = "key.pem" }
udp = { listen = "127.0.0.1:0" }
[media]
public = "127.0.0.1"
private = "127.0.0.1"
[[number]]
e164 = "+17125550259"
password = { env = "WA_SIP_PASSWORD" }
trunk = "office"
[[trunk]]
name = "office"
peer = "sip:127.0.0.1:9;transport=udp"
"#;

/// Whoever would answer is gone.
fn deaf(records: RecordSettings) -> Operator {
    let settings = Settings::read(Path::new("test.toml"), SETTINGS, |_| Some("s3cret".into()));
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    Operator {
        node: 0,
        token: None,
        asked: mpsc::channel(1).0,
        control: mpsc::channel(1).0.downgrade(),
        reload: mpsc::channel(1).0,
        events: broadcast::Sender::new(1),
        meters: Arc::new(Meters::new(50)),
        traced: Arc::default(),
        hep: Arc::default(),
        acme: None,
        otlp: Arc::default(),
        captures: Arc::default(),
        rounds: Rounds::begin(&settings, None).expect("no thread is needed"),
        gauges: Arc::new([]),
        sinks: Arc::new([]),
        records,
        certificate_files: Arc::default(),
        listens_for_tls: true,
        started: SystemTime::UNIX_EPOCH,
    }
}

/// Status and body.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    (status.expect("a status"), body)
}

async fn serving(operator: Operator) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().expect("an address"))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(serve(listener, operator));
    address
}

#[tokio::test]
async fn whatever_needs_the_core_says_that_it_does_not_answer() {
    let address = serving(deaf(RecordSettings::default())).await;
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let bodies = [
        ("/v1/drain", r#"{"draining": true}"#),
        ("/v1/captures", r#"{"all": true}"#),
        ("/v1/bans/{address}", r#"{"seconds": 60}"#),
        ("/v1/numbers/{number}/service", r#"{"service": "in"}"#),
        ("/v1/trunks/{name}/service", r#"{"service": "in"}"#),
    ];
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let body = bodies
            .iter()
            .find(|(of, _)| of == path)
            .map_or("", |(_, body)| body);
        let concrete = path
            .replace("{id}", "1")
            .replace("{number}", "17125550259")
            .replace("{address}", "192.0.2.1")
            .replace("{name}", "office");
        for (method, described) in methods.as_object().expect("methods") {
            if described["responses"].get("503").is_none() {
                continue;
            }
            let (status, body) = ask(address, &method.to_uppercase(), &concrete, body).await;
            assert_eq!(status, 503, "{method} {path}: {body}");
            let why = if path == "/livez" {
                &body["core"]
            } else {
                &body["error"]
            };
            assert!(
                why == &Value::Bool(false) || why.is_string(),
                "{method} {path}: {body}"
            );
            asked += 1;
        }
    }
    assert!(asked >= 17, "{asked}");
}

#[tokio::test]
async fn a_store_that_is_not_kept_one_that_is_broken_and_a_doctor_without_rounds_are_told() {
    let address = serving(deaf(RecordSettings::default())).await;
    let (status, body) = ask(address, "GET", "/v1/records", "").await;
    assert_eq!(status, 404);
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|why| why.contains("[records]")),
        "{body}"
    );
    let (status, body) = ask(address, "GET", "/v1/doctor", "").await;
    assert_eq!(status, 404);
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|why| why.contains("doctor_every")),
        "{body}"
    );
    let broken = RecordSettings {
        sqlite: Some("/dev/null/calls.db".into()),
        ..RecordSettings::default()
    };
    let (status, body) = ask(serving(deaf(broken)).await, "GET", "/v1/records", "").await;
    assert_eq!(status, 500);
    assert!(body["error"].is_string(), "{body}");
}
