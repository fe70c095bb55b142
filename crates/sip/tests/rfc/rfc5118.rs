//! RFC 5118, torture tests for IPv6: messages of ours in the spirit of each section.

use bytes::Bytes;
use sip::{MalformedKind, Message, Name, Request, Uri, parse};

fn message(uri: &str, via: &str) -> Bytes {
    Bytes::from(format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@[2001:db8::20]>;tag=1\r\n\
         To: <sip:[2001:db8::10]>\r\nCall-ID: 6@[2001:db8::20]\r\nCSeq: 8 OPTIONS\r\n\r\n"
    ))
}

fn request(uri: &str, via: &str) -> Request {
    match parse(message(uri, via)).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bK1";

#[test]
fn s4_1_a_reference_with_brackets_is_a_host() {
    let uri = request("sip:[2001:db8::10]", VIA).uri;
    assert_eq!(
        (uri.host(), uri.port(), uri.user()),
        ("2001:db8::10", None, None)
    );
}

#[test]
fn s4_2_an_address_without_brackets_is_refused() {
    let malformed = parse(message("sip:2001:db8::10", VIA)).unwrap_err();
    assert_eq!(malformed.kind, MalformedKind::RequestUri);
    assert!(malformed.reply().unwrap().starts_with(b"SIP/2.0 400 "));
}

#[test]
fn s4_3_to_4_a_port_outside_the_brackets_is_a_port_and_inside_is_not() {
    assert_eq!(
        request("sip:[2001:db8::10]:5070", VIA).uri.port(),
        Some(5070)
    );
    let inside = request("sip:[2001:db8::10:5070]", VIA).uri;
    assert_eq!((inside.host(), inside.port()), ("2001:db8::10:5070", None));
}

#[test]
fn s4_5_received_is_read_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = request(
            "sip:h",
            &format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3"),
        )
        .top_via()
        .unwrap();
        assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!(via.branch(), Some("z9hG4bKas3"));
    }
}

#[test]
fn s4_6_to_9_any_spelling_of_an_address_is_a_host() {
    for host in [
        "2001:db8::192.0.2.1",
        "::ffff:192.0.2.10",
        "2001:0db8:0000:0000::1",
        "::",
    ] {
        let uri: Uri = format!("sip:user@[{host}]:5060;lr").parse().unwrap();
        assert_eq!(uri.host(), host);
        assert!(uri.host().parse::<std::net::Ipv6Addr>().is_ok(), "{host}");
        let via = request(
            "sip:h",
            &format!("SIP/2.0/TCP [{host}]:5060;branch=z9hG4bK2"),
        )
        .top_via()
        .unwrap();
        assert_eq!(
            (via.host.to_string().as_str(), via.port),
            (host, Some(5060))
        );
    }
}

#[test]
fn several_vias_of_both_families_keep_their_order() {
    let joined = format!("{VIA}, SIP/2.0/UDP 192.0.2.1, SIP/2.0/TLS [::1]:1;branch=z9hG4bK3");
    let request = request("sip:h", &joined);
    let hosts: Vec<_> = request
        .headers
        .list(&Name::Via)
        .map(|value| sip::Via::read(&value).unwrap().host.to_string())
        .collect();
    assert_eq!(hosts, ["2001:db8::9:1", "192.0.2.1", "::1"]);
}
