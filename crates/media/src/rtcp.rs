//! RTCP (RFC 3550 §6): the reports we write and what we read from the far side's.
//!
//! Whoever terminates media terminates RTCP (RFC 8079): nothing is passed from one leg to the other.

use std::time::Duration;

use crate::quality::VOIP_BLOCK;

pub use sdp::report::{Block, SenderReport};

/// One thing found in a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A sender report's own part; its blocks follow.
    Sender {
        /// Who reports.
        ssrc: u32,
        /// What it says of itself.
        report: SenderReport,
    },
    /// A report block of a sender or receiver report.
    Block {
        /// Who reports.
        ssrc: u32,
        /// What it says of another source.
        block: Block,
    },
    /// The source leaves (RFC 3550 §6.6).
    Bye {
        /// The first source of the packet.
        ssrc: u32,
    },
}

/// Reads a compound packet, calling `each` for everything we know. `false`: this is no RTCP packet,
/// or its lengths do not add up (then nothing after the fault was read).
pub fn read(mut bytes: &[u8], mut each: impl FnMut(Item)) -> bool {
    let mut any = false;
    while !bytes.is_empty() {
        let [first, kind, high, low, ..] = *bytes else {
            return false;
        };
        let len = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        if first >> 6 != 2 || !(192..=223).contains(&kind) || len > bytes.len() {
            return false;
        }
        let (packet, rest) = bytes.split_at(len);
        read_one(first & 0x1f, kind, &packet[4..], &mut each);
        any = true;
        bytes = rest;
    }
    any
}

fn read_one(count: u8, kind: u8, body: &[u8], each: &mut impl FnMut(Item)) {
    let word = |at: usize| {
        body.get(at..at + 4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    };
    let Some(ssrc) = word(0) else { return };
    let mut at = 4;
    match kind {
        SR => {
            let (Some(h), Some(l), Some(timestamp), Some(packets), Some(octets)) =
                (word(4), word(8), word(12), word(16), word(20))
            else {
                return;
            };
            let ntp = u64::from(h) << 32 | u64::from(l);
            each(Item::Sender {
                ssrc,
                report: SenderReport {
                    ntp,
                    timestamp,
                    packets,
                    octets,
                },
            });
            at = 24;
        }
        RR => {}
        BYE if count > 0 => return each(Item::Bye { ssrc }),
        _ => return,
    }
    for _ in 0..count {
        let (Some(of), Some(loss), Some(highest), Some(jitter), Some(last_report), Some(delay)) = (
            word(at),
            word(at + 4),
            word(at + 8),
            word(at + 12),
            word(at + 16),
            word(at + 20),
        ) else {
            return;
        };
        let block = Block {
            ssrc: of,
            fraction_lost: (loss >> 24) as u8,
            lost: ((loss << 8) as i32) >> 8,
            highest,
            jitter,
            last_report,
            delay,
        };
        each(Item::Block { ssrc, block });
        at += 24;
    }
}

/// Writes a compound packet into `out` and returns its length: SR (or RR where `sender` is `None`),
/// SDES with the CNAME (cut at 255 octets), and BYE if `bye`. `out` needs 400 octets.
pub fn write(
    out: &mut [u8],
    ssrc: u32,
    sender: Option<&SenderReport>,
    block: Option<&Block>,
    cname: &[u8],
    bye: bool,
) -> usize {
    let mut w = Writer { out, at: 0 };
    let start = w.at;
    w.head(
        u8::from(block.is_some()),
        if sender.is_some() { SR } else { RR },
    );
    w.word(ssrc);
    if let Some(report) = sender {
        w.word((report.ntp >> 32) as u32);
        w.word(report.ntp as u32);
        w.word(report.timestamp);
        w.word(report.packets);
        w.word(report.octets);
    }
    if let Some(b) = block {
        w.word(b.ssrc);
        let lost = b.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        w.word(u32::from(b.fraction_lost) << 24 | lost);
        w.word(b.highest);
        w.word(b.jitter);
        w.word(b.last_report);
        w.word(b.delay);
    }
    w.close(start);

    let start = w.at;
    let cname = &cname[..cname.len().min(255)];
    w.head(1, SDES);
    w.word(ssrc);
    w.bytes(&[1, cname.len() as u8]);
    w.bytes(cname);
    w.bytes(&[0; 4][..4 - (w.at - start) % 4]); // at least one null octet ends the list
    w.close(start);

    if bye {
        let start = w.at;
        w.head(1, BYE);
        w.word(ssrc);
        w.close(start);
    }
    w.at
}

/// Writes an extended report with one block of VoIP metrics behind what stands in a compound packet
/// (RFC 3611 §2) and returns its length. `out` needs 44 octets.
pub fn write_xr(out: &mut [u8], ssrc: u32, block: &[u8; VOIP_BLOCK]) -> usize {
    let mut w = Writer { out, at: 0 };
    w.head(0, XR);
    w.word(ssrc);
    w.bytes(block);
    w.close(0);
    w.at
}

/// A moment as NTP has it: seconds since 1900 in 32.32 fixed point, from the time since the Unix epoch.
pub fn ntp(since_unix_epoch: Duration) -> u64 {
    const UNIX: u64 = 2_208_988_800; // 1970 in seconds since 1900
    let fraction = (u64::from(since_unix_epoch.subsec_nanos()) << 32) / 1_000_000_000;
    (since_unix_epoch.as_secs().wrapping_add(UNIX) << 32) | fraction
}

/// A duration in units of 1/65536 s, as `delay since last SR` has it.
pub fn short(duration: Duration) -> u32 {
    ((duration.as_nanos() << 16) / 1_000_000_000).min(u128::from(u32::MAX)) as u32
}

/// The duration of so many units of 1/65536 s.
pub fn long(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const XR: u8 = 207;

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn head(&mut self, count: u8, kind: u8) {
        self.bytes(&[0x80 | count, kind, 0, 0]);
    }

    /// Fills in the length of the packet that began at `start`.
    fn close(&mut self, start: usize) {
        let words = ((self.at - start) / 4 - 1) as u16;
        self.out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_report_we_write_is_read_back_whole() {
        let sender = SenderReport {
            ntp: 0x1234_5678_9abc_def0,
            timestamp: 77,
            packets: 5,
            octets: 800,
        };
        let block = Block {
            ssrc: 9,
            fraction_lost: 12,
            lost: -3,
            highest: 70_000,
            jitter: 14,
            last_report: 0x5678_9abc,
            delay: 65_536,
        };
        for cname in ["", "a", "ab", "abc", "abcd", "audio@203.0.113.7"] {
            let mut out = [0; 400];
            let len = write(
                &mut out,
                42,
                Some(&sender),
                Some(&block),
                cname.as_bytes(),
                true,
            );
            assert_eq!(len % 4, 0);
            let mut items = Vec::new();
            assert!(read(&out[..len], |item| items.push(item)));
            assert_eq!(
                items,
                [
                    Item::Sender {
                        ssrc: 42,
                        report: sender
                    },
                    Item::Block { ssrc: 42, block },
                    Item::Bye { ssrc: 42 }
                ]
            );
        }
    }

    #[test]
    fn ntp_time_counts_from_1900() {
        assert_eq!(
            ntp(Duration::from_millis(1_500)),
            (2_208_988_801u64 << 32) | 0x8000_0000
        );
        assert_eq!(short(Duration::from_millis(1_500)), 0x1_8000);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 190u8..210) {
            read(&bytes, |_| ());
            let mut near = bytes;
            if near.len() > 4 {
                near[0] = 0x80 | near[0] & 0x3f;
                near[1] = kind;
                near[2] = 0;
                near[3] %= 30;
            }
            read(&near, |_| ());
        }
    }
}
