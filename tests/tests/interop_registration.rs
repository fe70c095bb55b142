//! Registrations before software that we did not write: a baresip registers with wa-sbc and is called there; wa-sbc
//! registers with a Kamailio as an extension of its, and both ways of calls go through it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tests::baresip::{Baresip, Codec, Setup as Phone};
use tests::certificates::Authority;
use tests::kamailio::Exchange;
use tests::metronome::undisturbed;
use tests::place::{Place, free_port};
use tests::sbc::{HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::tone::{AGENT_HZ, Audio, USER_HZ, judge};
use tests::tools::present;

const SOON: Duration = Duration::from_secs(20);
const TALK: Duration = Duration::from_millis(4_500);
const EXTENSION: &str = "1200";
const REALM: &str = "pbx.example.com";

/// The Meta-like end of a place.
fn meta(place: &Place, authority: &Authority, answers: bool) -> Baresip {
    let identity = authority.identity(place, &["wa.meta.vc", "127.0.0.1"]);
    let tls = SocketAddr::new(place.address(1), 5061);
    Baresip::start(
        place,
        &Phone {
            name: "meta",
            user: USER,
            domain: "wa.meta.vc",
            transport: "tls",
            outbound: Some(format!("sip:{tls};transport=tls")),
            credentials: Some((USERNAME, PASSWORD)),
            registers: false,
            codec: Codec::Opus,
            secure: true,
            answers,
            identity: Some(&identity),
            voice: &Audio::tone(USER_HZ, 48_000, 20.0),
            names: &[(HOST, tls.ip())],
        },
    )
}

fn both_heard(user: &Baresip, desk: &Baresip) {
    let at_user = user.recording().expect("the user's end recorded");
    let at_desk = desk.recording().expect("the desk recorded");
    let heard = judge(&at_user.part(1.0, 3.0), AGENT_HZ, &[USER_HZ], 3.0)
        .expect("the user hears the agent");
    println!("user heard {heard}");
    let heard = judge(&at_desk.part(1.0, 3.0), USER_HZ, &[AGENT_HZ], 3.0)
        .expect("the agent hears the user");
    println!("desk heard {heard}");
}

/// A baresip as a telephone that registers, is called, and calls.
fn telephone(story: &str, transport: &str, user_calls: bool) {
    if !present(story, &["baresip"]) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut user = meta(&place, &authority, !user_calls);
    let nowhere = SocketAddr::new(place.address(31), 5060);
    let mut setup = Setup::new(user.listen_tls(), nowhere);
    setup.trunk = Some(
        "[[trunk]]\nname = \"office\"\npeer = \"registered\"\nusername = \"desk\"\n\
         password = { env = \"WA_SBC_TEST_PASSWORD\" }\ncodecs = [\"PCMA\", \"telephone-event\"]\n"
            .into(),
    );
    // This telephone gives up at a challenge it does not know, even if another one stands beside it.
    setup.tables = "[registrar]\nalgorithms = [\"MD5\"]\n".into();
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let mut desk = Baresip::start(
        &place,
        &Phone {
            name: "desk",
            user: "desk",
            domain: HOST,
            transport,
            outbound: Some(format!("sip:{};transport={transport}", sbc.sip)),
            credentials: Some(("desk", PASSWORD)),
            registers: true,
            codec: Codec::Pcma,
            secure: false,
            answers: user_calls,
            identity: None,
            voice: &Audio::tone(AGENT_HZ, 8_000, 20.0),
            names: &[],
        },
    );
    sbc.running.wait_for("trunk office has registered", SOON);
    match user_calls {
        true => user.dial(&format!("sip:{NUMBER}@{HOST};transport=tls")),
        false => desk.dial(&format!("sip:{USER}@{HOST}")),
    }
    user.wait_for("CALL_ESTABLISHED", SOON);
    desk.wait_for("CALL_ESTABLISHED", SOON);
    std::thread::sleep(TALK);
    desk.hang_up();
    user.wait_for("CALL_CLOSED", SOON);
    desk.wait_for("CALL_CLOSED", SOON);
    both_heard(&user, &desk);
    let records = sbc.wait_for_records(1, SOON);
    assert_eq!(
        records[0]["cause"]["label"]
            .as_str()
            .or(records[0]["cause"].as_str()),
        Some("normal"),
        "{records:?}"
    );
}

#[test]
fn a_telephone_that_registered_over_udp_is_called_and_both_hear() {
    undisturbed(|| telephone("register-udp-uic", "udp", true));
}

#[test]
fn a_telephone_that_registered_over_tcp_is_called_and_both_hear() {
    undisturbed(|| telephone("register-tcp-uic", "tcp", true));
}

#[test]
fn a_telephone_with_an_account_calls_a_user_and_both_hear() {
    undisturbed(|| telephone("register-udp-bic", "udp", false));
}

/// wa-sbc as extension 1200 of a Kamailio, with a baresip as the telephone behind it.
fn extension(story: &str, transport: &'static str, user_calls: bool) {
    if !present(story, &["baresip", "kamailio"]) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut user = meta(&place, &authority, !user_calls);
    let listen = SocketAddr::new(place.address(31), 5060);
    let mut desk = Baresip::start(
        &place,
        &Phone {
            name: "desk",
            user: NUMBER,
            domain: "127.0.0.1",
            transport: "udp",
            outbound: Some(format!("sip:{listen};transport=udp")),
            credentials: None,
            registers: false,
            codec: Codec::Pcma,
            secure: false,
            answers: user_calls,
            identity: None,
            voice: &Audio::tone(AGENT_HZ, 8_000, 20.0),
            names: &[],
        },
    );
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut exchange = Exchange {
        listen,
        telephone: SocketAddr::new(home, desk.listen.port()),
        extension: (EXTENSION, PASSWORD),
        realm: REALM,
        algorithm: "SHA-256",
        expires: 120,
    }
    .start(&place);
    let mut setup = Setup::new(user.listen_tls(), listen);
    // The first server is not there; and no network says where the PBX calls from.
    let gone = SocketAddr::new(place.address(32), free_port(place.address(32)));
    setup.trunk = Some(format!(
        "[[trunk]]\nname = \"office\"\npeer = \"sip:{listen};transport={transport}\"\ndomain = \"{REALM}\"\nnetworks = []\n\
         codecs = [\"PCMA\", \"telephone-event\"]\n[trunk.register]\nusername = \"{EXTENSION}\"\n\
         password = {{ env = \"WA_SBC_TEST_PASSWORD\" }}\n{}",
        match transport {
            // Over UDP nobody says that nobody is there.
            "udp" => String::new(),
            _ => format!(
                "servers = [\"sip:{gone};transport={transport}\", \"sip:{listen};transport={transport}\"]\n"
            ),
        }
    ));
    let mut sbc = Sbc::start(&place, &authority, &setup);
    sbc.running.wait_for("trunk office: registered with", SOON);
    exchange.wait_for("pbx: REGISTER of 1200", SOON);
    match user_calls {
        true => user.dial(&format!("sip:{NUMBER}@{HOST};transport=tls")),
        false => desk.dial(&format!("sip:{USER}@{REALM}")),
    }
    user.wait_for("CALL_ESTABLISHED", SOON);
    desk.wait_for("CALL_ESTABLISHED", SOON);
    std::thread::sleep(TALK);
    desk.hang_up();
    user.wait_for("CALL_CLOSED", SOON);
    desk.wait_for("CALL_CLOSED", SOON);
    both_heard(&user, &desk);
    sbc.wait_for_records(1, SOON);
    if user_calls {
        exchange.wait_for(&format!("pbx: INVITE of {EXTENSION} for {NUMBER}"), SOON);
    }
    // Who goes says so: the PBX would ring an empty house else.
    let registered = exchange.log().matches("pbx: REGISTER of 1200").count();
    sbc.running.terminate();
    exchange.wait_for_times("pbx: REGISTER of 1200", registered + 1, SOON);
}

#[test]
fn a_user_calls_through_a_kamailio_that_knows_us_as_its_extension() {
    undisturbed(|| extension("extension-udp-uic", "udp", true));
}

#[test]
fn a_kamailio_that_took_our_registration_calls_a_user() {
    undisturbed(|| extension("extension-tcp-bic", "tcp", false));
}
