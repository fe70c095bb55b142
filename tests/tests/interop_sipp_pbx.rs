//! SIPp as the PBX, over UDP and TCP, with baresip as the Meta-like end. SIPp plays a file of A-law; what arrives at it is
//! taken from the wire by tshark.

use std::net::SocketAddr;
use std::time::Duration;

use tests::baresip::{Baresip, Codec, Setup as Phone};
use tests::capture::Capture;
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::sipp::{Sipp, agent_says, succeed};
use tests::tone::{AGENT_HZ, Audio, USER_HZ, judge};
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(30);

fn call(story: &str, tcp: bool, user_calls: bool) {
    if !present(story, &["sipp", "baresip"]) || !may_capture(story) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut capture = Capture::start(
        &place,
        "capture",
        &format!("net {}", place.network()),
        &[5060],
    );
    let pbx = SocketAddr::new(place.address(31), 5060);
    let identity = authority.identity(&place, &["wa.meta.vc", "127.0.0.1"]);
    let voice = Audio::tone(USER_HZ, 48_000, 40.0);
    let mut user = Baresip::start(
        &place,
        &Phone {
            name: "meta",
            user: USER,
            domain: "wa.meta.vc",
            transport: "tls",
            outbound: Some(format!(
                "sip:{};transport=tls",
                SocketAddr::new(place.address(1), 5061)
            )),
            credentials: Some((USERNAME, PASSWORD)),
            registers: false,
            codec: Codec::Opus,
            secure: true,
            answers: !user_calls,
            identity: Some(&identity),
            voice: &voice,
            names: &[(HOST, place.address(1))],
        },
    );
    let mut setup = Setup::new(user.listen_tls(), pbx);
    setup.pbx.1 = if tcp { "tcp" } else { "udp" };
    let mut sbc = Sbc::start(&place, &authority, &setup);
    agent_says(&place, 40.0);

    let scenario = if user_calls {
        "pbx_answers"
    } else {
        "pbx_calls"
    };
    let mut sipp = Sipp::pbx(scenario, pbx).fill("TALK", "12500");
    if tcp {
        sipp = sipp.tcp();
    }
    let mut sipp = if user_calls {
        let answering = sipp.answer(&place);
        user.dial(&format!("sip:{NUMBER}@{HOST};transport=tls"));
        user.wait_for("CALL_ESTABLISHED", SOON);
        std::thread::sleep(Duration::from_millis(12_500));
        user.hang_up();
        answering
    } else {
        let calling = sipp.call(&place, USER, sbc.sip);
        user.wait_for("CALL_CLOSED", SOON);
        calling
    };
    succeed(&place, "pbx", &mut sipp, SOON);
    let records = sbc.wait_for_records(1, SOON);
    assert_eq!(records[0]["cause"], "normal", "{}", records[0]);
    capture.stop();

    let at_user = user.recording().expect("the user's end recorded");
    assert_eq!(
        at_user.rate,
        Codec::Opus.rate(),
        "the call settled on another codec"
    );
    let heard = judge(&at_user.part(1.0, 10.0), AGENT_HZ, &[USER_HZ], 10.0)
        .expect("the user hears the agent");
    println!("{story}: user heard {heard}");
    let at_agent = capture.g711_at(&pbx.ip().to_string(), 6000);
    let heard = judge(&at_agent.part(1.0, 10.0), USER_HZ, &[AGENT_HZ], 10.0)
        .expect("the agent hears the user");
    println!("{story}: agent heard {heard}");
    assert_eq!(
        capture.malformed(),
        Vec::<String>::new(),
        "tshark finds nothing malformed"
    );
}

#[test]
fn user_calls_a_sipp_pbx_over_udp_and_both_hear() {
    undisturbed(|| call("sipp-uic-udp", false, true));
}

#[test]
fn user_calls_a_sipp_pbx_over_tcp_and_both_hear() {
    undisturbed(|| call("sipp-uic-tcp", true, true));
}

#[test]
fn a_sipp_pbx_calls_the_user_over_udp_and_both_hear() {
    undisturbed(|| call("sipp-bic-udp", false, false));
}

#[test]
fn a_sipp_pbx_calls_the_user_over_tcp_and_both_hear() {
    undisturbed(|| call("sipp-bic-tcp", true, false));
}
