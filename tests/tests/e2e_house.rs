//! What an operator sees: the demo, the configuration in the README and in `etc/`, and a log without secrets or people.

use std::process::Command;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::running::{Running, workspace};
use tests::sbc::{HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME, binary};
use tests::simulated::{Simulated, meta_address, pbx_address};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_demo_holds_within_a_minute() {
    undisturbed(|| {
        let place = Place::new("demo");
        let began = Instant::now();
        let mut demo = Running::start(&place, "demo", Command::new(binary()).arg("demo"));
        demo.succeed(Duration::from_secs(60));
        let shown = demo.log();
        for wanted in [
            "407 Proxy",
            "200 OK + SDP",
            "1000 Hz found",
            "digits 42#",
            "answer to first audio",
            "record: {",
        ] {
            assert!(
                shown.matches(wanted).count() >= 2,
                "{wanted:?} belongs to each of the two calls:\n{shown}"
            );
        }
        println!("demo: {:.1?}", began.elapsed());
    });
}

// The first TOML block of the README.
fn readme_configuration() -> String {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("the README");
    let block = readme
        .split("```toml\n")
        .nth(1)
        .expect("a configuration in the README");
    block.split("```").next().expect("its end").to_owned()
}

#[test]
fn the_configuration_in_the_readme_is_short_and_right() {
    let written = readme_configuration();
    assert!(written.lines().count() < 30, "under 30 lines");
    let place = Place::new("readme");
    let authority = Authority::new(&place);
    let identity = authority.identity(&place, &["sbc1.meta-voip.example.com"]);
    let here = written
        .replace(
            "/etc/wa-sbc/fullchain.pem",
            &identity.certificate.display().to_string(),
        )
        .replace("/etc/wa-sbc/key.pem", &identity.key.display().to_string());
    let path = place.write("wa-sbc.toml", &here);
    let run = |command: &str| {
        let output = Command::new(binary())
            .args([command, "--config"])
            .arg(&path)
            .env("WA_SIP_PASSWORD", PASSWORD)
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (fine, said) = run("print-config");
    assert!(
        fine && said.contains("sbc1.meta-voip.example.com"),
        "{said}"
    );
    assert!(
        said.contains("WA_SIP_PASSWORD") && !said.contains(PASSWORD),
        "secrets appear by their source: {said}"
    );
    let (_, said) = run("check");
    assert!(
        said.contains("1 numbers, 1 trunks"),
        "the file itself is accepted: {said}"
    );
    assert!(!said.contains(PASSWORD), "{said}");

    let wrong = here.replace("peer   =", "pear   =");
    std::fs::write(&path, wrong).expect("the test's directory");
    let (fine, said) = run("check");
    let line = here
        .lines()
        .position(|line| line.starts_with("peer"))
        .expect("a peer")
        + 1;
    assert!(
        !fine && said.contains("pear") && said.contains(&format!("{line}")),
        "file, line and key: {said}"
    );
}

#[test]
fn the_log_names_no_secret_at_any_level_and_no_person_above_debug() {
    for (level, people) in [("trace", true), ("info", false)] {
        let place = Place::new(&format!("log-{level}"));
        let authority = Authority::new(&place);
        let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
        setup.log = level;
        let socket = place.path("control.socket");
        setup.tables = format!("[control]\nsocket = \"{}\"\n", socket.display());
        let mut sbc = Sbc::start(&place, &authority, &setup);
        let taking = ["--exit-after", "1", "--at-most", "25"];
        let placing = ["--calls", "1", "--hang-up-after", "1", "--at-most", "25"];
        let mut desk = Simulated::pbx(&place, "uic-pbx", &taking);
        let mut user = Simulated::meta(&place, &authority, "uic-meta", &placing);
        user.succeed(SOON);
        desk.succeed(SOON);
        // Each peer holds its port, so the first two have to be gone.
        drop((user, desk));
        // The user hangs up: Meta's BYE brings its id of the call.
        let taking = [
            "--exit-after",
            "1",
            "--hang-up-after",
            "1",
            "--at-most",
            "25",
        ];
        let placing = ["--calls", "1", "--at-most", "25"];
        let mut user = Simulated::meta(&place, &authority, "bic-meta", &taking);
        let mut desk = Simulated::pbx(&place, "bic-pbx", &placing);
        desk.succeed(SOON);
        user.succeed(SOON);
        let records = sbc.wait_for_records(2, SOON);
        if !people {
            calls_are_found_by_what_the_log_shows(&sbc, &records);
        }
        sbc.running.terminate();

        let log = sbc.running.log();
        assert!(
            log.contains(HOST) || log.lines().count() > 3,
            "there is a log: {log}"
        );
        for secret in [PASSWORD, "inline:", "response=\"", "BEGIN PRIVATE"] {
            assert!(!log.contains(secret), "{secret:?} is in the log at {level}");
        }
        if !people {
            for person in [NUMBER, USERNAME, USER, &USER[1..]] {
                assert!(
                    !log.contains(person),
                    "{person} is in the log at {level}:\n{log}"
                );
            }
            for digits in [USERNAME, &USER[1..]] {
                let ids: Vec<_> = records.iter().map(|r| r["reference"].to_string()).collect();
                assert!(ids.iter().all(|id| hides(id, digits)), "{ids:?}");
                assert!(!hides(&log, digits), "{log}");
            }
        }
    }
}

/// Whether these digits come out of any word of the text that is read as base64, wherever in it one begins.
fn hides(text: &str, digits: &str) -> bool {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/".contains(c))
        .flat_map(|word| (0..4.min(word.len())).map(move |from| &word[from..]))
        .filter_map(|word| engine.decode(&word[..word.len() / 4 * 4]).ok())
        .any(|bytes| String::from_utf8_lossy(&bytes).contains(digits))
}

/// The log names each call by a short id of Meta's, which finds its ladder and its record.
fn calls_are_found_by_what_the_log_shows(sbc: &Sbc, records: &[serde_json::Value]) {
    let log = sbc.running.log();
    for record in records {
        let of_call = format!("call={} ", record["id"]);
        let line = log.lines().rfind(|line| line.contains(&of_call));
        let shown = line.and_then(|line| line.split("reference=\"").nth(1));
        let short = shown.and_then(|rest| rest.split('"').next());
        let short = short.unwrap_or_else(|| panic!("no id of {of_call}in\n{log}"));
        let ask = |words: &[&str]| {
            let output = Command::new(binary())
                .args(words)
                .arg("--config")
                .arg(&sbc.configuration)
                .env("WA_SBC_TEST_PASSWORD", PASSWORD)
                .output()
                .expect("the binary runs");
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words:?}: {complaint}");
            String::from_utf8(output.stdout).expect("text")
        };
        let whole = record["reference"].as_str().expect("an id of Meta's");
        assert!(!log.contains(whole), "{log}");
        let found = ask(&["calls", "--json", "--wacid", short]);
        assert_eq!(found.lines().count(), 1, "{short}: {found}");
        assert!(found.contains(whole), "{found}");
        let ladder = ask(&["ladder", short, "--all", "--messages"]);
        assert!(ladder.contains(whole), "{ladder}");
    }
}
