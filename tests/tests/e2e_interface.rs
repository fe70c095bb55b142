//! The OpenAPI document against the running program: every path, every method, every status it promises, and whether what
//! comes is what it describes.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};
use tests::http::{Answer, Client};
use tests::lab::Lab;
use tests::place::wait_until;
use tests::sbc::NUMBER;
use tests::schema::{objections, resolved};
use tests::simulated::pbx_address;

const LIMIT: Duration = Duration::from_secs(10);

/// What takes a program that is ill, and is tried in the room itself (`http/deaf_tests.rs`).
const ELSEWHERE: [(&str, &str, &str); 3] = [
    ("get", "/v1/records", "404"),
    ("get", "/v1/records", "500"),
    ("get", "/v1/doctor", "404"),
];

struct Walk {
    http: Client,
    document: Value,
    /// Method, path as the document has it, status.
    met: BTreeSet<(String, String, String)>,
}

impl Walk {
    fn begin(http: &Client) -> Walk {
        Walk {
            http: http.clone(),
            document: http.get("/openapi.json").json(),
            met: BTreeSet::new(),
        }
    }

    /// The path of the document that this one is.
    fn template(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        let fits = |template: &str| {
            let (a, b): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || a.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().expect("paths");
        let known = paths.keys().find(|template| fits(template));
        known
            .unwrap_or_else(|| panic!("nobody described {path}"))
            .clone()
    }

    /// Asks, and holds question and answer against the document.
    fn ask(&mut self, status: u16, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(status, method, path, "application/json", body)
    }

    fn ask_as(&mut self, status: u16, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let answer = self.http.ask_as(method, path, kind, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let template = self.template(path);
        let operation = &self.document["paths"][&template][method.to_lowercase()];
        let said = format!("{method} {template} {status}");
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{said} is not described");
        self.judge(&said, resolved(&self.document, described), &answer);
        if status < 300 {
            self.judge_question(&said, operation, path, body);
        }
        let met = (method.to_lowercase(), template, status.to_string());
        self.met.insert(met);
        answer
    }

    /// Kind and body of an answer.
    fn judge(&self, said: &str, described: &Value, answer: &Answer) {
        let kind = answer
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default();
        let Some(kinds) = described["content"].as_object() else {
            assert!(
                answer.body.is_empty() && kind.is_empty(),
                "{said}: {}",
                answer.body
            );
            return;
        };
        let schema = kinds
            .get(kind)
            .unwrap_or_else(|| panic!("{said}: nobody described {kind:?}"));
        if kind == "application/json" {
            let wrong = objections(&self.document, &schema["schema"], &answer.json());
            assert!(wrong.is_empty(), "{said}: {wrong:#?} in {}", answer.body);
        } else {
            assert!(!answer.body.is_empty(), "{said}");
        }
    }

    /// Whoever follows the document asks like this.
    fn judge_question(&self, said: &str, operation: &Value, path: &str, body: &str) {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        for (name, _) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let parameters = operation["parameters"].as_array().expect("parameters");
            let known = parameters
                .iter()
                .any(|one| one["name"] == name && one["in"] == "query");
            assert!(known, "{said}: nobody described {name}");
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(
            schema.is_null(),
            body.is_empty(),
            "{said}: a body where one belongs"
        );
        if !body.is_empty() {
            let body = serde_json::from_str(body).expect("JSON");
            let wrong = objections(&self.document, schema, &body);
            assert!(wrong.is_empty(), "{said}: {wrong:#?}");
        }
    }

    /// Every operation of the document: method, path, and what it says of it.
    fn operations(&self) -> Vec<(String, String, Value)> {
        let paths = self.document["paths"].as_object().expect("paths").iter();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods
                .filter(|(method, _)| *method != "parameters")
                .map(|(method, said)| (method.clone(), path.clone(), said.clone()))
        });
        all.collect()
    }

    /// What the document promises and nobody met.
    fn unmet(&self) -> Vec<(String, String, String)> {
        let mut unmet = Vec::new();
        for (method, path, said) in self.operations() {
            let promised = said["responses"].as_object().expect("responses").keys();
            for status in promised.filter(|status| *status != "503" || path == "/readyz") {
                let elsewhere =
                    ELSEWHERE.contains(&(method.as_str(), path.as_str(), status.as_str()));
                let one = (method.clone(), path.clone(), status.clone());
                if !elsewhere && !self.met.contains(&one) {
                    unmet.push(one);
                }
            }
        }
        unmet
    }
}

/// Any path of the document with something in its gaps.
fn concrete(template: &str) -> String {
    template
        .replace("{id}", "77")
        .replace("{number}", "17125550259")
        .replace("{address}", "192.0.2.77")
        .replace("{name}", "office")
}

/// Who brings no token, or another, learns nothing; another method, or a path that is not here, is told as what it is.
fn strangers_and_mistakes(walk: &mut Walk) {
    let tokens = ["", "wrong", "Zk3vQ8wLr5x", "Zk3vQ8wLr"];
    let own = walk.http.clone();
    for (method, path, said) in walk.operations() {
        let (method, asked) = (method.to_uppercase(), concrete(&path));
        if said["security"].is_null() {
            for token in tokens {
                walk.http.token = token.into();
                walk.ask(401, &method, &asked, "");
            }
        }
        walk.http = own.clone();
        let other = walk.http.ask("PATCH", &asked, "{}");
        assert_eq!(other.status, 405, "{path}");
        assert!(
            other.header("allow").contains(&method),
            "{path}: {}",
            other.head
        );
        assert!(other.json()["error"].is_string(), "{path}: {}", other.body);
    }
    for path in ["/", "/v1", "/v1/calls/", "/v2/calls", "/v1/calls/7/7/7"] {
        let nothing = walk.http.get(path);
        assert_eq!(nothing.status, 404, "{path}");
        assert!(
            nothing.json()["error"].is_string(),
            "{path}: {}",
            nothing.body
        );
    }
}

/// What everybody who writes a body can get wrong.
fn bad_bodies(walk: &mut Walk) {
    for (path, nonsense) in [
        ("/v1/drain".to_owned(), r#"{"draining": "perhaps"}"#),
        ("/v1/log".to_owned(), r#"{"filter": "=,=noise"}"#),
        (
            "/v1/captures".to_owned(),
            r#"{"all": true, "number": "+1"}"#,
        ),
        ("/v1/bans/192.0.2.66".to_owned(), r#"{"seconds": -1}"#),
        (
            format!("/v1/numbers/{NUMBER}/service"),
            r#"{"service": "asleep"}"#,
        ),
        (
            "/v1/trunks/office/service".to_owned(),
            r#"{"service": "in", "more": 1}"#,
        ),
    ] {
        let method = if path == "/v1/captures" {
            "POST"
        } else {
            "PUT"
        };
        walk.ask(400, method, &path, "{half a bod");
        walk.ask(422, method, &path, nonsense);
        walk.ask_as(415, method, &path, "text/plain", "{}");
    }
}

#[test]
fn every_answer_is_what_the_document_promises_and_all_it_promises_comes() {
    let lab = Lab::start("interface");
    let mut walk = Walk::begin(&lab.http);
    strangers_and_mistakes(&mut walk);
    bad_bodies(&mut walk);

    // Nothing goes on yet.
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/status",
        "/v1/numbers",
        "/v1/trunks",
    ] {
        walk.ask(200, "GET", path, "");
    }
    assert_eq!(
        walk.ask(200, "GET", "/v1/calls", "").json(),
        json!({ "calls": [] })
    );
    assert_eq!(
        walk.ask(200, "GET", "/v1/records", "").json(),
        json!({ "records": [] })
    );
    for path in [
        "/v1/calls/77",
        "/v1/calls/77/ladder",
        "/v1/ladders?of=nobody",
    ] {
        walk.ask(404, "GET", path, "");
    }
    for path in [
        "/v1/calls/x",
        "/v1/calls/-1/ladder",
        "/v1/calls/7/ladder?form=oil",
        "/v1/ladders",
        "/v1/records?last=x",
    ] {
        walk.ask(400, "GET", path, "");
    }
    walk.ask(400, "GET", "/v1/records?cuase=busy", "");
    walk.ask(422, "GET", "/v1/records?number=%2B", "");
    walk.ask(400, "DELETE", "/v1/calls/x", "");
    walk.ask(404, "DELETE", "/v1/calls/77", "");
    for method in ["PUT", "DELETE"] {
        walk.ask(400, method, "/v1/log/calls/x", "");
        walk.ask(404, method, "/v1/log/calls/77", "");
        walk.ask(404, method, "/v1/log/numbers/nobody", "");
    }

    // A call that talks.
    let mut events = lab.http.begin("GET", "/v1/events", "");
    walk.ask(204, "PUT", &format!("/v1/log/numbers/{NUMBER}"), "");
    let (meta, _pbx) = lab.peers("1", "25");
    let mut id = 0;
    wait_until("the call talks", LIMIT, || {
        let calls = walk.ask(200, "GET", "/v1/calls", "").json();
        id = calls["calls"][0]["id"].as_u64().unwrap_or_default();
        calls["calls"][0]["phase"] == "talking"
    });
    let call = format!("/v1/calls/{id}");
    assert_eq!(walk.ask(200, "GET", &call, "").json()["number"], NUMBER);
    assert_eq!(
        walk.ask(200, "GET", "/v1/numbers", "").json()["numbers"][0]["calls"],
        1
    );
    assert_eq!(
        walk.ask(200, "GET", "/v1/trunks", "").json()["trunks"][0]["calls"],
        1
    );
    let log = walk.ask(200, "GET", "/v1/log", "").json();
    assert_eq!(
        (&log["calls"], &log["numbers"]),
        (&json!([id]), &json!([NUMBER])),
        "{log}"
    );
    walk.ask(204, "DELETE", &format!("/v1/log/calls/{id}"), "");
    walk.ask(404, "DELETE", &format!("/v1/log/calls/{id}"), "");
    walk.ask(204, "PUT", &format!("/v1/log/calls/{id}"), "");
    walk.ask(204, "DELETE", &format!("/v1/log/numbers/{NUMBER}"), "");
    for form in [
        "text",
        "svg",
        "json",
        "json&messages=true",
        "text&messages=true",
    ] {
        walk.ask(200, "GET", &format!("{call}/ladder?form={form}"), "");
        walk.ask(
            200,
            "GET",
            &format!("/v1/ladders?of=17125550259&form={form}"),
            "",
        );
    }

    // A capture of it.
    let wish = r#"{"trunk": "office", "files": 1, "megabytes": 3, "seconds": 60, "keys": false}"#;
    let begun = walk.ask(201, "POST", "/v1/captures", wish).json();
    let capture = format!("/v1/captures/{}", begun["name"].as_str().expect("a name"));
    wait_until("something is written", LIMIT, || {
        let capture = walk.ask(200, "GET", &capture, "").json();
        capture["datagrams"].as_u64().is_some_and(|count| count > 0)
    });
    let all = walk.ask(200, "GET", "/v1/captures", "").json();
    assert_eq!(all["captures"].as_array().map(Vec::len), Some(1), "{all}");
    walk.ask(204, "DELETE", &capture, "");
    wait_until("the capture has ended", LIMIT, || {
        walk.ask(200, "GET", &capture, "").json()["ended"] == "stopped"
    });
    walk.ask(404, "GET", "/v1/captures/nothing", "");
    walk.ask(404, "DELETE", "/v1/captures/nothing", "");

    // Its end, and what remains.
    walk.ask(204, "DELETE", &call, "");
    wait_until("the user hears the end", LIMIT, || {
        !meta.events("ended").is_empty()
    });
    wait_until("the record is there", LIMIT, || {
        let records = walk
            .ask(
                200,
                "GET",
                "/v1/records?last=5&cause=operator&number=1712",
                "",
            )
            .json();
        records["records"]
            .as_array()
            .is_some_and(|records| records.len() == 1)
    });
    // Traced by its id alone since the number no longer is: its goodbyes are in the log, though that is at INFO.
    let goodbye = |line: &str| {
        line.contains(" DEBUG ")
            && line.contains(&format!("call={id} "))
            && line.contains("\"BYE\"")
    };
    let log = lab.sbc.running.log();
    assert_eq!(log.lines().filter(|line| goodbye(line)).count(), 2, "{log}");
    wait_until("the doctor made a round", LIMIT, || {
        // Until then it is not there, which is described as well.
        lab.http.get("/v1/doctor").status == 200
    });
    walk.ask(200, "GET", "/v1/doctor", "");
    walk.ask(200, "GET", "/readyz", "");
    let mut told = String::new();
    let mut buffer = [0; 4096];
    let is_whole = |told: &str| {
        let last = told.split_once("event: recorded\n");
        last.is_some_and(|(_, data)| data.contains("}\n\n"))
    };
    while !is_whole(&told) {
        let read = events.read(&mut buffer).expect("events in time");
        assert!(read > 0, "the stream ended after {told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    judge_events(&mut walk, &told);

    // Who is shut out, what is out of service, and the program as a whole.
    let stranger = "/v1/bans/192.0.2.66";
    walk.ask(204, "PUT", stranger, r#"{"seconds": 3600}"#);
    assert_eq!(
        walk.ask(200, "GET", "/v1/bans", "").json()["bans"][0]["source"],
        "192.0.2.66"
    );
    walk.ask(204, "DELETE", stranger, "");
    walk.ask(404, "DELETE", stranger, "");
    walk.ask(400, "DELETE", "/v1/bans/everybody", "");
    let peer = format!("/v1/bans/{}", pbx_address(&lab.place).ip());
    walk.ask(409, "PUT", &peer, r#"{"seconds": 3600}"#);
    for service in ["busy_out", "out", "in"] {
        let body = json!({ "service": service }).to_string();
        walk.ask(204, "PUT", &format!("/v1/numbers/{NUMBER}/service"), &body);
        walk.ask(204, "PUT", "/v1/trunks/office/service", &body);
        let number = walk.ask(200, "GET", "/v1/numbers", "").json();
        let trunk = walk.ask(200, "GET", "/v1/trunks", "").json();
        assert_eq!(number["numbers"][0]["service"], service);
        assert_eq!(trunk["trunks"][0]["service"], service);
    }
    let normal = r#"{"service": "in"}"#;
    walk.ask(404, "PUT", "/v1/numbers/+999999/service", normal);
    walk.ask(404, "PUT", "/v1/trunks/nobody/service", normal);
    walk.ask(204, "PUT", "/v1/log", r#"{"filter": "warn"}"#);
    assert_eq!(walk.ask(200, "GET", "/v1/log", "").json()["filter"], "warn");
    walk.ask(204, "PUT", "/v1/drain", r#"{"draining": true}"#);
    assert_eq!(walk.ask(503, "GET", "/readyz", "").json()["draining"], true);
    assert_eq!(
        walk.ask(200, "GET", "/v1/status", "").json()["draining"],
        true
    );
    walk.ask(204, "PUT", "/v1/drain", r#"{"draining": false}"#);
    walk.ask(204, "POST", "/v1/reload", "");
    let text = std::fs::read_to_string(&lab.sbc.configuration).expect("it started from it");
    std::fs::write(&lab.sbc.configuration, format!("{text}\n[nonsense]\n")).expect("written");
    walk.ask(422, "POST", "/v1/reload", "");

    assert_eq!(walk.unmet(), [], "promised, and never met");
}

/// The stream of events: its kind, and each event by the schema of its name.
fn judge_events(walk: &mut Walk, told: &str) {
    let (head, stream) = told.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.to_lowercase()
            .contains("content-type: text/event-stream"),
        "{head}"
    );
    let mut names = Vec::new();
    let lines: Vec<&str> = stream.lines().collect();
    for pair in lines.windows(2) {
        let (Some(name), Some(data)) = (
            pair[0].strip_prefix("event: "),
            pair[1].strip_prefix("data: "),
        ) else {
            continue;
        };
        let of = if name == "recorded" { "Record" } else { "Step" };
        let schema = json!({ "$ref": format!("#/components/schemas/{of}") });
        let data: Value = serde_json::from_str(data).expect("JSON");
        let wrong = objections(&walk.document, &schema, &data);
        assert!(wrong.is_empty(), "{name}: {wrong:#?} in {data}");
        assert_eq!(
            data["cause"].is_string(),
            matches!(name, "over" | "recorded"),
            "{name}: {data}"
        );
        names.push(name.to_owned());
    }
    assert_eq!(names, ["began", "ringing", "answered", "over", "recorded"]);
    let met = ("get".into(), "/v1/events".into(), "200".into());
    walk.met.insert(met);
}
