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

use std::time::{Duration, Instant};

use crate::rtp::{Clock, HEADER, Header};

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
/// The longest that a source known to stall is waited for.
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// How much longer than its longest stall.
const MARGIN: Duration = Duration::from_millis(20);
/// A source that did not stall for so long is not known to any more.
const REMEMBERED: Duration = Duration::from_secs(30);

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
    /// When the source was laid on the line.
    laid: Option<Instant>,
    /// How far the source was pushed back behind filler that took its time, in ticks.
    owed: i64,
    stalls: Stalls,
}

/// What is known of a source that stalls and then sends all it owes.
#[derive(Clone, Copy, Debug, Default)]
struct Stalls {
    /// A frame came late after so long without one. Whether it was held up or is just the next one of a source that does not
    /// count its pauses says what follows it.
    suspected: Option<Duration>,
    /// How long the source is waited for before filler sets in, and when it was seen to stall last.
    wait: Duration,
    last: Option<Instant>,
}

impl Stalls {
    /// A frame came so long after the one before. `late`: later than its line says by more than a `frame`.
    fn heard(&mut self, now: Instant, since: Duration, frame: Duration, late: bool) {
        let suspected = self.suspected.take();
        if let Some(stall) = suspected.filter(|_| since < frame / 2) {
            self.wait = (stall + MARGIN).max(self.wait).min(LONGEST_WAIT);
            self.last = Some(now);
        } else if late && since > 2 * frame {
            self.suspected = Some(since);
        }
    }

    /// Filler sets in.
    fn filled(&mut self, now: Instant) {
        let last = self.last;
        if last.is_some_and(|last| now.saturating_duration_since(last) > REMEMBERED) {
            *self = Self::default();
        }
    }
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
            laid: None,
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
                self.laid = Some(now);
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
        if (late || self.stalls.suspected.is_some())
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
    fn came_with_the_first(&self, now: Instant, length: i64) -> bool {
        let since = |laid| now.saturating_duration_since(laid);
        let burst = self.clock.duration(length) / 2;
        self.laid.is_some_and(|laid| since(laid) < burst)
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
            Some(_) => self.stalls.wait,
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

    /// A source that speaks for 200 ms, stalls until `until` ms and then sends what it owes; filler sets in meanwhile.
    fn stalled(tx: &mut Transmitter, start: Instant, until: u64) -> Vec<Option<i64>> {
        for n in 0..10 {
            tx.place(start + ms(20 * n), FRAME * n as i64, FRAME);
        }
        let end = start + ms(until);
        let mut now = start + ms(180);
        loop {
            now = tx.fill_at(now, FRAME, tx.wait().max(ms(60))).max(now);
            if now >= end {
                break;
            }
            tx.fill(now, FRAME);
        }
        let owed = 10..=until as i64 / 20;
        owed.map(|n| tx.place(end, FRAME * n, FRAME)).collect()
    }

    #[test]
    fn a_burst_after_a_stall_goes_behind_the_filler_and_is_owed() {
        let (mut tx, start) = tx();
        let placed = stalled(&mut tx, start, 400);
        assert!(placed.iter().all(Option::is_some));
        assert!(placed.windows(2).all(|w| w[1] == w[0].map(|at| at + FRAME)));
        // 160 ms of filler: at 240, and every 10 ms until it was where the clock is.
        assert_eq!(placed[0], Some(1_000 + FRAME * 20), "{}", tx.owed());
        assert_eq!(tx.owed(), FRAME * 10);
        assert!((FRAME * 9..=FRAME * 11).contains(&tx.surplus(start + ms(400))));
        assert_eq!(tx.wait(), ms(240), "as long as it was quiet, and a margin");
        // A pause that the source counts makes up for it.
        tx.fill(start + ms(620), FRAME);
        tx.place(start + ms(800), FRAME * 40, FRAME);
        assert_eq!(tx.owed(), 0);
        assert!(tx.surplus(start + ms(800)) <= 2 * FRAME);
    }

    #[test]
    fn a_source_that_begins_with_a_burst_owes_what_came_with_its_first() {
        let (mut tx, start) = tx();
        tx.fill(start, FRAME);
        for n in 0..8 {
            tx.place(
                start + Duration::from_micros(100 * n),
                FRAME * n as i64,
                FRAME,
            );
        }
        assert!(
            (FRAME * 7..=FRAME * 8).contains(&tx.owed()),
            "{}",
            tx.owed()
        );
        // The same at its pace owes nothing.
        tx.forget_source();
        let begun = start + ms(160);
        tx.repaid(tx.owed());
        for n in 0..8 {
            tx.place(begun + ms(20 * n), FRAME * n as i64, FRAME);
        }
        assert_eq!(tx.owed(), 0);
    }

    #[test]
    fn what_is_later_than_a_second_has_missed_its_time_and_the_rest_has_not() {
        let (mut tx, start) = tx();
        let placed = stalled(&mut tx, start, 2_000);
        let missed = placed.iter().take_while(|place| place.is_none()).count();
        assert!((40..=42).contains(&missed), "{missed} of {}", placed.len());
        assert!(placed[missed..].iter().all(Option::is_some));
    }

    #[test]
    fn who_does_not_count_its_pauses_is_not_taken_for_one_that_stalls() {
        let (mut tx, start) = tx();
        tx.place(start, 0, FRAME);
        for n in 1..20 {
            let at = start + ms(700 * n);
            tx.fill(at - ms(100), FRAME);
            tx.place(at, FRAME * (2 * n as i64 - 1), FRAME);
            tx.place(at + ms(20), FRAME * (2 * n as i64), FRAME);
        }
        assert_eq!(tx.wait(), Duration::ZERO);
    }

    #[test]
    fn a_source_that_stalled_is_waited_for_until_it_has_not_for_a_while() {
        let (mut tx, start) = tx();
        stalled(&mut tx, start, 400);
        let at = |n: i64| start + ms(20 * n as u64);
        for n in 21..1_600 {
            tx.place(at(n), FRAME * n, FRAME);
        }
        assert_eq!(tx.wait(), ms(240), "31 seconds without a pause");
        tx.fill(at(1_615), FRAME);
        assert_eq!(tx.wait(), Duration::ZERO);
        stalled(&mut tx, at(1_620), 5_000);
        assert_eq!(tx.wait(), LONGEST_WAIT);
        tx.forget_source();
        assert_eq!(tx.wait(), Duration::ZERO, "somebody else speaks");
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
