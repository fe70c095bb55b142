//! The webhook against servers in several moods.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::line::tests::record;
use super::tests::Scratch;
use super::*;
use crate::config::WebhookSettings;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    Answers(u16),
    Closes,
    Hangs(Duration),
}

/// A server that goes through its moods, one a request, and stays in the last one.
struct Server {
    address: SocketAddr,
    /// Signature and body of what it took, and the mood every request met.
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    taken: Vec<(String, String)>,
    moods: Vec<Mood>,
}

impl Server {
    fn start(moods: &[Mood]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, moods) = (seen.clone(), moods.to_vec());
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, moods) = (shared.clone(), moods.clone());
                std::thread::spawn(move || serve(stream, &shared, &moods));
            }
        });
        Server { address, seen }
    }

    fn ids(&self) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic there");
        let ids = seen.taken.iter().flat_map(|(_, body)| {
            let records: Vec<serde_json::Value> = serde_json::from_str(body).expect("an array");
            records
        });
        ids.map(|record| record["id"].as_u64().expect("an id"))
            .collect()
    }

    fn wait_for(&self, count: usize) {
        let began = Instant::now();
        while self.ids().len() < count {
            let got = self.ids();
            assert!(began.elapsed() < Duration::from_secs(30), "{got:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads requests off a connection and treats each as the mood of the moment wants it.
fn serve(stream: TcpStream, shared: &Mutex<Seen>, moods: &[Mood]) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut stream = stream;
    loop {
        let (mut length, mut signature, mut line) = (0, String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if let Some(value) = lower.strip_prefix("wa-sbc-signature:") {
                signature = value.trim().to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut seen = shared.lock().expect("no panic there");
        let mood = moods[seen.moods.len().min(moods.len() - 1)];
        seen.moods.push(mood);
        if mood == Mood::Takes {
            let body = String::from_utf8(body).expect("text");
            seen.taken.push((signature, body));
        }
        drop(seen);
        let status = match mood {
            Mood::Takes => 204,
            Mood::Answers(status) => status,
            Mood::Closes => return,
            Mood::Hangs(how_long) => {
                std::thread::sleep(how_long);
                200
            }
        };
        let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn settings(scratch: &Scratch, server: SocketAddr) -> RecordSettings {
    RecordSettings {
        spool: Some(scratch.path("spool")),
        webhook: Some(WebhookSettings {
            url: format!("http://{server}/records"),
            secret: sip::Secret::new("s3cret".into()),
            authority: None,
            timeout: Duration::from_secs(1),
            longest_pause: Duration::from_secs(1),
            spool_octets: 1 << 20,
        }),
        ..RecordSettings::default()
    }
}

fn figure(counts: &[Arc<SinkCounts>], of: fn(&SinkCounts) -> &AtomicU64) -> u64 {
    let counts = counts.iter().find(|counts| counts.name == "webhook");
    of(counts.expect("a webhook")).load(Ordering::Relaxed)
}

#[test]
fn a_server_that_fails_closes_and_hangs_gets_everything_in_order_once_it_is_well() {
    let moods = [
        Mood::Answers(500),
        Mood::Closes,
        Mood::Hangs(Duration::from_secs(3)),
        Mood::Answers(302),
        Mood::Takes,
    ];
    let server = Server::start(&moods);
    let scratch = Scratch::new();
    let records = Records::start(&settings(&scratch, server.address), 0).expect("it opens");
    let counts = records.counts().to_vec();
    (0..250).for_each(|id| records.write(Box::new(record(id))));
    server.wait_for(250);
    assert_eq!(server.ids(), (0..250).collect::<Vec<u64>>());
    records.finish();
    assert_eq!(figure(&counts, |counts| &counts.failures), 4);
    assert_eq!(figure(&counts, |counts| &counts.written), 250);
    assert_eq!(figure(&counts, |counts| &counts.waiting), 0);
    let seen = server.seen.lock().expect("no panic there");
    assert_eq!(
        seen.moods[..5],
        moods,
        "tried again and again, nothing else"
    );
    for (signature, body) in &seen.taken {
        let at = signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split(',').next());
        let at = at.and_then(|at| at.parse().ok()).expect("a time");
        assert_eq!(*signature, webhook::signature(b"s3cret", at, body));
        let now = crate::clock::wall().duration_since(std::time::UNIX_EPOCH);
        assert!(now.expect("after 1970").as_secs() - at < 60);
    }
}

#[test]
fn what_a_server_did_not_take_waits_for_the_next_start_and_comes_once() {
    let scratch = Scratch::new();
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = gone.local_addr().expect("bound");
    drop(gone);
    let mut records = Records::start(&settings(&scratch, nobody), 0).expect("it opens");
    (0..3).for_each(|id| records.over(&record(id)));
    assert!(records.is_behind());
    records.catch_up();
    assert!(!records.is_behind());
    (0..3).for_each(|id| records.write(Box::new(record(id))));
    let began = Instant::now();
    records.finish();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "the end does not wait for a server"
    );

    let server = Server::start(&[Mood::Takes]);
    let records = Records::start(&settings(&scratch, server.address), 0).expect("it opens");
    records.write(Box::new(record(3)));
    server.wait_for(4);
    records.finish();
    Records::start(&settings(&scratch, server.address), 0)
        .expect("it opens")
        .finish();
    assert_eq!(server.ids(), [0, 1, 2, 3]);
}

#[test]
fn a_queue_without_room_makes_records_wait_before_it_and_none_is_lost() {
    let server = Server::start(&[Mood::Hangs(Duration::from_millis(1500)), Mood::Takes]);
    let scratch = Scratch::new();
    let mut small = settings(&scratch, server.address);
    small.webhook.as_mut().expect("there").spool_octets = 1;
    let records = Records::start(&small, 0).expect("it opens");
    // Apart from each other, so that the first is queued alone and the others meet a queue that is full.
    for id in 0..20 {
        records.write(Box::new(record(id)));
        std::thread::sleep(Duration::from_millis(5));
    }
    server.wait_for(20);
    records.finish();
    assert_eq!(server.ids(), (0..20).collect::<Vec<u64>>());
}
