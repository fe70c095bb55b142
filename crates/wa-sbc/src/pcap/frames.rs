//! Payloads in frames that never were: Ethernet, IPv4 or IPv6, UDP or TCP, with checksums that hold and
//! sequence numbers that go on, so that an analyser follows the streams.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// The largest piece of a stream in one frame: below what an IPv4 packet can hold.
const PIECE: usize = 16 * 1024;

/// Frames payloads. Remembers how far each direction of each stream has come.
#[derive(Debug, Default)]
pub struct Frames {
    sent: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl Frames {
    /// A datagram.
    pub fn udp(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let payload = &payload[..payload.len().min(65_000)];
        let mut udp = Vec::with_capacity(payload.len() + 8);
        udp.extend(from.port().to_be_bytes());
        udp.extend(to.port().to_be_bytes());
        udp.extend((payload.len() as u16 + 8).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        framed(from.ip(), to.ip(), 17, udp, 6)
    }

    /// The next bytes of a stream, in as many frames as they need.
    pub fn tcp(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<Vec<u8>> {
        payload
            .chunks(PIECE)
            .map(|piece| self.segment(from, to, piece))
            .collect()
    }

    fn segment(&mut self, from: SocketAddr, to: SocketAddr, piece: &[u8]) -> Vec<u8> {
        let acknowledged = self.sent.get(&(to, from)).copied().unwrap_or(1);
        let next = self.sent.entry((from, to)).or_insert(1);
        let sequence = *next;
        *next = next.wrapping_add(piece.len() as u32);
        let mut tcp = Vec::with_capacity(piece.len() + 20);
        tcp.extend(from.port().to_be_bytes());
        tcp.extend(to.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([0x50, 0x18]); // five words of header; PSH and ACK
        tcp.extend(65_535_u16.to_be_bytes());
        tcp.extend([0, 0, 0, 0]);
        tcp.extend(piece);
        framed(from.ip(), to.ip(), 6, tcp, 16)
    }
}

/// Puts a transport packet into IP and Ethernet; `sum` is where its checksum stands.
fn framed(from: IpAddr, to: IpAddr, protocol: u8, mut inner: Vec<u8>, sum: usize) -> Vec<u8> {
    let (from, to) = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => (from, to),
        // One end was never known: what is known decides the family.
        (IpAddr::V4(from), to @ IpAddr::V6(_)) => (IpAddr::V6(from.to_ipv6_mapped()), to),
        (from @ IpAddr::V6(_), IpAddr::V4(to)) => (from, IpAddr::V6(to.to_ipv6_mapped())),
    };
    let mut frame = Vec::with_capacity(inner.len() + 54);
    frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    let mut pseudo = Vec::with_capacity(40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend((inner.len() as u16 + 20).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let checked = checksum(&[&header]);
            header[10..12].copy_from_slice(&checked.to_be_bytes());
            frame.extend(header);
            pseudo.extend(from.octets());
            pseudo.extend(to.octets());
            pseudo.extend([0, protocol]);
            pseudo.extend((inner.len() as u16).to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xDD, 0x60, 0, 0, 0]);
            frame.extend((inner.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
            pseudo.extend(from.octets());
            pseudo.extend(to.octets());
            pseudo.extend((inner.len() as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, protocol]);
        }
        _ => unreachable!("both were made one family above"),
    }
    let checked = match checksum(&[&pseudo, &inner]) {
        0 => 0xFFFF, // RFC 768: 0 would mean that there is none
        checked => checked,
    };
    inner[sum..sum + 2].copy_from_slice(&checked.to_be_bytes());
    frame.extend(inner);
    frame
}

/// RFC 1071, over parts of even length but for the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_hold_over_what_they_cover() {
        let (from, to) = ("10.0.0.1:5060", "10.0.0.2:5060");
        let (from, to) = (
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        );
        let frame = Frames::default().udp(from, to, b"odd");
        // The sum over a packet with its checksum in place is all ones.
        assert_eq!(checksum(&[&frame[14..34]]), 0);
        let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 11];
        assert_eq!(checksum(&[&pseudo, &frame[34..]]), 0);
    }

    #[test]
    fn a_stream_goes_on_where_it_stopped_and_acknowledges_the_other_direction() {
        let (a, b) = ("[2001:db8::1]:40000", "[2001:db8::2]:5060");
        let (a, b) = (
            a.parse().expect("an address"),
            b.parse().expect("an address"),
        );
        let mut frames = Frames::default();
        let at = |frame: &[u8], offset: usize| {
            u32::from_be_bytes(
                frame[54 + offset..58 + offset]
                    .try_into()
                    .expect("four bytes"),
            )
        };
        let first = frames.tcp(a, b, &[1; 40_000]);
        assert_eq!(first.len(), 3);
        assert_eq!(at(&first[2], 4), 1 + 2 * PIECE as u32);
        let answer = frames.tcp(b, a, b"yes");
        assert_eq!((at(&answer[0], 4), at(&answer[0], 8)), (1, 40_001));
    }
}
