//! Packets of ours waiting to be fetched: plain RTP and RTCP, sealed when they leave.

use sdp::Side;

use crate::session::Channel;

/// The longest packet we write: an Opus payload of 1 275 octets, or 120 ms of G.711, and a header.
pub(crate) const LONGEST: usize = 1_400;

/// Packets that can wait: both legs' audio after the longest loss we conceal, and RTCP, fit twice.
const SLOTS: usize = 32;

/// One packet that waits.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) to: Side,
    pub(crate) channel: Channel,
    /// It carries the other leg's audio or events, not filler.
    pub(crate) live: bool,
    pub(crate) len: usize,
    pub(crate) bytes: [u8; LONGEST],
}

/// A ring of packets, allocated once.
pub(crate) struct Queue {
    slots: Box<[Outgoing]>,
    first: usize,
    len: usize,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let empty = Outgoing {
            to: Side::A,
            channel: Channel::Rtp,
            live: false,
            len: 0,
            bytes: [0; LONGEST],
        };
        Self {
            slots: vec![empty; SLOTS].into_boxed_slice(),
            first: 0,
            len: 0,
        }
    }

    /// The slot after the last packet. `None`: the caller does not fetch what it is given.
    pub(crate) fn vacant(&mut self) -> Option<&mut Outgoing> {
        (self.len < SLOTS).then(|| &mut self.slots[(self.first + self.len) % SLOTS])
    }

    /// The vacant slot was filled: it is the last packet now.
    pub(crate) fn commit(&mut self) {
        self.len += 1;
    }

    /// The first packet.
    pub(crate) fn pop(&mut self) -> Option<&Outgoing> {
        if self.len == 0 {
            return None;
        }
        let at = self.first;
        (self.first, self.len) = ((self.first + 1) % SLOTS, self.len - 1);
        Some(&self.slots[at])
    }
}
