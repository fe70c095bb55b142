//! `wa-sbc capture` on calls of the real binary: what tshark makes of the files, and what a replay does.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use tests::capture::Capture;
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{NUMBER, Sbc, Setup, binary};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};
use tests::tone::{USER_HZ, listen};
use tests::tools::present;

const LIMIT: Duration = Duration::from_secs(30);

struct Lab {
    place: Place,
    authority: Authority,
    sbc: Sbc,
}

fn lab(story: &str, lines: &str) -> Lab {
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.tables = format!(
        "[control]\nsocket = \"{}\"\n[capture]\ndir = \"{}\"\n{lines}\n",
        place.path("control.sock").display(),
        place.path("captures").display(),
    );
    let sbc = Sbc::start(&place, &authority, &setup);
    Lab {
        place,
        authority,
        sbc,
    }
}

impl Lab {
    fn capture(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(binary());
        command
            .args(["capture", "--config"])
            .arg(&self.sbc.configuration)
            .args(arguments);
        let mut running = Running::start(&self.place, "capture", &mut command);
        running.wait_for("capture-", LIMIT);
        running
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place.path("captures")).into_iter();
        let mut files: Vec<PathBuf> = entries.flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        files
    }

    /// One call of the user's, of three seconds.
    fn call(&self, more: &[&str]) {
        let mut pbx: Vec<String> = agent_speaks().into();
        pbx.extend(["--exit-after", "1", "--at-most", "25"].map(str::to_owned));
        let mut meta: Vec<String> = user_speaks().into();
        meta.extend(["--calls", "1", "--hang-up-after", "3", "--at-most", "25"].map(str::to_owned));
        meta.extend(more.iter().map(|one| (*one).to_owned()));
        let meta: Vec<&str> = meta.iter().map(String::as_str).collect();
        let pbx: Vec<&str> = pbx.iter().map(String::as_str).collect();
        let mut desk = Simulated::pbx(&self.place, "pbx", &pbx);
        let mut user = Simulated::meta(&self.place, &self.authority, "meta", &meta);
        user.succeed(LIMIT);
        desk.succeed(LIMIT);
    }
}

fn ask(lab: &Lab, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .arg("--config")
        .arg(&lab.sbc.configuration);
    command.output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_call_is_captured_in_the_clear_on_both_legs_and_replayed() {
    if !present("live-capture", &["tshark"]) {
        return;
    }
    undisturbed(|| {
        let mut lab = lab("live-capture", "");
        let mut capture = lab.capture(&["--number", NUMBER]);
        lab.call(&[]);
        lab.sbc.wait_for_records(1, LIMIT);
        capture.signal("INT");
        capture.succeed(LIMIT);
        assert!(capture.log().contains("stopped"), "{}", capture.log());
        let files = lab.files();
        let [file] = &files[..] else {
            panic!("one file: {files:?}")
        };

        let seen = Capture::of(file.clone(), &[]);
        assert_eq!(seen.malformed(), Vec::<String>::new());
        // To the user's first INVITE, to the one with credentials, to the PBX.
        assert_eq!(seen.count("sip.Method == \"INVITE\""), 3);
        assert_eq!(seen.count("sip.Status-Code == 407"), 1);
        assert_eq!(seen.count("sip.Status-Code == 200 && sdp"), 2);
        assert_eq!(seen.count("sip.Method == \"BYE\""), 2);
        assert!(seen.count("rtcp") > 1, "RTCP in the clear");
        let streams = seen.streams();
        assert_eq!(streams.len(), 4, "{streams:#?}");
        for stream in &streams {
            assert!(stream.packets > 120 && stream.lost == 0, "{stream:?}");
        }
        let pbx = pbx_address(&lab.place).ip().to_string();
        let port = streams
            .iter()
            .find_map(|stream| stream.to.strip_prefix(&format!("{pbx}:")))
            .expect("a stream to the PBX")
            .parse()
            .expect("a port");
        let heard = seen.g711_at(&pbx, port).part(0.5, 2.0);
        let heard = listen(&heard, USER_HZ, &[]);
        assert!(heard.purity > 0.95 && heard.gap_ms < 40.0, "{heard:?}");
        assert!((heard.level_db + 10.0).abs() < 3.0, "{heard:?}");
        let comments = seen.fields("sip || rtp", &["frame.comment"]);
        assert!(
            comments.iter().all(|comment| comment[0].contains("gap=")),
            "every packet says whose it is"
        );
        let bytes = String::from_utf8_lossy(&std::fs::read(file).expect("readable")).into_owned();
        assert!(
            bytes.contains("inline:"),
            "what the SDP said of keys, blanked"
        );
        for (at, _) in bytes.match_indices("inline:") {
            assert!(bytes[at..].starts_with("inline:AAAAAAAA"), "a key");
        }

        let replay = ask(&lab, &["replay", &file.display().to_string()]);
        let text = said(&replay);
        assert!(replay.status.success(), "{text}");
        for part in [
            "PBX  INVITE SDP",
            "Meta 407 (INVITE)",
            "answered true",
            "the user hears opus for 3 s: 1600 Hz",
            "the PBX hears  PCMA for 3 s: 1000 Hz",
            "differs from the capture\n  nothing",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let ladder = ask(&lab, &["ladder", "--file", &file.display().to_string()]);
        let text = said(&ladder);
        for part in ["407", "INVITE", "first packet came", "BYE"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert_eq!(
            text.matches("Call-ID").count(),
            2,
            "one call, two legs:\n{text}"
        );
    });
}
