//! The judges judged: SIPp with SIPp, baresip with baresip, without wa-sbc between them. An intact call passes; a call that
//! is silent, too quiet, echoed or on another codec does not. Whoever cannot see a broken call cannot acquit ours.

use std::net::SocketAddr;
use std::time::Duration;

use tests::baresip::{Baresip, Codec, Setup};
use tests::capture::Capture;
use tests::certificates::Authority;
use tests::place::Place;
use tests::sipp::{Sipp, succeed};
use tests::tone::{AGENT_HZ, Audio, USER_HZ, judge, to_alaw};
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(20);

// One call from SIPp to SIPp; returns what arrived at the caller and at the callee.
fn sipp_to_sipp(
    story: &str,
    tcp: bool,
    caller_says: &Audio,
    callee_says: &Audio,
) -> (Audio, Audio) {
    let place = Place::new(story);
    let (caller, callee) = (
        SocketAddr::new(place.address(2), 5060),
        SocketAddr::new(place.address(3), 5060),
    );
    place.write("caller.al", to_alaw(&caller_says.samples));
    place.write("callee.al", to_alaw(&callee_says.samples));
    let mut capture = Capture::start(&place, "capture", &format!("net {}", place.network()), &[]);
    let set = |sipp: Sipp| if tcp { sipp.tcp() } else { sipp };
    let mut uas = set(Sipp::new("callee", "pbx_answers", callee))
        .codec("PCMA")
        .fill("TONE", "callee.al")
        .answer(&place);
    let mut uac = set(Sipp::new("caller", "pbx_calls", caller))
        .codec("PCMA")
        .fill("TONE", "caller.al")
        .fill("TALK", "4000")
        .fill("CALLER", "100")
        .call(&place, "200", callee);
    succeed(&place, "caller", &mut uac, SOON);
    succeed(&place, "callee", &mut uas, SOON);
    capture.stop();
    assert_eq!(
        capture.malformed(),
        Vec::<String>::new(),
        "SIPp speaks properly"
    );
    let caller = caller.ip().to_string();
    let callee = callee.ip().to_string();
    (
        capture.g711_at(&caller, 6000).part(0.5, 3.0),
        capture.g711_at(&callee, 6000).part(0.5, 3.0),
    )
}

#[test]
fn sipp_hears_sipp_over_udp_and_tcp() {
    if !present("judges/sipp", &["sipp"]) || !may_capture("judges/sipp") {
        return;
    }
    for (story, tcp) in [("judges-sipp-udp", false), ("judges-sipp-tcp", true)] {
        let (at_caller, at_callee) = sipp_to_sipp(
            story,
            tcp,
            &Audio::tone(USER_HZ, 8000, 20.0),
            &Audio::tone(AGENT_HZ, 8000, 20.0),
        );
        judge(&at_caller, AGENT_HZ, &[USER_HZ], 3.0).expect("the callee is heard");
        judge(&at_callee, USER_HZ, &[AGENT_HZ], 3.0).expect("the caller is heard");
        judge(&at_caller, USER_HZ, &[], 3.0).expect_err("the caller does not hear himself");
    }
}

#[test]
fn a_silent_and_a_quiet_party_are_noticed_through_sipp() {
    if !present("judges/broken-sipp", &["sipp"]) || !may_capture("judges/broken-sipp") {
        return;
    }
    let quiet = Audio::sine(AGENT_HZ, 8000, 20.0, 0.25);
    let (at_caller, at_callee) = sipp_to_sipp(
        "judges-sipp-broken",
        false,
        &Audio::silence(8000, 20.0),
        &quiet,
    );
    let error = judge(&at_callee, USER_HZ, &[], 3.0).expect_err("silence");
    assert!(error.contains("level"), "{error}");
    let error = judge(&at_caller, AGENT_HZ, &[], 3.0).expect_err("6 dB too quiet");
    assert!(error.contains("level is -12"), "{error}");
}

// One call from baresip to baresip; returns what the caller and the callee decoded.
fn baresip_to_baresip(
    story: &str,
    codec: Codec,
    secure: bool,
    says: [&Audio; 2],
    talk: Duration,
) -> (Result<Audio, String>, Result<Audio, String>) {
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let identity = authority.identity(&place, &["localhost", "127.0.0.1"]);
    let transport = if secure { "tls" } else { "udp" };
    let setup = |name, user, answers, voice| Setup {
        name,
        user,
        domain: "127.0.0.1",
        transport,
        outbound: None,
        credentials: None,
        registers: false,
        codec,
        secure,
        answers,
        identity: secure.then_some(&identity),
        voice,
        names: &[],
    };
    let mut callee = Baresip::start(&place, &setup("callee", "bob", true, says[1]));
    let mut caller = Baresip::start(&place, &setup("caller", "alice", false, says[0]));
    let target = if secure {
        callee.listen_tls()
    } else {
        callee.listen
    };
    caller.dial(&format!("sip:bob@{target};transport={transport}"));
    caller.wait_for("CALL_ESTABLISHED", SOON);
    std::thread::sleep(talk);
    caller.hang_up();
    callee.wait_for("CALL_CLOSED", SOON);
    (caller.recording(), callee.recording())
}

#[test]
fn baresip_hears_baresip_with_opus_and_sdes_over_tls() {
    if !present("judges/baresip", &["baresip"]) {
        return;
    }
    let (user, agent) = (
        Audio::tone(USER_HZ, 48_000, 30.0),
        Audio::tone(AGENT_HZ, 48_000, 30.0),
    );
    let (at_caller, at_callee) = baresip_to_baresip(
        "judges-baresip",
        Codec::Opus,
        true,
        [&user, &agent],
        Duration::from_secs(12),
    );
    let at_caller = at_caller.expect("recorded").part(1.0, 10.0);
    let at_callee = at_callee.expect("recorded").part(1.0, 10.0);
    println!(
        "caller heard {}",
        judge(&at_caller, AGENT_HZ, &[USER_HZ], 10.0).expect("the callee is heard")
    );
    println!(
        "callee heard {}",
        judge(&at_callee, USER_HZ, &[AGENT_HZ], 10.0).expect("the caller is heard")
    );
}

#[test]
fn a_silent_party_and_the_wrong_codec_are_noticed_through_baresip() {
    if !present("judges/broken-baresip", &["baresip"]) {
        return;
    }
    let (silence, agent) = (
        Audio::silence(8000, 30.0),
        Audio::tone(AGENT_HZ, 8000, 30.0),
    );
    let (at_caller, at_callee) = baresip_to_baresip(
        "judges-baresip-broken",
        Codec::Pcma,
        false,
        [&silence, &agent],
        Duration::from_secs(4),
    );
    let at_callee = at_callee.expect("recorded").part(0.5, 3.0);
    judge(&at_callee, USER_HZ, &[], 3.0).expect_err("silence is no tone");
    let at_caller = at_caller.expect("recorded");
    // A call that settled on G.711 is recorded at 8 kHz, one on Opus at 48 kHz: the codec shows in the rate.
    assert_eq!(at_caller.rate, Codec::Pcma.rate());
    assert_ne!(at_caller.rate, Codec::Opus.rate());
    judge(&at_caller.part(0.5, 3.0), AGENT_HZ, &[], 3.0).expect("the other direction is intact");
}
