//! baresip on both sides of the real binary: as a Meta-like endpoint (TLS, SDES mandatory, Opus or G.711) and as a PBX
//! (plain RTP). Each says a tone of its own; what each decoded is judged for ten seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tests::baresip::{Baresip, Codec, Setup as Phone};
use tests::capture::Capture;
use tests::certificates::Authority;
use tests::place::Place;
use tests::sbc::{HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::tone::{AGENT_HZ, Audio, USER_HZ, judge};
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(20);
const TALK: Duration = Duration::from_millis(12_500);

#[derive(Clone, Copy, PartialEq)]
enum Caller {
    User,
    Business,
}

#[derive(Clone, Copy, PartialEq)]
enum HangsUp {
    User,
    Agent,
}

fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    }
}

// One call with both codecs as given, judged at both ends.
fn call(story: &str, caller: Caller, meta: Codec, pbx: Codec, hangs_up: HangsUp) {
    if !present(story, &["baresip"]) {
        return;
    }
    let captured = may_capture(story);
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut capture = captured.then(|| {
        Capture::start(
            &place,
            "capture",
            &format!("net {}", place.network()),
            &[5060],
        )
    });

    // The Meta-like end needs wa-sbc's address and wa-sbc needs its address; wa-sbc's is known beforehand.
    let identity = authority.identity(&place, &["wa.meta.vc", "127.0.0.1"]);
    let sbc_tls = SocketAddr::new(place.address(1), 5061);
    let sbc_sip = SocketAddr::new(place.address(2), 5060);
    let user_voice = Audio::tone(USER_HZ, meta.rate(), 40.0);
    let agent_voice = Audio::tone(AGENT_HZ, pbx.rate(), 40.0);
    let mut user = Baresip::start(
        &place,
        &Phone {
            name: "meta",
            user: USER,
            domain: "wa.meta.vc",
            transport: "tls",
            outbound: Some(format!("sip:{sbc_tls};transport=tls")),
            credentials: Some((USERNAME, PASSWORD)),
            codec: meta,
            secure: true,
            answers: caller == Caller::Business,
            identity: Some(&identity),
            voice: &user_voice,
        },
    );
    let mut agent = Baresip::start(
        &place,
        &Phone {
            name: "pbx",
            user: if caller == Caller::User {
                NUMBER
            } else {
                "100"
            },
            domain: "127.0.0.1",
            transport: "udp",
            outbound: Some(format!("sip:{sbc_sip};transport=udp")),
            credentials: None,
            codec: pbx,
            secure: false,
            answers: caller == Caller::User,
            identity: None,
            voice: &agent_voice,
        },
    );
    let mut setup = Setup::new(
        user.listen_tls(),
        SocketAddr::new(home, agent.listen.port()),
    );
    setup.meta_codecs = vec![name(meta)];
    setup.pbx_codecs = vec![name(pbx)];
    let mut sbc = Sbc::start(&place, &authority, &setup);

    match caller {
        Caller::User => user.dial(&format!("sip:{NUMBER}@{HOST};transport=tls")),
        Caller::Business => agent.dial(&format!("sip:{USER}@{}:{}", sbc_sip.ip(), sbc_sip.port())),
    }
    user.wait_for("CALL_ESTABLISHED", SOON);
    agent.wait_for("CALL_ESTABLISHED", SOON);
    std::thread::sleep(TALK);
    assert!(
        !user.reported("CALL_CLOSED") && !agent.reported("CALL_CLOSED"),
        "the call stays up while both talk"
    );
    match hangs_up {
        HangsUp::User => user.hang_up(),
        HangsUp::Agent => agent.hang_up(),
    }
    match hangs_up {
        HangsUp::User => agent.wait_for("CALL_CLOSED", SOON),
        HangsUp::Agent => user.wait_for("CALL_CLOSED", SOON),
    };

    let at_user = user.recording().expect("the user's end recorded");
    let at_agent = agent.recording().expect("the agent's end recorded");
    assert_eq!(
        at_user.rate,
        meta.rate(),
        "the call settled on another codec towards Meta"
    );
    assert_eq!(
        at_agent.rate,
        pbx.rate(),
        "the call settled on another codec towards the PBX"
    );
    let heard = judge(&at_user.part(1.0, 10.0), AGENT_HZ, &[USER_HZ], 10.0)
        .expect("the user hears the agent");
    println!("{story}: user heard {heard}");
    let heard = judge(&at_agent.part(1.0, 10.0), USER_HZ, &[AGENT_HZ], 10.0)
        .expect("the agent hears the user");
    println!("{story}: agent heard {heard}");

    let records = sbc.wait_for_records(1, SOON);
    assert_eq!(records.len(), 1, "one call, one record: {records:?}");
    if let Some(capture) = &mut capture {
        capture.stop();
        assert_eq!(
            capture.malformed(),
            Vec::<String>::new(),
            "tshark finds nothing malformed"
        );
        let ours = capture.streams();
        for address in [sbc.public, sbc.private] {
            let sent: Vec<_> = ours
                .iter()
                .filter(|stream| stream.from.starts_with(&format!("{address}:")))
                .collect();
            assert_eq!(sent.len(), 1, "one SSRC for the life of a leg: {ours:#?}");
            assert!(
                sent[0].packets > 550,
                "50 packets a second for over 11 s: {sent:?}"
            );
            assert_eq!(sent[0].lost, 0, "sequence numbers without a hole: {sent:?}");
        }
    }
}

#[test]
fn user_and_desk_hear_each_other_opus_pcma() {
    call(
        "baresip-uic-opus-pcma",
        Caller::User,
        Codec::Opus,
        Codec::Pcma,
        HangsUp::User,
    );
}

#[test]
fn user_and_desk_hear_each_other_opus_pcmu() {
    call(
        "baresip-uic-opus-pcmu",
        Caller::User,
        Codec::Opus,
        Codec::Pcmu,
        HangsUp::Agent,
    );
}

#[test]
fn user_and_desk_hear_each_other_opus_passed_through() {
    call(
        "baresip-uic-opus-opus",
        Caller::User,
        Codec::Opus,
        Codec::Opus,
        HangsUp::User,
    );
}

#[test]
fn user_and_desk_hear_each_other_pcma_passed_through() {
    call(
        "baresip-uic-pcma-pcma",
        Caller::User,
        Codec::Pcma,
        Codec::Pcma,
        HangsUp::Agent,
    );
}

#[test]
fn user_and_desk_hear_each_other_pcmu_passed_through() {
    call(
        "baresip-uic-pcmu-pcmu",
        Caller::User,
        Codec::Pcmu,
        Codec::Pcmu,
        HangsUp::User,
    );
}

#[test]
fn user_and_desk_hear_each_other_pcmu_pcma() {
    call(
        "baresip-uic-pcmu-pcma",
        Caller::User,
        Codec::Pcmu,
        Codec::Pcma,
        HangsUp::User,
    );
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_pcma() {
    call(
        "baresip-bic-opus-pcma",
        Caller::Business,
        Codec::Opus,
        Codec::Pcma,
        HangsUp::Agent,
    );
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_pcmu() {
    call(
        "baresip-bic-opus-pcmu",
        Caller::Business,
        Codec::Opus,
        Codec::Pcmu,
        HangsUp::User,
    );
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_passed_through() {
    call(
        "baresip-bic-opus-opus",
        Caller::Business,
        Codec::Opus,
        Codec::Opus,
        HangsUp::Agent,
    );
}

#[test]
fn desk_calls_user_and_they_hear_each_other_pcma_passed_through() {
    call(
        "baresip-bic-pcma-pcma",
        Caller::Business,
        Codec::Pcma,
        Codec::Pcma,
        HangsUp::User,
    );
}

#[test]
fn desk_calls_user_and_they_hear_each_other_pcma_pcmu() {
    call(
        "baresip-bic-pcma-pcmu",
        Caller::Business,
        Codec::Pcma,
        Codec::Pcmu,
        HangsUp::Agent,
    );
}
