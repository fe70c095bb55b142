//! A challenge or credentials: read or left out. A challenge we can answer is answered so that whoever made it finds the answer
//! right, and credentials of a stranger are right only if they are.

use std::time::Duration;

use bytes::Bytes;
use sip::{
    Answerer, Challenge, Challenger, Credentials, Method, Name, NonceCounts, Response, Secret,
    Text, Verdict,
};

const PASSWORD: &str = "9fT3kWq7ZsL2xVb8Rm4N";
const URI: &str = "sip:+12145551869@sbc.example.com;transport=tls";

pub(super) fn holds(bytes: &[u8]) {
    // A header value cannot hold a line end or NUL: the parser sees to that.
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return;
    }
    let value = Text::from(Bytes::copy_from_slice(bytes));
    judge(&value);
    answer(value);
}

/// As credentials, before our own challenger.
fn judge(value: &Text) {
    let Some(credentials) = Credentials::read(value) else {
        return;
    };
    let _ = format!("{credentials:?}");
    let (secret, call_id) = (Secret::new(PASSWORD.to_owned()), Text::from("call"));
    let challenger = Challenger::new([5; 32], Duration::from_secs(60));
    let verdict = challenger.verify(
        &credentials,
        &Method::Invite,
        &call_id,
        Duration::from_secs(9),
        |_| Some(&secret),
    );
    assert_eq!(
        verdict,
        Verdict::ForeignNonce,
        "nobody guesses a nonce of ours"
    );
    let mut counts = NonceCounts::new(Duration::from_secs(60), 8);
    if counts.admit(&credentials, Duration::from_secs(9)) {
        assert!(
            !counts.admit(&credentials, Duration::from_secs(9)),
            "the same count twice"
        );
    }
}

/// As a challenge, before our own answerer.
fn answer(value: Text) {
    let mut response = Response::new(407);
    response.headers.push(Name::ProxyAuthenticate, value);
    let challenges = Challenge::all(&response.headers, &Name::ProxyAuthenticate);
    let mut answerer = Answerer::new("17125550259", Secret::new(PASSWORD.to_owned()));
    let answered = answerer.answer(
        &response,
        &Method::Invite,
        URI,
        b"body",
        "c0ffee".to_owned(),
    );
    let Ok((name, value)) = answered else {
        return;
    };
    assert_eq!(name, Name::ProxyAuthorization);
    let credentials = Credentials::read(&value).expect("our own credentials can be read");
    assert!(
        challenges
            .iter()
            .any(|challenge| challenge.nonce == credentials.nonce
                && challenge.realm == credentials.realm),
        "what was asked is what was answered"
    );
    assert!(
        credentials.matches(&Method::Invite, PASSWORD, b"body"),
        "our own digest is right"
    );
    assert!(!credentials.matches(&Method::Invite, "another", b"body"));
    assert_eq!(credentials.uri, URI);
    let again = answerer.answer(
        &response,
        &Method::Invite,
        URI,
        b"body",
        "c0ffee".to_owned(),
    );
    assert!(
        again.is_err() || challenges.iter().any(|challenge| challenge.stale),
        "no second try without stale"
    );
}
