//! Challenges and credentials: WWW-Authenticate, Proxy-Authenticate, Authorization,
//! Proxy-Authorization (RFC 7616 §3.3, §3.4; RFC 8760).
//!
//! Values in quotes are kept raw, escapes included: the digest is taken over exactly what stands
//! between the quotes.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use crate::digest::Algorithm;
use crate::scan::{self, Values};
use crate::{Headers, Name, Text};

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `Digest`, or a scheme we do not speak.
    pub scheme: Text,
    /// The realm.
    pub realm: Text,
    /// The nonce.
    pub nonce: Text,
    /// To be repeated as it is.
    pub opaque: Option<Text>,
    /// The algorithm as named; none means MD5 (RFC 7616 §3.3).
    pub algorithm: Option<Text>,
    /// The qualities of protection offered, as written: `auth`, `auth,auth-int`.
    pub qop: Option<Text>,
    /// Whether only the nonce was too old (RFC 7616 §3.3).
    pub stale: bool,
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `Digest`, or a scheme we do not speak.
    pub scheme: Text,
    /// The user name as it stands.
    pub username: Text,
    /// The realm answered for.
    pub realm: Text,
    /// The nonce answered.
    pub nonce: Text,
    /// The digest URI as received: the hash is taken over these bytes (Meta reference 4.2).
    pub uri: Text,
    /// The digest, in hexadecimal.
    pub response: Text,
    /// The algorithm as named; none means MD5.
    pub algorithm: Option<Text>,
    /// The client's nonce.
    pub cnonce: Option<Text>,
    /// What the challenge had.
    pub opaque: Option<Text>,
    /// The quality of protection chosen.
    pub qop: Option<Text>,
    /// The nonce count as written: eight hexadecimal digits.
    pub nc: Option<Text>,
}

impl Challenge {
    /// Every challenge in the headers of this name, in order, comma-joined ones taken apart
    /// (RFC 7235 §4.1). Parts that are no challenge are left out.
    pub fn all(headers: &Headers, name: &Name) -> Vec<Challenge> {
        let mut found = Vec::new();
        for value in headers.all(name) {
            found.extend(schemes(value).iter().filter_map(Challenge::from_params));
        }
        found
    }

    /// The algorithm, if it is one we speak; a challenge without one means MD5.
    pub fn known_algorithm(&self) -> Option<Algorithm> {
        match &self.algorithm {
            None => Some(Algorithm::Md5),
            Some(named) => Algorithm::named(named),
        }
    }

    /// Whether this quality of protection is offered.
    pub fn offers_qop(&self, qop: &str) -> bool {
        self.qop.as_ref().is_some_and(|offered| {
            Values::of(offered.as_bytes()).any(|v| v.eq_ignore_ascii_case(qop.as_bytes()))
        })
    }

    fn from_params(one: &Scheme) -> Option<Challenge> {
        Some(Challenge {
            scheme: one.scheme.clone(),
            realm: one.find("realm")?,
            nonce: one.find("nonce")?,
            opaque: one.find("opaque"),
            algorithm: one.find("algorithm"),
            qop: one.find("qop"),
            stale: one.find("stale").is_some_and(|v| v.eq_ignore_case("true")),
        })
    }
}

impl Credentials {
    /// Every set of credentials in the headers of this name, unreadable ones left out.
    pub fn all(headers: &Headers, name: &Name) -> Vec<Credentials> {
        headers.all(name).filter_map(Credentials::read).collect()
    }

    /// Reads a header value.
    pub fn read(value: &Text) -> Option<Credentials> {
        let schemes = schemes(value);
        let one = schemes.first()?;
        Some(Credentials {
            scheme: one.scheme.clone(),
            username: one.find("username")?,
            realm: one.find("realm")?,
            nonce: one.find("nonce")?,
            uri: one.find("uri")?,
            response: one.find("response")?,
            algorithm: one.find("algorithm"),
            cnonce: one.find("cnonce"),
            opaque: one.find("opaque"),
            qop: one.find("qop"),
            nc: one.find("nc"),
        })
    }

    /// The algorithm, if it is one we speak; none means MD5.
    pub fn known_algorithm(&self) -> Option<Algorithm> {
        match &self.algorithm {
            None => Some(Algorithm::Md5),
            Some(named) => Algorithm::named(named),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("uri", &self.uri)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A scheme and its parameters.
struct Scheme {
    scheme: Text,
    params: Vec<(Text, Text)>,
}

impl Scheme {
    fn find(&self, name: &str) -> Option<Text> {
        self.params
            .iter()
            .find(|(n, _)| n.eq_ignore_case(name))
            .map(|(_, value)| value.clone())
    }
}

/// Takes `Digest a=1, b=2, Digest c=3` apart: a piece `token token=…` starts a new scheme.
fn schemes(value: &Text) -> Vec<Scheme> {
    let mut found: Vec<Scheme> = Vec::new();
    for piece in Values::of(value.as_bytes()) {
        let (before, after) = match piece.iter().position(|b| *b == b'=') {
            Some(at) => piece.split_at(at),
            None => (piece, &[][..]),
        };
        let before = scan::trim(before);
        let name = match before.iter().position(u8::is_ascii_whitespace) {
            Some(blank) => {
                let (scheme, name) = before.split_at(blank);
                if !scan::is_token(scheme) {
                    continue;
                }
                found.push(Scheme {
                    scheme: value.part(scheme),
                    params: Vec::new(),
                });
                scan::trim(name)
            }
            None => before,
        };
        let Some(current) = found.last_mut() else {
            continue;
        };
        if !scan::is_token(name) {
            continue;
        }
        if let Some(content) = content(scan::trim(after.get(1..).unwrap_or_default())) {
            current.params.push((value.part(name), value.part(content)));
        }
    }
    found
}

/// What a parameter says: a word without quotes and escapes, or the inside of one quoted string with its escapes. `None` for a mixture of
/// both, which cannot be repeated between quotes.
fn content(raw: &[u8]) -> Option<&[u8]> {
    let Some(quoted) = raw.strip_prefix(b"\"") else {
        return (memchr::memchr2(b'"', b'\\', raw).is_none()).then_some(raw);
    };
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (inside, behind) = quoted.split_at(end);
    (behind.len() == 1).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(value: &str) -> Vec<Challenge> {
        let mut headers = Headers::new();
        headers.push(Name::ProxyAuthenticate, value);
        Challenge::all(&headers, &Name::ProxyAuthenticate)
    }

    #[test]
    fn joined_challenges_are_told_apart() {
        let all = challenges(
            r#"Digest realm="a, b",nonce="n1",algorithm=SHA-256,qop="auth,auth-int", Digest realm="r2", nonce="n2" , algorithm="MD5", stale=TRUE"#,
        );
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].realm.to_string(), all[0].nonce.to_string()),
            ("a, b".into(), "n1".into())
        );
        assert_eq!(all[0].known_algorithm(), Some(Algorithm::Sha256));
        assert!(all[0].offers_qop("auth-int") && !all[0].stale);
        assert_eq!(all[1].known_algorithm(), Some(Algorithm::Md5));
        assert!(all[1].stale && !all[1].offers_qop("auth"));
    }

    #[test]
    fn a_challenge_without_algorithm_means_md5() {
        let all = challenges(r#"Digest realm="sip.example",nonce="e",opaque="4a",qop="auth""#);
        assert_eq!(all[0].known_algorithm(), Some(Algorithm::Md5));
        assert_eq!(all[0].opaque.as_ref().unwrap(), &"4a");
    }

    #[test]
    fn unreadable_challenges_are_left_out() {
        assert_eq!(challenges("").len(), 0);
        assert_eq!(challenges("Digest").len(), 0);
        assert_eq!(challenges("Digest realm=\"r\"").len(), 0);
        assert_eq!(
            challenges("NewAuth x=1, Digest realm=\"r\", nonce=\"n\"").len(),
            1
        );
        assert_eq!(
            challenges("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256")[0]
                .known_algorithm(),
            None
        );
    }

    #[test]
    fn a_value_half_quoted_is_no_value() {
        for nonce in [
            "1\"2\"",
            "\"1\"2",
            "\"1",
            "\"1\\\"",
            "1\", opaque=\"x",
            "1\\",
        ] {
            let value = format!("Digest realm=\"r\", nonce={nonce}");
            assert_eq!(challenges(&value).len(), 0, "{value}");
        }
        let escaped = challenges(r#"Digest realm="a \"b\" \\", nonce=bare"#);
        assert_eq!(escaped[0].realm, r#"a \"b\" \\"#);
        assert_eq!(escaped[0].nonce, "bare");
    }

    #[test]
    fn credentials_keep_the_uri_as_received() {
        let c = Credentials::read(&Text::from(
            r#"Digest username="1214", realm="r", nonce="n", uri="sip:+1214@h;Transport=tls", response="00", nc=0000000a, qop=auth, cnonce="c""#,
        ))
        .unwrap();
        assert_eq!(c.uri, "sip:+1214@h;Transport=tls");
        assert_eq!(c.nc.unwrap(), "0000000a");
    }

    #[test]
    fn credentials_do_not_show_the_response_in_debug_output() {
        let c = Credentials::read(&Text::from(
            r#"Digest username="u", realm="r", nonce="n", uri="sip:h", response="5ec4e7""#,
        ))
        .unwrap();
        assert!(!format!("{c:?}").contains("5ec4e7"));
    }
}
