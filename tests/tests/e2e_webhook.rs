//! Records to a server of the operator's, with the real binary: killed while the server refuses, started again.

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
use tests::sbc::{Sbc, Setup};
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
    let call_ids: BTreeMap<u64, String> = meta
        .events("started")
        .iter()
        .filter_map(|started| {
            let call_id = started["call_id"].as_str()?.to_owned();
            Some((started["call"].as_u64()?, call_id))
        })
        .collect();
    let seen: BTreeSet<String> = meta
        .events("ended")
        .iter()
        .filter(|ended| ended["by"] == "us" && ended["confirmed"] == true)
        .filter_map(|ended| call_ids.get(&ended["call"].as_u64()?).cloned())
        .collect();
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
        let delivered: BTreeSet<String> = server
            .records()
            .iter()
            .filter_map(|record| Some(record["carrier_call_id"].as_str()?.to_owned()))
            .collect();
        delivered.is_superset(&seen)
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
