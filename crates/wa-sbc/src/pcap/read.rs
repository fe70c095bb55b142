//! Reading pcapng and the older pcap, in either byte order and with timestamps of any resolution.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was captured.
    pub at: SystemTime,
    /// The link type of its interface: 1 for Ethernet.
    pub link: u32,
    /// The packet, as far as it was captured.
    pub bytes: Vec<u8>,
    /// Its comment, or nothing.
    pub comment: String,
}

/// Why a file is no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It begins like no capture.
    #[error("this is no capture: neither pcapng nor pcap")]
    NoCapture,
}

/// The packets of a capture; a file that breaks off gives what came before.
pub fn read(file: &[u8]) -> Result<Vec<Packet>, ReadError> {
    match file.get(..4) {
        Some([0x0A, 0x0D, 0x0D, 0x0A]) => Ok(pcapng(file)),
        Some(magic) => pcap(file, magic).ok_or(ReadError::NoCapture),
        None => Err(ReadError::NoCapture),
    }
}

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let two: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big {
            u16::from_be_bytes(two)
        } else {
            u16::from_le_bytes(two)
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    }
}

fn pcapng(file: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut order = Order { big: false };
    let mut interfaces: Vec<(u32, u64)> = Vec::new();
    let mut rest = file;
    while rest.len() >= 12 {
        if rest.starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]) {
            order.big = rest[8..12] == [0x1A, 0x2B, 0x3C, 0x4D];
            interfaces.clear();
        }
        let (Some(kind), Some(length)) = (order.u32(rest, 0), order.u32(rest, 4)) else {
            break;
        };
        let length = length as usize;
        if length < 12 || length > rest.len() {
            break;
        }
        let body = &rest[8..length - 4];
        match kind {
            1 => {
                let link = order.u16(body, 0).map_or(1, u32::from);
                interfaces.push((link, resolution(order, body.get(8..).unwrap_or(&[]))));
            }
            6 => packets.extend(enhanced(order, body, &interfaces)),
            _ => {}
        }
        rest = &rest[length..];
    }
    packets
}

fn enhanced(order: Order, body: &[u8], interfaces: &[(u32, u64)]) -> Option<Packet> {
    let interface = order.u32(body, 0)? as usize;
    let (link, per_second) = *interfaces.get(interface)?;
    let ticks = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
    let captured = order.u32(body, 12)? as usize;
    let bytes = body.get(20..20_usize.checked_add(captured)?)?.to_vec();
    let options = body.get(20 + captured.next_multiple_of(4)..).unwrap_or(&[]);
    let comment = options_of(order, options)
        .find(|(code, _)| *code == 1)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    Some(Packet {
        at: time(ticks, per_second),
        link,
        bytes,
        comment: comment.unwrap_or_default(),
    })
}

fn options_of(order: Order, mut options: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, length) = (order.u16(options, 0)?, usize::from(order.u16(options, 2)?));
        let value = options.get(4..4 + length)?;
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
        (code != 0).then_some((code, value))
    })
}

/// Ticks in a second (option if_tsresol).
fn resolution(order: Order, options: &[u8]) -> u64 {
    let written = options_of(order, options).find(|(code, _)| *code == 9);
    match written.and_then(|(_, value)| value.first().copied()) {
        Some(binary) if binary & 0x80 != 0 => 1 << (binary & 0x3F).min(62),
        Some(decimal) => 10_u64.pow(u32::from(decimal).min(18)),
        None => 1_000_000,
    }
}

fn time(ticks: u64, per_second: u64) -> SystemTime {
    let nanos = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
    UNIX_EPOCH + Duration::new(ticks / per_second, nanos as u32)
}

fn pcap(file: &[u8], magic: &[u8]) -> Option<Vec<Packet>> {
    let (big, per_second) = match magic {
        [0xA1, 0xB2, 0xC3, 0xD4] => (true, 1_000_000),
        [0xD4, 0xC3, 0xB2, 0xA1] => (false, 1_000_000),
        [0xA1, 0xB2, 0x3C, 0x4D] => (true, 1_000_000_000),
        [0x4D, 0x3C, 0xB2, 0xA1] => (false, 1_000_000_000),
        _ => return None,
    };
    let order = Order { big };
    let link = order.u32(file, 20)? & 0xFFFF;
    let mut packets = Vec::new();
    let mut rest = file.get(24..)?;
    while let (Some(seconds), Some(fraction), Some(captured)) =
        (order.u32(rest, 0), order.u32(rest, 4), order.u32(rest, 8))
    {
        let Some(bytes) = rest.get(16..16 + captured as usize) else {
            break;
        };
        let ticks = u64::from(seconds) * per_second + u64::from(fraction);
        packets.push(Packet {
            at: time(ticks, per_second),
            link,
            bytes: bytes.to_vec(),
            comment: String::new(),
        });
        rest = &rest[16 + captured as usize..];
    }
    Some(packets)
}

#[cfg(test)]
mod tests {
    use super::super::{Frames, Unit, Writer, dissect};
    use super::*;

    #[test]
    fn what_was_written_is_read_back_with_its_time_and_comment() {
        let at = UNIX_EPOCH + Duration::new(1_790_000_000, 123_456_789);
        let (from, to) = ("10.0.0.1:7", "10.0.0.2:8");
        let (from, to) = (
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        );
        let mut writer = Writer::new(Vec::new(), "head").expect("memory");
        let frame = Frames::default().udp(from, to, b"hello");
        writer.packet(at, &frame, "call 1, leg A").expect("memory");
        writer.packet(at, &frame, "").expect("memory");
        let file = writer.into_inner();
        let packets = read(&file).expect("a capture");
        assert_eq!(packets.len(), 2);
        assert_eq!(
            (packets[0].at, packets[0].comment.as_str()),
            (at, "call 1, leg A")
        );
        let Some(Unit::Udp(datagram)) = dissect(packets[0].link, &packets[0].bytes) else {
            panic!("a datagram");
        };
        assert_eq!(
            (datagram.from, datagram.to, datagram.payload),
            (from, to, &b"hello"[..])
        );
        // Whatever is cut off or broken costs packets, never more.
        for length in 0..file.len() {
            let _ = read(&file[..length]);
        }
        for at in 0..file.len() {
            let mut broken = file.clone();
            broken[at] ^= 0xFF;
            for packet in read(&broken).unwrap_or_default() {
                let _ = dissect(packet.link, &packet.bytes);
            }
        }
    }

    #[test]
    fn the_older_format_is_read_in_both_orders() {
        let mut file = vec![0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([0, 0, 4, 0, 101, 0, 0, 0]);
        file.extend([5, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0xAA, 0xBB]);
        let packets = read(&file).expect("a capture");
        assert_eq!(packets[0].at, UNIX_EPOCH + Duration::new(5, 7_000));
        assert_eq!(
            (packets[0].link, &packets[0].bytes[..]),
            (101, &[0xAA, 0xBB][..])
        );
        assert_eq!(read(b"RIFFxxxx"), Err(ReadError::NoCapture));
    }
}
