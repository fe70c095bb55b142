//! From a captured packet to the payload of UDP or TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a packet carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit<'a> {
    /// A datagram.
    Udp(Datagram<'a>),
    /// A piece of a stream.
    Tcp(Segment<'a>),
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// What it carries.
    pub payload: &'a [u8],
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// The number of its first byte.
    pub sequence: u32,
    /// It opens the stream.
    pub syn: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

/// The UDP or TCP payload of a packet on a link of the type; `None` for everything else, fragments
/// included.
pub fn dissect(link: u32, packet: &[u8]) -> Option<Unit<'_>> {
    let (kind, ip) = match link {
        1 => ethernet(packet)?,
        0 | 12 | 14 | 101 | 228 | 229 => (None, if link == 0 { packet.get(4..)? } else { packet }),
        113 => (Some(u16_at(packet, 14)?), packet.get(16..)?),
        276 => (Some(u16_at(packet, 0)?), packet.get(20..)?),
        _ => return None,
    };
    if kind.is_some_and(|kind| kind != 0x0800 && kind != 0x86DD) {
        return None;
    }
    match ip.first()? >> 4 {
        4 => v4(ip),
        6 => v6(ip),
        _ => None,
    }
}

fn ethernet(packet: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let mut at = 12;
    // IEEE 802.1Q tags.
    while matches!(u16_at(packet, at)?, 0x8100 | 0x88A8) {
        at += 4;
    }
    Some((Some(u16_at(packet, at)?), packet.get(at + 2..)?))
}

fn v4(ip: &[u8]) -> Option<Unit<'_>> {
    let header = usize::from(ip[0] & 0x0F) * 4;
    let total = usize::from(u16_at(ip, 2)?);
    let fragment = u16_at(ip, 6)? & 0x3FFF;
    if header < 20 || fragment != 0 {
        return None;
    }
    let address = |at: usize| {
        let four: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(four)))
    };
    // A length of 0 is left by cards that cut segments themselves.
    let end = if total == 0 {
        ip.len()
    } else {
        total.min(ip.len())
    };
    transport(
        *ip.get(9)?,
        address(12)?,
        address(16)?,
        ip.get(header..end)?,
    )
}

fn v6(ip: &[u8]) -> Option<Unit<'_>> {
    let length = usize::from(u16_at(ip, 4)?);
    let address = |at: usize| {
        let all: [u8; 16] = ip.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(all)).to_canonical())
    };
    let end = if length == 0 {
        ip.len()
    } else {
        (40 + length).min(ip.len())
    };
    transport(*ip.get(6)?, address(8)?, address(24)?, ip.get(40..end)?)
}

fn transport(protocol: u8, from: IpAddr, to: IpAddr, inner: &[u8]) -> Option<Unit<'_>> {
    let from = SocketAddr::new(from, u16_at(inner, 0)?);
    let to = SocketAddr::new(to, u16_at(inner, 2)?);
    match protocol {
        17 => {
            let end = usize::from(u16_at(inner, 4)?).clamp(8, inner.len().max(8));
            let payload = inner.get(8..end)?;
            Some(Unit::Udp(Datagram { from, to, payload }))
        }
        6 => {
            let sequence = u32::from_be_bytes(inner.get(4..8)?.try_into().ok()?);
            let header = usize::from(inner.get(12)? >> 4) * 4;
            Some(Unit::Tcp(Segment {
                from,
                to,
                sequence,
                syn: inner.get(13)? & 2 != 0,
                payload: inner.get(header.max(20)..)?,
            }))
        }
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
