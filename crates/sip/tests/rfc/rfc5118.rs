//! RFC 5118, torture tests for IPv6: for each section a message of ours that has what the section describes. What the core
//! answers to them is told in the scenes.

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

/// An INVITE or BYE as the sections have it, header lines and body.
fn whole(start: &str, method: &str, lines: &[&str], body: &str) -> Request {
    let text = format!(
        "{start} SIP/2.0\r\n{}\r\nFrom: <sip:a@[2001:db8::20]>;tag=1\r\nTo: <sip:b@[2001:db8::10]>\r\nCall-ID: 6@[2001:db8::20]\r\n\
         CSeq: 8 {method}\r\nContent-Length: {}\r\n\r\n{body}",
        lines.join("\r\n"),
        body.len()
    );
    match parse(Bytes::from(text)).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!(),
    }
}

#[test]
fn s4_6_an_invite_whose_description_speaks_ipv6_keeps_it_to_the_byte() {
    let body = "v=0\r\no=a 97 0 IN IP6 2001:db8::20\r\ns=-\r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";
    let lines = [
        "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bK6",
        "Contact: \"A\" <sip:a@[2001:db8::20]>",
        "Content-Type: application/sdp",
    ];
    let invite = whole("INVITE sip:b@[2001:db8::10]", "INVITE", &lines, body);
    assert_eq!(invite.body, body.as_bytes());
    assert_eq!(invite.contact().unwrap().uri.host(), "2001:db8::20");
    assert_eq!(invite.from().unwrap().uri.host(), "2001:db8::20");
    assert_eq!(invite.call_id().unwrap().to_string(), "6@[2001:db8::20]");
}

#[test]
fn s4_7_both_families_in_one_message_stay_what_they_are() {
    let lines = [
        "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
        "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
        "Route: <sip:[2001:db8::3]:5070;lr>, <sip:192.0.2.3;lr>",
    ];
    let bye = whole("BYE sip:user@host.example.net", "BYE", &lines, "");
    let vias: Vec<_> = bye
        .headers
        .list(&Name::Via)
        .map(|value| sip::Via::read(&value).unwrap())
        .map(|via| (via.host.to_string(), via.port, via.received()))
        .collect();
    let received = Some("192.0.2.200".parse().unwrap());
    assert_eq!(
        vias,
        [
            ("2001:db8::9:1".to_owned(), Some(6050), None),
            ("192.0.2.1".to_owned(), None, None),
            ("2001:db8::9:255".to_owned(), None, received),
        ]
    );
    let routes: Vec<_> = bye
        .headers
        .list(&Name::Route)
        .map(|value| sip::NameAddr::read(&value).unwrap().uri.host().to_owned())
        .collect();
    assert_eq!(routes, ["2001:db8::3", "192.0.2.3"]);
}

#[test]
fn s4_9_a_mapped_address_is_a_host_in_via_and_contact() {
    let lines = [
        "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111",
        "Contact: \"T. desk phone\" <sip:ted@[::ffff:192.0.2.2]>",
    ];
    let invite = whole("INVITE sip:user@example.com", "INVITE", &lines, "");
    let via = invite.top_via().unwrap();
    assert_eq!(
        (via.host.to_string().as_str(), via.port),
        ("::ffff:192.0.2.10", Some(19_823))
    );
    assert_eq!(invite.contact().unwrap().uri.host(), "::ffff:192.0.2.2");
}

#[test]
fn s4_10_the_three_colons_of_an_old_grammar_are_tolerated_and_returned_as_they_came() {
    for reference in ["[2001:db8:::192.0.2.1]", "[2001:db8::192.0.2.1]"] {
        let uri = format!("sip:user@{reference}");
        let request = request(&uri, &format!("SIP/2.0/UDP {reference};branch=z9hG4bK10"));
        assert_eq!(request.uri.as_str(), uri);
        assert_eq!(
            request.top_via().unwrap().sent_by().to_string(),
            reference,
            "nothing is corrected"
        );
    }
}

#[test]
fn any_spelling_of_an_address_is_a_host() {
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
