//! Another parser reads the same messages: where it can, it must agree.
//!
//! `rsip` 0.4 cannot read IPv6 in typed headers, user parameters, compact names, folds and odd
//! reason phrases; the comparison leaves out what it refuses and says how much was compared.

use rsip::headers::ToTypedHeader;
use rsip::message::{HasHeaders, HeadersExt};
use sip::{Message, Method, Name, parse};

#[test]
fn header_by_header_the_samples_read_alike() {
    let (mut messages, mut vias, mut tags) = (0, 0, 0);
    for (name, bytes) in crate::fixtures::all() {
        let ours = parse(bytes.clone()).unwrap();
        let Ok(theirs) = rsip::SipMessage::try_from(bytes.as_ref()) else {
            continue;
        };
        messages += 1;
        let our_lines: Vec<_> = ours
            .headers()
            .iter()
            .map(|(_, value)| value.to_string())
            .collect();
        let their_lines: Vec<_> = theirs
            .headers()
            .iter()
            .map(|header| {
                let line = header.to_string();
                line.split_once(':')
                    .map_or(String::new(), |(_, v)| v.trim().to_owned())
            })
            .collect();
        assert_eq!(our_lines, their_lines, "{name}");
        assert_eq!(ours.body().as_ref(), theirs.body().as_slice(), "{name}");

        let via = sip::Via::read(ours.headers().first(&Name::Via).unwrap()).unwrap();
        if let Ok(their_via) = theirs.via_header().unwrap().typed()
            && let Some(branch) = their_via.branch()
        {
            vias += 1;
            assert_eq!(via.branch(), Some(branch.value()), "{name}");
            assert_eq!(
                via.host,
                *their_via.uri.host_with_port.host.to_string(),
                "{name}"
            );
            assert_eq!(
                via.port,
                their_via.uri.host_with_port.port.map(Into::into),
                "{name}"
            );
        }
        let (from, from_tag, cseq) = match &ours {
            Message::Request(r) => (r.from(), r.from_tag(), r.cseq()),
            Message::Response(r) => (r.from(), r.from_tag(), r.cseq()),
        };
        if let Ok(their_from) = theirs.from_header().unwrap().typed() {
            tags += 1;
            let from = from.unwrap();
            assert_eq!(
                from_tag.map(|tag| tag.to_string()),
                their_from.tag().map(|tag| tag.value().to_owned()),
                "{name}"
            );
            let user = their_from.uri.user().map(str::to_owned);
            assert_eq!(from.uri.user().map(str::to_owned), user, "{name}");
        }
        if let Ok(their_cseq) = theirs.cseq_header().unwrap().typed() {
            let cseq = cseq.unwrap();
            assert_eq!(cseq.number, their_cseq.seq, "{name}");
            assert_eq!(
                cseq.method,
                Method::from(&*their_cseq.method.to_string()),
                "{name}"
            );
        }
    }
    assert!(
        messages >= 50 && vias >= 20 && tags >= 40,
        "{messages} {vias} {tags}"
    );
}

#[test]
fn uris_read_alike_where_the_other_reads_them() {
    for text in [
        "sip:alice@atlanta.example",
        "sip:alice:secret@atlanta.example:5070;transport=tcp",
        "sips:+17125550259@h.example;lr",
        "sip:h.example",
        "sip:192.0.2.1:5061;transport=udp",
    ] {
        let ours = sip::Uri::parse(text).unwrap();
        let theirs = rsip::Uri::try_from(text).unwrap();
        assert_eq!(ours.host(), theirs.host().to_string(), "{text}");
        assert_eq!(
            ours.port(),
            theirs.port().copied().map(Into::into),
            "{text}"
        );
        assert_eq!(ours.user(), theirs.user(), "{text}");
    }
}

/// What made us write our own; if a new version reads these, the comparison can grow.
#[test]
fn the_other_parser_still_cannot_read_what_this_product_meets() {
    let user_params = "INVITE sip:+123;tgrp=wacall;trunk-context=x@h SIP/2.0\r\n\
        Via: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:c@d>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    if let Ok(theirs) = rsip::SipMessage::try_from(user_params.as_bytes()) {
        assert!(theirs.via_header().unwrap().typed().is_err(), "IPv6 in Via");
    }
    let Ok(Message::Request(ours)) = parse(user_params.into()) else {
        panic!()
    };
    assert_eq!(ours.uri.user_param("tgrp"), Some("wacall"));
    assert_eq!(ours.top_via().unwrap().host, "2001:db8::1");
}
