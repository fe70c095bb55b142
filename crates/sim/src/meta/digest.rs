//! Digest by the book (RFC 7616, RFC 8760), written for the judge alone: it shares nothing with the
//! code it judges.

use md5::Md5;
use sha2::{Digest, Sha256};

/// A hash a challenge may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// `MD5`, also what a challenge without `algorithm` means.
    Md5,
    /// `SHA-256`.
    Sha256,
}

impl Hash {
    /// The name in `algorithm=`.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Md5 => "MD5",
            Hash::Sha256 => "SHA-256",
        }
    }

    /// The hash a parameter value names; quotes are gone already. No value means MD5.
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Hash::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Hash::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Hash::Sha256),
            Some(_) => None,
        }
    }

    /// Lower-case hexadecimal digest of a string.
    pub fn hex(self, text: &str) -> String {
        let digest: Vec<u8> = match self {
            Hash::Md5 => Md5::digest(text.as_bytes()).to_vec(),
            Hash::Sha256 => Sha256::digest(text.as_bytes()).to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The parameters of a challenge or of credentials: `Digest name=value, name="value", …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String, bool)>);

impl Parameters {
    /// Reads a header value; `None` when the scheme is not Digest or a parameter has no `=`.
    pub fn read(value: &str) -> Option<Self> {
        let value = value.trim();
        let (scheme, rest) = value.split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut all = Vec::new();
        for part in split_outside_quotes(rest, b',') {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
            let value = if quoted {
                &value[1..value.len() - 1]
            } else {
                value
            };
            all.push((name.to_ascii_lowercase(), value.to_owned(), quoted));
        }
        Some(Self(all))
    }

    /// All Digest challenges of one header value: several may be joined by commas.
    pub fn read_challenges(value: &str) -> Vec<Self> {
        let mut texts: Vec<String> = Vec::new();
        for part in split_outside_quotes(value, b',') {
            let trimmed = part.trim();
            match texts.last_mut() {
                Some(last) if !trimmed.to_ascii_lowercase().starts_with("digest ") => {
                    last.push(',');
                    last.push_str(trimmed);
                }
                _ => texts.push(trimmed.to_owned()),
            }
        }
        texts.iter().filter_map(|text| Self::read(text)).collect()
    }

    /// A parameter's value without quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, ..)| n == name)
            .map(|(_, value, _)| value.as_str())
    }

    /// Whether a parameter stood in quotes.
    pub fn quoted(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _, quoted)| n == name && *quoted)
    }

    /// Whether some parameter stands twice.
    pub fn repeats(&self) -> Option<&str> {
        self.0.iter().enumerate().find_map(|(i, (name, ..))| {
            self.0[..i]
                .iter()
                .any(|(earlier, ..)| earlier == name)
                .then_some(name.as_str())
        })
    }
}

/// What goes into a response.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The algorithm.
    pub hash: Hash,
    /// `username`, as in the header.
    pub username: &'a str,
    /// `realm`, as in the challenge.
    pub realm: &'a str,
    /// The password.
    pub password: &'a str,
    /// SIP method.
    pub method: &'a str,
    /// `uri`, byte for byte as in the header.
    pub uri: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `nc` and `cnonce` when `qop=auth`; `None` for the form of RFC 2069.
    pub qop: Option<(&'a str, &'a str)>,
}

/// The `response` those inputs give (RFC 7616 §3.4.1).
pub fn response(inputs: &Inputs<'_>) -> String {
    let Inputs {
        hash,
        username,
        realm,
        password,
        method,
        uri,
        nonce,
        qop,
    } = *inputs;
    let a1 = hash.hex(&format!("{username}:{realm}:{password}"));
    let a2 = hash.hex(&format!("{method}:{uri}"));
    match qop {
        Some((nc, cnonce)) => hash.hex(&format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}")),
        None => hash.hex(&format!("{a1}:{nonce}:{a2}")),
    }
}

/// Splits at a byte that stands outside quoted strings.
fn split_outside_quotes(text: &str, at: u8) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if byte == at && !quoted => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616_examples() {
        let mut inputs = Inputs {
            hash: Hash::Md5,
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        assert_eq!(response(&inputs), "8ca523f5e9506fed4657c9700eebdbec");
        inputs.hash = Hash::Sha256;
        assert_eq!(
            response(&inputs),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn joined_challenges_come_apart() {
        let joined = r#"Digest realm="a,b",nonce="1",algorithm=SHA-256,qop="auth", Digest realm="c", nonce="2", algorithm=MD5"#;
        let all = Parameters::read_challenges(joined);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].value("realm"), Some("a,b"));
        assert!(all[0].quoted("qop") && !all[0].quoted("algorithm"));
        assert_eq!(all[1].value("nonce"), Some("2"));
    }

    #[test]
    fn a_doubled_parameter_is_seen() {
        assert_eq!(
            Parameters::read("Digest a=1, b=2, a=3").unwrap().repeats(),
            Some("a")
        );
    }
}
