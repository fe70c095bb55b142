//! Which messages and datagrams a capture has: of a trunk, a number, a call, of everything; of one call among those that
//! share a port; and what becomes of it when the disk is full. Read by tshark.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tests::capture::Capture;
use tests::captured::{LIMIT, Lab, said};
use tests::http::Client;
use tests::metronome::undisturbed;
use tests::place::{free_port, wait_until};
use tests::sbc::{NUMBER, PASSWORD};
use tests::simulated::{Simulated, agent_speaks, pbx_address, user_speaks};
use tests::tools::present;

/// Somebody who speaks SIP over UDP, word for word.
struct Peer {
    socket: UdpSocket,
    sbc: SocketAddr,
}

impl Peer {
    fn at(address: SocketAddr, sbc: SocketAddr) -> Peer {
        let socket = UdpSocket::bind(address).expect("an address of the test");
        let soon = Some(Duration::from_millis(100));
        socket.set_read_timeout(soon).expect("a timeout above zero");
        Peer { socket, sbc }
    }

    /// Sends a request of this Call-ID, until there is a final answer; its first line. An INVITE requires what nobody has.
    fn asks(&self, method: &str, from: &str, call_id: &str) -> String {
        let (local, sbc) = (self.socket.local_addr().expect("bound"), self.sbc);
        let requires = match method {
            "INVITE" => "Require: a-chimney\r\n",
            _ => "",
        };
        let began = Instant::now();
        loop {
            let text = format!(
                "{method} sip:+12195550714@{sbc} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{call_id}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{from}@{local}>;tag=1\r\nTo: <sip:+12195550714@{sbc}>\r\n\
                 Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContact: <sip:{from}@{local}>\r\n{requires}Content-Length: 0\r\n\r\n"
            );
            self.say(&text);
            while let Some(heard) = self.hear() {
                let line = heard.lines().next().unwrap_or_default();
                let is_final = line.starts_with("SIP/2.0 ") && !line.starts_with("SIP/2.0 1");
                if is_final && heard.contains(call_id) {
                    if method == "INVITE" {
                        self.say(&text.replace("INVITE", "ACK"));
                    }
                    return line.to_owned();
                }
            }
            assert!(
                began.elapsed() < LIMIT,
                "{method} of {local} is not answered"
            );
        }
    }

    /// Answers an OPTIONS with 200; returns when one has come.
    fn is_asked(&self) {
        wait_until("an OPTIONS of ours", LIMIT, || {
            let Some(asked) = self.hear().filter(|heard| heard.starts_with("OPTIONS ")) else {
                return false;
            };
            let kept = ["Via", "From", "To", "Call-ID", "CSeq"];
            let lines = asked.lines().filter(|line| {
                kept.iter()
                    .any(|name| line.starts_with(&format!("{name}:")))
            });
            let head: String = lines.map(|line| format!("{line}\r\n")).collect();
            self.say(&format!(
                "SIP/2.0 200 OK\r\n{head}Content-Length: 0\r\n\r\n"
            ));
            true
        });
    }

    fn say(&self, text: &str) {
        self.socket
            .send_to(text.as_bytes(), self.sbc)
            .expect("sent");
    }

    fn hear(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

/// A SIP message as tshark sees it.
#[derive(Debug)]
struct Seen {
    /// Method or status.
    start: String,
    call_id: String,
    /// Between whom.
    ends: [String; 2],
}

fn seen(capture: &Capture) -> Vec<Seen> {
    assert_eq!(capture.malformed(), Vec::<String>::new());
    let fields = [
        "sip.Method",
        "sip.Status-Code",
        "sip.Call-ID",
        "ip.src",
        "ip.dst",
    ];
    let rows = capture.fields("sip", &fields).into_iter();
    rows.map(|row| Seen {
        start: format!("{}{}", row[0], row[1]),
        call_id: row[2].clone(),
        ends: [row[3].clone(), row[4].clone()],
    })
    .collect()
}

fn count(seen: &[Seen], which: impl Fn(&Seen) -> bool) -> usize {
    seen.iter().filter(|one| which(one)).count()
}

#[test]
fn captures_have_what_never_became_a_call_by_trunk_by_number_and_by_call_id() {
    if !present("capture-outside-calls", &["tshark"]) {
        return;
    }
    let lab = Lab::new("capture-outside-calls", |place, setup| {
        let other = place.address(32);
        setup.trunk_lines = "ping = 1\n".into();
        setup.tables += &format!(
            "[[trunk]]\nname = \"other\"\npeer = \"sip:{other}:5060;transport=udp\"\n\
             networks = [\"{other}/32\"]\ncodecs = [\"PCMA\"]\nping = 0\n"
        );
    });
    let refused = lab.ask(&["capture", "--trunk", "offices"]);
    let why = said(&refused);
    assert!(why.contains("there is office, other"), "{why}");
    let [office, other, number, call, all] = [
        ["--trunk", "office"].as_slice(),
        &["--trunk", "other"],
        &["--number", NUMBER],
        &["--call", "refused-at-the-door"],
        &["--all"],
    ]
    .map(|of| lab.begin(of));

    let sbc = lab.sbc.sip;
    let at = |host| SocketAddr::new(lab.place.address(host), 5060);
    let desk = Peer::at(pbx_address(&lab.place), sbc);
    desk.is_asked();
    assert_eq!(desk.asks("OPTIONS", "pbx", "how-are-you"), "SIP/2.0 200 OK");
    let answer = desk.asks("INVITE", "+4930123456", "refused-at-the-door");
    assert_eq!(answer, "SIP/2.0 420 Bad Extension");
    let answer = desk.asks("REGISTER", "200", "a-phone-that-registers");
    assert!(answer.starts_with("SIP/2.0 4"), "{answer}");
    Peer::at(at(32), sbc).asks("OPTIONS", "other", "of-another-trunk");
    // A user whose password is another: refused before it is a call.
    let arguments = [
        "--wrong-password",
        "guessed",
        "--calls",
        "1",
        "--at-most",
        "20",
    ];
    let mut meta = Simulated::meta(&lab.place, &lab.authority, "meta", &arguments);
    meta.wait_for("refused", 1, LIMIT);
    meta.running.finish(LIMIT);

    let [office, other, number, call, all] =
        [office, other, number, call, all].map(|name| (seen(&lab.end(&name)), lab.file(&name)));
    let pbx = pbx_address(&lab.place).ip().to_string();
    let starts = |seen: &[Seen], start: &str| count(seen, |one| one.start == start);
    let of = |seen: &[Seen], start: &str, with_pbx: bool| {
        count(seen, |one| {
            one.start == start && one.ends.contains(&pbx) == with_pbx
        })
    };
    let named = |seen: &[Seen], call_id: &str| count(seen, |one| one.call_id == call_id);
    // The trunk: what its PBX says and is told, and what Meta says of its number.
    assert!(of(&office.0, "OPTIONS", true) >= 2, "{:?}", office.0);
    assert!(of(&office.0, "200", true) >= 2, "{:?}", office.0);
    assert_eq!(of(&office.0, "REGISTER", true), 1, "{:?}", office.0);
    assert_eq!(of(&office.0, "INVITE", true), 1, "{:?}", office.0);
    assert!(of(&office.0, "420", true) >= 1, "{:?}", office.0);
    assert_eq!(of(&office.0, "INVITE", false), 2, "{:?}", office.0);
    assert_eq!(of(&office.0, "403", false), 1, "{:?}", office.0);
    assert_eq!(named(&office.0, "of-another-trunk"), 0, "{:?}", office.0);
    // Another: nothing but its own.
    assert_eq!(named(&other.0, "of-another-trunk"), 2, "{:?}", other.0);
    assert_eq!(other.0.len(), 2, "{:?}", other.0);
    // The number: what names it, and no more.
    assert_eq!(starts(&number.0, "INVITE"), 2, "{:?}", number.0);
    for (start, times) in [("407", 1), ("403", 1), ("OPTIONS", 0), ("REGISTER", 0)] {
        assert_eq!(starts(&number.0, start), times, "{start}: {:?}", number.0);
    }
    // The Call-ID, named before anybody said it.
    assert_eq!(starts(&call.0, "INVITE"), 1, "{:?}", call.0);
    assert_eq!(
        named(&call.0, "refused-at-the-door"),
        call.0.len(),
        "{:?}",
        call.0
    );
    // Everything.
    assert!(starts(&all.0, "420") >= 1, "{:?}", all.0);
    for (start, times) in [("INVITE", 3), ("407", 1), ("REGISTER", 1)] {
        assert_eq!(starts(&all.0, start), times, "{start}: {:?}", all.0);
    }
    assert_eq!(named(&all.0, "of-another-trunk"), 2, "{:?}", all.0);

    // Their clocks are no replay's; the INVITEs of Meta are refused as they were.
    let replay = lab.ask(&["replay", "--quiet", &number.1.display().to_string()]);
    let text = said(&replay);
    assert!(
        text.contains("differs from the capture\n  nothing"),
        "{text}"
    );
    let ladder = lab.ask(&["ladder", "--file", &office.1.display().to_string()]);
    let text = said(&ladder);
    for part in ["OPTIONS", "REGISTER", "403", "407"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// What one of two calls at once is known by.
fn of_two_calls(story: &str, one_port: bool) {
    if !present(story, &["tshark"]) {
        return;
    }
    undisturbed(|| {
        let mut lab = Lab::new(story, |_, setup| {
            if one_port {
                setup.media_lines = "meta_port = \"single\"\n".into();
            }
        });
        let mut arguments: Vec<String> = agent_speaks().into();
        arguments.extend(["--exit-after", "2", "--at-most", "25"].map(str::to_owned));
        let pbx: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut desk = Simulated::pbx(&lab.place, "pbx", &pbx);
        let mut arguments: Vec<String> = user_speaks().into();
        let more = [
            "--calls",
            "2",
            "--rate",
            "10",
            "--hang-up-after",
            "3",
            "--at-most",
            "25",
        ];
        arguments.extend(more.map(str::to_owned));
        let meta: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut users = Simulated::meta(&lab.place, &lab.authority, "meta", &meta);
        desk.wait_for("confirmed", 2, LIMIT);
        // The one call by Meta's id of it, the other by the Call-ID of the PBX's leg; both talk already.
        let rung = desk.events("started");
        let wacid = rung[0]["headers"]["x-wa-meta-wacid"]
            .as_str()
            .expect("an id of Meta's");
        let call_id = rung[1]["call_id"].as_str().expect("a Call-ID");
        let names = [
            lab.begin(&["--call", wacid]),
            lab.begin(&["--call", call_id]),
        ];
        users.succeed(LIMIT);
        desk.succeed(LIMIT);
        for call in 0..2 {
            users
                .heard(call)
                .unwrap_or_else(|heard| panic!("the user hears {heard}"));
            desk.heard(call)
                .unwrap_or_else(|heard| panic!("the agent hears {heard}"));
        }
        let records = lab.sbc.wait_for_records(2, LIMIT);
        let mut spoken = BTreeSet::new();
        for (name, started) in names.iter().zip(&rung) {
            let own = started["call_id"].as_str().expect("a Call-ID");
            let record = records
                .iter()
                .find(|record| record.to_string().contains(own))
                .expect("its record")
                .to_string();
            let seen = lab.end(name);
            assert_eq!(seen.malformed(), Vec::<String>::new());
            let ids: BTreeSet<_> = seen.fields("sip", &["sip.Call-ID"]).into_iter().collect();
            assert_eq!(ids.len(), 2, "one call, two legs: {ids:?}");
            assert!(
                ids.iter().all(|id| record.contains(&id[0])),
                "{ids:?} of {record}"
            );
            assert_eq!(
                seen.count("sip.Method == \"INVITE\""),
                3,
                "from the beginning"
            );
            assert_eq!(seen.count("sip.Method == \"BYE\""), 2, "to the end");
            let comments = seen.fields("rtp || rtcp", &["frame.comment"]);
            let calls: BTreeSet<&str> = comments
                .iter()
                .map(|comment| comment[0].split(' ').nth(1).unwrap_or_default())
                .collect();
            assert_eq!(calls.len(), 1, "{calls:?}");
            let sealed = comments.iter().find(|one| !one[0].contains("media=clear"));
            assert_eq!(sealed, None, "everything is opened");
            let streams = seen.streams();
            assert_eq!(streams.len(), 4, "two legs, both ways: {streams:#?}");
            for stream in streams {
                assert!(stream.packets > 40 && stream.lost == 0, "{stream:?}");
                // A tone of ours that is relayed keeps its SSRC on no leg: each stream has one of its own.
                assert!(
                    spoken.insert(stream.ssrc.clone()),
                    "{stream:?} is the neighbour's"
                );
            }
            let replay = lab.ask(&["replay", "--quiet", &lab.file(name).display().to_string()]);
            let text = said(&replay);
            for part in ["1600 Hz", "1000 Hz", "differs from the capture\n  nothing"] {
                assert!(text.contains(part), "no {part:?} in {text}");
            }
        }
    });
}

#[test]
fn one_of_two_calls_is_captured_by_metas_id_and_the_other_by_a_call_id() {
    of_two_calls("capture-of-two", false);
}

#[test]
fn of_calls_that_share_a_port_each_capture_has_its_own_and_nothing_of_the_neighbour() {
    of_two_calls("capture-of-one-port", true);
}

#[test]
fn a_full_disk_ends_a_capture_and_says_so_everywhere_and_calls_go_on() {
    if !present("capture-full-disk", &["tshark"]) {
        return;
    }
    undisturbed(|| {
        let mut http = None;
        let mut lab = Lab::new("capture-full-disk", |place, setup| {
            let address = SocketAddr::new(place.address(9), free_port(place.address(9)));
            http = Some(Client {
                address,
                token: PASSWORD.into(),
            });
            setup.tables += &format!(
                "[http]\nlisten = \"{address}\"\ntoken = {{ env = \"WA_SBC_TEST_PASSWORD\" }}\n"
            );
            setup.log = "info";
            // 64 kB: a second of a call.
            setup.largest_file = Some(128);
        });
        let http = http.expect("set above");
        let name = lab.begin(&["--all"]);
        lab.call(3);
        let records = lab.sbc.wait_for_records(1, LIMIT);
        assert_eq!(records[0]["cause"], "normal", "{}", records[0]);
        let list = said(&lab.ask(&["capture", "--list"]));
        assert!(list.contains("cannot be written: File too large"), "{list}");
        let shown = http.get(&format!("/v1/captures/{name}")).json();
        assert_eq!(shown["running"], false, "{shown}");
        assert!(
            shown["ended"]
                .as_str()
                .is_some_and(|why| why.contains("File too large"))
        );
        let log = lab.sbc.running.log();
        assert!(
            log.contains("a capture ended: it cannot be written; calls go on"),
            "{log}"
        );
        let metrics = http.get("/metrics").body;
        for line in ["wa_sbc_capture_failures_total 1", "wa_sbc_captures 0"] {
            assert!(metrics.contains(line), "no {line:?} in {metrics}");
        }
        // What came before is there, and whole.
        let file = lab.file(&name);
        let length = std::fs::metadata(&file).expect("it is there").len();
        assert!((40_000..=65_536).contains(&length), "{length}");
        let seen = Capture::of(file, &[]);
        assert_eq!(seen.malformed(), Vec::<String>::new());
        assert!(seen.count("sip.Method == \"INVITE\"") == 3 && seen.count("rtp") > 100);
        // The next call is one like any other.
        lab.call(3);
        let records = lab.sbc.wait_for_records(2, LIMIT);
        assert_eq!(records[1]["cause"], "normal", "{}", records[1]);
    });
}
