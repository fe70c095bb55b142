//! A URI: what is read is the text it came as, is equivalent to itself, and everything derived from it can be read again.

use bytes::Bytes;
use sip::{NameAddr, Scheme, Text, Uri};

pub(super) fn holds(bytes: &[u8]) {
    let text = Text::from(Bytes::copy_from_slice(bytes));
    if let Ok(uri) = Uri::parse(text.clone()) {
        assert_eq!(uri.as_text(), &text, "printed as it came");
        ask(&uri);
    }
    if let Some(address) = NameAddr::read(&text) {
        ask(&address.uri);
        let _ = (
            address.display.as_ref().map(ToString::to_string),
            address.param("tag"),
            address.param("q"),
        );
    }
    // Whatever the user is called, a URI of ours names him so that he can be read.
    let user = text.as_str();
    let composed = Uri::sip(&user, "[2001:db8::1]:5061");
    let again = Uri::parse(composed.as_text().clone()).expect("what we compose can be read");
    assert_eq!((again.host(), again.port()), ("2001:db8::1", Some(5061)));
    assert_eq!(again.user().is_some(), !user.is_empty());
    let host = Uri::sip("u", &user);
    Uri::parse(host.as_text().clone()).expect("a host of any spelling gives a URI");
}

fn ask(uri: &Uri) {
    let text = uri.as_text().clone();
    let again = Uri::parse(text).expect("read twice, read the same");
    assert_eq!(
        (&again, again.host(), again.port(), again.user()),
        (uri, uri.host(), uri.port(), uri.user())
    );
    assert!(uri.equivalent(&again), "a URI is equivalent to itself");
    let _ = (
        uri.user_number(),
        uri.user_param("tgrp"),
        uri.param("transport"),
        uri.transport(),
        uri.headers(),
    );
    assert_eq!(uri.detached(), *uri);
    if matches!(uri.scheme(), Scheme::Sip | Scheme::Sips) {
        assert!(!uri.host().is_empty(), "a SIP URI has a host");
        let bare = uri.without_headers();
        assert_eq!(
            (bare.host(), bare.port(), bare.user()),
            (uri.host(), uri.port(), uri.user())
        );
        assert_eq!(bare.headers(), Some(Vec::new()));
        let more = bare.with_param("x-f", "1");
        assert_eq!(more.param("x-f"), bare.param("x-f").or(Some("1")));
        assert_eq!((more.host(), more.port()), (bare.host(), bare.port()));
    }
}
