//! One HEP3 packet: a head, then chunks of vendor, type, length and value.
//!
//! ```text
//!   "HEP3" │ length (2) │ vendor 0 (2) │ type (2) │ length (2) │ value │ vendor …
//! ```
//!
//! Every length counts its own head. Numbers are in network order.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use super::Item;

/// Types of chunks of the generic vendor.
mod kind {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const V4_FROM: u16 = 3;
    pub(super) const V4_TO: u16 = 4;
    pub(super) const V6_FROM: u16 = 5;
    pub(super) const V6_TO: u16 = 6;
    pub(super) const PORT_FROM: u16 = 7;
    pub(super) const PORT_TO: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const PAYLOAD_IS: u16 = 11;
    pub(super) const AGENT: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
}

/// What the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Sip = 1,
    /// RTCP as JSON.
    Rtcp = 5,
}

/// Who we are to the collector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent<'a> {
    /// The capture id.
    pub(super) id: u32,
    /// What the collector wants to see before it believes us.
    pub(super) password: Option<&'a str>,
}

/// Writes a packet over what stood in `out`. `false`: it is too long for the lengths of HEP3.
pub(super) fn write(
    out: &mut Vec<u8>,
    agent: Agent<'_>,
    item: &Item,
    payload: Payload,
    bytes: &[u8],
) -> bool {
    out.clear();
    out.extend_from_slice(b"HEP3\0\0");
    let since = item.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    match one_family(item.from.ip(), item.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            chunk(out, kind::FAMILY, &[AF_INET]);
            chunk(out, kind::V4_FROM, &from.octets());
            chunk(out, kind::V4_TO, &to.octets());
        }
        (from, to) => {
            chunk(out, kind::FAMILY, &[AF_INET6]);
            chunk(out, kind::V6_FROM, &v6(from));
            chunk(out, kind::V6_TO, &v6(to));
        }
    }
    chunk(out, kind::PROTOCOL, &[item.protocol]);
    chunk(out, kind::PORT_FROM, &item.from.port().to_be_bytes());
    chunk(out, kind::PORT_TO, &item.to.port().to_be_bytes());
    chunk(out, kind::SECONDS, &(since.as_secs() as u32).to_be_bytes());
    chunk(
        out,
        kind::MICROSECONDS,
        &since.subsec_micros().to_be_bytes(),
    );
    chunk(out, kind::PAYLOAD_IS, &[payload as u8]);
    chunk(out, kind::AGENT, &agent.id.to_be_bytes());
    if let Some(password) = agent.password {
        chunk(out, kind::PASSWORD, password.as_bytes());
    }
    if let Some(correlation) = &item.correlation {
        chunk(out, kind::CORRELATION, correlation.as_bytes());
    }
    chunk(out, kind::PAYLOAD, bytes);
    match u16::try_from(out.len()) {
        Ok(length) => {
            out[4..6].copy_from_slice(&length.to_be_bytes());
            true
        }
        Err(_) => false,
    }
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const HEAD: usize = 6;

/// A value longer than a length can say makes the whole packet too long.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = (HEAD + value.len()).min(usize::from(u16::MAX)) as u16;
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

/// Both as IPv4 where both are; an address we do not know (a socket bound to all of them) becomes what
/// the other one is.
fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    let (from, to) = (from.to_canonical(), to.to_canonical());
    let like = |ip: IpAddr, other: IpAddr| match other {
        IpAddr::V4(_) if ip.is_unspecified() => IpAddr::from([0; 4]),
        _ => ip,
    };
    (like(from, to), like(to, from))
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::{TCP, What};
    use super::*;

    fn item(from: &str, to: &str) -> Item {
        Item {
            at: UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            from: SocketAddr::new(from.parse().expect("an address"), 5061),
            to: SocketAddr::new(to.parse().expect("an address"), 40_000),
            protocol: TCP,
            correlation: Some("a@b".into()),
            what: What::Sip("x".into()),
        }
    }

    /// Type and value of every chunk.
    fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let number = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
        assert_eq!(&packet[..4], b"HEP3");
        assert_eq!(number(4), packet.len());
        let (mut at, mut found) = (6, Vec::new());
        while at < packet.len() {
            assert_eq!(number(at), 0, "the generic vendor");
            found.push((
                number(at + 2) as u16,
                packet[at + 6..at + number(at + 4)].to_vec(),
            ));
            at += number(at + 4);
        }
        assert_eq!(at, packet.len());
        found
    }

    #[test]
    fn a_packet_is_what_its_chunks_say() {
        let agent = Agent {
            id: 2001,
            password: Some("secret"),
        };
        let mut out = b"what stood there".to_vec();
        assert!(write(
            &mut out,
            agent,
            &item("192.0.2.1", "192.0.2.2"),
            Payload::Sip,
            b"OPTIONS"
        ));
        let expected: Vec<(u16, Vec<u8>)> = vec![
            (1, vec![2]),
            (3, vec![192, 0, 2, 1]),
            (4, vec![192, 0, 2, 2]),
            (2, vec![6]),
            (7, vec![0x13, 0xc5]),
            (8, vec![0x9c, 0x40]),
            (9, 1_700_000_000_u32.to_be_bytes().to_vec()),
            (10, 123_456_u32.to_be_bytes().to_vec()),
            (11, vec![1]),
            (12, 2001_u32.to_be_bytes().to_vec()),
            (14, b"secret".to_vec()),
            (17, b"a@b".to_vec()),
            (15, b"OPTIONS".to_vec()),
        ];
        assert_eq!(chunks(&out), expected);
    }

    #[test]
    fn addresses_of_two_families_meet_in_one() {
        let agent = Agent {
            id: 1,
            password: None,
        };
        let families = |from, to| {
            let mut out = Vec::new();
            assert!(write(
                &mut out,
                agent,
                &item(from, to),
                Payload::Rtcp,
                b"{}"
            ));
            let all = chunks(&out);
            let lengths = all.iter().map(|(_, value)| value.len());
            (all[0].1[0], lengths.skip(1).take(2).collect::<Vec<_>>())
        };
        assert_eq!(families("192.0.2.1", "2001:db8::1"), (10, vec![16, 16]));
        assert_eq!(families("::ffff:192.0.2.1", "192.0.2.9"), (2, vec![4, 4]));
        assert_eq!(families("::", "192.0.2.9"), (2, vec![4, 4]));
    }

    #[test]
    fn what_is_longer_than_a_length_can_say_is_not_sent() {
        let agent = Agent {
            id: 1,
            password: None,
        };
        let item = item("192.0.2.1", "192.0.2.2");
        let mut out = Vec::new();
        assert!(write(
            &mut out,
            agent,
            &item,
            Payload::Sip,
            &vec![b'x'; 65_000]
        ));
        assert!(!write(
            &mut out,
            agent,
            &item,
            Payload::Sip,
            &vec![b'x'; 65_530]
        ));
        assert!(!write(
            &mut out,
            agent,
            &item,
            Payload::Sip,
            &vec![b'x'; 200_000]
        ));
    }
}
