//! RTP packets (RFC 3550 §5.1): reading a header, writing ours, and telling RTP from RTCP.
//!
//! ```text
//!  0                   1                   2                   3
//!  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//!  |                           timestamp                           |
//!  |                             SSRC                              |
//!  |            CSRC × CC, extension if X, payload, padding if P   |
//! ```

use std::ops::Range;
use std::time::Duration;

/// Octets of an RTP header without CSRCs and extension: the only kind we write.
pub const HEADER: usize = 12;

/// What an RTP header says and where the payload lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: start of a talkspurt for audio (RFC 3551 §4.1), start of an event (RFC 4733 §2.3).
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub pt: u8,
    /// The sequence number on the wire.
    pub sequence: u16,
    /// The timestamp on the wire, in ticks of the payload's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// Where the payload lies: behind CSRCs and extension, before the padding.
    pub payload: Range<usize>,
}

impl Header {
    /// Reads the header of a plain (already decrypted) packet. `None`: this is no RTP packet.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let start = header_len(bytes)?;
        let mut end = bytes.len();
        if bytes[0] & 0x20 != 0 {
            let padding = usize::from(*bytes.last()?);
            if padding == 0 || padding > end - start {
                return None;
            }
            end -= padding;
        }
        Some(Header {
            marker: bytes[1] & 0x80 != 0,
            pt: bytes[1] & 0x7f,
            sequence: sequence(bytes),
            timestamp: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            ssrc: ssrc(bytes),
            payload: start..end,
        })
    }

    /// Writes the twelve octets of a header without CSRCs and extension; `payload` is ignored.
    pub fn write(&self, out: &mut [u8; HEADER]) {
        out[0] = 0x80;
        out[1] = u8::from(self.marker) << 7 | (self.pt & 0x7f);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// Length of the header with CSRCs and extension: where encryption begins (RFC 3711 §3.1).
/// `None`: too short or not version 2. Padding is not looked at, it may be encrypted.
pub fn header_len(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER || bytes[0] >> 6 != 2 {
        return None;
    }
    let mut len = HEADER + 4 * usize::from(bytes[0] & 0x0f);
    if bytes[0] & 0x10 != 0 {
        let words = bytes.get(len + 2..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (len <= bytes.len()).then_some(len)
}

/// Whether a packet on a multiplexed port is RTCP (RFC 5761 §4): packet types 192 to 223.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

/// Whose packet it says it is, SRTP and SRTCP alike: the SSRC of RTP, or of the first report of RTCP.
/// `None`: it is neither.
pub fn sender(bytes: &[u8]) -> Option<u32> {
    let at = if is_rtcp(bytes) { 4 } else { 8 };
    match bytes.get(at..at + 4)? {
        [a, b, c, d] if bytes[0] >> 6 == 2 => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The sequence number of a packet already known to be RTP.
pub(crate) fn sequence(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[2], bytes[3]])
}

/// The SSRC of a packet already known to be RTP.
pub(crate) fn ssrc(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]])
}

/// The extended number whose low 16 bits are `wire` and which lies nearest to `near`
/// (RFC 3711 §3.3.1, RFC 3550 A.1). Never below zero.
pub fn extend(near: u64, wire: u16) -> u64 {
    let ahead = i64::from(wire.wrapping_sub(near as u16) as i16);
    match near.checked_add_signed(ahead) {
        Some(index) => index,
        // `near` is within the first half cycle and `wire` above it: there is no cycle before the first.
        None => near + u64::from(wire.wrapping_sub(near as u16)),
    }
}

/// An RTP clock: ticks per second (RFC 3551, RFC 7587 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(pub u32);

impl Clock {
    /// Ticks in a duration, rounded down.
    pub fn ticks(self, duration: Duration) -> i64 {
        (duration.as_nanos() as i128 * i128::from(self.0) / 1_000_000_000) as i64
    }

    /// Ticks in a number of milliseconds.
    pub const fn ticks_of_ms(self, ms: u32) -> i64 {
        ms as i64 * self.0 as i64 / 1000
    }

    /// The duration of a number of ticks; nothing for negative ones.
    pub fn duration(self, ticks: i64) -> Duration {
        let nanos = i128::from(ticks.max(0)) * 1_000_000_000 / i128::from(self.0.max(1));
        Duration::from_nanos(nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn csrcs_extension_and_padding_are_not_payload() {
        let mut bytes = vec![
            0x80 | 0x20 | 0x10 | 2,
            0x80 | 111,
            0,
            7,
            0,
            0,
            0,
            9,
            1,
            2,
            3,
            4,
        ];
        bytes.extend([0; 8]); // two CSRCs
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]); // one word of extension
        bytes.extend([1, 2, 3, 0, 2]); // payload, padding of two
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(&bytes[header.payload.clone()], &[1, 2, 3]);
        assert_eq!(
            (header.pt, header.marker, header.sequence, header.timestamp),
            (111, true, 7, 9)
        );
        assert_eq!(header.ssrc, 0x01020304);
    }

    #[test]
    fn padding_longer_than_the_payload_is_refused() {
        let bytes = [0xa0, 0, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4, 9];
        assert_eq!(Header::parse(&bytes), None);
    }

    #[test]
    fn sequence_numbers_extend_across_the_wrap_and_back() {
        assert_eq!(extend(0xffff, 0), 0x1_0000);
        assert_eq!(extend(0x1_0000, 0xffff), 0xffff);
        assert_eq!(
            extend(5, 0xfff0),
            0xfff0,
            "nothing lies before the first cycle"
        );
    }

    proptest! {
        #[test]
        fn what_we_write_we_read(marker: bool, pt in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32) {
            let header = Header { marker, pt, sequence, timestamp, ssrc, payload: HEADER..HEADER };
            let mut bytes = [0; HEADER];
            header.write(&mut bytes);
            prop_assert_eq!(Header::parse(&bytes), Some(header));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.payload.end <= bytes.len());
            }
            is_rtcp(&bytes);
        }

        #[test]
        fn extension_finds_every_number_within_half_a_cycle(near in 0x8000u64..1 << 48, off in -0x7fffi64..0x7fff) {
            let index = near.checked_add_signed(off).unwrap();
            prop_assert_eq!(extend(near, index as u16), index);
        }
    }
}
