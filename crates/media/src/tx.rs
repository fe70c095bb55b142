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
//! filled is dropped rather than pushed back: nothing adds delay for good.

use std::time::{Duration, Instant};

use crate::rtp::{Clock, HEADER, Header};

/// Audio further from the wall clock than this has changed its mind about time.
const RESYNC_MS: u32 = 500;
/// A source may be behind what was filled for so long before we follow it.
const BEHIND: Duration = Duration::from_millis(150);
/// A source further behind than this has begun anew: no network holds packets back for so long.
const LEAP_MS: u32 = 10_000;
/// Filler further behind the wall clock than this jumps instead of hurrying after it.
const CATCH_UP_MS: u32 = 200;

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
    /// `length`: its length. `None`: its time is already filled, drop it.
    pub fn place(&mut self, now: Instant, position: i64, length: i64) -> Option<i64> {
        let wall = self.wall(now);
        let resync = self.clock.ticks_of_ms(RESYNC_MS);
        let anew = self.anew(wall, length);
        let place = match self.offset {
            None => anew,
            Some(offset) => {
                let want = position + offset;
                let ahead = want - self.next;
                if ahead == 0 {
                    want
                } else if ahead.abs() < length && (ahead < 0 || self.filled) {
                    self.next
                } else if ahead < -self.clock.ticks_of_ms(LEAP_MS) {
                    anew
                } else if ahead < 0 {
                    let since = *self.behind_since.get_or_insert(now);
                    if now.saturating_duration_since(since) < BEHIND {
                        return None;
                    }
                    anew
                } else if want - wall > resync {
                    anew
                } else {
                    want
                }
            }
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

    /// Where the next frame of filler goes.
    pub fn fill(&mut self, now: Instant, length: i64) -> i64 {
        let wall = self.wall(now);
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
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 160;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn tx() -> (Transmitter, Instant) {
        (
            Transmitter::new(1, Clock(8_000), 40_000, 1_000),
            Instant::now(),
        )
    }

    #[test]
    fn the_first_sequence_number_is_below_2_15() {
        let (mut tx, _) = tx();
        let mut header = [0; HEADER];
        tx.header(8, 0, false, &mut header);
        assert_eq!(Header::parse(&header).unwrap().sequence, 40_000 & 0x7fff);
    }

    #[test]
    fn another_source_goes_on_where_the_first_left() {
        let (mut tx, start) = tx();
        for n in 0..5 {
            assert_eq!(
                tx.place(start + ms(20 * n), 7_777 + FRAME * n as i64, FRAME),
                Some(1_000 + FRAME * n as i64)
            );
        }
        tx.forget_source();
        assert_eq!(
            tx.place(start + ms(100), 99, FRAME),
            Some(1_000 + FRAME * 5)
        );
        assert_eq!(
            tx.place(start + ms(120), 99 + FRAME, FRAME),
            Some(1_000 + FRAME * 6)
        );
    }

    #[test]
    fn a_pause_of_the_source_is_a_pause_on_our_line_and_begins_a_talkspurt() {
        let (mut tx, start) = tx();
        tx.place(start, 0, FRAME);
        assert!(tx.begins());
        tx.place(start + ms(20), FRAME, FRAME);
        assert!(!tx.begins());
        assert_eq!(
            tx.place(start + ms(1_020), FRAME * 51, FRAME),
            Some(1_000 + FRAME * 51)
        );
        assert!(tx.begins());
    }

    #[test]
    fn filler_and_audio_share_one_contiguous_line() {
        let (mut tx, start) = tx();
        let (mut expected, mut source) = (1_000, 0);
        let mut now = start;
        for round in 0..50u64 {
            for _ in 0..25 {
                assert_eq!(tx.place(now, source, FRAME), Some(expected));
                (expected, source) = (expected + FRAME, source + FRAME);
                now += ms(20);
            }
            // The source pauses for a second and a bit; filler sets in and stays on time.
            let resume = now + ms(1_000) + Duration::from_micros(1_370 * round);
            loop {
                let due = tx.fill_at(now, FRAME, ms(60)).max(now);
                if due >= resume {
                    break;
                }
                now = due;
                assert_eq!(tx.fill(now, FRAME), expected);
                expected += FRAME;
            }
            source += Clock(8_000).ticks(resume - now.min(resume)) + 8_000;
            now = resume;
            tx.forget_source();
            let lead = expected - 1_000 - Clock(8_000).ticks(now - start);
            assert!(
                (-FRAME..=FRAME + 64).contains(&lead),
                "{lead} ticks off the wall clock in round {round}"
            );
        }
    }

    #[test]
    fn a_burst_after_a_stall_does_not_add_delay() {
        let (mut tx, start) = tx();
        for n in 0..10 {
            tx.place(start + ms(20 * n), FRAME * n as i64, FRAME);
        }
        let mut now = start + ms(180);
        for _ in 0..6 {
            now = tx.fill_at(now, FRAME, ms(60)).max(now);
            tx.fill(now, FRAME);
        }
        let placed: Vec<_> = (10..30)
            .filter_map(|n| tx.place(start + ms(400), FRAME * n, FRAME))
            .collect();
        let last = 1_000 + FRAME * 29;
        assert_eq!(placed.last(), Some(&last), "back on the old line");
        assert!(placed.windows(2).all(|w| w[1] - w[0] == FRAME));
    }

    #[test]
    fn a_source_whose_clock_jumps_is_followed_without_a_jump_of_ours() {
        let (mut tx, start) = tx();
        tx.place(start, 0, FRAME);
        assert_eq!(
            tx.place(start + ms(20), 1_000_000, FRAME),
            Some(1_000 + FRAME)
        );
        assert_eq!(
            tx.place(start + ms(40), 1_000_000 + FRAME, FRAME),
            Some(1_000 + 2 * FRAME)
        );
        // Far back: a source that begins anew, followed at once.
        assert_eq!(
            tx.place(start + ms(60), 500, FRAME),
            Some(1_000 + 3 * FRAME)
        );
        // A little back: perhaps only late, followed when it stays so.
        let mut back = None;
        for n in 0..20 {
            let position = 500 - 50 * FRAME + FRAME * n as i64;
            back = back.or(tx.place(start + ms(80 + 20 * n), position, FRAME));
        }
        assert!(
            back.is_some_and(|place| place <= 1_000 + 13 * FRAME),
            "{back:?}"
        );
    }

    #[test]
    fn an_event_takes_its_time_on_the_line_of_audio() {
        let (mut tx, start) = tx();
        tx.place(start, 0, FRAME);
        let begin = tx.event(start + ms(20), FRAME);
        assert_eq!(begin, 1_000 + FRAME);
        tx.event_over(start + ms(120), begin + 800, FRAME);
        assert_eq!(tx.place(start + ms(120), 5_555, FRAME), Some(begin + 800));
    }

    #[test]
    fn whatever_the_wall_clock_says_the_line_stays_on_the_grid_of_its_frames() {
        let (mut tx, start) = tx();
        let mut now = start;
        for round in 0..50u64 {
            now += ms(7 + 31 * round);
            let begin = tx.event(now, FRAME);
            assert_eq!((begin - 1_000) % FRAME, 0, "event {round}");
            now += ms(90);
            tx.event_over(now, begin + 720, FRAME);
            now += ms(3 * round);
            let place = tx.place(now, 5_555 * round as i64, FRAME);
            assert_eq!(
                place.map(|place| (place - 1_000) % FRAME),
                Some(0),
                "audio {round}"
            );
            tx.forget_source();
            now += ms(401);
            assert_eq!((tx.fill(now, FRAME) - 1_000) % FRAME, 0, "filler {round}");
        }
    }

    proptest! {
        /// Whatever source and filler do, our line never goes back and never overlaps.
        #[test]
        fn the_line_never_goes_back(steps in proptest::collection::vec((0u64..400, any::<i32>(), 0u8..8), 1..200)) {
            let (mut tx, mut now) = tx();
            let mut end = i64::MIN;
            let mut source = 0i64;
            for (wait, jump, what) in steps {
                now += ms(wait);
                let place = match what {
                    0 => { tx.forget_source(); None }
                    1 => Some(tx.fill(now, FRAME)),
                    2 => { source += i64::from(jump); tx.place(now, source, FRAME) }
                    3 => { let at = tx.event(now, FRAME); tx.event_over(now, at + FRAME, FRAME); Some(at) }
                    4 => { source -= i64::from(jump % 2_000); tx.place(now, source, FRAME) }
                    _ => { source += FRAME; tx.place(now, source, FRAME) }
                };
                if let Some(place) = place {
                    prop_assert!(place >= end, "{place} after {end}");
                    end = place + FRAME;
                }
            }
        }
    }
}
