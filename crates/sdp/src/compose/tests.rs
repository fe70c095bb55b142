//! What our words look like, and what we refuse.

use super::*;
use crate::{Role, agree};

fn key(byte: u8) -> SrtpKey {
    SrtpKey::new([byte; 30])
}

fn local(port: u16) -> Local {
    Local {
        address: "203.0.113.20".parse().expect("an address"),
        rtp_port: port,
        rtcp_port: port + 1,
        session_id: 20260401120001,
        version: 1,
        ssrc: 305419897,
        cname: "sbc".to_owned(),
        key: Some(key(7)),
    }
}

fn secure() -> MediaProfile {
    MediaProfile {
        profile: Profile::Savp,
        codecs: vec![Codec::Opus, Codec::TelephoneEvent],
        ptime: 20,
        rtcp_mux: true,
        suites: vec![Suite::AesCm128HmacSha1_80],
        opus_fmtp: "useinbandfec=1",
        opus_pt: 111,
        dtmf_pt: 126,
        print_ssrc: true,
    }
}

fn plain() -> MediaProfile {
    MediaProfile {
        profile: Profile::Avp,
        codecs: vec![Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent],
        ptime: 20,
        rtcp_mux: false,
        suites: Vec::new(),
        opus_fmtp: "",
        opus_pt: 111,
        dtmf_pt: 101,
        print_ssrc: false,
    }
}

fn parse(lines: &[&str]) -> Description {
    let mut text =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n".to_owned();
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    Description::parse(text.as_bytes()).expect("a readable description")
}

fn answer_to(lines: &[&str], profile: &MediaProfile) -> Result<String, Disagreement> {
    answer(&parse(lines), profile, &local(31000), None).map(|answer| answer.to_string())
}

#[test]
fn an_srtp_offer_has_one_crypto_line_and_our_ssrc() {
    insta::assert_snapshot!(offer(&secure(), &local(31000)));
}

#[test]
fn a_plain_offer_has_static_numbers_and_no_keys() {
    insta::assert_snapshot!(offer(&plain(), &local(20000)));
}

#[test]
fn an_offer_over_ipv6_says_so() {
    let local = Local {
        address: "2001:db8::5".parse().expect("an address"),
        ..local(20000)
    };
    let text = offer(&plain(), &local).to_string();
    assert!(text.contains("\r\nc=IN IP6 2001:db8::5\r\n"), "{text}");
    assert!(
        text.contains("o=- 20260401120001 1 IN IP6 2001:db8::5\r\n"),
        "{text}"
    );
}

#[test]
fn two_suites_are_offered_in_two_lines() {
    let profile = MediaProfile {
        suites: vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32],
        ..secure()
    };
    let tags: Vec<_> = offer(&profile, &local(31000))
        .audio()
        .expect("audio")
        .crypto()
        .into_iter()
        .map(|crypto| (crypto.tag, crypto.suite))
        .collect();
    assert_eq!(
        tags,
        [
            (1, Suite::AesCm128HmacSha1_80),
            (2, Suite::AesCm128HmacSha1_32)
        ]
    );
}

#[test]
fn an_rtcp_port_that_cannot_be_guessed_is_told() {
    let odd = Local {
        rtcp_port: 40001,
        ..local(20000)
    };
    assert!(
        offer(&plain(), &odd)
            .to_string()
            .contains("\r\na=rtcp:40001\r\n")
    );
    let single = Local {
        rtcp_port: 20000,
        ..local(20000)
    };
    assert!(
        offer(&plain(), &single)
            .to_string()
            .contains("\r\na=rtcp:20000\r\n")
    );
    assert!(!offer(&secure(), &single).to_string().contains("a=rtcp:"));
    assert!(
        !offer(&plain(), &local(20000))
            .to_string()
            .contains("a=rtcp:")
    );
}

#[test]
fn an_answer_keeps_the_offered_numbers_and_tag() {
    let text = answer_to(
        &[
            "m=audio 3480 RTP/SAVP 96 0 101",
            "a=rtpmap:96 OPUS/48000/2",
            "a=rtpmap:101 Telephone-Event/8000",
            "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml",
        ],
        &secure(),
    )
    .expect("an answer");
    insta::assert_snapshot!(text);
}

#[test]
fn the_preferred_codec_wins_where_both_have_it() {
    let offered = parse(&["m=audio 4000 RTP/AVP 0 8 9"]);
    let codec = |prefer| {
        let answer = answer(&offered, &plain(), &local(20000), prefer).expect("an answer");
        answer.audio().expect("audio").formats()[0].codec
    };
    assert_eq!(codec(None), Codec::Pcma);
    assert_eq!(codec(Some(Codec::Pcmu)), Codec::Pcmu);
    assert_eq!(codec(Some(Codec::Opus)), Codec::Pcma);
    assert_eq!(codec(Some(Codec::TelephoneEvent)), Codec::Pcma);
}

#[test]
fn an_answer_has_events_only_where_they_were_offered() {
    let text = answer_to(&["m=audio 4000 RTP/AVP 8"], &plain()).expect("an answer");
    assert!(text.contains("m=audio 31000 RTP/AVP 8\r\n"), "{text}");
    let without = MediaProfile {
        codecs: vec![Codec::Pcma],
        ..plain()
    };
    let text = answer_to(
        &[
            "m=audio 4000 RTP/AVP 8 101",
            "a=rtpmap:101 telephone-event/8000",
        ],
        &without,
    )
    .expect("an answer");
    assert!(text.contains("m=audio 31000 RTP/AVP 8\r\n"), "{text}");
}

#[test]
fn streams_we_do_not_want_come_back_with_port_0_in_place() {
    let text = answer_to(
        &[
            "m=video 5000 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            "m=audio 0 RTP/AVP 8",
            "m=audio 4000 RTP/SAVP 8",
            "m=audio 4002 RTP/AVP 8",
            "m=audio 4004 RTP/AVP 0",
        ],
        &plain(),
    )
    .expect("an answer");
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96",
            "m=audio 0 RTP/AVP 8",
            "m=audio 0 RTP/SAVP 8",
            "m=audio 31000 RTP/AVP 8",
            "m=audio 0 RTP/AVP 0",
        ]
    );
}

#[test]
fn the_time_line_of_the_answer_equals_that_of_the_offer() {
    let offered = Description::parse(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=3034423619 3042462419\r\nm=audio 4000 RTP/AVP 8\r\n",
    )
    .expect("a readable description");
    let text = answer(&offered, &plain(), &local(20000), None)
        .expect("an answer")
        .to_string();
    assert!(text.contains("\r\nt=3034423619 3042462419\r\n"), "{text}");
}

#[test]
fn hold_is_granted_and_so_is_its_end() {
    let direction = |attribute: &str| {
        let offered = parse(&["m=audio 4000 RTP/AVP 8", attribute]);
        let answer = answer(&offered, &plain(), &local(20000), None).expect("an answer");
        answer.audio().expect("audio").direction()
    };
    assert_eq!(direction("a=sendonly"), Direction::RecvOnly);
    assert_eq!(direction("a=recvonly"), Direction::SendOnly);
    assert_eq!(direction("a=inactive"), Direction::Inactive);
    assert_eq!(direction("a=sendrecv"), Direction::SendRecv);
    assert_eq!(direction("a=x-nothing"), Direction::SendRecv);
    // RFC 2543 hold: an address nobody can send to.
    assert_eq!(direction("c=IN IP4 0.0.0.0"), Direction::RecvOnly);
}

#[test]
fn rtcp_mux_is_answered_only_where_it_was_offered() {
    let profile = MediaProfile {
        rtcp_mux: true,
        ..plain()
    };
    let offered = ["m=audio 4000 RTP/AVP 8", "a=rtcp-mux"];
    assert!(
        answer_to(&offered, &profile)
            .expect("an answer")
            .contains("a=rtcp-mux")
    );
    assert!(
        !answer_to(&offered[..1], &profile)
            .expect("an answer")
            .contains("a=rtcp-mux")
    );
    assert!(
        !answer_to(&offered, &plain())
            .expect("an answer")
            .contains("a=rtcp-mux")
    );
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_reason() {
    let secure_line = "m=audio 4000 RTP/SAVP 111";
    let opus = "a=rtpmap:111 opus/48000/2";
    let crypto = "a=crypto:1 F8_128_HMAC_SHA1_80 inline:xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";
    let cases: [(&[&str], MediaProfile, &str); 8] = [
        (&[], plain(), "the description has no audio stream"),
        (
            &["m=audio 0 RTP/AVP 8"],
            plain(),
            "the description has no audio stream",
        ),
        (
            &["m=video 4000 RTP/AVP 96"],
            plain(),
            "the description has no audio stream",
        ),
        (
            &["m=audio 4000 RTP/AVP 9 18"],
            plain(),
            "there is no audio codec both sides have",
        ),
        (
            &[
                "m=audio 4000 RTP/AVP 101",
                "a=rtpmap:101 telephone-event/8000",
            ],
            plain(),
            "there is no audio codec both sides have",
        ),
        (
            &["m=audio 4000 UDP/TLS/RTP/SAVPF 111", opus],
            secure(),
            "the audio stream is UDP/TLS/RTP/SAVPF, not RTP/SAVP",
        ),
        (
            &[secure_line, opus],
            secure(),
            "there is no crypto line both sides can use",
        ),
        (
            &[secure_line, opus, crypto],
            secure(),
            "there is no crypto line both sides can use",
        ),
    ];
    for (lines, profile, reason) in cases {
        let refusal = answer_to(lines, &profile).expect_err("a refusal");
        assert_eq!(refusal.to_string(), reason, "{lines:?}");
    }
}

#[test]
fn without_a_key_of_ours_nothing_secure_is_agreed() {
    let keyless = Local {
        key: None,
        ..local(31000)
    };
    let offered = offer(&secure(), &keyless);
    assert!(!offered.to_string().contains("a=crypto"));
    assert_eq!(
        answer(&offer(&secure(), &local(4000)), &secure(), &keyless, None),
        Err(Disagreement::NoCrypto)
    );
}

#[test]
fn our_own_offer_and_answer_agree() {
    for profile in [secure(), plain()] {
        let offered = offer(&profile, &local(4000));
        let answered = answer(&offered, &profile, &local(5000), None).expect("an answer");
        let ours = agree(&offered, &answered, Role::Offerer).expect("agreement");
        assert_eq!(ours.audio.codec, profile.codecs[0]);
        assert_eq!(ours.remote_rtp.port(), 5000);
        assert_eq!(ours.rtcp_mux, profile.rtcp_mux);
    }
}
