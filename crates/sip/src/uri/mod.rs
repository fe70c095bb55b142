//! URIs: the original text and a view into it (RFC 3261 §19.1, RFC 3966 for `tel:`).
//!
//! ```text
//! sip:+12145551869;tgrp=wacall:secret@[2001:db8::7]:5061;transport=tls;lr?Subject=x
//! └┬┘ └────┬─────┘ └───┬───┘  └──┬─┘  └────┬─────┘ └┬─┘ └──────┬──────┘ └───┬───┘
//! scheme  user_base  user_param password  host     port      params       headers
//!     └──────── user ──────────┘
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod equivalence;
mod view;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;

use crate::scan::Params;
use crate::{Text, Transport};
use view::View;

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
        let end = self.params_end();
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

    /// The headers a request made from this URI is to have (RFC 3261 §19.1.1): names and values with
    /// their escapes undone. `None` if one of them holds what no header can, a line break above all.
    pub fn headers(&self) -> Option<Vec<(String, String)>> {
        let part = self.part(&self.headers);
        part.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((unescaped(name)?, unescaped(value)?))
            })
            .collect()
    }

    /// The same URI without its headers.
    pub fn without_headers(&self) -> Uri {
        let all = self.as_str();
        match all.get(..self.params_end()) {
            Some(bare) if bare.len() < all.len() => {
                Uri::parse(bare).unwrap_or_else(|_| self.clone())
            }
            _ => self.clone(),
        }
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

    /// Where the parameters end: before the `?` of the headers, or at the end of the text.
    fn params_end(&self) -> usize {
        match self.scheme {
            Scheme::Other => self.text.len(),
            Scheme::Sip | Scheme::Sips | Scheme::Tel => self.params.end as usize,
        }
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

/// `None` for broken escapes, for what is no UTF-8, and for control characters.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
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
mod tests;
