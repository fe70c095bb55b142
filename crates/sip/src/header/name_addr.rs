//! Name and address: From, To, Contact, Route, Record-Route, Refer-To, P-Asserted-Identity
//! (RFC 3261 §20.10, §25.1 `name-addr` and `addr-spec`).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use bytes::Bytes;

use crate::scan::{self, Params};
use crate::{Text, Uri};

/// A URI with perhaps a display name before and header parameters behind it.
///
/// Without angle brackets everything after the first `;` belongs to the header, not to the URI
/// (RFC 3261 §20.10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name, quotes and escapes taken off; any bytes (RFC 3261 §25.1 `display-name`).
    pub display: Option<Text>,
    /// The URI, byte for byte.
    pub uri: Uri,
    params: Text,
}

impl NameAddr {
    /// Reads one value (of a comma-joined line, take one with
    /// [`Headers::list`](crate::Headers::list) first). `*` is none.
    pub fn read(value: &Text) -> Option<NameAddr> {
        let bytes = scan::trim(value.as_bytes());
        let (display, uri, params) = split(bytes)?;
        std::str::from_utf8(params).ok()?;
        Some(NameAddr {
            display: display_name(value, display),
            uri: Uri::read(value, uri)?,
            params: value.part(params),
        })
    }

    /// Whether [`NameAddr::read`] would read this.
    pub(crate) fn is_readable(value: &[u8]) -> bool {
        split(scan::trim(value)).is_some_and(|(_, uri, params)| {
            Uri::is_readable(uri) && std::str::from_utf8(params).is_ok()
        })
    }

    /// The value of a header parameter, name compared without case; empty for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        Params::of(self.params.as_bytes())
            .find(name)
            .and_then(|v| std::str::from_utf8(v).ok())
    }

    /// The tag parameter (RFC 3261 §19.3), if there is one and it is not empty.
    pub fn tag(&self) -> Option<&str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }

    /// The tag of a From or To value without reading the rest.
    pub(crate) fn tag_of(value: &Text) -> Option<Text> {
        let (_, _, params) = split(scan::trim(value.as_bytes()))?;
        let tag = Params::of(params)
            .find("tag")
            .filter(|tag| !tag.is_empty())?;
        std::str::from_utf8(tag).ok()?;
        Some(value.part(tag))
    }
}

/// Display name, URI and `;params` of a trimmed value.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    match open_bracket(bytes) {
        Some(open) => {
            let (display, rest) = bytes.split_at(open);
            let rest = rest.get(1..)?;
            let close = rest.iter().position(|b| *b == b'>')?;
            let (uri, params) = rest.split_at(close);
            let params = scan::trim(params.get(1..)?);
            if !params.is_empty() && !params.starts_with(b";") {
                return None;
            }
            Some((scan::trim(display), uri, params))
        }
        None => {
            let end = bytes.iter().position(|b| *b == b';').unwrap_or(bytes.len());
            let (uri, params) = bytes.split_at(end);
            Some((&[], scan::trim(uri), params))
        }
    }
}

/// Where the `<` outside quotes stands. An unclosed quote hides nothing: the bracket then counts.
fn open_bracket(bytes: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn display_name(value: &Text, display: &[u8]) -> Option<Text> {
    match display {
        [] => None,
        [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => {
            Some(Text::from(Bytes::from(scan::unescaped(inner))))
        }
        [b'"', inner @ .., b'"'] => Some(value.part(inner)),
        plain => Some(value.part(plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        NameAddr::read(&Text::from(text)).unwrap()
    }

    #[test]
    fn header_parameters_stay_outside_the_uri() {
        let c = read("<sip:+12195550714@wa.example;transport=tls;ob>;isfocus");
        assert_eq!(
            c.uri.to_string(),
            "sip:+12195550714@wa.example;transport=tls;ob"
        );
        assert_eq!(c.param("isfocus"), Some(""));
        assert_eq!(c.param("ob"), None);
        let t = read("sip:a@b;tag=x");
        assert_eq!((t.uri.to_string(), t.tag()), ("sip:a@b".into(), Some("x")));
    }

    #[test]
    fn display_names_are_unquoted_and_unescaped() {
        let f = read(r#""J Rosenberg \\\"" <sip:j@example.com> ; tag = 98asjd8"#);
        assert_eq!(f.display.unwrap(), r#"J Rosenberg \""#);
        assert_eq!(read("A. G. Bell <sip:a@b>").display.unwrap(), "A. G. Bell");
        assert_eq!(read("<sip:a@b>").display, None);
        assert_eq!(read(r#""<sip:x@y>" <sip:a@b>"#).uri.to_string(), "sip:a@b");
    }

    #[test]
    fn any_bytes_are_a_display_name() {
        let value = Text::from(Bytes::from_static(b"\"caf\xe9\" <sip:a@b>;tag=1"));
        let f = NameAddr::read(&value).unwrap();
        assert_eq!(f.display.as_ref().unwrap().as_bytes(), b"caf\xe9");
        assert_eq!(f.tag(), Some("1"));
    }

    #[test]
    fn tags_are_found_without_reading_the_uri() {
        let tag = |t: &str| NameAddr::tag_of(&Text::from(t)).map(|t| t.to_string());
        assert_eq!(tag("<not a uri;tag=no>;TAG=yes"), Some("yes".into()));
        assert_eq!(tag("sip:a@b"), None);
        assert_eq!(tag("<sip:a@b>;tag="), None);
    }

    #[test]
    fn texts_without_an_address_are_refused() {
        for bad in [
            "",
            "*",
            "<sip:a@b",
            "\"x <sip:a@b>",
            "<sip:a@b> x",
            "<>",
            "x",
        ] {
            assert_eq!(NameAddr::read(&Text::from(bad)), None, "{bad:?}");
        }
    }
}
