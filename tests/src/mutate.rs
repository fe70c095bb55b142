//! Broken messages and packets, made from whole ones with a seeded generator: the same seed makes the same breakage.

/// A small generator (xorshift64*): all that mutation needs.
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same throws.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`, which is above 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.throw() % limit as u64) as usize
    }

    /// The next 64 bits.
    pub fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

// What parsers have tripped over.
const POISON: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff\xfe",
    b":",
    b";",
    b",",
    b"<",
    b">",
    b"\"",
    b"%",
    b"@",
    b"=",
    b" ",
    b"-1",
    b"4294967296",
    b"99999999999999999999",
    b"0x10",
    b"[::",
    b"]",
    b";;;;",
    b"sip:",
    b"SIP/2.0",
    b"Content-Length: 99999\r\n",
    b"Content-Length: -5\r\n",
    b"l: 0\r\n",
    b"Via: \r\n",
    b"CSeq: 0\r\n",
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
    b"m=audio 65536 RTP/SAVP 111\r\n",
    b"a=rtpmap:\r\n",
];

/// `whole`, broken one to four times; `others` lend parts of themselves.
pub fn break_bytes(dice: &mut Dice, whole: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = dice.below(bytes.len());
        match dice.below(9) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.throw() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + dice.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + 1 + dice.below(200)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let times = 1 + dice.below(4);
                for _ in 0..times {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
            5 => {
                let poison = POISON[dice.below(POISON.len())];
                bytes.splice(at..at, poison.iter().copied());
            }
            6 if !others.is_empty() => {
                let other = &others[dice.below(others.len())];
                if !other.is_empty() {
                    let from = dice.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
            7 => {
                // A digit becomes another: lengths, ports, counts, payload types.
                if let Some(digit) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
                    bytes[at + digit] = b'0' + dice.below(10) as u8;
                }
            }
            _ => bytes.extend((0..dice.below(30)).map(|_| dice.throw() as u8)),
        }
    }
    bytes
}

/// An RTP packet of 20 ms: header and `payload` octets, all of it chosen by the dice but for version 2.
pub fn rtp(dice: &mut Dice, payload_type: u8, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend((0..10 + payload).map(|_| dice.throw() as u8));
    packet
}

/// An RTCP sender report with one SDES chunk, and sometimes a BYE.
pub fn rtcp(dice: &mut Dice) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend((0..24).map(|_| dice.throw() as u8));
    packet.extend_from_slice(&[0x81, 202, 0, 3]);
    packet.extend((0..4).map(|_| dice.throw() as u8));
    packet.extend_from_slice(&[1, 4, b'c', b'a', b'l', b'l', 0, 0]);
    if dice.below(2) == 0 {
        packet.extend_from_slice(&[0x81, 203, 0, 1]);
        packet.extend((0..4).map(|_| dice.throw() as u8));
    }
    packet
}
