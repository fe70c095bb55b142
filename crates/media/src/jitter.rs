//! A jitter buffer that adapts, for a far side that has none: packets of one leg wait until all of them
//! that are worth waiting for have come, and go on at their own pace.
//!
//! ```text
//!   arrival ─► in order of their numbers ─► at  first moment + position + shift  ─► path
//!                                                               ▲
//!       how late packets come (histogram) ─► delay wanted ──────┘  grows and shrinks in pauses,
//!                                                                  grows at once for what came too late
//! ```
//!
//! The delay is measured from the quickest packets of the last ten seconds. Wanted is what 98 in 100
//! packets kept to, within the bounds. A pause is lengthened by waiting, shortened by leaving a silent
//! packet out; where a source never pauses, the quietest of what waits goes after two seconds. Numbers
//! and timestamps towards the far side move with it, so that it never sees a jump it cannot explain.
//!
//! Everything is allocated when the session starts.

use std::time::{Duration, Instant};

use sdp::Codec;
use sdp::plan::Smoothing;

use crate::codec;
use crate::leg::Kind;
use crate::path::Turn;
use crate::preroll::loudness;
use crate::queue::LONGEST;
use crate::rtp::Clock;

/// The usual packets: they decide how many fit.
const SHORTEST_MS: usize = 20;
/// Width of a class of the histogram.
const CLASS: Duration = Duration::from_millis(5);
/// Classes: up to half a second; later ones count as that.
const CLASSES: usize = 100;
/// So many packets later everything in the histogram counts half.
const FORGETS: u32 = 128;
/// The share of packets that shall come in time, in percent.
const IN_TIME: u32 = 98;
/// The quickest packets are looked for among those of the last one to two such times.
const QUICKEST: Duration = Duration::from_secs(5);
/// After so long without a pause the delay is changed where nobody paused.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between such changes.
const BETWEEN_CHANGES: Duration = Duration::from_millis(200);
/// Quicker by so many classes is another way: how late packets came on the old one says nothing.
const ANOTHER_WAY: i64 = 20;
/// So many packets in a row that came too late mean that the way is another one.
const LATE_RUN: u32 = 10;
/// A packet due so much later than the bounds allow is not early, and packets that go on to come so late are not
/// delayed: their timestamps are another line's.
const LEAP: Duration = Duration::from_millis(500);

/// The packets of one leg that wait.
pub(crate) struct JitterBuffer {
    least: Duration,
    most: Duration,
    /// In order of their numbers.
    waiting: Vec<Waiting>,
    /// The payloads of those that wait, at `slot` each.
    bytes: Box<[[u8; LONGEST]]>,
    free: Vec<u8>,
    line: Option<Line>,
    lateness: Lateness,
    /// Packets in a row that came after their moment.
    late_run: u32,
    /// Packets not kept since the last that was played: they count as lost before the next.
    refused: u64,
}

/// Where positions lie in time.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Instant,
    position: i64,
    /// Ticks added to the source's positions.
    shift: i64,
    /// From then on the delay is changed though nobody pauses.
    patience: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    index: u64,
    /// Its number was expected when it came.
    in_turn: bool,
    kind: Kind,
    position: i64,
    /// When it is due if its position does not say so.
    due: Option<Instant>,
    /// Ticks of audio in it.
    length: i64,
    /// 0 is silence.
    loudness: u32,
    slot: u8,
    len: u16,
}

/// A packet whose time has come.
pub(crate) struct Ready<'a> {
    pub(crate) index: u64,
    pub(crate) in_turn: bool,
    pub(crate) turn: Turn<'a>,
    /// It is left out.
    pub(crate) cut: bool,
}

impl JitterBuffer {
    pub(crate) fn new(now: Instant, bounds: Smoothing) -> Self {
        let most = bounds.most.max(bounds.least);
        let room = (usize::from(most) / SHORTEST_MS + 6).min(usize::from(u8::MAX));
        Self {
            least: Duration::from_millis(bounds.least.into()),
            most: Duration::from_millis(most.into()),
            waiting: Vec::with_capacity(room),
            bytes: vec![[0; LONGEST]; room].into_boxed_slice(),
            free: (0..room as u8).collect(),
            line: None,
            lateness: Lateness::new(now),
            late_run: 0,
            refused: 0,
        }
    }

    /// Another source, or another agreement: nothing of before holds.
    pub(crate) fn restart(&mut self, now: Instant) {
        for waiting in self.waiting.drain(..) {
            self.free.push(waiting.slot);
        }
        (self.line, self.late_run, self.refused) = (None, 0, 0);
        self.lateness = Lateness::new(now);
    }

    /// Takes a packet. `in_turn`: its number was expected. Returns whether it came too late to be played
    /// when it should have been.
    pub(crate) fn put(
        &mut self,
        now: Instant,
        clock: Clock,
        codec: Codec,
        (index, in_turn): (u64, bool),
        turn: &Turn,
    ) -> bool {
        let samples = match turn.kind {
            Kind::Audio => codec::samples(codec, turn.payload).unwrap_or(0),
            _ => 0,
        };
        let length = samples as i64 * i64::from(clock.0 / 8_000);
        let mut due = None;
        let mut late = false;
        if length == 0 {
            due = Some(now + self.delay(clock));
        } else {
            let line = match self.line {
                Some(line) if line.due(clock, turn.position) <= now + self.most + LEAP => line,
                _ => self.begin(now, clock, turn.position),
            };
            let transit = line.transit(now, clock, turn.position);
            self.lateness.heard(now, transit);
            late = self.catch(now, clock, turn.position, length);
            let missed = now.saturating_duration_since(self.due_of(clock, turn.position));
            if late && missed >= clock.duration(length) {
                // The next one is due already.
                self.refused += 1;
                return true;
            }
        }
        let slot = self.free.pop();
        let room = slot.and_then(|slot| {
            let room = &mut self.bytes[usize::from(slot)];
            room.get_mut(..turn.payload.len())
        });
        let (Some(slot), Some(room)) = (slot, room) else {
            // More, or longer, than fits within the bounds.
            self.free.extend(slot);
            self.refused += u64::from(length > 0);
            return true;
        };
        room.copy_from_slice(turn.payload);
        let waiting = Waiting {
            index,
            in_turn,
            kind: turn.kind,
            position: turn.position,
            due,
            length,
            loudness: if samples == 0 {
                u32::MAX
            } else {
                loudness(codec, turn.payload)
            },
            slot,
            len: turn.payload.len() as u16,
        };
        let at = self.waiting.partition_point(|other| other.index < index);
        self.waiting.insert(at, waiting);
        late
    }

    /// Begins a line of positions: the first, or another one where the source laid its timestamps anew, further
    /// away than packets come early or late. What waits keeps its moments.
    fn begin(&mut self, now: Instant, clock: Clock, position: i64) -> Line {
        if let Some(before) = self.line {
            for one in self.waiting.iter_mut().filter(|one| one.due.is_none()) {
                one.due = Some(before.due(clock, one.position));
                one.position += before.shift;
            }
        }
        (self.lateness, self.late_run) = (Lateness::new(now), 0);
        *self.line.insert(Line {
            at: now + self.least,
            position,
            shift: 0,
            patience: now + PATIENCE,
        })
    }

    /// A packet of audio that came after its moment makes everything be played so much later, in whole
    /// packets, as far as the bounds allow; beyond them only if it stays so.
    fn catch(&mut self, now: Instant, clock: Clock, position: i64, length: i64) -> bool {
        let missed = now.saturating_duration_since(self.due_of(clock, position));
        if missed.is_zero() {
            self.late_run = 0;
            return false;
        }
        self.late_run += 1;
        if self.late_run >= LATE_RUN && missed > LEAP {
            self.begin(now, clock, position);
            return true;
        }
        let packets = |time: Duration| clock.ticks(time) / length;
        let mut grows = packets(missed) + 1;
        if self.late_run < LATE_RUN {
            grows = grows.min(packets(self.most.saturating_sub(self.delay(clock))));
        }
        if let Some(line) = &mut self.line {
            line.shift += grows * length;
        }
        if self.late_run >= LATE_RUN {
            // Another way, of which nothing is known yet.
            (self.lateness, self.late_run) = (Lateness::new(now), 0);
        }
        true
    }

    /// A packet came that had been given up: it counts for the delay wanted.
    pub(crate) fn given_up(&mut self, now: Instant, clock: Clock, position: i64) {
        if let Some(line) = self.line {
            let transit = line.transit(now, clock, position);
            self.lateness.heard(now, transit);
        }
    }

    /// When the next packet is due.
    pub(crate) fn next_timeout(&self, clock: Clock) -> Option<Instant> {
        let first = self.waiting.first()?;
        Some(self.due(clock, first))
    }

    /// The packet that is due; its payload is copied to `out`.
    pub(crate) fn take<'a>(
        &mut self,
        now: Instant,
        clock: Clock,
        out: &'a mut [u8; LONGEST],
    ) -> Option<Ready<'a>> {
        if self.next_timeout(clock)? > now {
            return None;
        }
        let first = *self.waiting.first()?;
        let mut cut = false;
        if first.length > 0 && first.due.is_none() {
            let (delay, wanted) = (self.delay(clock), self.wanted());
            let length = clock.duration(first.length);
            let short = wanted.saturating_sub(delay) * 2 >= length;
            let long = delay >= wanted + length && self.waiting.len() > 1;
            let line = self.line.as_mut()?;
            let silent = first.loudness == 0;
            let may = silent || line.patience <= now;
            if (short || long) && may {
                line.patience = now + if silent { PATIENCE } else { BETWEEN_CHANGES };
            } else if !short && !long {
                line.patience = now + PATIENCE;
            }
            if short && may {
                line.shift += first.length;
                return None;
            }
            cut = long && may;
        }
        self.waiting.remove(0);
        self.free.push(first.slot);
        let len = usize::from(first.len);
        let payload = out.get_mut(..len)?;
        payload.copy_from_slice(&self.bytes[usize::from(first.slot)][..len]);
        let shift = self.line.map_or(0, |line| line.shift);
        if cut && let Some(line) = &mut self.line {
            line.shift -= first.length;
        }
        Some(Ready {
            index: first.index,
            in_turn: first.in_turn,
            turn: Turn {
                kind: first.kind,
                position: match (first.kind, first.due) {
                    (Kind::Event, _) | (Kind::Audio, Some(_)) => first.position,
                    _ => first.position + shift,
                },
                payload,
                lost: match cut {
                    true => 0,
                    false => std::mem::take(&mut self.refused),
                },
            },
            cut,
        })
    }

    /// How much later than the quickest packets everything is played.
    pub(crate) fn delay(&self, clock: Clock) -> Duration {
        let Some(line) = self.line else {
            return self.least;
        };
        // The transit of a packet that comes when it is due, less that of the quickest.
        let due = clock.duration(line.shift.max(0)).as_micros() as i64
            - clock.duration((-line.shift).max(0)).as_micros() as i64;
        let micros = due - self.lateness.quickest.unwrap_or(due);
        Duration::from_micros(micros.max(0) as u64)
    }

    /// What 98 in 100 packets keep to, within the bounds.
    pub(crate) fn wanted(&self) -> Duration {
        self.lateness.kept_to().clamp(self.least, self.most)
    }

    fn due(&self, clock: Clock, waiting: &Waiting) -> Instant {
        waiting
            .due
            .unwrap_or_else(|| self.due_of(clock, waiting.position))
    }

    /// The moment of a position. Before there is a line: never mind.
    fn due_of(&self, clock: Clock, position: i64) -> Instant {
        self.line
            .map_or(self.lateness.since, |line| line.due(clock, position))
    }
}

impl Line {
    fn due(&self, clock: Clock, position: i64) -> Instant {
        let ticks = position - self.position + self.shift;
        match ticks >= 0 {
            true => self.at + clock.duration(ticks),
            false => self.at - clock.duration(-ticks),
        }
    }

    /// How much later than its unshifted moment a packet came, in microseconds.
    fn transit(&self, now: Instant, clock: Clock, position: i64) -> i64 {
        let moment = Line { shift: 0, ..*self }.due(clock, position);
        match now.checked_duration_since(moment) {
            Some(after) => after.as_micros() as i64,
            None => -(moment.saturating_duration_since(now).as_micros() as i64),
        }
    }
}

/// How late packets come, against the quickest.
#[derive(Debug)]
struct Lateness {
    /// The transit of the quickest, in microseconds on the line's clock.
    quickest: Option<i64>,
    /// The quickest since `since`.
    lately: Option<i64>,
    since: Instant,
    classes: [u16; CLASSES],
    counted: u32,
    heard: u32,
}

impl Lateness {
    fn new(now: Instant) -> Self {
        Self {
            quickest: None,
            lately: None,
            since: now,
            classes: [0; CLASSES],
            counted: 0,
            heard: 0,
        }
    }

    fn heard(&mut self, now: Instant, transit: i64) {
        let lately = self.lately.map_or(transit, |lately| lately.min(transit));
        self.lately = Some(lately);
        let before = self.quickest.unwrap_or(transit);
        let mut quickest = before.min(transit);
        if now.saturating_duration_since(self.since) >= QUICKEST {
            // The older half goes: a way that became longer is believed after a while.
            quickest = lately;
            (self.lately, self.since) = (None, now);
        }
        self.quickest = Some(quickest);
        self.move_by((before - quickest) / CLASS.as_micros() as i64);
        let late = transit - quickest;
        let class = (late / CLASS.as_micros() as i64).clamp(0, CLASSES as i64 - 1);
        self.classes[class as usize] += 1;
        (self.counted, self.heard) = (self.counted + 1, self.heard + 1);
        if self.heard == FORGETS {
            self.heard = 0;
            self.classes.iter_mut().for_each(|class| *class /= 2);
            self.counted = self.classes.iter().map(|class| u32::from(*class)).sum();
        }
    }

    /// The quickest are quicker by so many classes: all others are that much later.
    fn move_by(&mut self, classes: i64) {
        let far = classes.unsigned_abs().min(CLASSES as u64) as usize;
        if classes > ANOTHER_WAY {
            (self.classes, self.counted, self.heard) = ([0; CLASSES], 0, 0);
        } else if classes > 0 {
            let beyond: u16 = self.classes[CLASSES - far..].iter().sum();
            self.classes.rotate_right(far);
            self.classes[..far].fill(0);
            self.classes[CLASSES - 1] += beyond;
        } else if far > 0 {
            let below: u16 = self.classes[..far].iter().sum();
            self.classes.rotate_left(far);
            self.classes[CLASSES - far..].fill(0);
            self.classes[0] += below;
        }
    }

    fn kept_to(&self) -> Duration {
        let (mut sum, wanted) = (0, self.counted * IN_TIME);
        for (n, class) in (1..).zip(&self.classes) {
            sum += u32::from(*class) * 100;
            if sum >= wanted {
                return CLASS * n;
            }
        }
        Duration::ZERO
    }
}
