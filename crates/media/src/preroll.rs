//! Audio that comes before the way to the other leg is proven: held, played out, caught up.
//!
//! ```text
//!            Waiting                         Playing                        over
//!   ────► keep, drop the oldest ──proven──► one packet per packet time ──nothing held──► straight on
//!         beyond the limit                  silence is cut out of what waits
//! ```
//!
//! A callee's first word is often said before the carrier's path carries it. It is held here as it came,
//! before any decoding, and played at its own pace; while something waits the call is that much late.
//! The lateness is taken back where nobody hears it: silent packets are cut out, pauses are shortened.
//! Where a source never pauses (music) the quietest packet in line is cut out now and then, so that no
//! delay stays for good.
//!
//! Everything is allocated when the session starts and given back when the line is through.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sdp::Codec;

use crate::codec::{self, Law, SAMPLES_PER_MS};
use crate::leg::Kind;
use crate::path::Turn;
use crate::queue::LONGEST;

/// The shortest packets that are expected: they decide how many fit.
const SHORTEST_MS: usize = 10;
/// Octets per millisecond to hold: those of G.711, of which Opus stays below.
const OCTETS_PER_MS: usize = 8;
/// Mean absolute sample below which G.711 is silence: about -48 dBFS.
const SILENT: u32 = 90;
/// After so long without a pause the quietest packet goes all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between packets that are cut out without being silent.
const BETWEEN_CUTS: Duration = Duration::from_millis(200);
/// Events are not paced more slowly than this, however far apart they came.
const EVENT_PACE: Duration = Duration::from_millis(20);

/// The line of what waits.
pub(crate) struct Preroll {
    limit: Duration,
    held: VecDeque<Held>,
    bytes: Box<[u8]>,
    used: usize,
    state: State,
    /// Ticks to take off the source's positions: what was cut out so far.
    shift: i64,
    /// Where the last packet kept ends, cuts taken off.
    tail: Option<i64>,
    /// The source is another one: its positions are laid behind what is kept.
    anew: bool,
    /// What is held, in samples.
    samples: usize,
    /// What was held when playing began.
    waited: Duration,
    /// The next packet may be cut out if it is silent.
    cuts: bool,
    /// Something that is not silent was played.
    spoke: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The way is not proven; with a time: it counts as proven then.
    Waiting { until: Option<Instant> },
    /// A packet is due at `next`; one that is not silent may be cut out at `cut`.
    Playing { next: Instant, cut: Instant },
}

#[derive(Clone, Copy, Debug)]
struct Held {
    kind: Kind,
    arrived: Instant,
    position: i64,
    lost: u64,
    len: u16,
    samples: u16,
    /// 0 is silence; comparable within one source only.
    loudness: u32,
}

/// A packet whose time has come.
pub(crate) struct Due<'a> {
    pub(crate) turn: Turn<'a>,
    /// How late it is.
    pub(crate) late: Duration,
}

impl Preroll {
    /// A line for at most `limit` of audio and the packet that exceeds it.
    pub(crate) fn new(limit: Duration) -> Self {
        let ms = limit.as_millis() as usize;
        Self {
            limit,
            held: VecDeque::with_capacity(ms / SHORTEST_MS + 2),
            bytes: vec![0; ms * OCTETS_PER_MS + LONGEST].into_boxed_slice(),
            used: 0,
            state: State::Waiting { until: None },
            shift: 0,
            tail: None,
            anew: false,
            samples: 0,
            waited: Duration::ZERO,
            cuts: true,
            spoke: false,
        }
    }

    /// The gate is open; unless something is heard before, the way counts as proven at the limit.
    pub(crate) fn opened(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            until.get_or_insert(now + self.limit);
        }
    }

    /// The way is proven.
    pub(crate) fn proven(&mut self, now: Instant) {
        if let State::Waiting { .. } = self.state {
            self.state = State::Playing {
                next: now,
                cut: now + PATIENCE,
            };
            self.waited = duration(self.samples);
        }
    }

    /// Whether the far side had long enough to give a sign.
    pub(crate) fn awaits_until(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting { until: Some(until) } if until <= now)
    }

    /// Whether nothing waits any more and nothing has to.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_empty() && matches!(self.state, State::Playing { .. })
    }

    /// What to take off the source's positions from now on.
    pub(crate) fn shift(&self) -> i64 {
        self.shift
    }

    /// How much was held when playing began.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// The source is another one.
    pub(crate) fn restart(&mut self) {
        self.anew = true;
    }

    /// When something is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => until,
            State::Playing { next, .. } => (!self.held.is_empty()).then_some(next),
        }
    }

    /// Keeps a packet; returns how many had to make room. `ticks`: of the source's clock, per sample.
    pub(crate) fn keep(&mut self, now: Instant, codec: Codec, ticks: i64, turn: &Turn) -> u64 {
        let (samples, len) = (samples(codec, turn), turn.payload.len());
        if len > LONGEST {
            return 1; // no audio is so long, and nobody could take it out again
        }
        let mut dropped = 0;
        while !self.held.is_empty() && !self.fits(len) {
            self.cut(0, ticks);
            dropped += 1;
        }
        let Some(room) = self.bytes.get_mut(self.used..self.used + len) else {
            return dropped + 1;
        };
        room.copy_from_slice(turn.payload);
        let position = match samples {
            0 => turn.position,
            _ => self.place(turn, samples as i64 * ticks),
        };
        self.used += len;
        self.samples += samples;
        self.held.push_back(Held {
            kind: turn.kind,
            arrived: now,
            position,
            lost: turn.lost,
            len: len as u16,
            samples: samples as u16,
            loudness: loudness(codec, turn.payload),
        });
        dropped
    }

    /// The packet whose time has come; its payload is copied to `out`.
    pub(crate) fn due<'a>(
        &mut self,
        now: Instant,
        ticks: i64,
        out: &'a mut [u8; LONGEST],
    ) -> Option<Due<'a>> {
        let State::Playing { next, cut } = self.state else {
            return None;
        };
        if next > now {
            return None;
        }
        let mut cut = cut;
        while self.held.len() > 1 && self.cuts && self.held[0].is_silent() {
            self.cut(0, ticks);
            // A pause is halved, not swallowed; before the first word there is no pause to keep.
            self.cuts = !self.spoke;
            cut = now + PATIENCE;
        }
        if cut <= now && self.held.len() > 1 {
            let quietest = self
                .held
                .iter()
                .enumerate()
                .filter(|(_, one)| one.samples > 0);
            if let Some((at, _)) = quietest.min_by_key(|(_, one)| one.loudness) {
                self.cut(at, ticks);
            }
            cut = now + BETWEEN_CUTS;
        }
        let one = self.held.front().copied()?;
        let len = usize::from(one.len);
        let payload = out.get_mut(..len)?;
        payload.copy_from_slice(&self.bytes[..len]);
        self.remove(0);
        self.cuts = true;
        self.spoke |= !one.is_silent();
        let pace = match (one.samples, self.held.front()) {
            (0, Some(after)) => {
                EVENT_PACE.min(after.arrived.saturating_duration_since(one.arrived))
            }
            (0, None) => Duration::ZERO,
            (samples, _) => duration(usize::from(samples)),
        };
        let began = if next + pace < now { now } else { next };
        self.state = State::Playing {
            next: began + pace,
            cut,
        };
        Some(Due {
            turn: Turn {
                kind: one.kind,
                position: one.position,
                payload,
                lost: one.lost,
            },
            late: now.saturating_duration_since(one.arrived),
        })
    }

    /// Where audio goes: pauses of the source are shortened while something waits before it.
    fn place(&mut self, turn: &Turn, length: i64) -> i64 {
        let mut position = turn.position - self.shift;
        if let Some(tail) = self.tail {
            let gap = position - tail;
            let pause = turn.lost == 0 && gap > 0 && !self.held.is_empty();
            if self.anew || pause {
                self.shift += gap;
                position = tail;
            }
        }
        self.anew = false;
        self.tail = Some(position + length);
        position
    }

    fn fits(&self, len: usize) -> bool {
        self.held.len() < self.held.capacity()
            && self.used + len <= self.bytes.len()
            && duration(self.samples) <= self.limit
    }

    /// Takes a packet out as if it had never been said.
    fn cut(&mut self, at: usize, ticks: i64) {
        let length = i64::from(self.held[at].samples) * ticks;
        self.remove(at);
        self.shift += length;
        self.tail = self.tail.map(|tail| tail - length);
        for later in self.held.iter_mut().skip(at).filter(|one| one.samples > 0) {
            later.position -= length;
        }
    }

    fn remove(&mut self, at: usize) {
        let before: usize = self
            .held
            .iter()
            .take(at)
            .map(|one| usize::from(one.len))
            .sum();
        if let Some(one) = self.held.remove(at) {
            let len = usize::from(one.len);
            self.bytes.copy_within(before + len..self.used, before);
            self.used -= len;
            self.samples -= usize::from(one.samples);
        }
    }
}

impl Held {
    fn is_silent(&self) -> bool {
        self.samples > 0 && self.loudness == 0
    }
}

/// Samples of audio in a packet; none in an event.
fn samples(codec: Codec, turn: &Turn) -> usize {
    match turn.kind {
        Kind::Audio => codec::samples(codec, turn.payload).unwrap_or(0),
        _ => 0,
    }
}

fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000 / SAMPLES_PER_MS as u64)
}

/// How loud a payload is, without decoding Opus: 0 is silence.
pub(crate) fn loudness(codec: Codec, payload: &[u8]) -> u32 {
    match codec {
        Codec::Pcma => mean(Law::A, payload),
        Codec::Pcmu => mean(Law::Mu, payload),
        _ => opus_loudness(payload),
    }
}

/// The mean absolute sample; 0 below [`SILENT`].
fn mean(law: Law, payload: &[u8]) -> u32 {
    let mut pcm = [0; 80];
    let mut sum = 0u32;
    for part in payload.chunks(80) {
        law.decode(part, &mut pcm);
        sum += pcm[..part.len()]
            .iter()
            .map(|s| u32::from(s.unsigned_abs()))
            .sum::<u32>();
    }
    let mean = sum.checked_div(payload.len() as u32).unwrap_or(0);
    if mean < SILENT { 0 } else { mean }
}

/// 0 where the encoder itself found no voice: DTX, or a SILK packet of one frame whose first bit, the
/// voice activity flag (RFC 6716 §4.2.3), is not set. Else its length, which follows loudness.
fn opus_loudness(payload: &[u8]) -> u32 {
    match payload {
        [] | [_] | [_, _] => 0,
        [toc, first, ..] if toc >> 3 < 16 && toc & 3 == 0 && first & 0x80 == 0 => 0,
        _ => payload.len() as u32,
    }
}
