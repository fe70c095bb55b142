//! What we send to one leg: one SSRC, one sequence and one line of timestamps for its life.
//!
//! ```text
//!   source A ──┐ own timestamps                     wall clock ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄►
//!   source B ──┤─► place() ─► timestamp on our line ═══╤═══╤══════╤═══╤═══╤══►
//!   filler   ──┘                                       frame      filler
//! ```
//!
//! A source's timestamps are laid on our line once and then followed, so its own gaps and jitter stay
//! visible. When the source changes, the next frame goes where the wall clock is, never back. Filler
//! is laid behind what was sent, as fast as the wall clock goes; audio that comes for a time already
//! filled goes behind the filler, and the line is that much ahead of the clock until it was made up for.
//! Whoever stalled is waited for longer the next time.

mod stalls;

use std::time::{Duration, Instant};

use crate::rtp::{Clock, HEADER, Header};
use stalls::Stalls;

/// Audio further from the wall clock than this has changed its mind about time.
const RESYNC_MS: u32 = 500;
/// What comes later than this behind what was filled has missed its time.
const LATEST_MS: u32 = 1_000;
/// A source that is so late all the time is followed after this.
const BEHIND: Duration = Duration::from_millis(150);
/// A source further behind than this has begun anew: no network holds packets back for so long.
const LEAP_MS: u32 = 10_000;
/// Filler further behind the wall clock than this jumps instead of hurrying after it.
const CATCH_UP_MS: u32 = 500;

/// The sender of one leg's RTP.
#[derive(Clone, Debug)]
pub struct Transmitter {
    ssrc: u32,
    clock: Clock,
    /// The next sequence number, extended.
    sequence: u64,
    /// Where the next contiguous frame goes, extended.
    next: i64,
    /// The wall clock on our line: this moment is that timestamp (in 1/65536 ticks).
    anchor: Option<(Instant, i64)>,
    /// What to add to the source's timestamps.
    offset: Option<i64>,
    /// Filler was sent since the source's last frame.
    filled: bool,
    behind_since: Option<Instant>,
    last_source: Option<Instant>,
    last_fill: Option<Instant>,
    /// The next frame begins a talkspurt.
    fresh: bool,
    /// The source was laid on the line, and nothing came since but what came with its first frame.
    laying: bool,
    /// How far the source was pushed back behind filler that took its time, in ticks.
    owed: i64,
    stalls: Stalls,
}

impl Transmitter {
    /// `sequence` and `timestamp` are where to begin; the sequence number is kept below 2^15, so that
    /// a receiver that misses the first packets cannot be wrong about the rollover counter.
    pub fn new(ssrc: u32, clock: Clock, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            clock,
            sequence: u64::from(sequence & 0x7fff),
            next: i64::from(timestamp),
            anchor: None,
            offset: None,
            filled: false,
            behind_since: None,
            last_source: None,
            last_fill: None,
            fresh: true,
            laying: false,
            owed: 0,
            stalls: Stalls::default(),
        }
    }

    /// A new agreement: perhaps another clock. SSRC, sequence and the line of timestamps go on.
    pub fn agree(&mut self, now: Instant, clock: Clock) {
        if clock != self.clock {
            self.next = self.next.max(self.wall(now));
            self.anchor = self.anchor.map(|_| (now, self.next << 16));
            self.clock = clock;
        }
        self.forget_source();
    }

    /// The source is another one from now on: its timestamps mean nothing yet.
    pub fn forget_source(&mut self) {
        self.offset = None;
        self.behind_since = None;
        self.fresh = true;
    }

    /// Where on our line a frame of the source goes. `position`: its timestamp in ticks of *our* clock,
    /// `length`: its length. `None`: it has missed its time, drop it.
    pub fn place(&mut self, now: Instant, position: i64, length: i64) -> Option<i64> {
        let wall = self.wall(now);
        let place = match self.offset {
            None => {
                self.laying = true;
                self.settle(wall, length)
            }
            Some(offset) => self.follow(now, wall, position + offset, length)?,
        };
        if self.filled || place - self.next > length {
            self.fresh = true;
        }
        self.offset = Some(place - position);
        self.behind_since = None;
        self.filled = false;
        self.last_source = Some(now);
        match &mut self.anchor {
            // Follow the source's clock slowly: jitter averages out, drift does not add up.
            Some((_, anchored)) => *anchored += (place - wall) << 4,
            None => self.anchor = Some((now, place << 16)),
        }
        self.next = place + length;
        Some(place)
    }

    /// Where a frame goes whose source's line puts it at `want`.
    fn follow(&mut self, now: Instant, wall: i64, want: i64, length: i64) -> Option<i64> {
        let late = wall - want > length;
        if (late || self.stalls.suspects())
            && let Some(last) = self.last_source
        {
            let since = now.saturating_duration_since(last);
            let frame = self.clock.duration(length);
            self.stalls.heard(now, since, frame, late);
        }
        let ahead = want - self.next;
        if ahead == 0 {
            if self.came_with_the_first(now, length) {
                self.owed = self.owed.max(want - wall);
            }
            return Some(want);
        }
        if ahead.abs() < length && (ahead < 0 || self.filled)
            || ahead > 0 && self.filled && self.owed > 0
        {
            // What was pushed back comes forward again over a pause.
            let place = match ahead < length {
                true => self.next,
                false => self.anew(wall, length).min(want),
            };
            self.owed = (self.owed + place - want).max(0);
            return Some(place);
        }
        if ahead < -self.clock.ticks_of_ms(LEAP_MS) {
            return Some(self.settle(wall, length));
        }
        if ahead < -self.clock.ticks_of_ms(LATEST_MS) {
            let since = *self.behind_since.get_or_insert(now);
            let stays = now.saturating_duration_since(since) >= BEHIND;
            return stays.then(|| self.settle(wall, length));
        }
        if ahead < 0 {
            self.owed -= ahead;
            return Some(self.next);
        }
        if want - wall > self.clock.ticks_of_ms(RESYNC_MS) {
            return Some(self.settle(wall, length));
        }
        Some(want)
    }

    /// Whether a frame came in one burst with that which was laid where the clock is: then that one was late already, and what
    /// follows it would stay so.
    fn came_with_the_first(&mut self, now: Instant, length: i64) -> bool {
        let since = |last| now.saturating_duration_since(last);
        let burst = self.clock.duration(length) / 2;
        self.laying &= self.last_source.is_some_and(|last| since(last) < burst);
        self.laying
    }

    /// Where a source goes of which nothing is known yet. The line may still be ahead of the clock.
    fn settle(&mut self, wall: i64, length: i64) -> i64 {
        let place = self.anew(wall, length);
        self.owed = self.owed.min((place - wall - length).max(0));
        place
    }

    /// How far the source was pushed back behind filler, in ticks, and nothing has made up for it.
    pub fn owed(&self) -> i64 {
        self.owed
    }

    /// How much more than the clock has played the far side was sent, in ticks.
    pub fn surplus(&self, now: Instant) -> i64 {
        self.next - self.wall(now)
    }

    /// The source said something faster: what follows comes sooner by so many ticks.
    pub fn repaid(&mut self, ticks: i64) {
        self.owed = (self.owed - ticks).max(0);
    }

    /// How long a source that is followed is waited for because it has stalled before.
    pub fn wait(&self) -> Duration {
        match self.offset {
            Some(_) => self.stalls.wait(),
            None => Duration::ZERO,
        }
    }

    /// Where the next frame of filler goes.
    pub fn fill(&mut self, now: Instant, length: i64) -> i64 {
        let wall = self.wall(now);
        self.stalls.filled(now);
        if wall - self.next > self.clock.ticks_of_ms(CATCH_UP_MS) {
            self.next = self.anew(wall, length);
        }
        let place = self.next;
        if self.anchor.is_none() {
            self.anchor = Some((now, place << 16));
        }
        self.filled = true;
        self.last_fill = Some(now);
        self.next = place + length;
        place
    }

    /// When the next frame of filler of `length` is due if the source stays quiet: `patience` after the
    /// source's last frame at the earliest, and no faster than twice the pace of the clock.
    pub fn fill_at(&self, now: Instant, length: i64, patience: Duration) -> Instant {
        let Some((at, anchored)) = self.anchor else {
            return now;
        };
        let line = at + self.clock.duration(self.next - (anchored >> 16));
        let quiet = self.last_source.map(|last| last + patience);
        let again = self
            .last_fill
            .map(|last| last + self.clock.duration(length) / 2);
        [quiet, again]
            .into_iter()
            .flatten()
            .fold(line, Instant::max)
    }

    /// Where an event begins: now, to a frame of `length`, but not before what was already sent
    /// (RFC 4733 §2.1).
    pub fn event(&mut self, now: Instant, length: i64) -> i64 {
        let place = self.anew(self.wall(now), length);
        self.next = place;
        if self.anchor.is_none() {
            self.anchor = Some((now, place << 16));
        }
        place
    }

    /// An event lasted until `end` (on our line); audio goes on after it, at the next whole frame of
    /// `length`. An event that claims to last far into the future ends now.
    pub fn event_over(&mut self, now: Instant, end: i64, length: i64) {
        let wall = self.wall(now);
        let end = if end - wall > self.clock.ticks_of_ms(RESYNC_MS) {
            wall
        } else {
            end
        };
        let lasted = (end - self.next).max(0);
        self.next += (lasted + length - 1) / length * length;
        self.last_source = Some(now);
        self.offset = None;
        self.behind_since = None;
        self.filled = false;
    }

    /// Packets of the source that never came leave a hole in our sequence, so that the far side knows
    /// what to conceal; how large a hole `lost` packets may leave now. Longer losses are no news to it.
    pub fn hole(&self, lost: u64) -> u64 {
        let told = lost <= 50 && !self.filled && self.offset.is_some();
        if told { lost } else { 0 }
    }

    /// Leaves a hole in our sequence.
    pub fn skip(&mut self, hole: u64) {
        self.sequence += hole;
    }

    /// The source's positions are less by so many ticks from now on, and mean the same.
    pub fn nudge(&mut self, ticks: i64) {
        self.offset = self.offset.map(|offset| offset + ticks);
    }

    /// Writes a header with the next sequence number; `marker` adds to what the talkspurt demands.
    pub fn header(&mut self, pt: u8, timestamp: i64, marker: bool, out: &mut [u8; HEADER]) {
        Header {
            marker,
            pt,
            sequence: self.sequence as u16,
            timestamp: timestamp as u32,
            ssrc: self.ssrc,
            payload: HEADER..HEADER,
        }
        .write(out);
        self.sequence += 1;
    }

    /// Whether the frame to be written begins a talkspurt; asked once per frame.
    pub fn begins(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// The timestamp of this moment, for sender reports (RFC 3550 §6.4.1).
    pub fn timestamp(&self, now: Instant) -> u32 {
        self.wall(now) as u32
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The RTP clock of the leg's audio.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Where something new goes: behind what was sent or, when the wall clock has gone on, so many
    /// whole frames further. A jump off the grid of the frames would be legal, but some receivers take
    /// a timestamp that is no multiple of the frame for a fault.
    fn anew(&self, wall: i64, length: i64) -> i64 {
        let gone = (wall - self.next).max(0);
        let frames = if gone <= length {
            0
        } else {
            (gone + length / 2) / length
        };
        self.next + frames * length
    }

    /// This moment on our line.
    fn wall(&self, now: Instant) -> i64 {
        match self.anchor {
            Some((at, anchored)) => {
                (anchored >> 16) + self.clock.ticks(now.saturating_duration_since(at))
            }
            None => self.next,
        }
    }
}

#[cfg(test)]
mod tests;
