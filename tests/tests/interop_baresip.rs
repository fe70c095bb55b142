//! baresip on both sides of the real binary: as a Meta-like endpoint (TLS, SDES mandatory, Opus or G.711) and as a PBX
//! (plain RTP, or SDES as well). Each says a tone of its own; what each decoded is judged for ten seconds.

use std::time::Duration;

use tests::baresip::Codec;
use tests::capture::Capture;
use tests::certificates::Authority;
use tests::metronome::undisturbed;
use tests::phones::{Caller, Phones};
use tests::place::Place;
use tests::tools::{may_capture, present};

const SOON: Duration = Duration::from_secs(20);
const TALK: Duration = Duration::from_millis(12_500);

#[derive(Clone, Copy, PartialEq)]
enum HangsUp {
    User,
    Desk,
}

// One call with both codecs as given, judged at both ends and on the wire.
fn call(story: &str, caller: Caller, meta: Codec, pbx: Codec, hangs_up: HangsUp) {
    call_with(story, caller, (meta, pbx), hangs_up, "");
}

// The same with further lines of the trunk; gives its record, and what the SBC logged.
fn call_with(
    story: &str,
    caller: Caller,
    codecs: (Codec, Codec),
    hangs_up: HangsUp,
    trunk_lines: &str,
) -> Option<(serde_json::Value, String)> {
    if !present(story, &["baresip"]) {
        return None;
    }
    let captured = may_capture(story);
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut capture = captured.then(|| {
        Capture::start(
            &place,
            "capture",
            &format!("net {}", place.network()),
            &[5060],
        )
    });

    let mut phones = Phones::start_with(&place, &authority, caller, codecs, 40.0, trunk_lines);
    phones.connect(caller);
    std::thread::sleep(TALK);
    assert!(phones.talking(), "the call stays up while both talk");
    phones.hang_up(hangs_up == HangsUp::User);

    let (at_user, at_desk) = phones
        .verdict(10.0)
        .unwrap_or_else(|why| panic!("{story}: {why}"));
    println!("{story}: user heard {at_user}; desk heard {at_desk}");
    let records = phones.sbc.wait_for_records(1, SOON);
    assert_eq!(records.len(), 1, "one call, one record: {records:?}");
    assert_eq!(records[0]["cause"], "normal", "{}", records[0]);
    let told = (records[0].clone(), phones.sbc.running.log());
    let Some(capture) = &mut capture else {
        return Some(told);
    };
    capture.stop();
    assert_eq!(
        capture.malformed(),
        Vec::<String>::new(),
        "tshark finds nothing malformed"
    );
    let streams = capture.streams();
    for address in [phones.sbc.public, phones.sbc.private] {
        let sent: Vec<_> = streams
            .iter()
            .filter(|stream| stream.from.starts_with(&format!("{address}:")))
            .collect();
        assert_eq!(
            sent.len(),
            1,
            "one SSRC for the life of a leg: {streams:#?}"
        );
        assert!(
            sent[0].packets > 550,
            "50 packets a second for over 11 s: {sent:?}"
        );
        assert_eq!(sent[0].lost, 0, "sequence numbers without a hole: {sent:?}");
    }
    Some(told)
}

// A desk whose audio is SRTP as well, under the suite given.
fn secured_call(story: &str, caller: Caller, pbx: Codec, suite: &str) {
    let lines = format!("srtp = \"required\"\nsuites = [\"{suite}\"]\n");
    let told = call_with(story, caller, (Codec::Opus, pbx), HangsUp::User, &lines);
    let Some((record, log)) = told else { return };
    assert_eq!(record["pbx"]["suite"], suite, "{record}");
    assert!(
        log.contains("SRTP keys travel in SIP over UDP"),
        "the operator is warned at the start"
    );
    let key = log.lines().find(|line| line.contains("inline:"));
    assert_eq!(key, None, "a key in the log");
}

#[test]
fn user_and_desk_hear_each_other_with_srtp_on_both_sides() {
    undisturbed(|| {
        secured_call(
            "baresip-uic-srtp",
            Caller::User,
            Codec::Pcma,
            "AES_CM_128_HMAC_SHA1_80",
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_with_srtp_on_both_sides() {
    undisturbed(|| {
        secured_call(
            "baresip-bic-srtp",
            Caller::Desk,
            Codec::Opus,
            "AES_CM_128_HMAC_SHA1_80",
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_opus_pcma() {
    undisturbed(|| {
        call(
            "baresip-uic-opus-pcma",
            Caller::User,
            Codec::Opus,
            Codec::Pcma,
            HangsUp::User,
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_opus_pcmu() {
    undisturbed(|| {
        call(
            "baresip-uic-opus-pcmu",
            Caller::User,
            Codec::Opus,
            Codec::Pcmu,
            HangsUp::Desk,
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_opus_passed_through() {
    undisturbed(|| {
        call(
            "baresip-uic-opus-opus",
            Caller::User,
            Codec::Opus,
            Codec::Opus,
            HangsUp::User,
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_pcma_passed_through() {
    undisturbed(|| {
        call(
            "baresip-uic-pcma-pcma",
            Caller::User,
            Codec::Pcma,
            Codec::Pcma,
            HangsUp::Desk,
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_pcmu_passed_through() {
    undisturbed(|| {
        call(
            "baresip-uic-pcmu-pcmu",
            Caller::User,
            Codec::Pcmu,
            Codec::Pcmu,
            HangsUp::User,
        )
    });
}

#[test]
fn user_and_desk_hear_each_other_pcmu_pcma() {
    undisturbed(|| {
        call(
            "baresip-uic-pcmu-pcma",
            Caller::User,
            Codec::Pcmu,
            Codec::Pcma,
            HangsUp::User,
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_pcma() {
    undisturbed(|| {
        call(
            "baresip-bic-opus-pcma",
            Caller::Desk,
            Codec::Opus,
            Codec::Pcma,
            HangsUp::Desk,
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_pcmu() {
    undisturbed(|| {
        call(
            "baresip-bic-opus-pcmu",
            Caller::Desk,
            Codec::Opus,
            Codec::Pcmu,
            HangsUp::User,
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_opus_passed_through() {
    undisturbed(|| {
        call(
            "baresip-bic-opus-opus",
            Caller::Desk,
            Codec::Opus,
            Codec::Opus,
            HangsUp::Desk,
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_pcma_passed_through() {
    undisturbed(|| {
        call(
            "baresip-bic-pcma-pcma",
            Caller::Desk,
            Codec::Pcma,
            Codec::Pcma,
            HangsUp::User,
        )
    });
}

#[test]
fn desk_calls_user_and_they_hear_each_other_pcma_pcmu() {
    undisturbed(|| {
        call(
            "baresip-bic-pcma-pcmu",
            Caller::Desk,
            Codec::Pcma,
            Codec::Pcmu,
            HangsUp::Desk,
        )
    });
}
