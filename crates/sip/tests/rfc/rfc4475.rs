//! RFC 4475, the SIP torture tests: messages of ours in the spirit of each section.

use bytes::Bytes;
use sip::{MalformedKind, Message, Method, Name, NameAddr, Request, Scheme, Text, parse};

/// A request with the headers every message has and these.
fn with(start: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "{start}\r\nVia: SIP/2.0/UDP t1.example.com;branch=z9hG4bKt\r\nMax-Forwards: 70\r\n\
         From: \"T\" <sip:t@example.com>;tag=torture\r\nTo: <sip:u@example.com>\r\n\
         Call-ID: t.4475\r\nCSeq: 42 OPTIONS\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

fn options(lines: &str) -> Vec<u8> {
    with("OPTIONS sip:u@example.com SIP/2.0", lines, "")
}

fn request(bytes: impl Into<Bytes>) -> Request {
    match parse(bytes.into()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn refused(bytes: impl Into<Bytes>, kind: MalformedKind, status: &str) {
    let malformed = parse(bytes.into()).expect_err("this one is refused");
    assert_eq!(malformed.kind, kind);
    let reply = malformed.reply().expect("and answered");
    assert!(
        reply.starts_with(format!("SIP/2.0 {status} ").as_bytes()),
        "{reply:?}"
    );
}

#[test]
fn s3_1_1_1_a_short_tortuous_invite_is_read() {
    let text = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n\
        TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
        from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
        MaX-fOrWaRdS: 0068\r\n\
        Call-ID: wsinv.ndaksdj@192.0.2.1\r\n\
        Content-Length   : 15\r\n\
        cseq: 0009\r\n  INVITE\r\n\
        Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n\
        s :\r\n\
        NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
        UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n\
        Content-Type: application/sdp\r\n\
        Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n\
        v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n \
        SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
        m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  \
        secondparam ; q = 0.33\r\n\r\nv=0\r\no=- 1 1 IN";
    let invite = request(text);
    assert_eq!(
        invite.to_bytes(),
        text.as_bytes(),
        "and printed back with all its folds"
    );
    assert_eq!(invite.to_tag().unwrap(), "1918181833n");
    assert_eq!(invite.from_tag().unwrap(), "98asjd8");
    assert_eq!(invite.from().unwrap().display.unwrap(), "J Rosenberg \\\"");
    assert_eq!(invite.cseq().unwrap().number, 9);
    assert_eq!(invite.top_via().unwrap().branch(), Some("390skdjuw"));
    assert_eq!(invite.headers.list(&Name::Via).count(), 3);
    let contact = invite.contact().unwrap();
    assert_eq!(contact.display.as_ref().unwrap(), &"Quoted string \"\"");
    assert_eq!(
        (contact.param("newparam"), contact.param("q")),
        (Some("newvalue"), Some("0.33"))
    );
    assert_eq!(invite.headers.first(&Name::Subject).unwrap(), "");
    assert_eq!(invite.body.len(), 15);
}

#[test]
fn s3_1_1_2_a_wide_range_of_valid_characters_is_read() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let uri = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\r\n\
         To: \"BEL:\\\u{7} NUL:\\\u{1} DEL:\\\u{7f}\" <sip:1_unusual.URI~@example.com>\r\n\
         From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\u{440}\u{430}\";tag=_token~1'+`*%!-.\r\n\
         Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}}{{\r\nCSeq: 139122385 {method}\r\n\
         extensionHeader-!.%*+_`'~: \u{ff41}\u{30a2}\r\nContent-Length: 0\r\n\r\n"
    );
    let odd = request(text.clone());
    assert_eq!(odd.to_bytes(), text.as_bytes());
    assert_eq!(odd.method, Method::Other(Text::from(method)));
    assert_eq!(odd.uri.host(), "example.com");
    assert_eq!(odd.from_tag().unwrap(), "_token~1'+`*%!-.");
}

#[test]
fn s3_1_1_3_escapes_stay_as_they_are_written() {
    let bytes = with(
        "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
        "",
        "",
    );
    let text = String::from_utf8(bytes)
        .unwrap()
        .replace("42 OPTIONS", "42 INVITE");
    let invite = request(text.clone());
    assert_eq!(invite.uri.user(), Some("sips%3Auser%40example.com"));
    assert_eq!(invite.to_bytes(), text.as_bytes());
    let nulls = request(options(
        "Contact: <sip:null-%00-null@host5.example.com>\r\n",
    ));
    assert_eq!(nulls.contact().unwrap().uri.user(), Some("null-%00-null"));
}

#[test]
fn s3_1_1_5_percent_in_a_method_is_no_escape() {
    let text = String::from_utf8(with(
        "RE%47IST%45R sip:registrar.example.com SIP/2.0",
        "",
        "",
    ))
    .unwrap()
    .replace("42 OPTIONS", "42 RE%47IST%45R");
    assert_ne!(request(text).method, Method::Register);
}

#[test]
fn s3_1_1_6_no_blank_between_display_name_and_address() {
    let request = request(options("Contact: caller<sip:caller@example.com>;q=1\r\n"));
    assert_eq!(request.contact().unwrap().display.unwrap(), "caller");
}

#[test]
fn s3_1_1_7_long_values_are_read() {
    let long = "x".repeat(3000);
    let request = request(options(&format!(
        "Contact: <sip:{long}@example.com>;p={long}\r\nX-{long}: {long}\r\n"
    )));
    assert_eq!(request.contact().unwrap().uri.user().unwrap().len(), 3000);
    assert_eq!(
        request
            .headers
            .first(&Name::from(&*format!("x-{long}")))
            .unwrap()
            .len(),
        3000
    );
}

#[test]
fn s3_1_1_8_bytes_behind_the_body_are_cut_off() {
    let request = request(with(
        "OPTIONS sip:u@example.com SIP/2.0",
        "Content-Length: 0\r\n",
        "INVITE sip:",
    ));
    assert!(request.body.is_empty());
}

#[test]
fn s3_1_1_9_semicolons_in_the_user_part_belong_to_the_user() {
    let request = request(with(
        "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
        "",
        "",
    ));
    assert_eq!(request.uri.user(), Some("user;par=u%40example.net"));
    assert_eq!(request.uri.user_base(), Some("user"));
    assert_eq!(request.uri.host(), "example.com");
}

#[test]
fn s3_1_1_10_unknown_transports_in_via_are_carried() {
    let request = request(options(
        "Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bK2\r\nVia: SIP/2.0/UNKNOWN t3.example.com;branch=z9hG4bK3\r\n",
    ));
    let third = request.headers.list(&Name::Via).nth(2).unwrap();
    assert_eq!(sip::Via::read(&third).unwrap().known_transport(), None);
}

#[test]
fn s3_1_1_11_bodies_of_any_bytes_are_kept() {
    let mut bytes = with(
        "OPTIONS sip:u@example.com SIP/2.0",
        "Content-Type: multipart/mixed;boundary=7a9c\r\nContent-Length: 256\r\n",
        "",
    );
    bytes.extend(0..=255u8);
    assert_eq!(request(bytes.clone()).to_bytes(), bytes);
}

#[test]
fn s3_1_1_12_unusual_reason_phrases_are_kept() {
    let head = "\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    for reason in [
        "= 2**3 * 5**2 \u{43d}\u{43e} \u{441}\u{442}\u{43e} - ok",
        "",
        " two  blanks ",
    ] {
        let text = format!("SIP/2.0 200 {reason}{head}");
        let Message::Response(response) = parse(text.clone().into()).unwrap() else {
            panic!()
        };
        assert_eq!(response.reason, *reason);
        assert_eq!(response.to_bytes(), text.as_bytes());
    }
}

#[test]
fn s3_1_2_1_extra_separators_do_not_confuse() {
    let request = request(options(
        "Contact: \"Joe\" <sip:joe@example.org>;;;;\r\nAllow: ,,INVITE,, ACK,\r\n",
    ));
    assert_eq!(
        request.contact().unwrap().uri.to_string(),
        "sip:joe@example.org"
    );
    assert!(request.headers.lists(&Name::Allow, "ack"));
    assert_eq!(request.headers.list(&Name::Allow).count(), 2);
}

#[test]
fn s3_1_2_2_a_length_larger_than_the_body_is_answered_400() {
    let bytes = with(
        "OPTIONS sip:u@example.com SIP/2.0",
        "Content-Length: 9999\r\n",
        "short",
    );
    refused(bytes, MalformedKind::BodyTooShort, "400");
}

#[test]
fn s3_1_2_3_a_negative_length_is_answered_400() {
    refused(
        options("Content-Length: -999\r\n"),
        MalformedKind::Unreadable(Name::ContentLength),
        "400",
    );
}

#[test]
fn s3_1_2_4_numbers_beyond_their_range_are_answered_400() {
    let huge = String::from_utf8(options(""))
        .unwrap()
        .replace("42 OPTIONS", "36893488147419103232 OPTIONS");
    refused(huge, MalformedKind::Unreadable(Name::CSeq), "400");
}

#[test]
fn s3_1_2_5_numbers_beyond_their_range_in_responses_are_dropped() {
    let text = "SIP/2.0 503 Service Unavailable\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:c@d>;tag=2\r\nCall-ID: c\r\nCSeq: 9292394834772304023312 OPTIONS\r\nRetry-After: 949302838503028349304023988\r\n\r\n";
    let malformed = parse(text.into()).unwrap_err();
    assert_eq!(malformed.kind, MalformedKind::Unreadable(Name::CSeq));
    assert_eq!(malformed.reply(), None, "responses are never answered");
}

#[test]
fn s3_1_2_6_an_unclosed_quote_in_a_display_name_is_answered_400() {
    let text = String::from_utf8(options(""))
        .unwrap()
        .replace("\"T\" <", "\"T <");
    refused(text, MalformedKind::Unreadable(Name::From), "400");
}

#[test]
fn s3_1_2_7_angle_brackets_around_the_request_uri_are_answered_400() {
    refused(
        with("OPTIONS <sip:u@example.com> SIP/2.0", "", ""),
        MalformedKind::RequestUri,
        "400",
    );
}

#[test]
fn s3_1_2_8_blanks_inside_the_request_uri_are_answered_400() {
    refused(
        with("OPTIONS sip:u@example.com; lr SIP/2.0", "", ""),
        MalformedKind::StartLine,
        "400",
    );
}

#[test]
fn s3_1_2_9_blanks_too_many_in_the_start_line_are_answered_400() {
    refused(
        with("OPTIONS  sip:u@example.com SIP/2.0", "", ""),
        MalformedKind::StartLine,
        "400",
    );
    refused(
        with("OPTIONS sip:u@example.com  SIP/2.0", "", ""),
        MalformedKind::StartLine,
        "400",
    );
}

#[test]
fn s3_1_2_11_headers_inside_the_request_uri_are_kept() {
    let request = request(with(
        "OPTIONS sip:u@example.com?Route=%3Csip:example.com%3E SIP/2.0",
        "",
        "",
    ));
    assert_eq!(request.uri.host(), "example.com");
}

#[test]
fn s3_1_2_13_an_address_without_brackets_ends_at_the_semicolon() {
    let request = request(options(
        "Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E;q=1\r\n",
    ));
    let contact = request.contact().unwrap();
    assert_eq!(contact.param("q"), Some("1"));
    assert_eq!(contact.uri.host(), "example.com");
}

#[test]
fn s3_1_2_14_to_15_odd_display_names_are_not_fatal() {
    let text = String::from_utf8(options(""))
        .unwrap()
        .replace("\"T\" <", "Bell, Alexander <");
    assert_eq!(
        request(text).from().unwrap().display.unwrap(),
        "Bell, Alexander"
    );
    let value = Text::from("\"unterminated <sip:a@b>");
    assert_eq!(NameAddr::read(&value), None);
}

#[test]
fn s3_1_2_16_another_version_is_answered_505() {
    refused(
        with("OPTIONS sip:u@example.com SIP/7.0", "", ""),
        MalformedKind::Version,
        "505",
    );
}

#[test]
fn s3_1_2_17_another_method_in_cseq_is_answered_400() {
    refused(
        with("INVITE sip:u@example.com SIP/2.0", "", ""),
        MalformedKind::CSeqMethod,
        "400",
    );
}

#[test]
fn s3_1_2_19_statuses_out_of_range_are_dropped() {
    let text = "SIP/2.0 4294967301 better not break the receiver\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n";
    let malformed = parse(text.into()).unwrap_err();
    assert_eq!(
        (malformed.kind.clone(), malformed.reply()),
        (MalformedKind::StartLine, None)
    );
}

#[test]
fn s3_3_1_missing_headers_are_reported_by_name() {
    let text = "INVITE sip:user@example.com SIP/2.0\r\nCSeq: 193942 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj\r\nContent-Length: 0\r\n\r\n";
    let malformed = parse(text.into()).unwrap_err();
    assert_eq!(malformed.kind, MalformedKind::Missing(Name::From));
    assert_eq!(
        malformed.reply(),
        None,
        "there is nothing to address a reply with"
    );
}

#[test]
fn s3_3_2_to_3_unknown_schemes_are_for_the_user_to_refuse() {
    let uri = "nobodyKnowsThisScheme:totallyopaquecontent";
    assert_eq!(
        request(with(&format!("OPTIONS {uri} SIP/2.0"), "", ""))
            .uri
            .scheme(),
        Scheme::Other
    );
    let soap = "soap.beep://192.0.2.103:3002";
    assert_eq!(
        request(with(&format!("OPTIONS {soap} SIP/2.0"), "", ""))
            .uri
            .scheme(),
        Scheme::Other
    );
}

#[test]
fn s3_3_8_several_values_where_one_is_meant_are_answered_400() {
    for (lines, name) in [
        ("CSeq: 8 OPTIONS\r\n", Name::CSeq),
        ("Call-ID: other\r\n", Name::CallId),
        ("Max-Forwards: 5\r\n", Name::MaxForwards),
        ("f: <sip:other@example.com>;tag=x\r\n", Name::From),
        ("To: <sip:other@example.com>\r\n", Name::To),
        ("Content-Length: 0\r\nl: 5\r\n", Name::ContentLength),
    ] {
        refused(options(lines), MalformedKind::Conflicting(name), "400");
    }
}

#[test]
fn s3_3_15_unreadable_contacts_do_not_cost_the_message() {
    let request = request(options("Contact: <sip:joe@,>\r\nContact: <>\r\n"));
    assert_eq!(request.contact(), None);
}

#[test]
fn s3_4_1_a_message_of_rfc_2543_is_read() {
    let text = "INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n\
        From: <sip:+13035551111@ift.client.example.net;user=phone>\r\nTo: sip:+16505552222@ss1.example.net;user=phone\r\n\
        Call-ID: inv2543.1717@ift.client.example.com\r\nCSeq: 56 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
    let invite = request(text);
    assert_eq!(invite.from_tag(), None);
    assert_eq!(invite.top_via().unwrap().branch(), None);
    assert_eq!(
        invite.body.as_ref(),
        b"v=0\r\n",
        "without a length the datagram is the body"
    );
}
