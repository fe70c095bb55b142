//! Packets of ours waiting to be fetched: plain RTP and RTCP, sealed when they leave.

use sdp::Side;

use crate::session::Channel;

/// The longest packet we write: an Opus payload of 1 275 octets, or 120 ms of G.711, and a header.
pub(crate) const LONGEST: usize = 1_400;

/// Packets that can wait: both legs' audio after the longest loss we conceal, and RTCP, fit twice.
const SLOTS: usize = 32;

/// Octets that can wait: the frames that conceal a hole of 100 ms, 120 ms of G.711 cut into frames, and a report (2 404), or fifteen
/// packets of the usual kind.
const OCTETS: usize = 2_560;

/// The least room worth filling: 60 ms of G.711 and a header, or a report.
const LEAST: usize = 512;

/// One packet that waits.
#[derive(Clone, Copy)]
struct Waiting {
    to: Side,
    channel: Channel,
    live: bool,
    at: u16,
    len: u16,
}

/// A packet to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) to: Side,
    pub(crate) channel: Channel,
    /// It carries the other leg's audio or events, not filler.
    pub(crate) live: bool,
    pub(crate) bytes: &'a [u8],
}

/// Packets in a row, allocated once. Whoever fills it empties it before it fills it again, so the row
/// needs not be a ring: it begins anew when it is empty.
pub(crate) struct Queue {
    waiting: [Waiting; SLOTS],
    first: usize,
    len: usize,
    bytes: Box<[u8]>,
    used: usize,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let empty = Waiting {
            to: Side::A,
            channel: Channel::Rtp,
            live: false,
            at: 0,
            len: 0,
        };
        Self {
            waiting: [empty; SLOTS],
            first: 0,
            len: 0,
            bytes: vec![0; OCTETS].into_boxed_slice(),
            used: 0,
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Room for a packet after the last one: [`LONGEST`] octets when nothing waits, at least 60 ms of
    /// G.711 otherwise. `None`: the caller does not
    /// fetch what it is given.
    pub(crate) fn vacant(&mut self) -> Option<&mut [u8]> {
        if self.len == 0 {
            (self.first, self.used) = (0, 0);
        }
        if self.first + self.len == SLOTS {
            return None;
        }
        self.bytes
            .get_mut(self.used..)
            .filter(|room| room.len() >= LEAST)
    }

    /// The first `len` octets of the vacant room are a packet: it is the last one now.
    pub(crate) fn commit(&mut self, to: Side, channel: Channel, live: bool, len: usize) {
        let Some(slot) = self.waiting.get_mut(self.first + self.len) else {
            return;
        };
        *slot = Waiting {
            to,
            channel,
            live,
            at: self.used as u16,
            len: len as u16,
        };
        self.used += len;
        self.len += 1;
    }

    /// The first packet.
    pub(crate) fn pop(&mut self) -> Option<Outgoing<'_>> {
        if self.len == 0 {
            return None;
        }
        let one = self.waiting[self.first];
        (self.first, self.len) = (self.first + 1, self.len - 1);
        let at = usize::from(one.at);
        Some(Outgoing {
            to: one.to,
            channel: one.channel,
            live: one.live,
            bytes: &self.bytes[at..at + usize::from(one.len)],
        })
    }
}
