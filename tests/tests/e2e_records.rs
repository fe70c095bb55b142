//! Records of calls against what the peers saw, with the real binary: killed while calls end, and with a full disk.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::place::{Place, wait_until};
use tests::sbc::{Sbc, Setup, binary};
use tests::simulated::{Simulated, meta_address, pbx_address};

const LIMIT: Duration = Duration::from_secs(20);

/// A Meta that places short calls all the time, and a PBX that takes them.
fn traffic(place: &Place, authority: &Authority) -> (Simulated, Simulated) {
    let pbx = Simulated::pbx(
        place,
        "pbx",
        &["--silent", "--answer-after", "0.1", "--at-most", "30"],
    );
    let meta = Simulated::meta(
        place,
        authority,
        "meta",
        &[
            "--silent",
            "--calls",
            "400",
            "--rate",
            "40",
            "--hang-up-after",
            "0.3",
            "--at-most",
            "30",
        ],
    );
    (meta, pbx)
}

/// What `wa-sbc calls --json` prints with these arguments.
fn calls(sbc: &Sbc, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(binary())
        .args(["calls", "--json", "--last", "10000", "--config"])
        .arg(&sbc.configuration)
        .args(arguments)
        .env("WA_SBC_TEST_PASSWORD", tests::sbc::PASSWORD)
        .output()
        .expect("the binary runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn call_ids(records: &[Value]) -> BTreeSet<String> {
    records
        .iter()
        .filter_map(|record| record["carrier_call_id"].as_str())
        .map(str::to_owned)
        .collect()
}

#[test]
fn killed_while_calls_end_it_loses_no_record_of_a_call_whose_end_was_seen() {
    let place = Place::new("records-killed");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.record_lines = format!("sqlite = \"{}\"", place.path("calls.db").display());
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let (meta, _pbx) = traffic(&place, &authority);
    wait_until("calls end", LIMIT, || meta.events("ended").len() >= 60);
    sbc.running.signal("KILL");
    let call_id: BTreeMap<u64, String> = meta
        .events("started")
        .iter()
        .filter_map(|started| {
            Some((
                started["call"].as_u64()?,
                started["call_id"].as_str()?.to_owned(),
            ))
        })
        .collect();
    let seen: BTreeSet<String> = meta
        .events("ended")
        .iter()
        .filter(|ended| ended["by"] == "us" && ended["confirmed"] == true)
        .filter_map(|ended| call_id.get(&ended["call"].as_u64()?).cloned())
        .collect();
    drop(meta);
    assert!(seen.len() >= 60, "{}", seen.len());
    let again = Sbc::start(&place, &authority, &setup);
    wait_until("the journal is worked off", LIMIT, || {
        call_ids(&calls(&again, &[])).is_superset(&seen)
            && call_ids(&again.records()).is_superset(&seen)
    });
    let keys: Vec<Value> = again
        .records()
        .iter()
        .map(|record| record["key"].clone())
        .collect();
    let different: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys.len(), different.len(), "no record twice in the file");
}

#[test]
fn with_a_full_disk_calls_go_on_the_log_says_so_and_records_wait() {
    let place = Place::new("records-full");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    let http = std::net::SocketAddr::new(place.address(1), 9090);
    let token = place.write("token", "of-the-lab\n");
    setup.tables = format!(
        "[http]\nlisten = \"{http}\"\ntoken = {{ file = \"{}\" }}\n",
        token.display()
    );
    // A device that is always full, in the place of the file of records.
    std::os::unix::fs::symlink("/dev/full", place.path("records.jsonl")).expect("a link");
    setup.record_lines = format!("spool = \"{}\"", place.path("spool").display());
    let operator = tests::http::Client {
        address: http,
        token: "of-the-lab".into(),
    };
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let _pbx = Simulated::pbx(
        &place,
        "pbx",
        &["--silent", "--answer-after", "0.1", "--at-most", "30"],
    );
    let calls = [
        "--silent",
        "--calls",
        "3",
        "--rate",
        "10",
        "--hang-up-after",
        "0.3",
        "--at-most",
        "30",
    ];
    let mut meta = Simulated::meta(&place, &authority, "meta", &calls);
    meta.succeed(LIMIT);
    assert_eq!(meta.events("ended").len(), 3);
    sbc.running
        .wait_for("records cannot be written; calls go on", LIMIT);
    assert!(sbc.running.alive());
    wait_until("the metric says so", LIMIT, || {
        let text = operator.get("/metrics").body;
        let waiting = "wa_sbc_records_waiting{place=\"file\"} 3";
        text.lines().any(|line| line == waiting)
    });
}
