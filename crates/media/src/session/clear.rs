//! What crosses a session, as it is under SRTP, for whoever watches: copies of the datagram that came last
//! and of the packet that left last.
//!
//! Nobody watches a usual session, which then copies nothing. To begin takes two buffers from the
//! allocator; from then on a watched session allocates no more than any other.

use super::Session;
use crate::packet::Packet;

/// The copies.
pub(super) struct Clear {
    came: Packet,
    opened: bool,
    left: Packet,
}

impl Clear {
    /// Another datagram is looked at; it is closed until somebody opens it.
    pub(super) fn closed(&mut self) {
        self.opened = false;
    }

    /// The datagram was believed and opened.
    pub(super) fn opened(&mut self, bytes: &[u8]) {
        self.came.fill(bytes);
        self.opened = true;
    }

    /// A packet is about to be sealed.
    pub(super) fn left(&mut self, bytes: &[u8]) {
        self.left.fill(bytes);
    }
}

impl Session {
    /// Begins or ends to keep what [`Session::came`] and [`Session::left`] show.
    pub fn watch(&mut self, on: bool) {
        if self.clear.is_some() != on {
            self.clear = on.then(|| {
                Box::new(Clear {
                    came: Packet::new(),
                    opened: false,
                    left: Packet::new(),
                })
            });
        }
    }

    /// The datagram last handed to [`Session::receive`], without SRTP. `None`: nobody watches, or it came
    /// from elsewhere, or could not be opened.
    pub fn came(&self) -> Option<&[u8]> {
        let clear = self.clear.as_ref().filter(|clear| clear.opened)?;
        Some(clear.came.as_slice())
    }

    /// The packet last handed out by [`Session::receive`] or [`Session::transmit`], without SRTP. `None`:
    /// nobody watches.
    pub fn left(&self) -> Option<&[u8]> {
        let clear = self.clear.as_ref()?;
        Some(clear.left.as_slice())
    }
}
