//! The operator's interface, metrics and health of the real binary, asked while calls run.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Command;
use std::time::Duration;

use tests::certificates::Authority;
use tests::http::Client;
use tests::lab::Lab;
use tests::place::{Place, wait_until};
use tests::running::workspace;
use tests::sbc::{NUMBER, Sbc, Setup, binary};
use tests::simulated::{Simulated, meta_address, pbx_address};

const LIMIT: Duration = Duration::from_secs(10);
/// The names of our metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c))
        .filter(|word| word.starts_with("wa_sbc_") || word.starts_with("process_"))
        .map(|word| {
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            bare.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn the_operator_shuts_a_source_out_and_lets_it_in_again() {
    let lab = Lab::start("operator-bans");
    let http = &lab.http;
    let empty = serde_json::json!({ "bans": [] });
    assert_eq!(http.get("/v1/bans").json(), empty);
    let hour = r#"{"seconds": 3600}"#;
    let peer = format!("/v1/bans/{}", pbx_address(&lab.place).ip());
    assert_eq!(
        http.ask("PUT", &peer, hour).status,
        409,
        "the PBX is spared"
    );
    let stranger = "/v1/bans/192.0.2.66";
    assert_eq!(http.ask("PUT", stranger, hour).status, 204);
    let bans = http.get("/v1/bans").json();
    assert_eq!(bans["bans"][0]["source"], "192.0.2.66");
    assert!(
        bans["bans"][0]["seconds_left"]
            .as_u64()
            .is_some_and(|left| left > 3_500)
    );
    assert!(http.get("/metrics").body.contains("wa_sbc_banned 1"));
    assert_eq!(http.ask("DELETE", stranger, "").status, 204);
    assert_eq!(http.ask("DELETE", stranger, "").status, 404);
    assert_eq!(http.get("/v1/bans").json(), empty);
}

#[test]
fn the_operator_captures_over_http_and_a_capture_of_a_talking_call_has_its_beginning() {
    let lab = Lab::start("operator-captures");
    let http = &lab.http;
    let (meta, _pbx) = lab.peers("1", "20");
    wait_until("the call talks", LIMIT, || {
        http.get("/v1/calls").json()["calls"][0]["phase"] == "talking"
    });
    let refused = http.ask("POST", "/v1/captures", r#"{"all": true, "number": "+1"}"#);
    assert_eq!(refused.status, 422, "{}", refused.body);
    let wish = r#"{"trunk": "office", "files": 1, "megabytes": 3}"#;
    let begun = http.ask("POST", "/v1/captures", wish);
    assert_eq!(begun.status, 201, "{}", begun.body);
    let name = begun.json()["name"].as_str().expect("a name").to_owned();
    let mut capture = serde_json::Value::Null;
    wait_until("packets are written", LIMIT, || {
        capture = http.get(&format!("/v1/captures/{name}")).json();
        capture["datagrams"]
            .as_u64()
            .is_some_and(|count| count > 20)
    });
    assert!(http.get("/metrics").body.contains("wa_sbc_captures 1"));
    assert!(
        capture["messages"].as_u64().is_some_and(|count| count > 10),
        "{capture}"
    );
    let gone = format!("/v1/captures/{name}");
    assert_eq!(http.ask("DELETE", &gone, "").status, 204);
    wait_until("it has ended", LIMIT, || {
        capture = http.get(&gone).json();
        capture["ended"] == "stopped"
    });
    let file = capture["files"][0].as_str().expect("a file");
    let bytes = std::fs::read(file).expect("readable");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("INVITE sip:") && text.contains("inline:AAAAAAAA"));
    assert!(
        text.contains("media=clear gap=carrier way=out"),
        "media of the carrier's leg"
    );
    assert_eq!(
        http.get("/v1/captures").json()["captures"][0]["running"],
        false
    );
    drop(meta);
}

#[test]
fn the_operator_watches_a_call_hangs_it_up_and_finds_its_record() {
    let lab = Lab::start("operator");
    let http = &lab.http;
    let stranger = Client {
        token: "wrong".into(),
        ..http.clone()
    };
    assert_eq!(stranger.get("/v1/calls").status, 401);
    assert_eq!(stranger.get("/metrics").status, 401);
    assert_eq!(stranger.get("/livez").status, 200);
    let ready = http.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);

    let digits = NUMBER.trim_start_matches('+');
    assert_eq!(
        http.ask("PUT", &format!("/v1/log/numbers/{digits}"), "")
            .status,
        204
    );
    let mut events = http.begin("GET", "/v1/events", "");
    let (meta, _pbx) = lab.peers("1", "25");
    let mut id = 0;
    wait_until("the call talks", LIMIT, || {
        let calls = http.get("/v1/calls").json();
        id = calls["calls"][0]["id"].as_u64().unwrap_or_default();
        calls["calls"][0]["phase"] == "talking"
    });
    assert_eq!(
        http.get(&format!("/v1/calls/{id}")).json()["number"],
        NUMBER
    );
    assert_eq!(http.get("/v1/numbers").json()["numbers"][0]["calls"], 1);
    assert_eq!(http.get("/v1/trunks").json()["trunks"][0]["calls"], 1);
    let ladder = http.get(&format!("/v1/calls/{id}/ladder"));
    assert!(ladder.body.contains("INVITE SDP"), "{}", ladder.body);
    let svg = http.get(&format!("/v1/ladders?of={digits}&form=svg"));
    assert!(svg.body.starts_with("<svg"), "{}", svg.body);
    let steps = http.get(&format!("/v1/ladders?of={digits}&form=json&messages=true"));
    let steps = steps.json();
    assert_eq!(steps["id"], id);
    assert!(
        steps["steps"]
            .as_array()
            .is_some_and(|steps| steps.len() > 10)
    );
    assert!(!steps.to_string().contains(tests::sbc::PASSWORD));
    assert_eq!(http.get("/v1/ladders?of=nobody").status, 404);
    assert_eq!(
        http.ask("DELETE", &format!("/v1/calls/{id}"), "").status,
        204
    );
    wait_until("the user hears the end", LIMIT, || {
        meta.events("ended").len() == 1
    });
    wait_until("the record is there", LIMIT, || {
        let records = http.get("/v1/records?cause=operator&last=5").json();
        records["records"]
            .as_array()
            .is_some_and(|records| records.len() == 1)
    });
    assert_eq!(
        http.ask("DELETE", &format!("/v1/calls/{id}"), "").status,
        404
    );

    let mut told = String::new();
    let mut buffer = [0; 4096];
    while !told.contains("event: recorded") {
        let read = events.read(&mut buffer).expect("events in time");
        assert!(read > 0, "the stream ended after {told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    for step in ["began", "ringing", "answered", "over"] {
        assert!(
            told.contains(&format!("event: {step}\n")),
            "{step} in {told}"
        );
    }
    let log = lab.sbc.running.log();
    let of_call = format!("call={id}");
    let traced = |line: &&str| line.contains(" DEBUG ") && line.contains(&of_call);
    assert!(log.lines().any(|line| traced(&line)), "{log}");
    for line in log.lines().filter(|line| line.contains(" INFO ")) {
        assert!(!line.contains(digits), "{line}");
    }
    let steps = log
        .lines()
        .filter(|line| line.contains(" INFO ") && line.contains(&format!("call={id} ")));
    assert_eq!(steps.count(), 4, "one line for each step: {log}");
}

#[test]
fn the_operator_drains_reloads_and_takes_numbers_out_of_service() {
    let lab = Lab::start("operator-service");
    let http = &lab.http;
    assert_eq!(
        http.ask("PUT", "/v1/drain", r#"{"draining":true}"#).status,
        204
    );
    assert_eq!(http.get("/readyz").status, 503);
    assert_eq!(http.get("/livez").status, 200);
    let (meta, _pbx) = lab.peers("1", "1");
    wait_until("the user is refused", LIMIT, || {
        !meta.events("refused").is_empty()
    });
    assert_eq!(meta.events("refused")[0]["status"], 503);
    assert_eq!(
        http.ask("PUT", "/v1/drain", r#"{"draining":false}"#).status,
        204
    );
    assert_eq!(http.get("/readyz").status, 200);

    let service = format!("/v1/numbers/{NUMBER}/service");
    assert_eq!(
        http.ask("PUT", &service, r#"{"service":"busy_out"}"#)
            .status,
        204
    );
    assert_eq!(
        http.get("/v1/numbers").json()["numbers"][0]["service"],
        "busy_out"
    );
    assert_eq!(
        http.ask("PUT", "/v1/numbers/+999999/service", r#"{"service":"in"}"#)
            .status,
        404
    );
    assert_eq!(
        http.ask("PUT", "/v1/trunks/office/service", r#"{"service":"out"}"#)
            .status,
        204
    );
    assert_eq!(
        http.ask(
            "PUT",
            "/v1/trunks/office/service",
            r#"{"service":"asleep"}"#
        )
        .status,
        422
    );

    assert_eq!(
        http.ask("PUT", "/v1/log", r#"{"filter":"warn"}"#).status,
        204
    );
    assert_eq!(http.get("/v1/log").json()["filter"], "warn");
    assert_eq!(
        http.ask("PUT", "/v1/log", r#"{"filter":"=,=noise"}"#)
            .status,
        422
    );

    assert_eq!(http.ask("POST", "/v1/reload", "").status, 204);
    let text = std::fs::read_to_string(&lab.sbc.configuration).expect("it started from it");
    std::fs::write(&lab.sbc.configuration, format!("{text}\n[nonsense]\n")).expect("written");
    let refused = http.ask("POST", "/v1/reload", "");
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("nonsense"), "{}", refused.body);
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_is_there_and_counts() {
    let lab = Lab::start("operator-metrics");
    let (_meta, _pbx) = lab.peers("12", "0.2");
    let mut text = String::new();
    wait_until("twelve calls are counted", LIMIT, || {
        text = lab.http.get("/metrics").body;
        let recorded = "wa_sbc_records_written_total{place=\"sqlite\"} 12\n";
        text.contains("wa_sbc_ended_total 12\n") && text.contains(recorded)
    });
    let there = metrics_in(&text);
    for used in ["etc/grafana/wa-sbc.json", "etc/prometheus/alerts.yml"] {
        let used_text = std::fs::read_to_string(workspace().join(used)).expect("it is there");
        let wanted = metrics_in(&used_text);
        assert!(wanted.len() > 8, "{used}: {wanted:?}");
        let missing: Vec<_> = wanted.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{used} uses {missing:?}, which /metrics does not have"
        );
    }
    let series = format!(
        "wa_sbc_calls_total{{direction=\"user_initiated\",number=\"{NUMBER}\",trunk=\"office\",cause=\"normal\"}} 12"
    );
    assert!(text.contains(&series), "{series} in {text}");
    for line in [
        "wa_sbc_call_answer_seconds_count{direction=\"user_initiated\"} 12".to_owned(),
        format!("wa_sbc_answer_ratio{{number=\"{NUMBER}\"}} 1"),
        "wa_sbc_challenges_total 12".to_owned(),
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
    wait_until("the doctor made a round", LIMIT, || {
        text = lab.http.get("/metrics").body;
        text.contains("wa_sbc_doctor_check{check=\"certificate\"}")
    });
    assert!(
        text.contains("wa_sbc_doctor_check{check=\"clock\"} 0\n"),
        "{text}"
    );
    // An authority of the lab's own is nobody Meta trusts.
    assert!(
        text.contains("wa_sbc_doctor_check{check=\"certificate\"} 2\n"),
        "{text}"
    );
    let ready = lab.http.get("/readyz").json();
    assert_eq!(ready["doctor"]["certificate"], "fail", "{ready}");
    assert_eq!(
        ready["ready"], true,
        "a finding does not take calls away: {ready}"
    );
    let found = lab.http.get("/v1/doctor").json()["findings"].to_string();
    assert!(found.contains("\"remedy\""), "{found}");
    let none = "wa_sbc_tls_handshakes_total{role=\"server\",outcome=\"done\"} 0\n";
    assert!(!text.contains(none), "{text}");
    // Every line is a comment, or a name with labels and a number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

/// Keys and digest answers as they would stand in a message: none that is not blanked.
fn secrets_in(text: &str) -> Vec<String> {
    let values = |name: &str, blank: char| -> Vec<String> {
        let found = text.split(name).skip(1);
        found
            .map(|rest| rest.chars().take(16).collect::<String>())
            .filter(|value| value.chars().any(|char| char != blank))
            .collect()
    };
    [values("inline:", 'A'), values("response=\"", '0')].concat()
}

#[test]
fn why_a_call_failed_is_found_on_disk_after_the_program_has_gone_and_no_secret_with_it() {
    let place = Place::new("operator-trace");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    // Nobody listens there.
    setup.pbx.1 = "tcp";
    setup.log = "info";
    let traces = place.path("traces");
    setup.tables = format!(
        "[trace]\ndir = \"{}\"\n[control]\nsocket = \"{}\"\n",
        traces.display(),
        place.path("control.socket").display()
    );
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let calls = ["--silent", "--calls", "1", "--at-most", "20"];
    let meta = Simulated::meta(&place, &authority, "meta", &calls);
    wait_until("the user is refused", LIMIT, || {
        !meta.events("refused").is_empty()
    });
    sbc.running.wait_for("trace of a failed call kept", LIMIT);
    let ladder = |more: &[&str]| {
        let output = Command::new(binary())
            .args(["ladder", "+1 219-555-0714", "--config"])
            .arg(&sbc.configuration)
            .args(more)
            .env("WA_SBC_TEST_PASSWORD", tests::sbc::PASSWORD)
            .output()
            .expect("the binary runs");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{complaint}");
        String::from_utf8(output.stdout).expect("text")
    };
    // While it runs, the program itself knows, and says secrets to whoever asks for them.
    let asked = ladder(&["--messages", "--secrets"]);
    let (answers, keys): (Vec<_>, Vec<_>) = secrets_in(&asked)
        .into_iter()
        .partition(|secret| secret.chars().all(|char| char.is_ascii_hexdigit()));
    assert!(
        !keys.is_empty() && answers.len() == 1,
        "{keys:?}, {answers:?} in {asked}"
    );
    sbc.running.signal("KILL");
    sbc.running.finish(LIMIT);
    for more in [&[][..], &["--messages"], &["--messages", "--secrets"]] {
        let text = ladder(more);
        assert!(text.contains("ended by sbc: unreachable (leg B:"), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        assert_eq!(secrets_in(&text), [""; 0], "{text}");
    }
    let picture = place.path("call.svg").display().to_string();
    ladder(&["--svg", &picture]);
    let svg = std::fs::read_to_string(picture).expect("written");
    assert!(
        svg.starts_with("<svg") && svg.contains("unreachable"),
        "{svg}"
    );
    let kept: Vec<_> = std::fs::read_dir(traces)
        .expect("a directory")
        .flatten()
        .collect();
    assert_eq!(kept.len(), 1);
    let bytes = std::fs::read(kept[0].path()).expect("readable");
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("inline:AAAA") && text.contains("response=\"0000"),
        "both were there"
    );
    assert_eq!(secrets_in(&text), [""; 0]);
}
