//! The messages of the WhatsApp side: every one is read, printed back and echoed byte for byte.

use std::path::PathBuf;

use bytes::Bytes;
use sip::{
    Algorithm, Credentials, Dialog, Message, Method, Name, NameAddr, Request, Response, Text, Uri,
    parse,
};

use crate::bench::{Bench, TLS, flow};

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sim/samples")
}

/// Every sample with its name, in order.
pub(crate) fn all() -> Vec<(String, Bytes)> {
    let mut found: Vec<_> = std::fs::read_dir(folder())
        .expect("the samples are part of the repository")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sip"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, Bytes::from(std::fs::read(&path).unwrap()))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 50, "the samples are there");
    found
}

fn message(name: &str) -> Message {
    parse(Bytes::from(std::fs::read(folder().join(name)).unwrap())).unwrap()
}

fn request(name: &str) -> Request {
    match message(name) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("{name} is a request"),
    }
}

fn response(name: &str) -> Response {
    match message(name) {
        Message::Response(response) => response,
        Message::Request(_) => panic!("{name} is a response"),
    }
}

fn lines(message: &Bytes, name: &str) -> Vec<String> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    head.split("\r\n")
        .filter(|l| l.starts_with(&format!("{name}:")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_sample_prints_back_byte_for_byte() {
    for (name, bytes) in all() {
        let message = parse(bytes.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(message.to_bytes(), bytes, "{name}");
    }
}

#[test]
fn every_sample_is_found_in_one_stream_of_all() {
    // The body-less message without Content-Length and those with one, in arbitrary pieces.
    let samples = all();
    let stream: Vec<u8> = samples
        .iter()
        .flat_map(|(_, bytes)| bytes.to_vec())
        .collect();
    let mut framer = sip::Framer::new(sip::Limits::default());
    let mut found = Vec::new();
    for piece in stream.chunks(1399) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            match frame {
                sip::Frame::Message(message) => found.push(message.to_bytes()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(
        found,
        samples
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect::<Vec<_>>()
    );
}

#[test]
fn every_address_in_every_sample_is_readable() {
    for (name, bytes) in all() {
        let message = parse(bytes).unwrap();
        let headers = message.headers();
        for header in [
            Name::From,
            Name::To,
            Name::Contact,
            Name::RecordRoute,
            Name::Route,
        ] {
            for value in headers.list(&header) {
                let read = NameAddr::read(&value).unwrap_or_else(|| panic!("{name}: {value}"));
                assert!(!read.uri.host().is_empty(), "{name}: {value}");
            }
        }
        for value in headers.list(&Name::Via) {
            let via = sip::Via::read(&value).unwrap_or_else(|| panic!("{name}: {value}"));
            assert!(via.known_transport().is_some(), "{name}: {value}");
        }
    }
}

#[test]
fn record_routes_and_vias_leave_byte_for_byte_in_responses_to_every_request_sample() {
    for (name, bytes) in all() {
        let Message::Request(request) = parse(bytes.clone()).unwrap() else {
            continue;
        };
        let mut answer = Response::to(&request, 200, "");
        answer.headers.copy(&Name::RecordRoute, &request.headers);
        answer.tag_to("ours");
        let sent = answer.to_bytes();
        for header in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
            assert_eq!(
                lines(&sent, header),
                lines(&bytes, header),
                "{name} {header}"
            );
        }
        let to = &lines(&bytes, "To")[0];
        let tagged = if to.contains(";tag=") {
            to.clone()
        } else {
            format!("{to};tag=ours")
        };
        assert_eq!(lines(&sent, "To"), [tagged], "{name}");
    }
}

#[test]
fn routes_and_target_of_our_requests_are_the_bytes_of_every_invite_sample() {
    let mut tried = 0;
    for (name, bytes) in all() {
        let Message::Request(invite) = parse(bytes.clone()).unwrap() else {
            continue;
        };
        if invite.method != Method::Invite {
            continue;
        }
        tried += 1;
        let mut dialog = Dialog::uas(&invite, "ours").unwrap();
        let bye = dialog.request(Method::Bye).to_bytes();
        let routes: Vec<_> = lines(&bytes, "Record-Route")
            .iter()
            .map(|line| line.replacen("Record-Route", "Route", 1))
            .collect();
        assert_eq!(lines(&bye, "Route"), routes, "{name}");
        let contact = &lines(&bytes, "Contact")[0];
        let target = contact
            .split_once('<')
            .unwrap()
            .1
            .split_once('>')
            .unwrap()
            .0;
        assert!(
            bye.starts_with(format!("BYE {target} SIP/2.0\r\n").as_bytes()),
            "{name}"
        );
        assert_eq!(
            lines(&bye, "To")[0][3..],
            lines(&bytes, "From")[0][5..],
            "{name}"
        );
    }
    assert!(tried >= 6);
}

#[test]
fn routes_and_target_of_our_requests_are_the_bytes_of_every_answer_sample() {
    for (invite, answer) in [
        ("bic-sdes-03-invite-auth.sip", "bic-sdes-04-200.sip"),
        ("bic-webrtc-04-invite-auth.sip", "bic-webrtc-06-180.sip"),
        ("bic-webrtc-04-invite-auth.sip", "bic-webrtc-07-200.sip"),
    ] {
        let bytes = response(answer).to_bytes();
        let dialog = Dialog::uac(&request(invite), &response(answer)).unwrap();
        let ack = dialog.ack(2).to_bytes();
        let mut routes: Vec<_> = lines(&bytes, "Record-Route")
            .iter()
            .map(|line| line.replacen("Record-Route", "Route", 1))
            .collect();
        routes.reverse();
        assert_eq!(lines(&ack, "Route"), routes, "{answer}");
        let contact = &lines(&bytes, "Contact")[0];
        let target = contact
            .split_once('<')
            .unwrap()
            .1
            .split_once('>')
            .unwrap()
            .0;
        assert!(
            ack.starts_with(format!("ACK {target} SIP/2.0\r\n").as_bytes()),
            "{answer}"
        );
    }
}

#[test]
fn our_ack_and_bye_are_those_of_the_samples() {
    let dialog = Dialog::uac(
        &request("bic-webrtc-04-invite-auth.sip"),
        &response("bic-webrtc-07-200.sip"),
    )
    .unwrap();
    let documented = request("bic-webrtc-08-ack.sip");
    let ack = dialog.ack(
        request("bic-webrtc-04-invite-auth.sip")
            .cseq()
            .unwrap()
            .number,
    );
    assert_eq!(ack.uri, documented.uri);
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert_eq!(
            ack.headers.first(&name),
            documented.headers.first(&name),
            "{name}"
        );
    }
    // In the sample the partner's own proxies have taken their Routes off already.
    let on_wire: Vec<_> = documented.headers.list(&Name::Route).collect();
    assert!(dialog.route_set().ends_with(&on_wire), "{on_wire:?}");

    let mut invite = request("uic-sdes-04-invite-auth.sip");
    let documented = request("sbc-uic-03-bye.sip");
    let ok = response("sbc-uic-02-200.sip");
    invite
        .headers
        .set(Name::To, ok.headers.first(&Name::To).unwrap());
    let mut dialog = Dialog::uas(&invite, "unused").unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri, documented.uri);
    assert_eq!(dialog.first_hop().host, "wa.meta.vc");
    for name in [Name::Route, Name::From, Name::To, Name::CallId] {
        let (ours, theirs): (Vec<_>, Vec<_>) = (
            bye.headers.all(&name).collect(),
            documented.headers.all(&name).collect(),
        );
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn our_via_echo_is_the_documented_one() {
    let mut b = Bench::new(TLS);
    b.flow = flow(2, TLS, "69.171.251.112:62080");
    let invite = request("uic-sdes-01b-invite-on-wire.sip");
    let (key, request) = b.arrives(&invite);
    b.respond(key, Response::to(&request, 407, ""));
    let sent = b.sent();
    let documented = response("uic-sdes-02-407.sip");
    assert!(
        sent[0]
            .headers()
            .all(&Name::Via)
            .eq(documented.headers.all(&Name::Via))
    );
}

#[test]
fn the_digests_of_the_samples_are_those_of_the_password() {
    let password = sip::Secret::new(String::from("9fT3kWq7ZsL2xVb8Rm4N"));
    let mut checked = 0;
    for (name, bytes) in all() {
        let Message::Request(request) = parse(bytes).unwrap() else {
            continue;
        };
        for credentials in Credentials::all(&request.headers, &Name::ProxyAuthorization) {
            checked += 1;
            assert_eq!(
                credentials.known_algorithm(),
                Some(Algorithm::Md5),
                "{name}"
            );
            assert!(
                credentials.matches(&request.method, password.expose(), &request.body),
                "{name}"
            );
            assert!(
                !credentials.matches(&request.method, "wrong", &request.body),
                "{name}"
            );
            assert!(
                !credentials.matches(&Method::Bye, password.expose(), b""),
                "{name}"
            );
        }
    }
    assert!(checked >= 3);
}

#[test]
fn the_documented_challenge_is_answered_with_the_documented_digest_but_for_the_cnonce() {
    let challenge = response("bic-webrtc-02-407.sip");
    let documented = request("bic-webrtc-04-invite-auth.sip");
    let theirs =
        Credentials::read(documented.headers.first(&Name::ProxyAuthorization).unwrap()).unwrap();
    let mut answerer = sip::Answerer::new(
        theirs.username.to_string(),
        sip::Secret::new("9fT3kWq7ZsL2xVb8Rm4N".into()),
    );
    let cnonce = theirs.cnonce.clone().unwrap().to_string();
    let (name, value) = answerer
        .answer(
            &challenge,
            &Method::Invite,
            documented.uri.as_str(),
            b"",
            cnonce,
        )
        .unwrap();
    assert_eq!(name, Name::ProxyAuthorization);
    let ours = Credentials::read(&value).unwrap();
    if theirs.nc.as_ref().is_some_and(|nc| *nc == "00000001") {
        assert_eq!(ours, theirs);
    } else {
        assert_eq!(
            (ours.realm, ours.nonce, ours.uri),
            (theirs.realm, theirs.nonce, theirs.uri)
        );
    }
}

#[test]
fn numbers_and_parameters_are_read_from_the_samples() {
    let invite = request("uic-sdes-01b-invite-on-wire.sip");
    assert_eq!(invite.uri.user_number(), Some("+12145551869"));
    assert_eq!(invite.uri.host(), "meta-voip.example.com");
    assert_eq!(
        invite
            .headers
            .first(&Name::from("X-WA-Meta-Country-Code"))
            .unwrap(),
        "US"
    );
    assert_eq!(invite.contact().unwrap().param("isfocus"), Some(""));
    assert!(
        invite
            .call_id()
            .unwrap()
            .as_str()
            .starts_with("outgoing:wacid.")
    );
    let trunk: Uri = "sip:+1234567890;tgrp=wacall;trunk-context=byoc.example.com@sip.example.com"
        .parse()
        .unwrap();
    assert_eq!(trunk.user_param("tgrp"), Some("wacall"));
    let refusal = response("error-403-domain-mismatch.sip");
    let warning = sip::Warning::first(&refusal.headers).unwrap();
    assert_eq!((warning.code, &warning.text), (399, &refusal.reason));
    let bye = request("uic-bye-to-meta-sample.sip");
    assert_eq!(sip::Reason::cause_of(&bye.headers, "Q.850"), Some(16));
    assert_eq!(bye.top_via().unwrap().branch(), None);
    assert_eq!(Text::from("x"), "x");
}
