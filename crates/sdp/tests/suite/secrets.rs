//! Keys are for the wire: nothing that is printed for people shows one.

use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::{Crypto, Description, Local, Role, SrtpKey, agree, compose};

use crate::samples;

/// What would betray a key: pieces of its base64 form, and its bytes as a list prints them.
fn traces(base64: &str, key: &SrtpKey) -> Vec<String> {
    let list = |bytes: &[u8]| format!("{:?}", bytes).trim_matches(['[', ']']).to_owned();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    vec![
        base64[..8].to_owned(),
        base64[16..24].to_owned(),
        base64[32..40].to_owned(),
        list(&key.key()[..4]),
        list(&key.salt()[..4]),
        hex(&key.key()[..4]),
        hex(&key.salt()[..4]),
    ]
}

fn assert_silent(shown: &str, base64: &str, key: &SrtpKey) {
    for trace in traces(base64, key) {
        assert!(
            !shown.to_lowercase().contains(&trace.to_lowercase()),
            "{trace:?} stands in {shown}"
        );
    }
}

#[test]
fn no_type_prints_a_key() {
    let base64 = "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";
    let crypto = Crypto::parse(&format!(
        "1 AES_CM_128_HMAC_SHA1_80 inline:{base64}|2^20|1:4"
    ))
    .expect("a usable line");
    let key = crypto.key.clone();
    let local = Local {
        address: "203.0.113.20".parse().expect("an address"),
        rtp_port: 31002,
        rtcp_port: 31003,
        session_id: 1,
        version: 1,
        ssrc: 1,
        cname: "sbc".to_owned(),
        key: Some(key.clone()),
    };
    let profile = samples::profile();
    let offer = compose::offer(&profile, &local);
    let answer = compose::answer(&offer, &profile, &local, None).expect("an answer");
    let agreed = agree(&offer, &answer, Role::Offerer).expect("agreement");
    let plan = LegPlan {
        agreed: agreed.clone(),
        ssrc: 1,
        cname: "sbc".to_owned(),
        gate: Gate::Shut,
        silence: Silence::Frames,
        latch: Latch::Authenticated,
        inactivity: None,
        quiet: None,
        proof: None,
        unsolicited_dtmf: None,
        care: Default::default(),
    };
    let shown = format!(
        "{key:?} {key:#?} {crypto:?} {crypto:#?} {local:?} {profile:?} {offer:?} {offer:#?} {answer:?} {agreed:?} {:?} {plan:#?}",
        agreed.keying,
    );
    assert!(
        shown.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 …"),
        "{shown}"
    );
    assert_silent(&shown, base64, &key);
    // The wire text, by contrast, has it.
    assert!(offer.to_string().contains(base64));
}

#[test]
fn keys_of_strangers_are_not_printed_either_however_they_write_them() {
    let base64 = "683sW12SeyvPCIMn66FdzcI1aLUJVViw6AxdhOTV";
    let key = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{base64}"))
        .expect("a usable line")
        .key;
    for line in [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
        "a=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:KEY|2^20;inline:KEY",
        "a=crypto:1 inline:KEY",
        "a=crypto:KEY",
        "a=crypto:1 KEY",
        "a=cryptography:1 A KEY",
        "a=x-sdes:1 A inline:KEY",
        "a=key-mgmt:mikey KEY",
        "a=ice-pwd:KEY",
        "k=base64:KEY",
        "k=clear:KEY",
    ] {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8\r\n{line}\r\n").replace("KEY", base64);
        let description = Description::parse(text.as_bytes()).expect("a readable description");
        assert_silent(&format!("{description:?}"), base64, &key);
        assert!(format!("{description:?}").contains("m=audio 4000 RTP/SAVP 8"));
    }
}

#[test]
fn the_published_descriptions_are_shown_without_their_keys() {
    let mut keyed = 0;
    for (name, bytes) in samples::all() {
        let description = Description::parse(&bytes).expect("a readable sample");
        let shown = format!("{description:?}");
        let text = description.to_string();
        for line in text.lines() {
            for secret in ["inline:", "ice-pwd:"] {
                if let Some((_, key)) = line.split_once(secret) {
                    keyed += 1;
                    assert!(!shown.contains(&key[..8]), "{name}: {shown}");
                }
            }
        }
    }
    assert!(keyed >= 9, "only {keyed} secrets found");
}
