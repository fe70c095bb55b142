//! `wa-sbc calls`, asked of both stores as an operator asks it.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use b2bua::record::{Direction, ReleasedBy};
use b2bua::{CallId, Cause, E164, Record};
use sdp::report::MediaReport;
use support::{Authority, Scratch};
use wa_sbc::Settings;
use wa_sbc::records::Records;

const HOST: &str = "sbc.example.com";

/// A program that keeps records as these lines of `[records]` say.
struct Desk {
    scratch: Scratch,
}

impl Desk {
    fn new(records: &str) -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new();
        authority.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
        let path = |name: &str| scratch.path(name).display().to_string();
        let records = records
            .replace("DB", &path("calls.db"))
            .replace("FILE", &path("records.jsonl"))
            .replace("SPOOL", &path("spool"));
        let text = format!(
            "[sip]\nhost = \"{HOST}\"\ntls = {{ listen = \"127.0.0.1:0\", certificate = \"{}\", key = \"{}\" }}\n\
             udp = {{ listen = \"127.0.0.1:0\" }}\n[media]\npublic = \"127.0.0.1\"\nprivate = \"127.0.0.1\"\n\
             [[number]]\ne164 = \"+17125550259\"\npassword = {{ env = \"WA_SIP_PASSWORD\" }}\ntrunk = \"office\"\n\
             [[trunk]]\nname = \"office\"\npeer = \"sip:127.0.0.1:9;transport=udp\"\n[records]\n{records}\n",
            path("cert.pem"),
            path("key.pem"),
        );
        std::fs::write(scratch.path("wa-sbc.toml"), text).expect("a file");
        Self { scratch }
    }

    /// Records these calls as the running program would.
    fn record(&self, calls: &[Record]) {
        let path = self.scratch.path("wa-sbc.toml");
        let text = std::fs::read_to_string(&path).expect("written above");
        let settings = Settings::read(Path::new("test.toml"), &text, |_| Some("s3cret".into()))
            .unwrap_or_else(|error| panic!("{error}"));
        let records = Records::start(&settings.records, 0).expect("writable places");
        calls
            .iter()
            .for_each(|call| records.write(Box::new(call.clone())));
        records.finish();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wa-sbc"));
        command
            .arg("calls")
            .args(arguments)
            .env("WA_SBC_CONFIG", self.scratch.path("wa-sbc.toml"))
            .env("WA_SIP_PASSWORD", "s3cret");
        command
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// What it prints, where it succeeds.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it complains of, where it does not.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "nothing is shown");
        String::from_utf8(output.stderr).expect("text")
    }

    /// The calls that `--json` shows.
    fn ids(&self, arguments: &[&str]) -> Vec<u64> {
        let text = self.said(&[arguments, &["--json"]].concat());
        let id = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
            record["id"].as_u64().expect("an id")
        };
        text.lines().map(id).collect()
    }
}

fn call(id: u64, user: &str, cause: Cause) -> Record {
    let at = |millis: u64| UNIX_EPOCH + Duration::from_millis(1_795_784_709_000 + millis);
    let talked = matches!(cause, Cause::Normal);
    Record {
        id: CallId(id),
        direction: Direction::UserInitiated,
        reference: Some(format!("wacid.HBgL{id}ABC==")),
        carrier_call_id: Some(format!("outgoing:wacid.HBgL{id}ABC==")),
        pbx_call_id: None,
        number: E164::parse("+17125550259").expect("a number"),
        user: user.into(),
        trunk: "office".into(),
        pstn: false,
        started: at(id * 1_000),
        ringing: None,
        answered: talked.then(|| at(id * 1_000 + 500)),
        ended: at(id * 1_000 + 61_000),
        duration: if talked {
            Duration::from_millis(60_500)
        } else {
            Duration::ZERO
        },
        carrier_duration: None,
        pulses: None,
        released_by: ReleasedBy::Carrier,
        cause,
        legs: [None, None],
        metadata: Default::default(),
        media: MediaReport::default(),
        digits: [0, 0],
    }
}

/// Six calls: three users, one of whom has an id and no number.
fn six() -> Vec<Record> {
    let mut nameless = call(4, "US.13491208655302741918", Cause::Normal);
    nameless.number = E164::parse("+4930555000").expect("a number");
    let mut both = call(5, "+12195550714", Cause::NoAnswer);
    let id = ("x-wa-meta-user-id".to_owned(), "US.77770000".to_owned());
    both.metadata.extend([id]);
    vec![
        call(1, "+12195550714", Cause::Normal),
        call(2, "+4915155555555", Cause::NoAnswer),
        call(3, "+12195550714", Cause::UserBusy),
        nameless,
        both,
        call(6, "+4915155555555", Cause::Normal),
    ]
}

const EITHER: [&str; 2] = [
    "sqlite = \"DB\"\nspool = \"SPOOL\"",
    "file = \"FILE\"\nspool = \"SPOOL\"",
];

#[test]
fn each_flag_finds_its_calls_alone_and_with_others_in_either_store() {
    for store in EITHER {
        let desk = Desk::new(store);
        desk.record(&six());
        for (arguments, expected) in [
            (&[][..], &[1, 2, 3, 4, 5, 6][..]),
            (&["--last", "2"], &[5, 6]),
            (&["--last", "100"], &[1, 2, 3, 4, 5, 6]),
            (&["--number", "+12195550714"], &[1, 3, 5]),
            (&["--number", "+1 219-555-0714"], &[1, 3, 5]),
            (&["--number", "12195550714"], &[1, 3, 5]),
            (&["--number", "0049 151 55555555"], &[2, 6]),
            (&["--number", "5550"], &[1, 2, 3, 4, 5, 6]),
            (&["--number", "4930"], &[4]),
            (&["--number", "US.13491208655302741918"], &[4]),
            (&["--number", "US.7777"], &[5]),
            (&["--number", "+999"], &[]),
            (&["--wacid", "wacid.HBgL3ABC=="], &[3]),
            (&["--wacid", "HBgL"], &[1, 2, 3, 4, 5, 6]),
            (&["--wacid", "wacid.nobody"], &[]),
            // As the log shows it, alone or in the Call-ID.
            (&["--wacid", "wacid~gcnljmjtnlgf"], &[3]),
            (&["--wacid", "wacid~gcnljmjtnlgf", "--last", "1"], &[3]),
            (
                &[
                    "--wacid",
                    "outgoing:wacid~gcnljmjtnlgf",
                    "--cause",
                    "user_busy",
                ],
                &[3],
            ),
            (&["--wacid", "wacid~gcnljmjtnlgf", "--cause", "normal"], &[]),
            (&["--wacid", "wacid~bcdfghjklmnp"], &[]),
            (&["--cause", "normal"], &[1, 4, 6]),
            (&["--cause", "no_answer"], &[2, 5]),
            (&["--cause", "no"], &[]),
            (&["--cause", "normal", "--number", "12195550714"], &[1]),
            (&["--cause", "no_answer", "--last", "1"], &[5]),
            (
                &[
                    "--number",
                    "12195550714",
                    "--cause",
                    "user_busy",
                    "--wacid",
                    "HBgL3",
                ],
                &[3],
            ),
            (&["--number", "12195550714", "--wacid", "HBgL2"], &[]),
        ] {
            assert_eq!(desk.ids(arguments), expected, "{arguments:?} with {store}");
        }
    }
}

#[test]
fn people_read_who_called_whom_for_how_long_and_why_it_ended() {
    let desk = Desk::new(EITHER[0]);
    let mut hostile = call(9, "+12195550714", Cause::Normal);
    hostile.direction = Direction::BusinessInitiated;
    hostile.cause = Cause::NoCommonMedia("\u{1b}[2J\u{7}gone".into());
    let mut talk = call(1, "+12195550714", Cause::Normal);
    talk.media.legs[0].mos_received = Some(4.372);
    desk.record(&[talk, hostile]);
    let shown = desk.said(&[]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        words(lines[0]),
        "began (UTC) way number user trunk talked MOS Meta/PBX ended by why"
    );
    assert_eq!(
        words(lines[1]),
        "2026-11-27 13:05:10 in +17125550259 +12195550714 office 60.5 s 4.4/- carrier normal"
    );
    assert!(
        words(lines[2]).starts_with("2026-11-27 13:05:18 out "),
        "{shown}"
    );
    assert!(
        lines[2].contains("no_common_media (\u{fffd}[2J\u{fffd}gone)"),
        "{shown}"
    );
    assert!(
        !shown.contains(['\u{1b}', '\u{7}']),
        "nothing a terminal obeys"
    );
    assert!(!desk.said(&["--json"]).contains('\u{1b}'));
}

#[test]
fn a_store_without_calls_one_that_is_not_there_and_none_at_all_are_told_apart() {
    for store in EITHER {
        let desk = Desk::new(store);
        let absent = desk.refused(&[]);
        assert!(
            absent.contains("no call was recorded in ") && absent.contains("yet"),
            "{absent}"
        );
        assert!(absent.contains("--config"), "{absent}");
        assert!(desk.refused(&["--json"]).contains("no call was recorded"));
        assert!(
            !desk.scratch.path("calls.db").exists(),
            "asking makes nothing"
        );

        desk.record(&[]);
        assert!(desk.said(&[]).starts_with("no call of that kind in "));
        assert_eq!(desk.said(&["--json"]), "");
        desk.record(&six());
        assert!(
            desk.said(&["--cause", "nonsense"])
                .starts_with("no call of that kind in ")
        );
    }
    let nowhere = Desk::new("stdout = true\nspool = \"SPOOL\"").refused(&[]);
    assert!(nowhere.contains("set sqlite"), "{nowhere}");
    let broken = Desk::new(EITHER[0]);
    std::fs::write(broken.scratch.path("calls.db"), "no database").expect("written");
    let why = broken.refused(&[]);
    assert!(
        why.contains("cannot read records from") && why.contains("not a database"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_flag_it_is_about() {
    let desk = Desk::new(EITHER[0]);
    desk.record(&six());
    for (arguments, about) in [
        (&["--number", "+"][..], "--number"),
        (&["--number", ""], "--number"),
        (&["--number", "?!"], "--number"),
        (&["--last", "0"], "--last"),
        (&["--last", "-3"], "-3"),
        (&["--last", "many"], "--last"),
        (&["--colour"], "--colour"),
    ] {
        let why = desk.refused(arguments);
        assert!(why.contains(about), "{arguments:?}: {why}");
    }
}

#[test]
fn calls_in_files_that_were_put_aside_are_found_as_well() {
    let desk = Desk::new("file = \"FILE\"\nspool = \"SPOOL\"");
    let six = six();
    let file = desk.scratch.path("records.jsonl");
    let aside = |stamp: u64| desk.scratch.path(&format!("records.jsonl.{stamp:013}"));
    for (stamp, calls) in [(1, &six[..2]), (2, &six[2..4])] {
        desk.record(calls);
        std::fs::rename(&file, aside(stamp)).expect("put aside");
    }
    // Somebody else's, which only looks alike.
    std::fs::copy(aside(1), desk.scratch.path("records.jsonl.gz")).expect("copied");
    desk.record(&six[4..]);
    assert_eq!(desk.ids(&[]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(desk.ids(&["--last", "3"]), [4, 5, 6]);
    assert_eq!(desk.ids(&["--cause", "normal", "--last", "2"]), [4, 6]);
    assert_eq!(desk.ids(&["--wacid", "HBgL1"]), [1]);
}

#[test]
fn whoever_reads_only_the_beginning_makes_no_failure() {
    let desk = Desk::new(EITHER[0]);
    let many: Vec<Record> = (0..400)
        .map(|id| call(id, "+12195550714", Cause::Normal))
        .collect();
    desk.record(&many);
    let mut reading = desk
        .command(&["--json", "--last", "400"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Closed before it writes more than a pipe holds.
    drop(reading.stdout.take());
    let output = reading.wait_with_output().expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && complaint.is_empty(),
        "{complaint}"
    );
}
