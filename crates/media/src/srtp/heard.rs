//! What was heard under one key, source by source (RFC 3711 §3.2.3), so that nothing of it is heard again (§9.1).
//!
//! ```text
//!   the last four        a window each               what is late passes, once
//!   those before them    where they had got to       one that comes back goes on there; nothing of before passes again
//!   beyond 32 of them    nothing                     refused: what is not remembered could be repeated
//! ```

use super::replay::{STREAMS, Stream, StreamState, Window};

/// Sources of which only where they had got to is remembered. A far side has another source for each of its own, and a
/// description in mid-call usually brings another key.
const PAST: usize = 28;

/// The sources heard under one key.
#[derive(Debug)]
pub(super) enum Heard {
    /// None yet, or the one there nearly always is.
    Alone(Option<Stream>),
    /// A second one has proven itself.
    Several(Box<Several>),
}

/// The sources heard under one key when they are several; fixed tables.
#[derive(Debug, Default)]
pub(super) struct Several {
    recent: [Option<Stream>; STREAMS],
    /// How many packets had been heard when each of them was heard last.
    last: [u64; STREAMS],
    packets: u64,
    past: [Past; PAST],
    /// How many of these there are.
    gone: usize,
}

/// A source that was silent for longer than the others.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    ssrc: u32,
    /// The SRTCP index to go on at, the SRTP index to go on at; 0: none came.
    rtcp: u32,
    rtp: u64,
}

impl Past {
    fn of(stream: &Stream) -> Self {
        let next = |window: &Window| window.highest().map_or(0, |highest| highest + 1);
        Self {
            ssrc: stream.ssrc(),
            // An SRTCP index has 31 bits.
            rtcp: next(&stream.rtcp) as u32,
            rtp: next(&stream.rtp),
        }
    }

    /// As a source all of whose packets came.
    fn stream(&self) -> Stream {
        let window = |next: u64| next.checked_sub(1).map_or(Window::default(), Window::full);
        Stream::with(self.ssrc, window(self.rtp), window(u64::from(self.rtcp)))
    }
}

impl Default for Heard {
    fn default() -> Self {
        Heard::Alone(None)
    }
}

impl Heard {
    /// Whether no source was heard yet.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Heard::Alone(None))
    }

    /// The index of an SRTP packet, still to be proven. `None`: it was heard before, or nobody can tell.
    pub(super) fn rtp(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        let look = |stream: &Stream| {
            let index = stream.index(sequence);
            stream.rtp.admit(index).then_some(index)
        };
        self.look(ssrc, look, u64::from(sequence))
    }

    /// The same for an SRTCP packet, which says its index.
    pub(super) fn rtcp(&self, ssrc: u32, index: u64) -> Option<u64> {
        let look = |stream: &Stream| stream.rtcp.admit(index).then_some(index);
        self.look(ssrc, look, index)
    }

    fn look(&self, ssrc: u32, known: impl Fn(&Stream) -> Option<u64>, unknown: u64) -> Option<u64> {
        match self {
            Heard::Alone(Some(stream)) if stream.ssrc() == ssrc => known(stream),
            Heard::Alone(_) => Some(unknown),
            Heard::Several(several) => several.look(ssrc, known, unknown),
        }
    }

    /// The source of a packet that has authenticated, and of which an index was told. Whoever was silent for longest makes
    /// room.
    pub(super) fn proven(&mut self, ssrc: u32) -> &mut Stream {
        if let Heard::Alone(Some(first)) = self
            && first.ssrc() != ssrc
        {
            let mut several = Box::<Several>::default();
            *several.proven(first.ssrc()) = *first;
            *self = Heard::Several(several);
        }
        match self {
            Heard::Alone(stream) => stream.get_or_insert(Stream::new(ssrc)),
            Heard::Several(several) => several.proven(ssrc),
        }
    }

    /// Everything, as plain data.
    pub(super) fn export(&self) -> impl Iterator<Item = StreamState> + '_ {
        let (alone, several) = match self {
            Heard::Alone(stream) => (stream.as_ref(), None),
            Heard::Several(several) => (None, Some(several.export())),
        };
        let alone = alone.into_iter().map(Stream::state);
        alone.chain(several.into_iter().flatten())
    }

    /// Takes over one source.
    pub(super) fn restore(&mut self, state: StreamState) {
        *self.proven(state.ssrc) = Stream::from(state);
    }
}

impl Several {
    fn look(&self, ssrc: u32, known: impl Fn(&Stream) -> Option<u64>, unknown: u64) -> Option<u64> {
        if let Some(stream) = self.recent.iter().flatten().find(|one| one.ssrc() == ssrc) {
            return known(stream);
        }
        match self
            .past
            .iter()
            .take(self.gone)
            .find(|one| one.ssrc == ssrc)
        {
            Some(past) => known(&past.stream()),
            None => {
                (self.gone < PAST || self.recent.iter().any(Option::is_none)).then_some(unknown)
            }
        }
    }

    fn proven(&mut self, ssrc: u32) -> &mut Stream {
        let is = |one: &Option<Stream>| one.is_some_and(|one| one.ssrc() == ssrc);
        let known = self.recent.iter().position(is);
        let at = known
            .or_else(|| self.recent.iter().position(Option::is_none))
            .or_else(|| (0..STREAMS).min_by_key(|at| self.last[*at]))
            .unwrap_or(0);
        if known.is_none() {
            let back = self.comes_back(ssrc);
            if let Some(stream) = self.recent[at].replace(back.unwrap_or(Stream::new(ssrc))) {
                self.goes(&stream);
            }
        }
        self.packets += 1;
        self.last[at] = self.packets;
        self.recent[at].get_or_insert(Stream::new(ssrc))
    }

    fn comes_back(&mut self, ssrc: u32) -> Option<Stream> {
        let gone = self.past.iter().take(self.gone);
        let at = gone.map(|one| one.ssrc).position(|one| one == ssrc)?;
        self.gone -= 1;
        self.past.swap(at, self.gone);
        Some(self.past[self.gone].stream())
    }

    fn goes(&mut self, stream: &Stream) {
        if let Some(place) = self.past.get_mut(self.gone) {
            *place = Past::of(stream);
            self.gone += 1;
        }
    }

    fn export(&self) -> impl Iterator<Item = StreamState> + '_ {
        let past = self.past.iter().take(self.gone).map(Past::stream);
        let recent = self.recent.iter().flatten().copied();
        past.chain(recent).map(|stream| stream.state())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        /// Whatever sources come, in whatever order: nothing passes twice, and what is new of a source that has a place does.
        #[test]
        fn nothing_passes_twice_however_many_sources_come(
            steps in proptest::collection::vec((0u32..40, 1u64..40_000, any::<prop::sample::Index>()), 1..600),
        ) {
            let mut heard = Heard::default();
            let mut at = BTreeMap::<u32, u64>::new();
            let mut seen = Vec::new();
            let mut all = BTreeSet::new();
            for (ssrc, ahead, again) in steps {
                // Something of before is sent once more, under the sequence number it had.
                if let Some((ssrc, index)) = seen.get(again.index(seen.len().max(1))).copied() {
                    let passes = heard.rtp(ssrc, index as u16);
                    prop_assert!(passes.is_none_or(|passes| !all.contains(&(ssrc, passes))));
                }
                let place = at.len() < STREAMS + PAST || at.contains_key(&ssrc);
                let index = at.get(&ssrc).map_or(ahead, |before| before + ahead.min(32_767));
                let passes = heard.rtp(ssrc, index as u16);
                prop_assert_eq!(passes, place.then_some(index));
                if place {
                    heard.proven(ssrc).rtp.remember(index);
                    at.insert(ssrc, index);
                    seen.push((ssrc, index));
                    all.insert((ssrc, index));
                }
            }
            prop_assert_eq!(heard.export().count(), at.len());
            for state in heard.export() {
                prop_assert_eq!(state.rtp_highest, at.get(&state.ssrc).copied());
            }
        }
    }
}
