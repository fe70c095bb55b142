//! Via: the way back (RFC 3261 §20.42, RFC 3581 for `rport`, RFC 5923 for `alias`).
//!
//! ```text
//! SIP/2.0/TLS [2803:6080::]:5061;rport=58279;received=2803:6080::1;branch=z9hG4bK…;alias
//!         └┬┘ └─────┬────┘ └┬─┘ └────────────────────── params ─────────────────────────┘
//!     transport    host    port            (received: a bare IPv6 address, no brackets)
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::scan::{self, Params};
use crate::{Text, Transport};

/// The start of every branch made after RFC 3261 §8.1.1.7.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// The transport as written: `UDP`, `TCP`, `TLS`, or something we do not speak.
    pub transport: Text,
    /// The sent-by host, without brackets if it is an IPv6 address.
    pub host: Text,
    /// The sent-by port, if one is written.
    pub port: Option<u16>,
    sent_by: Text,
    params: Text,
}

impl Via {
    /// Reads one Via value (of a comma-joined line, take one value with
    /// [`Headers::list`](crate::Headers::list) first).
    pub fn read(value: &Text) -> Option<Via> {
        let pieces = Pieces::of(value.as_bytes())?;
        Some(Via {
            transport: value.part(pieces.transport),
            host: value.part(pieces.host),
            port: pieces.port,
            sent_by: value.part(pieces.sent_by),
            params: value.part(pieces.params),
        })
    }

    /// Whether [`Via::read`] would read this.
    pub(crate) fn is_readable(value: &[u8]) -> bool {
        Pieces::of(value).is_some()
    }

    /// The transport, if it is one we speak.
    pub fn known_transport(&self) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find(|t| self.transport.eq_ignore_case(t.via_name()))
    }

    /// `host:port` as written, brackets included.
    pub fn sent_by(&self) -> &Text {
        &self.sent_by
    }

    /// The value of a parameter, name compared without case; empty for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        Params::of(self.params.as_bytes())
            .find(name)
            .and_then(|v| std::str::from_utf8(v).ok())
    }

    /// The branch parameter, if there is one and it is not empty.
    pub fn branch(&self) -> Option<&str> {
        self.param("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the branch was made after RFC 3261, so that it names the transaction alone.
    pub fn has_magic_cookie(&self) -> bool {
        let cookie = MAGIC_COOKIE.as_bytes();
        self.branch()
            .and_then(|branch| branch.as_bytes().split_at_checked(cookie.len()))
            .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(cookie) && !rest.is_empty())
    }

    /// The `received` address, brackets or not.
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.param("received")?;
        value
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }

    /// The `rport` value, if one is filled in.
    pub fn rport(&self) -> Option<u16> {
        scan::number(self.param("rport")?.as_bytes())
    }
}

/// A Via value taken apart in place.
struct Pieces<'a> {
    transport: &'a [u8],
    host: &'a [u8],
    port: Option<u16>,
    sent_by: &'a [u8],
    params: &'a [u8],
}

impl<'a> Pieces<'a> {
    fn of(value: &'a [u8]) -> Option<Pieces<'a>> {
        let bytes = scan::trim(value);
        let (head, params) = match memchr::memchr(b';', bytes) {
            Some(at) => bytes.split_at(at),
            None => (bytes, &[][..]),
        };
        let mut pieces = head.splitn(3, |b| *b == b'/');
        let protocol = scan::trim(pieces.next()?);
        let version = scan::trim(pieces.next()?);
        let rest = scan::trim(pieces.next()?);
        if !protocol.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return None;
        }
        let blank = rest.iter().position(u8::is_ascii_whitespace)?;
        let (transport, sent_by) = rest.split_at(blank);
        let sent_by = scan::trim(sent_by);
        if !scan::is_token(transport) {
            return None;
        }
        let (host, port) = split_host_port(sent_by)?;
        std::str::from_utf8(params).ok()?;
        Some(Pieces {
            transport,
            host,
            port,
            sent_by,
            params,
        })
    }
}

/// What a server writes into the top Via of a request that came from `source`, or `None` when
/// the Via may stay as it is.
///
/// `rport` is filled in where it stands and `received` follows it (RFC 3581 §4); without `rport`,
/// `received` is appended when the sent-by is a name or another address (RFC 3261 §18.2.1).
/// Whatever a stranger had claimed in either is replaced. Meta reference 5.1 documents the echo.
pub(crate) fn stamped(value: &Text, source: SocketAddr) -> Option<Text> {
    let via = Via::read(value)?;
    let ip = source.ip().to_canonical();
    let wants_port = via.param("rport").is_some();
    let sent_from_there = via.host.utf8().and_then(|h| h.parse::<IpAddr>().ok()) == Some(ip);
    let claims = via.param("received").is_some();
    if !wants_port && sent_from_there && !claims {
        return None;
    }
    let bytes = scan::trim(value.as_bytes());
    let end = scan::position_outside(bytes, b';').unwrap_or(bytes.len());
    let (head, mut rest) = bytes.split_at(end);
    let mut out = Vec::with_capacity(bytes.len() + 48);
    out.extend_from_slice(head);
    let received = format!(";received={ip}");
    while let Some(after) = rest.get(1..).filter(|_| !rest.is_empty()) {
        let len = scan::position_outside(after, b';').unwrap_or(after.len());
        let (param, next) = after.split_at(len);
        rest = next;
        let name = scan::trim(scan::split_outside(param, b'=').0);
        if name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        if name.eq_ignore_ascii_case(b"rport") {
            out.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
            out.extend_from_slice(received.as_bytes());
        } else {
            out.push(b';');
            out.extend_from_slice(param);
        }
    }
    if !wants_port && !sent_from_there {
        out.extend_from_slice(received.as_bytes());
    }
    Some(Text::from(Bytes::from(out)))
}

/// Splits `host[:port]`; the host comes without brackets.
fn split_host_port(bytes: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, after) = match bytes {
        [b'[', rest @ ..] => {
            let close = rest.iter().position(|b| *b == b']')?;
            let (host, after) = rest.split_at(close);
            if host.is_empty()
                || !host
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || b":.".contains(b))
            {
                return None;
            }
            (host, after.get(1..)?)
        }
        _ => {
            let end = bytes
                .iter()
                .position(|b| *b == b':' || b.is_ascii_whitespace())
                .unwrap_or(bytes.len());
            let (host, after) = bytes.split_at(end);
            if host.is_empty()
                || !host
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(b))
            {
                return None;
            }
            (host, after)
        }
    };
    match scan::trim(after) {
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(scan::number(port)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via {
        Via::read(&Text::from(text)).unwrap()
    }

    fn stamp(text: &str, source: &str) -> String {
        let text = Text::from(text);
        stamped(&text, source.parse().unwrap())
            .unwrap_or(text)
            .to_string()
    }

    #[test]
    fn ipv6_sent_by_with_trailing_colons_is_read() {
        let v = via("SIP/2.0/TLS [2803:6080:f948:9597::]:47237;rport;branch=z9hG4bKPj1e;alias");
        assert_eq!(
            (v.host.to_string(), v.port),
            ("2803:6080:f948:9597::".into(), Some(47237))
        );
        assert_eq!(v.known_transport(), Some(Transport::Tls));
        assert_eq!(v.param("alias"), Some(""));
        assert_eq!(v.param("rport"), Some(""));
        assert_eq!(v.rport(), None);
        assert_eq!(v.sent_by(), &"[2803:6080:f948:9597::]:47237");
        assert!(v.has_magic_cookie());
    }

    #[test]
    fn a_bare_ipv6_received_does_not_hide_the_branch() {
        let v = via("SIP/2.0/TLS h:1;rport=58279;received=2803:6080:f8bc::1;branch=z9hG4bKx");
        assert_eq!(v.received(), Some("2803:6080:f8bc::1".parse().unwrap()));
        assert_eq!((v.rport(), v.branch()), (Some(58279), Some("z9hG4bKx")));
    }

    #[test]
    fn blanks_around_slashes_and_the_port_are_allowed() {
        let v = via("SIP  / 2.0 / UDP    192.0.2.2 : 5060 ; branch = 390skdjuw");
        assert_eq!(
            (v.transport.to_string(), v.host.to_string()),
            ("UDP".into(), "192.0.2.2".into())
        );
        assert_eq!((v.port, v.branch()), (Some(5060), Some("390skdjuw")));
        assert!(!v.has_magic_cookie());
    }

    #[test]
    fn texts_that_are_no_via_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/U P h",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP h h",
        ] {
            assert_eq!(Via::read(&Text::from(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn rport_is_filled_in_place_and_received_follows_it() {
        assert_eq!(
            stamp(
                "SIP/2.0/TLS 31.13.66.215:5061;rport;branch=z9hG4bKPj1;alias",
                "69.171.251.112:62080"
            ),
            "SIP/2.0/TLS 31.13.66.215:5061;rport=62080;received=69.171.251.112;branch=z9hG4bKPj1;alias"
        );
    }

    #[test]
    fn received_alone_is_added_when_the_sender_is_elsewhere_or_named() {
        assert_eq!(
            stamp("SIP/2.0/UDP h.example;branch=a", "[::1]:9"),
            "SIP/2.0/UDP h.example;branch=a;received=::1"
        );
        assert_eq!(
            stamp("SIP/2.0/UDP 10.0.0.1;branch=a", "10.0.0.1:9"),
            "SIP/2.0/UDP 10.0.0.1;branch=a"
        );
        assert_eq!(
            stamp("SIP/2.0/UDP 10.0.0.1", "[::ffff:10.0.0.1]:9"),
            "SIP/2.0/UDP 10.0.0.1"
        );
        assert_eq!(
            stamp("SIP/2.0/TCP [::1]:5;branch=a", "[::1]:9"),
            "SIP/2.0/TCP [::1]:5;branch=a"
        );
    }

    #[test]
    fn claimed_addresses_are_replaced_by_the_real_ones() {
        assert_eq!(
            stamp(
                "SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;rport=1;branch=a",
                "10.0.0.2:77"
            ),
            "SIP/2.0/UDP 10.0.0.1;rport=77;received=10.0.0.2;branch=a"
        );
        assert_eq!(
            stamp(
                "SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;branch=a",
                "10.0.0.1:77"
            ),
            "SIP/2.0/UDP 10.0.0.1;branch=a"
        );
    }
}
