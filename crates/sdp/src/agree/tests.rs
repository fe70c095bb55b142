//! What two descriptions come to, and when they come to nothing.

use super::*;
use crate::{Direction, Suite};

const KEY_A: &str = "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";
const KEY_B: &str = "683sW12SeyvPCIMn66FdzcI1aLUJVViw6AxdhOTV";

fn at(address: &str, lines: &[&str]) -> Description {
    let mut text =
        format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n");
    for line in lines {
        text.push_str(&line.replace("KEY_A", KEY_A).replace("KEY_B", KEY_B));
        text.push_str("\r\n");
    }
    Description::parse(text.as_bytes()).expect("a readable description")
}

fn offered(lines: &[&str]) -> Description {
    at("192.0.2.1", lines)
}

fn answered(lines: &[&str]) -> Description {
    at("198.51.100.2", lines)
}

/// What the offerer sees.
fn seen(offer: &[&str], answer: &[&str]) -> Result<Agreed, Disagreement> {
    agree(&offered(offer), &answered(answer), Role::Offerer)
}

const PCMA: &str = "m=audio 4000 RTP/AVP 8";

#[test]
fn each_side_sends_to_the_other() {
    let (offer, answer) = (offered(&[PCMA]), answered(&["m=audio 5000 RTP/AVP 8"]));
    let ours = agree(&offer, &answer, Role::Offerer).expect("agreement");
    let theirs = agree(&offer, &answer, Role::Answerer).expect("agreement");
    assert_eq!(ours.remote_rtp.to_string(), "198.51.100.2:5000");
    assert_eq!(ours.remote_rtcp.to_string(), "198.51.100.2:5001");
    assert_eq!(theirs.remote_rtp.to_string(), "192.0.2.1:4000");
    assert_eq!(ours.keying, Keying::None);
    assert!(!ours.has_no_address());
}

#[test]
fn numbers_may_differ_and_each_sends_under_the_others() {
    let offer = offered(&[
        "m=audio 4000 RTP/AVP 111 101",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1",
        "a=rtpmap:101 telephone-event/8000",
    ]);
    let answer = answered(&[
        "m=audio 5000 RTP/AVP 96 97",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 maxplaybackrate=16000",
        "a=rtpmap:97 telephone-event/8000",
    ]);
    let ours = agree(&offer, &answer, Role::Offerer).expect("agreement");
    assert_eq!((ours.audio.send_pt, ours.audio.receive_pt), (96, 111));
    assert_eq!(
        ours.audio.remote_fmtp.as_deref(),
        Some("maxplaybackrate=16000")
    );
    let dtmf = ours.dtmf.expect("events");
    assert_eq!((dtmf.send_pt, dtmf.receive_pt), (97, 101));
    let theirs = agree(&offer, &answer, Role::Answerer).expect("agreement");
    assert_eq!((theirs.audio.send_pt, theirs.audio.receive_pt), (111, 96));
    assert_eq!(theirs.audio.remote_fmtp.as_deref(), Some("useinbandfec=1"));
}

#[test]
fn the_first_codec_of_the_answer_that_was_offered_is_used() {
    let codec = |answer: &str| {
        seen(&["m=audio 4000 RTP/AVP 0 8"], &[answer]).map(|agreed| agreed.audio.codec)
    };
    assert_eq!(codec("m=audio 5000 RTP/AVP 8 0"), Ok(Codec::Pcma));
    assert_eq!(codec("m=audio 5000 RTP/AVP 9 0"), Ok(Codec::Pcmu));
    assert_eq!(
        codec("m=audio 5000 RTP/AVP 9"),
        Err(Disagreement::NoCommonCodec)
    );
}

#[test]
fn events_need_both_sides() {
    let event = "a=rtpmap:101 telephone-event/8000";
    let wide = "a=rtpmap:101 telephone-event/48000";
    let dtmf =
        |offer: &[&str], answer: &[&str]| seen(offer, answer).expect("agreement").dtmf.is_some();
    let (with_offer, with_answer) = ("m=audio 4000 RTP/AVP 8 101", "m=audio 5000 RTP/AVP 8 101");
    assert!(dtmf(&[with_offer, event], &[with_answer, event]));
    assert!(!dtmf(&[PCMA], &[with_answer, event]));
    assert!(!dtmf(&[with_offer, event], &["m=audio 5000 RTP/AVP 8"]));
    assert!(!dtmf(&[with_offer, wide], &[with_answer, wide]));
}

#[test]
fn rtcp_shares_the_port_only_if_both_say_so() {
    let mux = |offer: &[&str], answer: &[&str]| {
        let agreed = seen(offer, answer).expect("agreement");
        (agreed.rtcp_mux, agreed.remote_rtcp.port())
    };
    let answer = "m=audio 5000 RTP/AVP 8";
    assert_eq!(
        mux(&[PCMA, "a=rtcp-mux"], &[answer, "a=rtcp-mux"]),
        (true, 5000)
    );
    assert_eq!(mux(&[PCMA, "a=rtcp-mux"], &[answer]), (false, 5001));
    assert_eq!(mux(&[PCMA], &[answer, "a=rtcp-mux"]), (false, 5001));
    assert_eq!(mux(&[PCMA], &[answer, "a=rtcp:6000"]), (false, 6000));
    assert_eq!(
        mux(&[PCMA], &[answer, "a=rtcp:9 IN IP4 0.0.0.0"]),
        (false, 5001)
    );
    assert_eq!(mux(&[PCMA], &["m=audio 65535 RTP/AVP 8"]), (false, 65535));
}

#[test]
fn directions_meet() {
    let direction = |offer: &str, answer: &str| {
        seen(&[PCMA, offer], &["m=audio 5000 RTP/AVP 8", answer])
            .expect("agreement")
            .direction
    };
    assert_eq!(direction("a=sendrecv", "a=sendrecv"), Direction::SendRecv);
    assert_eq!(direction("a=sendonly", "a=recvonly"), Direction::SendOnly);
    assert_eq!(direction("a=recvonly", "a=sendonly"), Direction::RecvOnly);
    assert_eq!(direction("a=sendrecv", "a=recvonly"), Direction::SendOnly);
    assert_eq!(direction("a=inactive", "a=inactive"), Direction::Inactive);
    // An answerer who contradicts the offer gets no more than was offered.
    assert_eq!(direction("a=sendonly", "a=sendrecv"), Direction::SendOnly);
    assert_eq!(direction("a=sendonly", "a=sendonly"), Direction::Inactive);
}

#[test]
fn hold_by_address_stops_what_we_send() {
    let agreed = seen(&[PCMA], &["m=audio 5000 RTP/AVP 8", "c=IN IP4 0.0.0.0"]).expect("agreement");
    assert!(agreed.has_no_address());
    assert_eq!(agreed.direction, Direction::RecvOnly);
    assert_eq!(agreed.remote_rtp.port(), 5000);
}

#[test]
fn packets_last_as_long_as_the_far_side_asks() {
    let ptime = |lines: &[&str]| {
        let mut answer = vec!["m=audio 5000 RTP/AVP 8"];
        answer.extend(lines);
        seen(&[PCMA, "a=ptime:40"], &answer)
            .expect("agreement")
            .ptime
    };
    assert_eq!(ptime(&[]), 20);
    assert_eq!(ptime(&["a=ptime:30"]), 30);
    assert_eq!(ptime(&["a=ptime:30", "a=maxptime:20"]), 20);
    assert_eq!(ptime(&["a=ptime:20", "a=maxptime:0"]), 20);
    assert_eq!(ptime(&["a=ptime:25"]), 20);
    assert_eq!(ptime(&["a=ptime:5"]), 20);
    assert_eq!(ptime(&["a=ptime:0"]), 20);
    assert_eq!(ptime(&["a=ptime:200"]), 60);
    assert_eq!(ptime(&["a=ptime:4000000000"]), 60);
    assert_eq!(ptime(&["a=ptime:soon"]), 20);
}

#[test]
fn keys_cross_and_the_tag_chooses() {
    let offer = offered(&[
        "m=audio 4000 RTP/SAVP 8",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY_B",
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY_A|2^20|1:4",
    ]);
    let answer = answered(&[
        "m=audio 5000 RTP/SAVP 8",
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY_B",
    ]);
    let Ok(Keying::Sdes { local, remote }) =
        agree(&offer, &answer, Role::Offerer).map(|agreed| agreed.keying)
    else {
        panic!("the keys were not agreed");
    };
    assert_eq!((local.tag, local.suite), (2, Suite::AesCm128HmacSha1_32));
    assert_eq!(
        local.to_value(),
        format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY_A}|2^20|1:4")
    );
    assert_eq!(
        remote.to_value(),
        format!("2 AES_CM_128_HMAC_SHA1_32 inline:{KEY_B}")
    );
    let seen = agree(&offer, &answer, Role::Answerer).map(|agreed| agreed.keying);
    assert_eq!(
        seen,
        Ok(Keying::Sdes {
            local: remote,
            remote: local
        })
    );
}

#[test]
fn a_crypto_line_that_was_not_offered_is_no_agreement() {
    let offer = [
        "m=audio 4000 RTP/SAVP 8",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY_A",
    ];
    let line = "m=audio 5000 RTP/SAVP 8";
    for (crypto, tag) in [
        ("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:KEY_B", 2),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:KEY_B", 1),
    ] {
        assert_eq!(
            seen(&offer, &[line, crypto]),
            Err(Disagreement::CryptoNotOffered { tag })
        );
    }
    assert_eq!(seen(&offer, &[line]), Err(Disagreement::NoCrypto));
    assert_eq!(
        seen(&offer[..1], &[line, offer[1]]),
        Err(Disagreement::NoCrypto)
    );
}

#[test]
fn what_is_no_call_is_named() {
    let answer = "m=audio 5000 RTP/AVP 8";
    assert_eq!(seen(&[], &[answer]), Err(Disagreement::NoAudio));
    assert_eq!(seen(&[PCMA], &[]), Err(Disagreement::NoAudio));
    assert_eq!(
        seen(&[PCMA], &["m=audio 0 RTP/AVP 8"]),
        Err(Disagreement::Rejected)
    );
    let mismatch = seen(&[PCMA], &["m=audio 5000 RTP/SAVP 8"]).expect_err("a disagreement");
    assert_eq!(
        mismatch.to_string(),
        "the audio stream is RTP/SAVP, not RTP/AVP"
    );
    let dtls = ["m=audio 4000 UDP/TLS/RTP/SAVPF 8"];
    let mismatch = seen(&dtls, &dtls).expect_err("a disagreement");
    assert_eq!(
        mismatch.to_string(),
        "the audio stream is UDP/TLS/RTP/SAVPF, which is none we speak"
    );
    let nameless = answered(&[answer, "c=IN IP4 pbx.example.com"]);
    assert_eq!(
        agree(&offered(&[PCMA]), &nameless, Role::Offerer),
        Err(Disagreement::NoAddress)
    );
}

#[test]
fn streams_correspond_by_position() {
    let agreed = seen(
        &["m=audio 4000 RTP/SAVP 8", "m=audio 4002 RTP/AVP 8"],
        &["m=audio 0 RTP/SAVP 8", "m=audio 5002 RTP/AVP 8"],
    )
    .expect("agreement");
    assert_eq!(
        (agreed.remote_rtp.port(), agreed.keying),
        (5002, Keying::None)
    );
}
