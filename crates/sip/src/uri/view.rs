//! Where the pieces of a URI lie (RFC 3261 §25.1 `SIP-URI`, RFC 3966).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::ops::Range;

use super::{InvalidUri, Scheme};
use crate::scan;

/// Where the pieces lie, counted from the character after the scheme's colon.
#[derive(Default)]
pub(super) struct View {
    pub(super) user: Option<Range<usize>>,
    pub(super) password: Range<usize>,
    pub(super) host: Range<usize>,
    pub(super) port: Option<u16>,
    pub(super) params: Range<usize>,
    pub(super) headers: Range<usize>,
}

impl View {
    /// The scheme, the pieces, and where the character after the colon stands.
    pub(super) fn of(text: &[u8]) -> Result<(Scheme, View, usize), InvalidUri> {
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
