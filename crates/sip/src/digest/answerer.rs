//! The client's side of digest: answers for one account (RFC 7616 §3.4, RFC 3261 §22.1).

use super::{Algorithm, Parts};
use crate::{Challenge, Method, Name, Response, Secret, Text};

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// The response is neither 401 nor 407.
    #[error("the response is no challenge")]
    NoChallenge,
    /// No challenge uses an algorithm and quality we speak.
    #[error("no challenge with an algorithm we speak")]
    NotSupported,
    /// We answered already and were challenged again: the password is wrong.
    #[error("the credentials were refused")]
    Refused,
}

/// The client's side: answers for one account in one conversation.
#[derive(Clone, Debug)]
pub struct Answerer {
    username: String,
    password: Secret<String>,
    // On the heap: of most conversations neither is ever needed.
    proxy: Option<Box<Asked>>,
    server: Option<Box<Asked>>,
}

/// What we know of one challenger: proxies ask with 407, the server with 401.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// An answer is under way and nobody said yet that it was right.
    answered: bool,
    /// The one second try for a stale nonce is used up.
    stale_once: bool,
    nonce: Text,
    count: u32,
}

impl Answerer {
    /// Answers with this account.
    pub fn new(username: impl Into<String>, password: Secret<String>) -> Answerer {
        Answerer {
            username: username.into(),
            password,
            proxy: None,
            server: None,
        }
    }

    /// Answers a 401 or 407: the header to put into the next request, with the same `uri` as its
    /// Request-URI. `cnonce` is a fresh random text.
    ///
    /// The first challenge with an algorithm we speak is taken, whole (RFC 8760 §2.4). A second
    /// challenge in a row is answered only if it says `stale=true`, and only once (RFC 3261
    /// §22.1); call [`Answerer::accepted`] when an answer was right.
    pub fn answer(
        &mut self,
        response: &Response,
        method: &Method,
        uri: &str,
        body: &[u8],
        cnonce: String,
    ) -> Result<(Name, Text), Unanswerable> {
        let (ask, reply, asked) = match response.status {
            401 => (Name::WwwAuthenticate, Name::Authorization, &mut self.server),
            407 => (
                Name::ProxyAuthenticate,
                Name::ProxyAuthorization,
                &mut self.proxy,
            ),
            _ => return Err(Unanswerable::NoChallenge),
        };
        let challenge = Challenge::all(&response.headers, &ask)
            .into_iter()
            .find(answerable)
            .ok_or(Unanswerable::NotSupported)?;
        let asked = asked.get_or_insert_default();
        if asked.answered {
            if !challenge.stale || asked.stale_once {
                return Err(Unanswerable::Refused);
            }
            asked.stale_once = true;
        }
        asked.answered = true;
        asked.count = if asked.nonce == challenge.nonce {
            asked.count.saturating_add(1)
        } else {
            1
        };
        // The challenge's own would keep the whole response.
        asked.nonce = challenge.nonce.detached();
        let count = asked.count;
        let value = self.credentials(&challenge, count, method, uri, body, &cnonce);
        Ok((reply, value))
    }

    /// Says that the last answer was right, so that the next challenge is a new one.
    pub fn accepted(&mut self) {
        for asked in [&mut self.proxy, &mut self.server].into_iter().flatten() {
            asked.answered = false;
            asked.stale_once = false;
        }
    }

    fn credentials(
        &self,
        challenge: &Challenge,
        count: u32,
        method: &Method,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Text {
        let algorithm = challenge.known_algorithm().unwrap_or(Algorithm::Md5);
        let qop = match &challenge.qop {
            None => None,
            Some(_) if challenge.offers_qop("auth") => Some("auth"),
            Some(_) => Some("auth-int"),
        };
        let nc = format!("{count:08x}");
        let response = Parts {
            algorithm,
            username: self.username.as_bytes(),
            realm: challenge.realm.as_bytes(),
            password: self.password.expose().as_bytes(),
            method: method.as_bytes(),
            uri: uri.as_bytes(),
            nonce: challenge.nonce.as_bytes(),
            quality: qop.map(|qop| (qop.as_bytes(), nc.as_bytes(), cnonce.as_bytes())),
            body,
        }
        .response();
        let username = crate::header::escaped(&self.username);
        let mut value = Vec::with_capacity(384);
        for piece in [
            &b"Digest username=\""[..],
            username.as_bytes(),
            b"\", realm=\"",
            challenge.realm.as_bytes(),
            b"\", nonce=\"",
            challenge.nonce.as_bytes(),
            b"\", uri=\"",
            uri.as_bytes(),
            b"\", response=\"",
            response.as_bytes(),
            b"\"",
        ] {
            value.extend_from_slice(piece);
        }
        if let Some(named) = &challenge.algorithm {
            value.extend_from_slice(b", algorithm=");
            value.extend_from_slice(named.as_bytes());
        }
        if qop.is_some() {
            value.extend_from_slice(format!(", cnonce=\"{cnonce}\"").as_bytes());
        }
        if let Some(opaque) = &challenge.opaque {
            value.extend_from_slice(b", opaque=\"");
            value.extend_from_slice(opaque.as_bytes());
            value.extend_from_slice(b"\"");
        }
        if let Some(qop) = qop {
            value.extend_from_slice(format!(", qop={qop}, nc={nc}").as_bytes());
        }
        Text::from(bytes::Bytes::from(value))
    }
}

/// Digest with an algorithm and a quality of protection we speak.
fn answerable(challenge: &Challenge) -> bool {
    challenge.scheme.eq_ignore_case("Digest")
        && challenge.known_algorithm().is_some()
        && (challenge.qop.is_none()
            || challenge.offers_qop("auth")
            || challenge.offers_qop("auth-int"))
}
