//! A packet: one datagram in a buffer of fixed size, worked on in place.

use std::fmt;

/// Octets a [`Packet`] can hold. An RTP packet of ours never comes near it, so there is always
/// tailroom for the MKI and the tag of SRTP.
pub const CAPACITY: usize = 2048;

/// One datagram. Allocated once, then filled, changed in place and sent again and again.
pub struct Packet {
    bytes: Box<[u8; CAPACITY]>,
    len: usize,
}

impl Packet {
    /// An empty packet.
    pub fn new() -> Self {
        Self {
            bytes: Box::new([0; CAPACITY]),
            len: 0,
        }
    }

    /// What the packet holds.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What the packet holds, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Replaces the content. What exceeds [`CAPACITY`] is cut off.
    pub fn fill(&mut self, bytes: &[u8]) {
        self.len = bytes.len().min(CAPACITY);
        self.bytes[..self.len].copy_from_slice(&bytes[..self.len]);
    }

    /// The whole buffer, to receive a datagram into; [`Packet::set_len`] then says how long it was.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    /// Says how many octets of the buffer are the packet (at most [`CAPACITY`]).
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(CAPACITY);
    }

    /// Length in octets.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} octets)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_longer_than_the_buffer_is_cut() {
        let mut packet = Packet::new();
        packet.fill(&[7; CAPACITY + 5]);
        assert_eq!(packet.len(), CAPACITY);
        packet.set_len(CAPACITY + 5);
        assert_eq!(packet.as_slice().len(), CAPACITY);
    }
}
