//! Which packets of a source were seen: packet index, rollover counter and replay window (RFC 3711 §3.3).

use crate::rtp::extend;

/// Sources one key keeps state for. A leg has one; a few more appear when the far side restarts.
pub const STREAMS: usize = 4;

/// Everything that is remembered of one source under one key, as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The source.
    pub ssrc: u32,
    /// Highest SRTP index seen or sent (rollover counter ‖ sequence number); `None` before the first.
    pub rtp_highest: Option<u64>,
    /// Bit *n* set: index `rtp_highest - n` was seen.
    pub rtp_seen: u128,
    /// Highest SRTCP index seen or sent; `None` before the first.
    pub rtcp_highest: Option<u64>,
    /// Bit *n* set: index `rtcp_highest - n` was seen.
    pub rtcp_seen: u128,
}

/// A sliding window over packet indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    highest: Option<u64>,
    seen: u128,
}

impl Window {
    /// Whether the index is new: above the window, or inside and not yet seen.
    pub(super) fn admit(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let back = highest - index;
                back < 128 && self.seen & (1 << back) == 0
            }
            _ => true,
        }
    }

    /// Marks an admitted index as seen.
    pub(super) fn remember(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => self.seen |= 1 << (highest - index).min(127),
            Some(highest) => {
                let ahead = index - highest;
                self.seen = if ahead < 128 {
                    self.seen << ahead | 1
                } else {
                    1
                };
                self.highest = Some(index);
            }
            None => (self.highest, self.seen) = (Some(index), 1),
        }
    }

    /// The index after the highest.
    pub(super) fn next(&self) -> u64 {
        self.highest.map_or(0, |highest| highest + 1)
    }
}

/// One source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    ssrc: u32,
    pub(super) rtp: Window,
    pub(super) rtcp: Window,
}

impl Stream {
    fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            rtp: Window::default(),
            rtcp: Window::default(),
        }
    }

    /// The SRTP index of a sequence number: the one nearest to the highest so far (RFC 3711 §3.3.1).
    pub(super) fn index(&self, sequence: u16) -> u64 {
        match self.rtp.highest {
            Some(highest) => extend(highest, sequence),
            None => u64::from(sequence),
        }
    }
}

/// The sources of one key; a fixed table.
#[derive(Debug, Default)]
pub(super) struct Streams {
    table: [Option<Stream>; STREAMS],
    /// The slot the next unknown source takes when the table is full.
    oldest: usize,
}

impl Streams {
    pub(super) fn find(&self, ssrc: u32) -> Option<&Stream> {
        self.table
            .iter()
            .flatten()
            .find(|stream| stream.ssrc == ssrc)
    }

    /// Whether no source was heard yet.
    pub(super) fn is_empty(&self) -> bool {
        self.table.iter().all(Option::is_none)
    }

    /// The source for a packet that has authenticated; the oldest entry makes room.
    pub(super) fn receiving(&mut self, ssrc: u32) -> &mut Stream {
        let at = match self.slot(ssrc) {
            Some(at) => at,
            None => {
                let at = self.oldest;
                self.oldest = (at + 1) % STREAMS;
                self.table[at] = None;
                at
            }
        };
        self.table[at].get_or_insert(Stream::new(ssrc))
    }

    /// The source for a packet to be sent. `None` when the table is full: forgetting a source we sent
    /// under would let its key stream repeat.
    pub(super) fn sending(&mut self, ssrc: u32) -> Option<&mut Stream> {
        let at = self.slot(ssrc)?;
        Some(self.table[at].get_or_insert(Stream::new(ssrc)))
    }

    pub(super) fn export(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.table.iter().flatten().map(|s| StreamState {
            ssrc: s.ssrc,
            rtp_highest: s.rtp.highest,
            rtp_seen: s.rtp.seen,
            rtcp_highest: s.rtcp.highest,
            rtcp_seen: s.rtcp.seen,
        })
    }

    pub(super) fn restore(&mut self, state: StreamState) {
        let stream = self.receiving(state.ssrc);
        stream.rtp = Window {
            highest: state.rtp_highest,
            seen: state.rtp_seen,
        };
        stream.rtcp = Window {
            highest: state.rtcp_highest,
            seen: state.rtcp_seen,
        };
    }

    /// The source's slot, or a free one.
    fn slot(&self, ssrc: u32) -> Option<usize> {
        let is = |at: &usize| self.table[*at].is_some_and(|stream| stream.ssrc == ssrc);
        (0..STREAMS)
            .find(is)
            .or_else(|| self.table.iter().position(Option::is_none))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against a set that remembers everything: nothing passes twice, nothing new within the
        /// window is refused, and the highest index never falls.
        #[test]
        fn the_window_admits_each_index_once(steps in proptest::collection::vec(-140i64..140, 1..400)) {
            let mut window = Window::default();
            let mut seen = BTreeSet::new();
            let mut at = 1_000u64;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest = window.highest;
                let fresh = !seen.contains(&at);
                let inside = highest.is_none_or(|h| at + 128 > h);
                prop_assert_eq!(window.admit(at), fresh && inside);
                if window.admit(at) {
                    window.remember(at);
                    seen.insert(at);
                    prop_assert!(!window.admit(at));
                }
                prop_assert!(window.highest >= highest);
            }
        }
    }
}
