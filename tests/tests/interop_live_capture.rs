//! `wa-sbc capture` on calls of the real binary: what tshark makes of the files, and what a replay does. With
//! WA_SBC_KEEP_CAPTURES=1 the captures between independent programs go to `pcaps/`, each with what comes of it.

use std::net::SocketAddr;
use std::time::Duration;

use tests::baresip::Codec;
use tests::capture::Capture;
use tests::captured::{LIMIT, Lab, capture, files, judged, said, tables};
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::phones::{Caller, Phones};
use tests::place::Place;
use tests::sbc::NUMBER;
use tests::simulated::{Simulated, pbx_address, user_speaks};
use tests::sipp::{Sipp, agent_says, succeed};
use tests::tone::{USER_HZ, listen};
use tests::tools::present;

fn lab(story: &str) -> Lab {
    Lab::new(story, |_, _| {})
}

#[test]
fn a_call_is_captured_in_the_clear_on_both_legs_and_replayed() {
    if !present("live-capture", &["tshark"]) {
        return;
    }
    undisturbed(|| {
        let mut lab = lab("live-capture");
        let mut capture = capture(&lab.place, &lab.sbc, &["--number", NUMBER]);
        lab.call(3);
        lab.sbc.wait_for_records(1, LIMIT);
        capture.signal("INT");
        capture.succeed(LIMIT);
        assert!(capture.log().contains("stopped"), "{}", capture.log());
        let files = files(&lab.place);
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

        let replay = lab.ask(&["replay", &file.display().to_string()]);
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
        let ladder = lab.ask(&["ladder", "--file", &file.display().to_string()]);
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

/// A call between two baresips; the one hangs up.
fn between_baresips(name: &str, about: &str, caller: Caller, user_hangs_up: bool, record: &str) {
    if !present(name, &["tshark", "baresip"]) {
        return;
    }
    undisturbed(|| {
        let place = Place::new(&format!("live-{name}"));
        let authority = Authority::new(&place);
        let codecs = (Codec::Opus, Codec::Pcma);
        let lines = tables(&place);
        let mut phones = Phones::start_with(&place, &authority, caller, codecs, 30.0, &lines);
        let mut running = capture(&place, &phones.sbc, &["--all"]);
        phones.connect(caller);
        std::thread::sleep(Duration::from_secs(3));
        assert!(phones.talking(), "the call stays up while both talk");
        phones.hang_up(user_hangs_up);
        phones.sbc.wait_for_records(1, LIMIT);
        let text = judged(&place, &mut running, (name, about));
        for part in [record, "1600 Hz", "1000 Hz"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    });
}

#[test]
fn a_call_between_baresips_is_captured_and_replayed() {
    between_baresips(
        "baresip-agent-calls",
        "A baresip is the PBX and calls, a baresip is Meta and answers; the agent hangs up.",
        Caller::Desk,
        false,
        "business_initiated normal",
    );
}

#[test]
fn a_call_of_a_baresip_as_the_user_is_captured_and_replayed() {
    between_baresips(
        "baresip-user-calls",
        "A baresip is Meta and calls, is challenged, a baresip is the PBX and answers; the user hangs up.",
        Caller::User,
        true,
        "user_initiated normal",
    );
}

#[test]
fn a_transfer_by_a_sipp_pbx_is_captured_and_replayed() {
    let name = "sipp-transfer";
    if !present(name, &["tshark", "sipp"]) {
        return;
    }
    undisturbed(|| {
        let mut lab = lab("live-sipp-transfer");
        let place = &lab.place;
        let pbx = pbx_address(place);
        let colleague = SocketAddr::new(pbx.ip(), 5070);
        let mut running = capture(place, &lab.sbc, &["--number", NUMBER]);
        agent_says(place, 20.0);
        let sipp = |name: &str, scenario: &str, local| Sipp::pbx(scenario, local).named(name);
        let mut first = sipp("pbx", "pbx_transfers", pbx)
            .fill("TARGET", &format!("sip:201@{colleague}"))
            .answer(place);
        let mut second = sipp("colleague", "pbx_is_transferred_to", colleague)
            .fill("HEADER", "Referred-By")
            .fill("VALUE", ".sip:desk@")
            .with(&["-mp", "7000"])
            .answer(place);
        let speaks = user_speaks();
        let mut arguments: Vec<&str> = speaks.iter().map(String::as_str).collect();
        arguments.extend(["--hang-up-after", "6", "--at-most", "25", "--calls", "1"]);
        let mut meta = Simulated::meta(place, &lab.authority, "meta", &arguments);
        succeed(place, "pbx", &mut first, LIMIT);
        succeed(place, "colleague", &mut second, LIMIT);
        meta.succeed(LIMIT);
        lab.sbc.wait_for_records(1, LIMIT);
        let about = "A SIPp PBX answers and transfers the user to a colleague, a SIPp as well; the simulated Meta is the user.";
        let text = judged(&lab.place, &mut running, (name, about));
        assert!(text.contains("PBX  INVITE SDP"), "{text}");
    });
}

#[test]
fn the_running_program_is_asked_at_its_socket_for_captures_and_ladders() {
    let mut lab = lab("live-asked");
    let much = ["capture", "--all", "--files", "200", "--megabytes", "10"];
    let refused = lab.ask(&much);
    let why = said(&refused);
    assert!(
        !refused.status.success() && why.contains("may take 1000 MB"),
        "{why}"
    );
    let detached = lab.ask(&["capture", "--all", "--keys", "--detach"]);
    assert!(detached.status.success(), "{}", said(&detached));
    let name = said(&detached).trim().to_owned();
    lab.call(3);
    lab.sbc.wait_for_records(1, LIMIT);
    let list = said(&lab.ask(&["capture", "--list"]));
    assert!(list.contains(&name) && list.contains("running"), "{list}");
    let stopped = said(&lab.ask(&["capture", "--stop", &name]));
    assert!(
        stopped.contains("stopped") && stopped.contains(".pcapng"),
        "{stopped}"
    );
    let files = files(&lab.place);
    let bytes = std::fs::read(&files[0]).expect("readable");
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("a=opened:") && !text.contains("inline:AAAAAAAA"),
        "keys as asked"
    );
    let unknown = lab.ask(&["capture", "--stop", "capture-0"]);
    assert!(!unknown.status.success(), "{}", said(&unknown));

    let ladder = said(&lab.ask(&["ladder", NUMBER]));
    for part in [
        "INVITE SDP",
        "first packet came",
        "ended by carrier: normal",
    ] {
        assert!(ladder.contains(part), "no {part:?} in\n{ladder}");
    }
    let full = said(&lab.ask(&["ladder", NUMBER, "--messages"]));
    assert!(
        full.contains("inline:AAAAAAAA") && full.contains("response=\"0000"),
        "{full}"
    );
    let secret = said(&lab.ask(&["ladder", NUMBER, "--messages", "--secrets"]));
    assert!(secret.contains("inline:") && !secret.contains("inline:AAAAAAAA"));
    let picture = lab.place.path("call.svg");
    let path = picture.display().to_string();
    assert!(
        lab.ask(&["ladder", NUMBER, "--svg", &path])
            .status
            .success()
    );
    let svg = std::fs::read_to_string(picture).expect("written");
    assert!(svg.starts_with("<svg") && !svg.contains("inline:"), "{svg}");
}
