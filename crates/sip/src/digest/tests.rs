use std::time::Duration;

use super::*;
use crate::{Challenge, Headers, Name, Response, Secret};

fn response(parts: &Parts) -> String {
    parts.response()
}

/// RFC 7616 §3.9.1, both algorithms.
#[test]
fn rfc_7616_vectors() {
    let vector = |algorithm, nonce, cnonce| Parts {
        algorithm,
        username: b"Mufasa",
        realm: b"http-auth@example.org",
        password: b"Circle of Life",
        method: b"GET",
        uri: b"/dir/index.html",
        nonce,
        quality: Some((b"auth", b"00000001", cnonce)),
        body: b"",
    };
    let nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    assert_eq!(
        response(&vector(Algorithm::Md5, nonce, cnonce)),
        "8ca523f5e9506fed4657c9700eebdbec"
    );
    assert_eq!(
        response(&vector(Algorithm::Sha256, nonce, cnonce)),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

/// RFC 2617 §3.5.
#[test]
fn rfc_2617_vector() {
    let parts = Parts {
        algorithm: Algorithm::Md5,
        username: b"Mufasa",
        realm: b"testrealm@host.com",
        password: b"Circle Of Life",
        method: b"GET",
        uri: b"/dir/index.html",
        nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
        quality: Some((b"auth", b"00000001", b"0a4f113b")),
        body: b"",
    };
    assert_eq!(response(&parts), "6629fae49393a05397450978507c4ef1");
}

fn challenged(status: u16, values: &[&str]) -> Response {
    let mut response = Response::new(status);
    let name = if status == 401 {
        Name::WwwAuthenticate
    } else {
        Name::ProxyAuthenticate
    };
    for value in values {
        response.headers.push(&name, *value);
    }
    response
}

const MD5: &str = r#"Digest realm="r",nonce="m1",opaque="mo",algorithm=MD5,qop="auth""#;
const SHA: &str = r#"Digest realm="r",nonce="s1",opaque="so",algorithm=SHA-256,qop="auth""#;

fn answerer() -> Answerer {
    Answerer::new("17125550259", Secret::new("pw".into()))
}

fn answer(to: &mut Answerer, response: &Response) -> Result<(Name, Credentials), Unanswerable> {
    to.answer(
        response,
        &Method::Invite,
        "sip:+1@h;transport=tls",
        b"",
        "cn".into(),
    )
    .map(|(name, value)| (name, Credentials::read(&value).unwrap()))
}

#[test]
fn the_first_challenge_we_speak_is_answered_in_every_arrangement() {
    let joined = format!("{SHA}, {MD5}");
    let unknown = r#"Digest realm="r",nonce="x",algorithm=SHA-512-256,qop="auth""#;
    let basic = r#"Basic realm="r""#;
    for (values, nonce, algorithm) in [
        (vec![SHA, MD5], "s1", Algorithm::Sha256),
        (vec![MD5, SHA], "m1", Algorithm::Md5),
        (vec![MD5], "m1", Algorithm::Md5),
        (vec![SHA], "s1", Algorithm::Sha256),
        (vec![joined.as_str()], "s1", Algorithm::Sha256),
        (vec![unknown, basic, MD5], "m1", Algorithm::Md5),
    ] {
        let (name, c) = answer(&mut answerer(), &challenged(407, &values)).unwrap();
        assert_eq!(name, Name::ProxyAuthorization);
        assert_eq!(c.nonce, nonce, "{values:?}");
        assert_eq!(c.known_algorithm(), Some(algorithm), "{values:?}");
        assert_eq!(
            c.opaque.unwrap().as_bytes()[0],
            nonce.as_bytes()[0],
            "{values:?}"
        );
        assert_eq!(c.nc.unwrap(), "00000001");
        assert_eq!(c.uri, "sip:+1@h;transport=tls");
    }
}

#[test]
fn an_answer_is_printed_as_documented() {
    let value = |challenge: &str| {
        answerer()
            .answer(
                &challenged(401, &[challenge]),
                &Method::Invite,
                "sip:h",
                b"",
                "cn".into(),
            )
            .unwrap()
    };
    let (name, text) =
        value(r#"Digest realm="r",nonce="n",opaque="o",algorithm="md5",qop="auth,auth-int""#);
    assert_eq!(name, Name::Authorization);
    let text = text.to_string();
    assert!(
        text.starts_with(
            r#"Digest username="17125550259", realm="r", nonce="n", uri="sip:h", response=""#
        ),
        "{text}"
    );
    assert!(
        text.ends_with(r#"", algorithm=md5, cnonce="cn", opaque="o", qop=auth, nc=00000001"#),
        "{text}"
    );
    let (_, text) = value(r#"Digest realm="r", nonce="n""#);
    let text = text.to_string();
    assert!(
        !text.contains("algorithm") && !text.contains("qop") && !text.contains("cnonce"),
        "{text}"
    );
}

#[test]
fn a_second_challenge_means_the_password_is_wrong() {
    let mut to = answerer();
    answer(&mut to, &challenged(407, &[MD5])).unwrap();
    assert_eq!(
        answer(&mut to, &challenged(407, &[MD5])).unwrap_err(),
        Unanswerable::Refused
    );
}

#[test]
fn a_stale_nonce_is_forgiven_once() {
    let stale = r#"Digest realm="r",nonce="m2",algorithm=MD5,qop="auth",stale=true"#;
    let mut to = answerer();
    answer(&mut to, &challenged(407, &[MD5])).unwrap();
    let (_, c) = answer(&mut to, &challenged(407, &[stale])).unwrap();
    assert_eq!(
        (c.nonce.to_string(), c.nc.unwrap().to_string()),
        ("m2".into(), "00000001".into())
    );
    assert_eq!(
        answer(&mut to, &challenged(407, &[stale])).unwrap_err(),
        Unanswerable::Refused
    );
}

#[test]
fn a_nonce_used_again_counts_up() {
    let mut to = answerer();
    answer(&mut to, &challenged(407, &[MD5])).unwrap();
    to.accepted();
    let (_, c) = answer(&mut to, &challenged(407, &[MD5])).unwrap();
    assert_eq!(c.nc.unwrap(), "00000002");
}

#[test]
fn a_proxy_and_the_server_may_each_ask() {
    let mut to = answerer();
    assert_eq!(
        answer(&mut to, &challenged(407, &[MD5])).unwrap().0,
        Name::ProxyAuthorization
    );
    assert_eq!(
        answer(&mut to, &challenged(401, &[MD5])).unwrap().0,
        Name::Authorization
    );
}

#[test]
fn what_cannot_be_answered_is_said() {
    let mut to = answerer();
    assert_eq!(
        answer(&mut to, &Response::new(403)).unwrap_err(),
        Unanswerable::NoChallenge
    );
    assert_eq!(
        answer(&mut to, &challenged(407, &[])).unwrap_err(),
        Unanswerable::NotSupported
    );
    let odd = r#"Digest realm="r",nonce="n",qop="token""#;
    assert_eq!(
        answer(&mut to, &challenged(407, &[odd])).unwrap_err(),
        Unanswerable::NotSupported
    );
}

const WALL: Duration = Duration::from_secs(1_800_000_000);

struct Call {
    challenger: Challenger,
    call_id: Text,
    password: Secret<String>,
}

impl Call {
    fn new() -> Call {
        Call {
            challenger: Challenger::new([9; 32], Duration::from_secs(60)),
            call_id: Text::from("outgoing:wacid.X="),
            password: Secret::new("pw".into()),
        }
    }

    fn credentials(&self, password: &str) -> Credentials {
        let value = self
            .challenger
            .challenge("sbc.example", &self.call_id, WALL, 5, false);
        let response = challenged(407, &[&value.as_str()]);
        let mut to = Answerer::new("1214", Secret::new(password.into()));
        answer(&mut to, &response).unwrap().1
    }

    fn judge(&self, credentials: &Credentials, wall: Duration) -> Verdict {
        let known = |user: &str| (user == "1214").then_some(&self.password);
        self.challenger
            .verify(credentials, &Method::Invite, &self.call_id, wall, known)
    }
}

#[test]
fn the_right_answer_to_our_challenge_is_valid_until_the_nonce_is_stale() {
    let call = Call::new();
    let credentials = call.credentials("pw");
    assert_eq!(call.judge(&credentials, WALL), Verdict::Valid);
    assert_eq!(
        call.judge(&credentials, WALL + Duration::from_secs(60)),
        Verdict::Valid
    );
    assert_eq!(
        call.judge(&credentials, WALL + Duration::from_secs(61)),
        Verdict::Stale
    );
    assert_eq!(
        call.judge(&credentials, WALL - Duration::from_secs(5)),
        Verdict::Valid
    );
}

#[test]
fn wrong_answers_are_told_from_foreign_nonces() {
    let call = Call::new();
    let good = call.credentials("pw");
    assert_eq!(call.judge(&call.credentials("wp"), WALL), Verdict::Wrong);
    assert_eq!(
        call.judge(&call.credentials("wp"), WALL + Duration::from_secs(99)),
        Verdict::Wrong
    );
    let with = |change: fn(&mut Credentials)| {
        let mut c = good.clone();
        change(&mut c);
        call.judge(&c, WALL)
    };
    assert_eq!(with(|c| c.username = "1215".into()), Verdict::Wrong);
    assert_eq!(with(|c| c.uri = "sip:+1@h".into()), Verdict::Wrong);
    assert_eq!(with(|c| c.nc = Some("00000002".into())), Verdict::Wrong);
    assert_eq!(with(|c| c.nc = None), Verdict::Wrong);
    assert_eq!(with(|c| c.qop = Some("auth-int".into())), Verdict::Wrong);
    assert_eq!(with(|c| c.scheme = "Basic".into()), Verdict::Wrong);
    assert_eq!(with(|c| c.algorithm = Some("SHA-1".into())), Verdict::Wrong);
    assert_eq!(with(|c| c.response = "".into()), Verdict::Wrong);
    assert_eq!(with(|c| c.realm = "other".into()), Verdict::ForeignNonce);
    assert_eq!(
        with(|c| c.nonce = "2a487cb01d4ed43b".into()),
        Verdict::ForeignNonce
    );
    assert_eq!(
        with(|c| c.nonce = "é".repeat(32).into()),
        Verdict::ForeignNonce
    );
    let mut other_call = Call::new();
    other_call.call_id = Text::from("another");
    assert_eq!(other_call.judge(&good, WALL), Verdict::ForeignNonce);
}

#[test]
fn a_digest_in_capitals_and_without_algorithm_is_valid() {
    let call = Call::new();
    let mut c = call.credentials("pw");
    c.response = Text::from(c.response.to_string().to_uppercase());
    c.algorithm = None;
    assert_eq!(call.judge(&c, WALL), Verdict::Valid);
}

#[test]
fn a_challenge_of_ours_reads_back() {
    let call = Call::new();
    let value = call
        .challenger
        .challenge("sbc.example", &call.call_id, WALL, 5, true);
    let mut headers = Headers::new();
    headers.push(Name::ProxyAuthenticate, value);
    let all = Challenge::all(&headers, &Name::ProxyAuthenticate);
    assert_eq!(all[0].realm, "sbc.example");
    assert!(all[0].stale && all[0].offers_qop("auth"));
    assert_eq!(all[0].algorithm.as_ref().unwrap(), &"MD5");
}

#[test]
fn quotes_in_names_survive() {
    let call = Call::new();
    let value = call
        .challenger
        .challenge("a \"b\"", &call.call_id, WALL, 5, false);
    let mut to = Answerer::new("u\"1", Secret::new("pw".into()));
    let (_, c) = answer(&mut to, &challenged(407, &[&value.as_str()])).unwrap();
    let known = |user: &str| (user == "u\"1").then_some(&call.password);
    assert_eq!(
        call.challenger
            .verify(&c, &Method::Invite, &call.call_id, WALL, known),
        Verdict::Valid
    );
}
