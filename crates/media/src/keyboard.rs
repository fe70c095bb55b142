//! Keys pressed by word instead of by packet: a PBX that tells digits in its signalling.
//!
//! ```text
//!   press ─► waiting (at most 32) ─► Pressed ── a packet every 20 ms, growing duration ─► end
//!                 ▲                     ▲                                                  │
//!                 └── 50 ms of rest ────┴── the line is free of another event ◄────────────┘
//! ```
//!
//! What comes out are event packets as a telephone would send them; the [`Relay`](crate::dtmf::Relay)
//! of the path lays them on the line of the leg's audio and repeats their end, so digits by word and
//! digits by packet share one SSRC, one sequence and one line of timestamps.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::dtmf::{EVENT_CLOCK, Payload};

/// Keys that wait to be pressed; more are refused.
pub(crate) const WAITING: usize = 32;
/// Shorter presses are lengthened to this: ITU-T Q.24 lets a receiver miss what is shorter.
pub(crate) const SHORTEST: Duration = Duration::from_millis(40);
/// Longer presses are cut to this, so that a whole press fits one event.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
/// Time between the packets of an event.
const STEP: Duration = Duration::from_millis(20);
/// Silence between two keys (ITU-T Q.24 asks for 40 ms at least).
const REST: Duration = Duration::from_millis(50);
/// -dBm0 of every key: a telephone's usual level.
const VOLUME: u8 = 10;
/// Where the keys' own source timestamps begin: no RTP line ever comes here.
const ELSEWHERE: i64 = -(1 << 60);

/// The keys pressed by word toward one leg.
#[derive(Clone, Debug)]
pub(crate) struct Keyboard {
    waiting: VecDeque<Key>,
    pressed: Option<Pressed>,
    /// The next key is pressed at this moment at the earliest.
    free_at: Option<Instant>,
    /// Counts presses: each is a source timestamp of its own.
    presses: i64,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    event: u8,
    /// In 1/8000 s.
    duration: u16,
}

#[derive(Clone, Copy, Debug)]
struct Pressed {
    key: Key,
    since: Instant,
    next: Instant,
}

/// A packet of a key, as if it had come from a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    /// Its place on a line of its own.
    pub(crate) source: i64,
    pub(crate) payload: Payload,
}

impl Keyboard {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(WAITING),
            pressed: None,
            free_at: None,
            presses: 0,
        }
    }

    /// Presses a key as soon as those before it are released. `false`: it is no key of a telephone,
    /// or too many wait.
    pub(crate) fn press(&mut self, now: Instant, digit: char, duration: Duration) -> bool {
        let Some(event) = event(digit).filter(|_| self.waiting.len() < WAITING) else {
            return false;
        };
        let millis = duration.clamp(SHORTEST, LONGEST).as_millis() as u64;
        let duration = (millis * u64::from(EVENT_CLOCK) / 1_000) as u16;
        self.waiting.push_back(Key { event, duration });
        self.free_at.get_or_insert(now);
        true
    }

    /// When [`Keyboard::stroke`] is due. `busy`: an event that is not ours is on the line.
    pub(crate) fn next_timeout(&self, busy: bool) -> Option<Instant> {
        match &self.pressed {
            Some(pressed) => Some(pressed.next),
            None if busy || self.waiting.is_empty() => None,
            None => self.free_at,
        }
    }

    /// The packet that is due. A clock that stalled leaves packets out, never time.
    pub(crate) fn stroke(&mut self, now: Instant, busy: bool) -> Option<Stroke> {
        if self.next_timeout(busy)? > now {
            return None;
        }
        let mut pressed = match self.pressed.take() {
            Some(pressed) => pressed,
            None => {
                self.presses += 1;
                Pressed {
                    key: self.waiting.pop_front()?,
                    since: now,
                    next: now,
                }
            }
        };
        let lasted = now.saturating_duration_since(pressed.since) + STEP;
        let ticks = lasted.as_millis() as u64 * u64::from(EVENT_CLOCK) / 1_000;
        let end = ticks >= u64::from(pressed.key.duration);
        let payload = Payload {
            event: pressed.key.event,
            end,
            volume: VOLUME,
            duration: if end {
                pressed.key.duration
            } else {
                ticks as u16
            },
        };
        if !end {
            pressed.next = now + STEP;
            self.pressed = Some(pressed);
        }
        Some(Stroke {
            source: ELSEWHERE + self.presses,
            payload,
        })
    }

    /// A key that came by packet cut the one by word short.
    pub(crate) fn interrupted(&mut self) {
        self.pressed = None;
    }

    /// The line has just become free: the next key waits for its rest.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.free_at = Some(now + REST);
    }
}

/// The event of a key (RFC 4733 §3.2).
fn event(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    let at = "0123456789*#ABCD".chars().position(|key| key == digit)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_key_grows_by_twenty_milliseconds_and_ends_with_its_length() {
        let (mut keys, mut now) = (Keyboard::new(), Instant::now());
        assert!(keys.press(now, '#', ms(100)));
        let mut durations = Vec::new();
        while let Some(stroke) = keys.stroke(now, false) {
            assert_eq!(stroke.payload.event, 11);
            durations.push((stroke.payload.duration, stroke.payload.end));
            now += ms(20);
        }
        assert_eq!(
            durations,
            [
                (160, false),
                (320, false),
                (480, false),
                (640, false),
                (800, true)
            ]
        );
        assert!(keys.pressed.is_none());
    }

    #[test]
    fn keys_wait_for_each_other_and_for_the_line() {
        let (mut keys, now) = (Keyboard::new(), Instant::now());
        assert!(keys.press(now, '1', ms(40)) && keys.press(now, '2', ms(40)));
        assert_eq!(keys.next_timeout(true), None, "another event sounds");
        let first = keys.stroke(now, false).unwrap();
        assert!(keys.stroke(now + ms(20), false).unwrap().payload.end);
        keys.rest(now + ms(60));
        assert_eq!(keys.next_timeout(false), Some(now + ms(110)));
        assert_eq!(keys.stroke(now + ms(109), false), None);
        let second = keys.stroke(now + ms(110), false).unwrap();
        assert!(second.payload.event == 2 && second.source != first.source);
    }

    #[test]
    fn a_clock_that_stalled_does_not_lengthen_a_key() {
        let (mut keys, now) = (Keyboard::new(), Instant::now());
        keys.press(now, '5', ms(100));
        keys.stroke(now, false);
        let late = keys.stroke(now + ms(400), false).unwrap();
        assert_eq!((late.payload.duration, late.payload.end), (800, true));
    }

    #[test]
    fn what_is_no_key_and_what_is_too_much_is_refused() {
        let (mut keys, now) = (Keyboard::new(), Instant::now());
        assert!(!keys.press(now, '!', ms(100)) && !keys.press(now, 'E', ms(100)));
        for _ in 0..WAITING {
            assert!(keys.press(now, 'd', ms(10)));
        }
        assert!(!keys.press(now, '1', ms(100)));
        let stroke = keys.stroke(now, false).unwrap();
        assert_eq!(stroke.payload.event, 15);
        assert!(keys.stroke(now + ms(20), false).unwrap().payload.duration == 320);
    }
}
