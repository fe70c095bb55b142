//! The judge judged: its digest and its spelling against the published messages.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::Message;

use super::MetaPeer;
use super::digest::{Hash, Inputs, Parameters, response};
use super::knobs::{BusinessNumber, MetaSettings, UserCall};
use crate::peer::{Output, Peer};

const PASSWORD: &str = "9fT3kWq7ZsL2xVb8Rm4N";

fn sample(name: &str) -> String {
    let path = format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let line = |line: &'a str| {
        line.split_once(':')
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v.trim())
    };
    message.lines().find_map(line).unwrap()
}

#[test]
fn published_credentials_are_right_by_our_arithmetic_and_wrong_with_any_byte_changed() {
    for name in [
        "bic-sdes-03-invite-auth.sip",
        "bic-webrtc-04-invite-auth.sip",
        "uic-sdes-04-invite-auth.sip",
    ] {
        let message = sample(name);
        let given = Parameters::read(value(&message, "Proxy-Authorization")).unwrap();
        let get = |name: &str| given.value(name).unwrap_or_default();
        let mut inputs = Inputs {
            hash: Hash::named(given.value("algorithm")).unwrap(),
            username: get("username"),
            realm: get("realm"),
            password: PASSWORD,
            method: "INVITE",
            uri: get("uri"),
            nonce: get("nonce"),
            qop: Some((get("nc"), get("cnonce"))),
        };
        assert_eq!(response(&inputs), get("response"), "{name}");
        inputs.password = "9fT3kWq7ZsL2xVb8Rm4n";
        assert_ne!(response(&inputs), get("response"), "{name}");
    }
}

/// What a fresh Meta sends first for a call, and it.
fn first_invite() -> (MetaPeer, Instant, sip::FlowId, String) {
    let now = Instant::now();
    let numbers = vec![BusinessNumber::new(
        "12145551869",
        "meta-voip.example.com",
        5061,
        PASSWORD,
    )];
    let mut meta = MetaPeer::new(
        MetaSettings {
            numbers,
            ..MetaSettings::default()
        },
        now,
    );
    let mut call = UserCall::new("+12195550714", "12145551869");
    call.headers = vec!["x-wa-meta-country-code: US".into()];
    meta.call(now, call).unwrap();
    let sent = std::iter::from_fn(|| meta.poll()).find_map(|output| match output {
        Output::Send { flow, bytes } => Some((flow, String::from_utf8(bytes.to_vec()).unwrap())),
        _ => None,
    });
    let (flow, text) = sent.unwrap();
    (meta, now, flow, text)
}

/// Names and values of a message's head, with everything random made equal.
fn shape(message: &str) -> Vec<String> {
    let head = message.split("\r\n\r\n").next().unwrap();
    head.lines()
        .map(
            |line| match line.split_once(':').map_or(line, |(name, _)| name) {
                "Via" => {
                    let parts: Vec<&str> = line
                        .split(';')
                        .map(|p| p.split('=').next().unwrap())
                        .collect();
                    format!(
                        "{} {}",
                        if line.contains("TLS [") {
                            "Via v6"
                        } else {
                            "Via v4"
                        },
                        parts[1..].join(";")
                    )
                }
                name @ ("Call-ID" | "CSeq" | "Content-Length" | "x-wa-meta-wacid") => {
                    name.to_owned()
                }
                "From" => line.split(";tag=").next().unwrap().to_owned(),
                _ => line.to_owned(),
            },
        )
        .collect()
}

#[test]
fn our_invite_has_the_shape_of_the_published_one_on_the_wire() {
    let (_, _, _, ours) = first_invite();
    // The sample carries two optional headers more.
    let optional = ["x-wa-meta-user-id", "x-wa-meta-cta-payload"];
    let mut published = shape(&sample("uic-sdes-01b-invite-on-wire.sip"));
    published.retain(|line| !optional.iter().any(|name| line.starts_with(name)));
    assert_eq!(shape(&ours), published);
    let branch = |via: usize| {
        let line = ours
            .lines()
            .filter(|line| line.starts_with("Via:"))
            .nth(via)
            .unwrap();
        line.split("branch=")
            .nth(1)
            .unwrap()
            .split(';')
            .next()
            .unwrap()
    };
    assert_eq!(branch(0), branch(1), "two Vias share one branch");
    assert_ne!(branch(1), branch(2));
    let number: u32 = value(&ours, "CSeq")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(number < 32_768);
}

#[test]
fn a_challenge_of_any_realm_is_answered_as_in_the_published_exchange() {
    let (mut meta, now, id, invite) = first_invite();
    let mut reply = String::from("SIP/2.0 407 Proxy Authentication required\r\n");
    for line in invite.lines().filter(|l| {
        ["Via:", "From:", "Call-ID:", "CSeq:"]
            .iter()
            .any(|n| l.starts_with(n))
    }) {
        reply += &format!(
            "{}\r\n",
            line.replacen(";rport;", ";rport=4;received=10.0.0.9;", 1)
        );
    }
    reply += "To: <sip:+12145551869@meta-voip.example.com>;tag=t\r\n\
         Proxy-Authenticate: Digest realm=\"sip.twilio.com\",nonce=\"n1\",opaque=\"o1\",qop=\"auth\"\r\n\
         Content-Length: 0\r\n\r\n";
    let address = "10.0.0.1:5061".parse().unwrap();
    let flow = sip::Flow {
        id,
        transport: sip::Transport::Tls,
        local: address,
        remote: address,
    };
    let Ok(message @ Message::Response(_)) = sip::parse(Bytes::from(reply)) else {
        panic!("no response")
    };
    meta.receive(now + Duration::from_millis(50), flow, message);
    let sent: Vec<String> = std::iter::from_fn(|| meta.poll())
        .filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(String::from_utf8(bytes.to_vec()).unwrap()),
            Output::Report(report) => {
                assert!(
                    !report.to_line().contains("violation"),
                    "{}",
                    report.to_line()
                );
                None
            }
            _ => None,
        })
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(
        shape(&sent[0])[2..],
        shape(&sample("uic-sdes-03-ack-407.sip"))[2..]
            .iter()
            .map(|line| {
                if line.starts_with("To:") {
                    "To: <sip:+12145551869@meta-voip.example.com>;tag=t".into()
                } else {
                    line.clone()
                }
            })
            .collect::<Vec<_>>()[..]
    );
    let names = |value: &str| -> Vec<String> {
        value
            .split(", ")
            .map(|p| {
                p.split('=')
                    .next()
                    .unwrap()
                    .trim_start_matches("Digest ")
                    .to_owned()
            })
            .collect()
    };
    let published = sample("uic-sdes-04-invite-auth.sip");
    let (ours, theirs) = (
        value(&sent[1], "Proxy-Authorization"),
        value(&published, "Proxy-Authorization"),
    );
    assert_eq!(names(ours), names(theirs));
    assert!(ours.contains("realm=\"sip.twilio.com\"") && ours.ends_with("qop=auth, nc=00000001"));
    assert!(
        ours.contains("uri=\"sip:+12145551869@meta-voip.example.com\""),
        "without transport: {ours}"
    );
    assert_eq!(
        sent[1].split("\r\n\r\n").nth(1),
        invite.split("\r\n\r\n").nth(1),
        "the same SDP and key"
    );
}
