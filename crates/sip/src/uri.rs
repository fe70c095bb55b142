//! URIs: the original text and a view into it (RFC 3261 §19.1, RFC 3966 for `tel:`).
//!
//! ```text
//! sip:+12145551869;tgrp=wacall:secret@[2001:db8::7]:5061;transport=tls;lr?Subject=x
//! └┬┘ └────┬─────┘ └───┬───┘  └──┬─┘  └────┬─────┘ └┬─┘ └──────┬──────┘ └───┬───┘
//! scheme  user_base  user_param password  host     port      params       headers
//!     └──────── user ──────────┘
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;

use crate::scan::{self, Params};
use crate::{Text, Transport};

/// What kind of URI it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966): no host, the number is the [`Uri::user`].
    Tel,
    /// Any other; only the text is known.
    Other,
}

/// A URI, kept byte for byte as it came. Equality and hashing are by text; use
/// [`Uri::equivalent`] for the equality of RFC 3261 §19.1.4.
#[derive(Clone)]
pub struct Uri {
    text: Text,
    scheme: Scheme,
    user: Range<u32>,
    has_user: bool,
    password: Range<u32>,
    host: Range<u32>,
    port: Option<u16>,
    params: Range<u32>,
    headers: Range<u32>,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URI: {0}")]
pub struct InvalidUri(&'static str);

impl Uri {
    /// Reads a URI. Schemes other than `sip`, `sips` and `tel` are accepted as opaque text.
    pub fn parse(text: impl Into<Text>) -> Result<Uri, InvalidUri> {
        let text = text.into();
        let (scheme, view, at) = View::of(text.as_bytes())?;
        let shift = |r: Range<usize>| (r.start + at) as u32..(r.end + at) as u32;
        Ok(Uri {
            scheme,
            has_user: view.user.is_some(),
            user: shift(view.user.unwrap_or_default()),
            password: shift(view.password),
            host: shift(view.host),
            port: view.port,
            params: shift(view.params),
            headers: shift(view.headers),
            text,
        })
    }

    /// Composes `sip:user@host`, or `sip:host` when `user` is empty. `host` is a host name, an
    /// IPv4 address or an IPv6 address with or without brackets, and may carry `:port`.
    ///
    /// Characters a user part cannot hold are percent-escaped (RFC 3261 §19.1.2); characters a
    /// host cannot hold are left out.
    pub fn sip(user: &str, host: &str) -> Uri {
        let mut text = String::with_capacity(user.len() + host.len() + 8);
        text.push_str("sip:");
        if !user.is_empty() {
            push_escaped(&mut text, user);
            text.push('@');
        }
        let host: String = host
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'))
            .collect();
        if host.parse::<std::net::Ipv6Addr>().is_ok() {
            text.push('[');
            text.push_str(&host);
            text.push(']');
        } else {
            text.push_str(&host);
        }
        Uri::parse(text).unwrap_or_else(|_| Uri::invalid())
    }

    /// The same URI with `;name=value` appended (`;name` when `value` is empty); any headers stay
    /// behind it. Returns the URI unchanged if the result were none.
    pub fn with_param(&self, name: &str, value: &str) -> Uri {
        let all = self.as_str();
        let end = match self.headers.start {
            start if start < self.headers.end => start as usize - 1,
            _ => all.len(),
        };
        let (before, after) = all.split_at_checked(end).unwrap_or((all, ""));
        let param = if value.is_empty() {
            format!(";{name}")
        } else {
            format!(";{name}={value}")
        };
        Uri::parse(format!("{before}{param}{after}")).unwrap_or_else(|_| self.clone())
    }

    /// `sip:invalid.invalid` (RFC 2606): what stands where nothing can be composed.
    fn invalid() -> Uri {
        Uri {
            text: Text::fixed("sip:invalid.invalid"),
            scheme: Scheme::Sip,
            user: 0..0,
            has_user: false,
            password: 0..0,
            host: 4..19,
            port: None,
            params: 19..19,
            headers: 19..19,
        }
    }

    /// A private copy that does not keep the received buffer alive.
    pub fn detached(&self) -> Uri {
        Uri {
            text: self.text.detached(),
            ..self.clone()
        }
    }

    /// The URI as it stands in the message.
    pub fn as_text(&self) -> &Text {
        &self.text
    }

    /// The URI as it stands in the message.
    pub fn as_str(&self) -> &str {
        self.text.utf8().unwrap_or_default()
    }

    /// What kind of URI it is.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole user part as it stands, user parameters (RFC 4904) included, password not:
    /// `+1234567890;tgrp=wacall`. For `tel:` the number. Percent escapes stay.
    pub fn user(&self) -> Option<&str> {
        self.has_user.then(|| self.part(&self.user))
    }

    /// The user part up to its first semicolon.
    pub fn user_base(&self) -> Option<&str> {
        self.user()
            .map(|user| user.split(';').next().unwrap_or_default())
    }

    /// [`Uri::user_base`] if it is a telephone number: digits, perhaps after a `+`.
    pub fn user_number(&self) -> Option<&str> {
        self.user_base().filter(|base| {
            let digits = base.strip_prefix('+').unwrap_or(base);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        })
    }

    /// The value of a parameter inside the user part (`;tgrp=…`), name compared without case;
    /// empty for a flag.
    pub fn user_param(&self, name: &str) -> Option<&str> {
        self.user()?.split(';').skip(1).find_map(|param| {
            let (n, value) = param.split_once('=').unwrap_or((param, ""));
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The host, without brackets if it is an IPv6 address; empty for schemes without one.
    pub fn host(&self) -> &str {
        let host = self.part(&self.host);
        host.strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a URI parameter, name compared without case; empty for a flag such as `lr`.
    pub fn param(&self, name: &str) -> Option<&str> {
        Params::of(self.part(&self.params).as_bytes())
            .find(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The transport this URI asks for: `sips:` and `transport=tls` are TLS, none or an unknown
    /// one is UDP (RFC 3261 §18.1, RFC 3263 §4.1 without NAPTR).
    pub fn transport(&self) -> Transport {
        let named = self.param("transport").unwrap_or_default();
        if self.scheme == Scheme::Sips || named.eq_ignore_ascii_case("tls") {
            Transport::Tls
        } else if named.eq_ignore_ascii_case("tcp") {
            Transport::Tcp
        } else {
            Transport::Udp
        }
    }

    /// The equality of RFC 3261 §19.1.4: escapes, the case of host and parameters, and the order
    /// of parameters do not matter; user, password, port and a one-sided `user`, `ttl`, `method`,
    /// `maddr` or `transport` do.
    pub fn equivalent(&self, other: &Uri) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        if self.scheme == Scheme::Other {
            return self.text == other.text;
        }
        self.has_user == other.has_user
            && unescape(self.part(&self.user)) == unescape(other.part(&other.user))
            && unescape(self.part(&self.password)) == unescape(other.part(&other.password))
            && self
                .part(&self.host)
                .eq_ignore_ascii_case(other.part(&other.host))
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && self.headers_agree(other)
            && other.headers_agree(self)
    }

    fn params_agree(&self, other: &Uri) -> bool {
        const TWO_SIDED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        Params::of(self.part(&self.params).as_bytes()).all(|(name, _)| {
            let name = String::from_utf8_lossy(name);
            match (self.param(&name), other.param(&name)) {
                (Some(ours), Some(theirs)) => {
                    unescape(ours).eq_ignore_ascii_case(&unescape(theirs))
                }
                _ => !TWO_SIDED.iter().any(|n| n.eq_ignore_ascii_case(&name)),
            }
        })
    }

    fn headers_agree(&self, other: &Uri) -> bool {
        fn pairs(headers: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
            headers.split('&').filter(|h| !h.is_empty()).map(|header| {
                let (name, value) = header.split_once('=').unwrap_or((header, ""));
                (name.to_ascii_lowercase(), unescape(value))
            })
        }
        pairs(self.part(&self.headers))
            .all(|mine| pairs(other.part(&other.headers)).any(|theirs| theirs == mine))
    }

    fn part(&self, range: &Range<u32>) -> &str {
        self.as_str()
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }

    /// Whether [`Uri::parse`] would read this.
    pub(crate) fn is_readable(text: &[u8]) -> bool {
        View::of(text).is_ok()
    }

    /// Reads a URI out of a larger text without copying.
    pub(crate) fn read(text: &Text, part: &[u8]) -> Option<Uri> {
        Uri::parse(text.part(part)).ok()
    }
}

/// Where the pieces lie, counted from the character after the scheme's colon.
#[derive(Default)]
struct View {
    user: Option<Range<usize>>,
    password: Range<usize>,
    host: Range<usize>,
    port: Option<u16>,
    params: Range<usize>,
    headers: Range<usize>,
}

impl View {
    /// The scheme, the pieces, and where the character after the colon stands.
    fn of(text: &[u8]) -> Result<(Scheme, View, usize), InvalidUri> {
        if text.len() > u16::MAX as usize {
            return Err(InvalidUri("too long"));
        }
        let all = std::str::from_utf8(text).map_err(|_| InvalidUri("not UTF-8"))?;
        if all
            .bytes()
            .any(|b| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"'))
        {
            return Err(InvalidUri("blank, control, quote or angle bracket inside"));
        }
        let (scheme, rest) = all.split_once(':').ok_or(InvalidUri("no scheme"))?;
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            return Err(InvalidUri("no scheme"));
        }
        if rest.is_empty() {
            return Err(InvalidUri("nothing after the scheme"));
        }
        let at = scheme.len() + 1;
        Ok(if scheme.eq_ignore_ascii_case("sip") {
            (Scheme::Sip, View::sip(rest)?, at)
        } else if scheme.eq_ignore_ascii_case("sips") {
            (Scheme::Sips, View::sip(rest)?, at)
        } else if scheme.eq_ignore_ascii_case("tel") {
            (Scheme::Tel, View::tel(rest), at)
        } else {
            (Scheme::Other, View::default(), at)
        })
    }

    fn sip(rest: &str) -> Result<View, InvalidUri> {
        let mut view = View::default();
        let mut at = 0;
        if let Some(mark) = rest.find('@') {
            let userinfo = rest.get(..mark).unwrap_or_default();
            let end = userinfo.find(':').unwrap_or(mark);
            if end == 0 {
                return Err(InvalidUri("empty user"));
            }
            view.user = Some(0..end);
            view.password = (end + 1).min(mark)..mark;
            at = mark + 1;
        }
        let hostport = rest.get(at..).unwrap_or_default();
        let host_len = if hostport.starts_with('[') {
            let close = hostport.find(']').ok_or(InvalidUri("unclosed bracket"))?;
            let inner = hostport.get(1..close).unwrap_or_default();
            if inner.is_empty()
                || !inner
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
            {
                return Err(InvalidUri("bad IPv6 address"));
            }
            close + 1
        } else {
            let len = hostport.find([':', ';', '?']).unwrap_or(hostport.len());
            let name = hostport.get(..len).unwrap_or_default();
            if name.is_empty() {
                return Err(InvalidUri("no host"));
            }
            if !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            {
                return Err(InvalidUri("bad host"));
            }
            len
        };
        view.host = at..at + host_len;
        at += host_len;
        let after = rest.get(at..).unwrap_or_default();
        if let Some(port) = after.strip_prefix(':') {
            let len = port.find([';', '?']).unwrap_or(port.len());
            let digits = port.get(..len).unwrap_or_default();
            view.port = Some(scan::number(digits.as_bytes()).ok_or(InvalidUri("bad port"))?);
            at += 1 + len;
        }
        let after = rest.get(at..).unwrap_or_default();
        if !after.is_empty() && !after.starts_with([';', '?']) {
            return Err(InvalidUri("something after the host"));
        }
        let params_len = after.find('?').unwrap_or(after.len());
        view.params = at..at + params_len;
        view.headers = (at + params_len + 1).min(rest.len())..rest.len();
        Ok(view)
    }

    fn tel(rest: &str) -> View {
        let number = rest.find(';').unwrap_or(rest.len());
        View {
            user: Some(0..number),
            params: number..rest.len(),
            ..View::default()
        }
    }
}

fn push_escaped(out: &mut String, user: &str) {
    for byte in user.bytes() {
        // unreserved and user-unreserved of RFC 3261 §25.1
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match after {
            [a, b, ..] if byte == b'%' => hex(*a).zip(hex(*b)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|d| d as u8)
}

impl PartialEq for Uri {
    fn eq(&self, other: &Uri) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for Uri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Uri, InvalidUri> {
        Uri::parse(text)
    }
}

impl TryFrom<Bytes> for Uri {
    type Error = InvalidUri;

    fn try_from(bytes: Bytes) -> Result<Uri, InvalidUri> {
        Uri::parse(bytes)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
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
    }
}
