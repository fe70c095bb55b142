//! The published session descriptions: read, printed back, answered and agreed on.

use std::fs;
use std::path::Path;

use sdp::{
    Agreed, Codec, Description, Keying, Local, MediaProfile, Profile, Role, SrtpKey, Suite, agree,
    compose,
};

const OPUS_FMTP: &str = "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";

/// Every session description among the samples: whole files, and bodies of messages.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/samples");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the samples are there") {
        let path = entry.expect("a directory entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path).expect("a readable sample");
        if name.ends_with(".sdp") {
            found.push((name, bytes));
        } else if name.ends_with(".sip") {
            let end = bytes
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .expect("a header end");
            let (head, body) = bytes.split_at(end + 4);
            if String::from_utf8_lossy(head)
                .to_lowercase()
                .contains("application/sdp")
            {
                found.push((name, body.to_vec()));
            }
        }
    }
    found.sort();
    found
}

fn read(name: &str) -> Description {
    let (_, bytes) = all()
        .into_iter()
        .find(|(found, _)| found == name)
        .expect("the sample is there");
    Description::parse(&bytes).expect("a readable sample")
}

/// How the far side of the samples is described to.
pub(crate) fn profile() -> MediaProfile {
    MediaProfile {
        profile: Profile::Savp,
        codecs: vec![Codec::Opus, Codec::TelephoneEvent],
        ptime: 20,
        rtcp_mux: true,
        suites: vec![Suite::AesCm128HmacSha1_80],
        opus_fmtp: OPUS_FMTP,
        opus_pt: 111,
        dtmf_pt: 126,
        print_ssrc: true,
    }
}

/// The local facts the recommended samples were written with; the key is the sample's.
fn local(key: SrtpKey) -> Local {
    Local {
        address: "203.0.113.20".parse().expect("an address"),
        rtp_port: 31002,
        rtcp_port: 31003,
        session_id: 20260401120001,
        version: 1,
        ssrc: 305419897,
        cname: "sbc".to_owned(),
        key: Some(key),
    }
}

fn key_of(description: &Description) -> SrtpKey {
    description.audio().expect("audio").crypto().remove(0).key
}

#[test]
fn every_published_description_is_printed_back_byte_for_byte() {
    let samples = all();
    assert!(samples.len() >= 11, "only {} samples found", samples.len());
    for (name, bytes) in samples {
        let description =
            Description::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let printed = description.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&printed),
            String::from_utf8_lossy(&bytes),
            "{name}"
        );
        assert_eq!(description.to_string().as_bytes(), bytes, "{name}");
    }
}

#[test]
fn our_offer_is_the_recommended_one_byte_for_byte() {
    let sample = read("sbc-bic-sdes-offer.sdp");
    let offer = compose::offer(&profile(), &local(key_of(&sample)));
    assert_eq!(offer.to_string(), sample.to_string());
}

#[test]
fn our_answer_is_the_recommended_one_byte_for_byte() {
    let sample = read("sbc-uic-02-200.sip");
    let offer = read("sip-uic-sdes-offer.sdp");
    let answer =
        compose::answer(&offer, &profile(), &local(key_of(&sample)), None).expect("an answer");
    assert_eq!(answer.to_string(), sample.to_string());
}

#[test]
fn the_published_offers_and_answers_agree() {
    let pairs = [
        (
            "uic-sdes-01-invite.sip",
            "uic-sdes-05-200.sip",
            Role::Answerer,
        ),
        (
            "uic-sdes-noauth-01-invite.sip",
            "uic-sdes-noauth-02-200.sip",
            Role::Answerer,
        ),
        (
            "uic-sdes-01-invite.sip",
            "sbc-uic-02-200.sip",
            Role::Answerer,
        ),
        (
            "sip-bic-sdes-offer.sdp",
            "sip-bic-sdes-answer.sdp",
            Role::Offerer,
        ),
    ];
    let mut shown = String::new();
    for (offer, answer, we) in pairs {
        let agreed = agree(&read(offer), &read(answer), we).expect("agreement");
        assert!(matches!(agreed.keying, Keying::Sdes { .. }));
        shown.push_str(&format!("{offer} / {answer} / {we:?}\n{agreed:#?}\n\n"));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_far_side_is_agreed_with_whatever_its_numbers() {
    let offer = read("sip-bic-sdes-offer.sdp");
    let answer = read("sip-bic-sdes-answer.sdp");
    let agreed: Agreed = agree(&offer, &answer, Role::Offerer).expect("agreement");
    assert_eq!(
        (agreed.audio.codec, agreed.audio.send_pt),
        (Codec::Opus, 107)
    );
    assert_eq!(agreed.dtmf.map(|events| events.send_pt), Some(101));
    // The offer had no a=rtcp-mux, so the one in the answer counts for nothing, nor does `a=rtcp:9`.
    assert!(!agreed.rtcp_mux);
    assert_eq!(agreed.remote_rtcp.to_string(), "157.240.19.130:3481");
}

#[test]
fn an_offer_with_g711_is_answered_with_it_where_preferred() {
    let offer = read("meta-uic-sdes-g711-enabled-offer.sdp");
    let mut profile = profile();
    profile.codecs = vec![Codec::Opus, Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent];
    let numbers = |prefer| {
        let answer = compose::answer(&offer, &profile, &local(SrtpKey::new([1; 30])), prefer)
            .expect("an answer");
        let formats = answer.audio().expect("audio").formats();
        formats.iter().map(|format| format.pt).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None), [111, 126]);
    assert_eq!(numbers(Some(Codec::Pcma)), [8, 126]);
    assert_eq!(numbers(Some(Codec::Pcmu)), [0, 126]);
}

#[test]
fn an_offer_keyed_by_dtls_is_refused_by_name() {
    let refusal = compose::answer(
        &read("sip-uic-webrtc-offer.sdp"),
        &profile(),
        &local(SrtpKey::new([1; 30])),
        None,
    )
    .expect_err("a refusal");
    assert_eq!(
        refusal.to_string(),
        "the audio stream is UDP/TLS/RTP/SAVPF, not RTP/SAVP"
    );
}

#[test]
fn a_description_with_broken_lines_beside_the_media_is_still_read() {
    let text = "v=0\no=x\ns=caf\u{e9}\nb=lots\nt=now\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 8\n";
    let description = Description::parse(text.as_bytes()).expect("a readable description");
    assert_eq!(
        description
            .audio()
            .expect("audio")
            .rtp_target()
            .map(|at| at.to_string())
            .as_deref(),
        Some("192.0.2.1:4000")
    );
    let latin1 = b"v=0\r\no=- 1 7 IN IP4 192.0.2.1\r\ns=caf\xe9\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let description = Description::parse(latin1).expect("a readable description");
    assert_eq!((description.version(), description.session_id()), (7, "1"));
}

#[test]
fn what_is_no_description_is_refused_with_a_reason() {
    for text in [
        "",
        "hello",
        "v=1\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio 70000 RTP/AVP 0\r\n",
        "v=0\r\nc=IN\r\nm=audio 4 RTP/AVP 0\r\n",
    ] {
        let error = Description::parse(text.as_bytes()).expect_err("unreadable");
        assert!(error.to_string().starts_with("unreadable SDP: "), "{error}");
    }
}
