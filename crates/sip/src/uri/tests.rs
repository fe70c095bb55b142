use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

#[test]
fn every_piece_of_a_full_uri_is_found() {
    let u = uri(
        "sip:+1214;tgrp=wacall;Trunk-Context=byoc.example.com:pw@[2001:db8::7]:5061;transport=TLS;lr?Subject=x",
    );
    assert_eq!(u.scheme(), Scheme::Sip);
    assert_eq!(
        u.user(),
        Some("+1214;tgrp=wacall;Trunk-Context=byoc.example.com")
    );
    assert_eq!(u.user_base(), Some("+1214"));
    assert_eq!(u.user_number(), Some("+1214"));
    assert_eq!(u.user_param("trunk-context"), Some("byoc.example.com"));
    assert_eq!(u.host(), "2001:db8::7");
    assert_eq!(u.port(), Some(5061));
    assert_eq!(u.param("transport"), Some("TLS"));
    assert_eq!(u.param("lr"), Some(""));
    assert_eq!(u.param("none"), None);
    assert_eq!(u.transport(), Transport::Tls);
}

#[test]
fn a_business_scoped_user_is_no_number() {
    let u = uri("sip:US.13491208655302741918@wa.example");
    assert_eq!(u.user_base(), Some("US.13491208655302741918"));
    assert_eq!(u.user_number(), None);
}

#[test]
fn tel_uris_have_a_number_and_no_host() {
    let u = uri("tel:+49301234;phone-context=example.com");
    assert_eq!(
        (u.scheme(), u.user_number(), u.host()),
        (Scheme::Tel, Some("+49301234"), "")
    );
    assert_eq!(u.param("phone-context"), Some("example.com"));
}

#[test]
fn unknown_schemes_are_kept_as_text() {
    let u = uri("nobodyKnowsThisScheme:totallyopaquecontent");
    assert_eq!((u.scheme(), u.user(), u.host()), (Scheme::Other, None, ""));
    assert_eq!(u.to_string(), "nobodyKnowsThisScheme:totallyopaquecontent");
}

#[test]
fn texts_that_are_no_uri_are_refused() {
    for bad in [
        "",
        "sip",
        "sip:",
        ":x",
        "sip:@host",
        "sip:a@",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@[xyz]",
        "sip:a@host:port",
        "sip:a@host:70000",
        "sip:a@host:",
        "sip:a b@host",
        "<sip:a@host>",
        "sip:a@ho\"st",
        "sip:a@[::1]x",
        "1sip:a@host",
        "sip:a@host\r\nX: y",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad:?}");
    }
}

/// The examples of RFC 3261 §19.1.4.
#[test]
fn equivalence_follows_the_rfc() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert!(uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(uri(b).equivalent(&uri(a)), "{b} {a}");
    }
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "sip:a:secret@b"),
        ("sip:b", "sip:a@b"),
    ] {
        assert!(!uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(!uri(b).equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn composed_uris_cannot_break_out() {
    assert_eq!(
        Uri::sip("+1712", "sbc.example").to_string(),
        "sip:+1712@sbc.example"
    );
    assert_eq!(Uri::sip("", "2001:db8::1").to_string(), "sip:[2001:db8::1]");
    assert_eq!(
        Uri::sip("a>\r\nX:@b", "h").to_string(),
        "sip:a%3E%0D%0AX%3A%40b@h"
    );
    assert_eq!(Uri::sip("a", "h\r\n;x").to_string(), "sip:a@hx");
    assert_eq!(Uri::sip("a", "").host(), "invalid.invalid");
    assert_eq!(Uri::invalid(), Uri::parse("sip:invalid.invalid").unwrap());
    assert_eq!(Uri::invalid().host(), "invalid.invalid");
}

#[test]
fn parameters_are_added_before_headers() {
    let u = uri("sip:a@b?x=y")
        .with_param("transport", "tls")
        .with_param("lr", "");
    assert_eq!(u.to_string(), "sip:a@b;transport=tls;lr?x=y");
    let none = uri("sip:a@b;lr?");
    assert_eq!(none.with_param("x", "1").to_string(), "sip:a@b;lr;x=1?");
    assert_eq!(none.without_headers().to_string(), "sip:a@b;lr");
    assert_eq!(uri("tel:+1").with_param("x", "1").to_string(), "tel:+1;x=1");
    assert_eq!(uri("a:b?c").with_param("x", "1").to_string(), "a:b?c;x=1");
}

#[test]
fn headers_are_unescaped_and_never_break_a_line() {
    let uri = Uri::parse("sip:a?b@h;x=1?Replaces=c%40d%3Bto-tag%3D1&Subject=").unwrap();
    assert_eq!(
        uri.headers().unwrap(),
        [
            ("Replaces".to_owned(), "c@d;to-tag=1".to_owned()),
            ("Subject".to_owned(), String::new())
        ]
    );
    assert_eq!(uri.without_headers().as_str(), "sip:a?b@h;x=1");
    let plain = Uri::parse("sip:a@h").unwrap();
    assert_eq!(plain.headers(), Some(Vec::new()));
    assert_eq!(plain.without_headers(), plain);
    for broken in [
        "sip:a@h?X=%0d%0aY:",
        "sip:a@h?X=%0",
        "sip:a@h?X=%zz",
        "sip:a@h?X=%ff",
    ] {
        assert_eq!(Uri::parse(broken).unwrap().headers(), None, "{broken}");
    }
}
