//! Records to a server of the operator's, with the real binary: killed while the server refuses, killed at many moments, started
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::place::{Place, wait_until};
use tests::sbc::{PASSWORD, Sbc, Setup, binary};
use tests::simulated::{Simulated, meta_address, pbx_address};
use tests::tools::present;

const LIMIT: Duration = Duration::from_secs(20);

/// A server that answers 500 until it is told to be well.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    well: Arc<AtomicBool>,
    refused: Arc<Mutex<usize>>,
    /// Signature and body of what it took.
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    fn start(place: &Place) -> Server {
        let listener = TcpListener::bind((place.address(41), 0)).expect("a port");
        let server = Server {
            address: listener.local_addr().expect("bound"),
            well: Arc::default(),
            refused: Arc::default(),
            taken: Arc::default(),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if line == "\r\n" {
                    break;
                }
                head.push(line.to_ascii_lowercase());
            }
            let header = |name: &str| {
                let line = head.iter().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            let mut body = vec![0; header("content-length:").parse().expect("a length")];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let well = self.well.load(Ordering::Relaxed);
            if well {
                let body = String::from_utf8(body).expect("text");
                let signed = header("wa-sbc-signature:");
                self.taken.lock().expect("no panic").push((signed, body));
            } else {
                *self.refused.lock().expect("no panic") += 1;
            }
            let status = if well { 200 } else { 500 };
            let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn records(&self) -> Vec<Value> {
        let taken = self.taken.lock().expect("no panic");
        let bodies = taken.iter().map(|(_, body)| body);
        bodies
            .flat_map(|body| serde_json::from_str::<Vec<Value>>(body).expect("an array of records"))
            .collect()
    }
}

/// The Call-IDs of calls whose end the far side has seen.
fn seen(meta: &Simulated) -> BTreeSet<String> {
    let call_ids: BTreeMap<u64, String> = meta
        .events("started")
        .iter()
        .filter_map(|started| {
            let call_id = started["call_id"].as_str()?.to_owned();
            Some((started["call"].as_u64()?, call_id))
        })
        .collect();
    meta.events("ended")
        .iter()
        .filter(|ended| ended["by"] == "us" && ended["confirmed"] == true)
        .filter_map(|ended| call_ids.get(&ended["call"].as_u64()?).cloned())
        .collect()
}

fn call_ids(records: &[Value]) -> BTreeSet<String> {
    let call_id = |record: &Value| Some(record["carrier_call_id"].as_str()?.to_owned());
    records.iter().filter_map(call_id).collect()
}

#[test]
fn killed_while_the_server_refuses_it_delivers_every_record_after_the_next_start() {
    let place = Place::new("webhook-killed");
    let authority = Authority::new(&place);
    let server = Server::start(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    let secret = place.write("webhook-secret", "known to both\n");
    setup.record_lines = format!(
        "[records.webhook]\nurl = \"http://{}/records\"\nsecret = {{ file = \"{}\" }}\nlongest_pause = 1",
        server.address,
        secret.display()
    );
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let pbx = ["--silent", "--answer-after", "0.1", "--at-most", "30"];
    let _pbx = Simulated::pbx(&place, "pbx", &pbx);
    let calls = [
        "--silent",
        "--calls",
        "400",
        "--rate",
        "40",
        "--hang-up-after",
        "0.3",
        "--at-most",
        "30",
    ];
    let meta = Simulated::meta(&place, &authority, "meta", &calls);
    wait_until("calls end", LIMIT, || meta.events("ended").len() >= 60);
    sbc.running.signal("KILL");
    let seen = seen(&meta);
    drop(meta);
    assert!(seen.len() >= 60, "{}", seen.len());
    assert!(
        *server.refused.lock().expect("no panic") > 0,
        "it was asked"
    );
    assert!(server.records().is_empty(), "and took nothing");

    server.well.store(true, Ordering::Relaxed);
    let again = Sbc::start(&place, &authority, &setup);
    wait_until("every record is delivered", LIMIT, || {
        call_ids(&server.records()).is_superset(&seen)
    });
    drop(again);
    let keys: Vec<String> = server
        .records()
        .iter()
        .map(|record| record["key"].to_string())
        .collect();
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), different.len(), "none came twice");

    if present("webhook signature", &["openssl"]) {
        let taken = server.taken.lock().expect("no panic");
        let (signed, body) = &taken[0];
        let time = signed.split([',', '=']).nth(1).expect("a time");
        let file = place.write("signed", format!("{time}.{body}"));
        let digest = Command::new("openssl")
            .args(["dgst", "-sha256", "-hmac", "known to both"])
            .arg(file)
            .output()
            .expect("it is there");
        let digest = String::from_utf8_lossy(&digest.stdout).into_owned();
        let digest = digest.trim().rsplit(' ').next().expect("a digest");
        assert_eq!(*signed, format!("t={time},v1={digest}"));
    }
}

#[test]
fn killed_again_and_again_at_another_moment_each_time_it_loses_neither_record_nor_delivery() {
    let place = Place::new("webhook-killed-often");
    let authority = Authority::new(&place);
    let server = Server::start(&place);
    server.well.store(true, Ordering::Relaxed);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    let secret = place.write("webhook-secret", "known to both\n");
    setup.record_lines = format!(
        "sqlite = \"{}\"\n[records.webhook]\nurl = \"http://{}/records\"\nsecret = {{ file = \"{}\" }}\nlongest_pause = 1",
        place.path("calls.db").display(),
        server.address,
        secret.display()
    );
    let pbx = ["--silent", "--answer-after", "0.05", "--at-most", "60"];
    let _pbx = Simulated::pbx(&place, "pbx", &pbx);
    let calls = [
        "--silent",
        "--calls",
        "400",
        "--rate",
        "60",
        "--hang-up-after",
        "0.1",
        "--at-most",
        "60",
    ];
    // How many calls have ended, and milliseconds later: between BYE and its answer, answer and report, report and sinks,
    // one sink and the next. The last one but one dies while it completes what its predecessor left.
    let moments = [(1, 0), (5, 23), (9, 3), (20, 14), (0, 0), (30, 45)];
    let mut all = BTreeSet::new();
    for (round, (ended, later)) in moments.into_iter().enumerate() {
        let mut sbc = Sbc::start(&place, &authority, &setup);
        let meta = (ended > 0)
            .then(|| Simulated::meta(&place, &authority, &format!("meta-{round}"), &calls));
        let count = || meta.as_ref().map_or(0, |meta| meta.events("ended").len());
        wait_until("calls end", LIMIT, || count() >= ended);
        std::thread::sleep(Duration::from_millis(later));
        sbc.running.signal("KILL");
        sbc.running.finish(LIMIT);
        all.extend(meta.as_ref().map(seen).unwrap_or_default());
    }
    assert!(all.len() >= 50, "{}", all.len());
    let again = Sbc::start(&place, &authority, &setup);
    wait_until("every record is delivered", LIMIT, || {
        call_ids(&server.records()).is_superset(&all)
    });
    wait_until("every record is in the file", LIMIT, || {
        call_ids(&again.records()).is_superset(&all)
    });
    let output = Command::new(binary())
        .args(["calls", "--json", "--last", "10000", "--config"])
        .arg(&again.configuration)
        .env("WA_SBC_TEST_PASSWORD", PASSWORD)
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let stored: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(call_ids(&stored).is_superset(&all), "in the database too");
    // One for each call in the places that know keys; a server may get one twice, under the same key.
    for records in [&again.records(), &stored] {
        let keys: BTreeSet<String> = records
            .iter()
            .map(|record| record["key"].to_string())
            .collect();
        assert_eq!(
            (keys.len(), call_ids(records).len()),
            (records.len(), records.len())
        );
    }
}
