//! Which packets of a source were seen: packet index, rollover counter and replay window (RFC 3711 §3.3).

use crate::rtp::extend;

/// Sources one key keeps windows for. A leg has one; a few more appear when the far side restarts.
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

    /// The highest index so far.
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The index after the highest.
    pub(super) fn next(&self) -> u64 {
        self.highest.map_or(0, |highest| highest + 1)
    }

    /// A window that admits nothing up to this index.
    pub(super) fn full(highest: u64) -> Self {
        Self {
            highest: Some(highest),
            seen: u128::MAX,
        }
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
    pub(super) fn new(ssrc: u32) -> Self {
        Self::with(ssrc, Window::default(), Window::default())
    }

    pub(super) fn with(ssrc: u32, rtp: Window, rtcp: Window) -> Self {
        Self { ssrc, rtp, rtcp }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The SRTP index of a sequence number: the one nearest to the highest so far (RFC 3711 §3.3.1).
    pub(super) fn index(&self, sequence: u16) -> u64 {
        match self.rtp.highest {
            Some(highest) => extend(highest, sequence),
            None => u64::from(sequence),
        }
    }
}

impl Stream {
    /// As plain data.
    pub(super) fn state(&self) -> StreamState {
        StreamState {
            ssrc: self.ssrc,
            rtp_highest: self.rtp.highest,
            rtp_seen: self.rtp.seen,
            rtcp_highest: self.rtcp.highest,
            rtcp_seen: self.rtcp.seen,
        }
    }
}

impl From<StreamState> for Stream {
    fn from(state: StreamState) -> Self {
        let window = |highest, seen| Window { highest, seen };
        Self::with(
            state.ssrc,
            window(state.rtp_highest, state.rtp_seen),
            window(state.rtcp_highest, state.rtcp_seen),
        )
    }
}

/// The sources we send under one key: nearly always one.
#[derive(Debug, Default)]
pub(super) struct Sent {
    first: Option<Stream>,
    /// At most `STREAMS - 1`.
    others: Vec<Stream>,
}

impl Sent {
    /// The source of a packet to be sent. `None` when there are as many as may be: forgetting a source we sent
    /// under would let its key stream repeat.
    pub(super) fn source(&mut self, ssrc: u32) -> Option<&mut Stream> {
        if self.first.is_none_or(|one| one.ssrc == ssrc) {
            return Some(self.first.get_or_insert(Stream::new(ssrc)));
        }
        let known = self.others.iter().position(|one| one.ssrc == ssrc);
        if known.is_none() && self.others.len() < STREAMS - 1 {
            self.others.push(Stream::new(ssrc));
            return self.others.last_mut();
        }
        self.others.get_mut(known?)
    }

    pub(super) fn export(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.first.iter().chain(&self.others).map(Stream::state)
    }

    /// Takes over the state of one source, while there is room.
    pub(super) fn restore(&mut self, state: StreamState) {
        if let Some(stream) = self.source(state.ssrc) {
            *stream = Stream::from(state);
        }
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
