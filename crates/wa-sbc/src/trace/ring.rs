//! A fixed piece of memory in which the newest entries take the place of the oldest.
//!
//! ```text
//!         oldest                                          end
//!           ▼                                              ▼
//!   │ … free │ head │ text │ head │ text │ … │ head │ text │ free … │
//! ```
//!
//! Positions count the bytes since the beginning and never come back: an entry has one of its own for
//! ever. An entry is never cut in two; what does not fit before the end of the memory begins at its start.

use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sdp::Side;
use sip::Transport;

use super::seen::Gap;

/// Bytes of a head.
const HEAD: usize = 72;
/// The smallest page of any system we run on.
const PAGE: usize = 4096;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody's any more.
    Gone,
    /// A SIP message.
    Message {
        inward: bool,
        gap: Gap,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// Something in plain words.
    Fact(Option<Gap>),
    /// The Call-ID of a leg.
    Leg(Side),
}

/// What is known of an entry beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) at: SystemTime,
    /// Whose it is.
    pub(super) story: u64,
    /// The next entry of the same story.
    pub(super) next: Option<u64>,
}

/// The memory.
pub(super) struct Ring {
    memory: Box<[u8]>,
    oldest: u64,
    end: u64,
}

impl fmt::Debug for Ring {
    // Never the memory itself: it holds keys and digest answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, used) = (self.memory.len(), self.end - self.oldest);
        write!(f, "Ring {{ {used} of {size} bytes }}")
    }
}

impl Ring {
    /// Room for `bytes` bytes, heads included. The system gives the pages when they are first written to.
    pub(super) fn new(bytes: usize) -> Ring {
        Ring {
            memory: vec![0; bytes].into(),
            oldest: 0,
            end: 0,
        }
    }

    /// Takes every page from the system now.
    pub(super) fn take(&mut self) {
        for page in self.memory.chunks_mut(PAGE) {
            page[0] = black_box(page[0]);
        }
    }

    /// Bytes there is room for.
    pub(super) fn size(&self) -> usize {
        self.memory.len()
    }

    /// Whether a text of this length could ever be held.
    pub(super) fn holds(&self, text: usize) -> bool {
        HEAD + text <= self.memory.len()
    }

    /// Whether a text of this length can be held without a word being forgotten.
    pub(super) fn has_room(&self, text: usize) -> bool {
        let after = self.place(text) + (HEAD + text) as u64;
        match self.oldest() {
            None => self.holds(text),
            Some(oldest) => after - oldest <= self.memory.len() as u64,
        }
    }

    /// The entry that leaves next.
    pub(super) fn oldest(&self) -> Option<u64> {
        (self.oldest < self.end).then_some(self.oldest)
    }

    /// The oldest entry leaves.
    pub(super) fn forget_oldest(&mut self) {
        if let Some(oldest) = self.oldest() {
            self.oldest = oldest + (HEAD + self.length(oldest)) as u64;
            self.oldest = self.start(self.oldest).min(self.end);
        }
    }

    /// Adds an entry where there is room for it; where it is.
    pub(super) fn push(&mut self, head: Head, text: &[u8]) -> u64 {
        let position = self.place(text.len());
        // What is passed over at the end of the memory says where to go on.
        if let Some(passed) = self.memory.get_mut(self.offset(self.end)..)
            && position != self.end
            && passed.len() >= HEAD
        {
            passed[0] = PASSED;
        }
        if self.oldest == self.end {
            self.oldest = position;
        }
        let at = self.offset(position);
        self.memory[at..at + HEAD].copy_from_slice(&head.packed(text.len()));
        self.memory[at + HEAD..at + HEAD + text.len()].copy_from_slice(text);
        self.end = position + (HEAD + text.len()) as u64;
        position
    }

    /// What is known of an entry.
    pub(super) fn head(&self, position: u64) -> Head {
        let at = self.offset(position);
        Head::unpacked(&self.memory[at..at + HEAD])
    }

    /// The text of an entry.
    pub(super) fn text(&self, position: u64) -> &[u8] {
        let at = self.offset(position) + HEAD;
        &self.memory[at..at + self.length(position)]
    }

    /// Changes what is known of an entry.
    pub(super) fn change(&mut self, position: u64, change: impl FnOnce(&mut Head)) {
        let mut head = self.head(position);
        change(&mut head);
        let packed = head.packed(self.length(position));
        let at = self.offset(position);
        self.memory[at..at + HEAD].copy_from_slice(&packed);
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.memory.len().max(1) as u64) as usize
    }

    fn length(&self, position: u64) -> usize {
        let at = self.offset(position);
        u32::from_le_bytes(array(&self.memory[at + 4..])) as usize
    }

    /// Where an entry with such a text would begin.
    fn place(&self, text: usize) -> u64 {
        let left = self.memory.len() - self.offset(self.end);
        match HEAD + text <= left {
            true => self.end,
            false => self.end + left as u64,
        }
    }

    /// Where the entry really begins that comes at or after a position.
    fn start(&self, position: u64) -> u64 {
        let at = self.offset(position);
        let left = self.memory.len() - at;
        match left < HEAD || (position < self.end && self.memory[at] == PASSED) {
            true => position + left as u64,
            false => position,
        }
    }
}

/// In place of a kind: the rest of the memory was passed over.
const PASSED: u8 = 0xff;

impl Head {
    fn packed(&self, text: usize) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let (kind, detail, way) = match self.kind {
            Kind::Gone => (0, 0, 0),
            Kind::Message {
                inward,
                gap,
                transport,
                ..
            } => {
                let way = match transport {
                    Transport::Udp => 0,
                    Transport::Tcp => 1,
                    Transport::Tls => 2,
                };
                (1 + u8::from(inward), of_gap(Some(gap)), way)
            }
            Kind::Fact(gap) => (3, of_gap(gap), 0),
            Kind::Leg(side) => (4, side.index() as u8, 0),
        };
        if let Kind::Message { local, remote, .. } = self.kind {
            out[32..51].copy_from_slice(&of_address(local));
            out[51..70].copy_from_slice(&of_address(remote));
        }
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        // 0 is a position, too: one more says that there is one.
        let next = self.next.map_or(0, |next| next + 1);
        out[..3].copy_from_slice(&[kind, detail, way]);
        out[4..8].copy_from_slice(&(text as u32).to_le_bytes());
        out[8..16].copy_from_slice(&self.story.to_le_bytes());
        out[16..24].copy_from_slice(&next.to_le_bytes());
        out[24..32].copy_from_slice(&(at.as_nanos() as u64).to_le_bytes());
        out
    }

    fn unpacked(packed: &[u8]) -> Head {
        let number = |at: usize| u64::from_le_bytes(array(&packed[at..]));
        let kind = match packed[0] {
            kind @ (1 | 2) => Kind::Message {
                inward: kind == 2,
                gap: gap(packed[1]).unwrap_or(Gap::Pbx),
                transport: match packed[2] {
                    0 => Transport::Udp,
                    1 => Transport::Tcp,
                    _ => Transport::Tls,
                },
                local: address(&packed[32..51]),
                remote: address(&packed[51..70]),
            },
            3 => Kind::Fact(gap(packed[1])),
            4 => Kind::Leg(if packed[1] == 0 { Side::A } else { Side::B }),
            _ => Kind::Gone,
        };
        Head {
            kind,
            at: UNIX_EPOCH + Duration::from_nanos(number(24)),
            story: number(8),
            next: number(16).checked_sub(1),
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

fn of_gap(gap: Option<Gap>) -> u8 {
    match gap {
        None => 0,
        Some(Gap::Carrier) => 1,
        Some(Gap::Pbx) => 2,
    }
}

fn gap(packed: u8) -> Option<Gap> {
    match packed {
        1 => Some(Gap::Carrier),
        2 => Some(Gap::Pbx),
        _ => None,
    }
}

fn of_address(address: SocketAddr) -> [u8; 19] {
    let mut out = [0; 19];
    match address.ip() {
        IpAddr::V4(ip) => out[1..5].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => {
            out[0] = 1;
            out[1..17].copy_from_slice(&ip.octets());
        }
    }
    out[17..].copy_from_slice(&address.port().to_le_bytes());
    out
}

fn address(packed: &[u8]) -> SocketAddr {
    let ip: IpAddr = match packed[0] {
        0 => Ipv4Addr::from(array::<4>(&packed[1..])).into(),
        _ => Ipv6Addr::from(array::<16>(&packed[1..])).into(),
    };
    SocketAddr::new(ip, u16::from_le_bytes(array(&packed[17..])))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn head(kind: Kind, story: u64) -> Head {
        Head {
            kind,
            at: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
            story,
            next: None,
        }
    }

    #[test]
    fn every_kind_of_entry_comes_back_as_it_went_in() {
        let mut ring = Ring::new(4096);
        let message = |inward, gap, transport| Kind::Message {
            inward,
            gap,
            transport,
            local: "[2001:db8::1]:5061".parse().expect("an address"),
            remote: "192.0.2.7:49152".parse().expect("an address"),
        };
        for kind in [
            Kind::Gone,
            message(true, Gap::Carrier, Transport::Tls),
            message(false, Gap::Pbx, Transport::Udp),
            message(true, Gap::Pbx, Transport::Tcp),
            Kind::Fact(None),
            Kind::Fact(Some(Gap::Carrier)),
            Kind::Fact(Some(Gap::Pbx)),
            Kind::Leg(Side::A),
            Kind::Leg(Side::B),
        ] {
            let pushed = head(kind, 77);
            let at = ring.push(pushed, b"some words");
            assert_eq!(ring.head(at), pushed);
            ring.change(at, |head| head.next = Some(0));
            assert_eq!(ring.head(at).next, Some(0));
            assert_eq!(ring.text(at), b"some words");
        }
    }

    #[test]
    fn whatever_the_lengths_what_is_still_there_is_whole_and_in_order() {
        let mut state = 1_u64;
        let mut dice = move |sides: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % sides
        };
        for size in [HEAD, HEAD + 1, 200, 1000, 4096, 10_007] {
            let mut ring = Ring::new(size);
            ring.take();
            let mut model: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
            for story in 0..5_000_u64 {
                let text = vec![story as u8; dice(size)];
                assert_eq!(ring.holds(text.len()), HEAD + text.len() <= size);
                if !ring.holds(text.len()) {
                    continue;
                }
                while !ring.has_room(text.len()) {
                    assert_eq!(ring.oldest(), model.front().map(|(at, _)| *at));
                    model.pop_front();
                    ring.forget_oldest();
                }
                let at = ring.push(head(Kind::Fact(None), story), &text);
                model.push_back((at, text));
                assert_eq!(ring.oldest(), model.front().map(|(at, _)| *at));
                for (at, text) in &model {
                    assert_eq!(ring.text(*at), text);
                }
            }
            assert!(model.len() < 5_000);
        }
    }

    #[test]
    fn a_memory_of_nothing_holds_nothing() {
        let mut ring = Ring::new(0);
        ring.take();
        assert!(!ring.holds(0));
        assert_eq!(ring.oldest(), None);
        ring.forget_oldest();
    }
}
