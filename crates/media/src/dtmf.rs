//! Telephone events (RFC 4733): reading them, and relaying them on the line of the leg's audio.
//!
//! ```text
//!            event packet            end packet, or 100 ms without any
//!   Idle ──────────────► Sounding ───────────────────────────────────► Ending ──► Idle
//!     ▲   marker, start      │ each packet goes on,                      three end packets,
//!     │   of the event       │ duration as it came                       20 ms apart
//!     └──────────────────────┘
//! ```
//!
//! The timestamp of every packet of an event is where the event began, on the clock of the *audio*
//! (48 kHz beside Opus); the duration counts the event's own 8 kHz clock and passes as it is
//! (Meta reference 10.6).

use std::time::{Duration, Instant};

/// Ticks per second of an event's duration: `telephone-event/8000`, the only one there is here.
pub const EVENT_CLOCK: u32 = 8_000;
/// End packets of an event (RFC 4733 §2.5.1.4).
pub const ENDS: u8 = 3;
/// Time between end packets.
const BETWEEN_ENDS: Duration = Duration::from_millis(20);
/// An event that stops without an end packet ends after this.
const PATIENCE: Duration = Duration::from_millis(100);
/// A segment lasts 8.2 s; where packets of it were late or lost, it is seen for a little less.
const SEGMENT: Duration = Duration::from_secs(7);

/// The payload of an event packet (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The event: 0 to 15 are the DTMF digits.
    pub event: u8,
    /// This is (one of) its last packets.
    pub end: bool,
    /// Power level in -dBm0, 0 to 63.
    pub volume: u8,
    /// From its beginning, in 1/8000 s.
    pub duration: u16,
}

impl Payload {
    /// Reads a payload; further events in it (a redundancy nobody uses) are ignored.
    pub fn parse(bytes: &[u8]) -> Option<Payload> {
        let [event, flags, high, low, ..] = *bytes else {
            return None;
        };
        Some(Payload {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The four octets on the wire.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.event,
            u8::from(self.end) << 7 | (self.volume & 0x3f),
            high,
            low,
        ]
    }

    /// The key of the telephone: `0` to `9`, `*`, `#`, `A` to `D`. `None`: another kind of event.
    pub fn digit(self) -> Option<char> {
        b"0123456789*#ABCD"
            .get(usize::from(self.event))
            .map(|b| char::from(*b))
    }
}

/// A digit that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// The key.
    pub digit: char,
    /// How long, in ms.
    pub duration_ms: u32,
}

/// The relay of events from one leg to the other.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    current: Option<Current>,
    /// Source timestamp of the last event that ended: its end packets may still be coming.
    over: Option<(i64, u8)>,
}

#[derive(Clone, Debug)]
struct Current {
    source: i64,
    payload: Payload,
    last: Instant,
    /// Duration of earlier segments of a very long event (RFC 4733 §2.5.1.3), in event ticks.
    before: u32,
    /// When this segment began.
    began: Instant,
    /// Where the segment began on the receiving leg's line; `None` where it cannot hear events.
    start: Option<i64>,
    first: bool,
    ends_left: u8,
}

/// What is to be done with an event packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The packet's payload.
    pub payload: Payload,
    /// Its timestamp on the receiving leg's line; `None`: that leg gets none.
    pub start: Option<i64>,
    /// The marker bit.
    pub marker: bool,
}

/// What a step of the relay brings: a packet to send, a digit to tell, the event's end on the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The packet to send.
    pub send: Option<Emission>,
    /// The digit that has just ended.
    pub digit: Option<Digit>,
    /// The event is over: audio may go on. Its length in event ticks.
    pub over: Option<(Option<i64>, u16)>,
}

impl Relay {
    /// Whether an event is not over yet.
    pub fn active(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the receiving leg hears an event: audio toward it is suppressed.
    pub fn sounds(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.start.is_some())
    }

    /// Whether a packet with this source timestamp and payload begins an event (a new place on the
    /// receiving leg's line is needed).
    pub fn begins(&self, source: i64, payload: Payload) -> bool {
        if self.over == Some((source, payload.event)) {
            return false;
        }
        self.current.as_ref().is_none_or(|current| {
            current.source != source || current.payload.event != payload.event
        })
    }

    /// An event packet came. `start` is used if it [`Relay::begins`] one. `ticks`: source timestamp
    /// ticks per event tick (6 beside Opus). What an unfinished event before it still needs comes first:
    /// call [`Relay::finish`] beforehand.
    pub fn receive(
        &mut self,
        now: Instant,
        source: i64,
        payload: Payload,
        start: Option<i64>,
    ) -> Step {
        if payload.digit().is_none() || self.over == Some((source, payload.event)) {
            return Step::default();
        }
        let current = match &mut self.current {
            Some(current) if current.source == source && current.payload.event == payload.event => {
                if current.ends_left < ENDS {
                    return Step::default(); // its end is already on its way
                }
                // A packet that comes late must not shorten the event.
                if payload.duration >= current.payload.duration {
                    current.payload = payload;
                } else {
                    current.payload.end |= payload.end;
                }
                current.last = now;
                current
            }
            slot => slot.insert(Current {
                source,
                payload,
                last: now,
                before: 0,
                began: now,
                start,
                first: true,
                ends_left: ENDS,
            }),
        };
        if current.payload.end {
            self.end(now)
        } else {
            Step {
                send: Some(current.emit()),
                ..Step::default()
            }
        }
    }

    /// Whether the packet continues the current event in a new segment, its duration having run full: in
    /// time, not only by its own word.
    pub fn continues(&self, now: Instant, source: i64, payload: Payload, ticks: i64) -> bool {
        self.current.as_ref().is_some_and(|c| {
            c.payload.event == payload.event
                && c.ends_left == ENDS
                && source - c.source == 0xffff * ticks
                && now.saturating_duration_since(c.began) >= SEGMENT
        })
    }

    /// Begins the new segment of a very long event, `length` later on the receiving leg's line.
    pub fn segment(&mut self, now: Instant, source: i64, length: i64) {
        if let Some(current) = &mut self.current {
            current.before = current.before.saturating_add(0xffff);
            current.began = now;
            current.source = source;
            current.start = current.start.map(|start| start + length);
            current.payload.duration = 0;
        }
    }

    /// The next moment something is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|c| {
            if c.ends_left < ENDS {
                c.last + BETWEEN_ENDS
            } else {
                c.last + PATIENCE
            }
        })
    }

    /// Sends the next end packet that is due, or ends an event whose end was lost. Call until it
    /// brings nothing.
    pub fn timeout(&mut self, now: Instant) -> Step {
        match self.next_timeout() {
            Some(at) if at <= now => self.end(now),
            _ => Step::default(),
        }
    }

    /// Ends the current event at once, whatever its state: something new begins. Call until it brings nothing.
    pub fn finish(&mut self, now: Instant) -> Step {
        if self.current.is_some() {
            self.end(now)
        } else {
            Step::default()
        }
    }

    fn end(&mut self, now: Instant) -> Step {
        let Some(current) = &mut self.current else {
            return Step::default();
        };
        let digit = (current.ends_left == ENDS)
            .then(|| current.digit())
            .flatten();
        current.payload.end = true;
        current.ends_left -= 1;
        current.last = now;
        let send = Some(current.emit());
        let mut over = None;
        if current.ends_left == 0 {
            over = Some((current.start, current.payload.duration));
            self.over = Some((current.source, current.payload.event));
            self.current = None;
        }
        Step { send, digit, over }
    }
}

impl Current {
    fn emit(&mut self) -> Emission {
        Emission {
            payload: self.payload,
            start: self.start,
            marker: std::mem::take(&mut self.first),
        }
    }

    fn digit(&self) -> Option<Digit> {
        let ticks = self.before.saturating_add(self.payload.duration.into());
        Some(Digit {
            digit: self.payload.digit()?,
            duration_ms: ticks / (EVENT_CLOCK / 1000),
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;

    fn payload(event: u8, end: bool, duration: u16) -> Payload {
        Payload {
            event,
            end,
            volume: 10,
            duration,
        }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn payloads_are_read_as_written() {
        for event in 0..=16 {
            let payload = payload(event, event % 2 == 0, 1_600);
            assert_eq!(Payload::parse(&payload.to_bytes()), Some(payload));
        }
        assert_eq!(payload(11, false, 0).digit(), Some('#'));
        assert_eq!(
            payload(16, false, 0).digit(),
            None,
            "hook flash is no digit"
        );
        assert_eq!(Payload::parse(&[1, 2, 3]), None);
    }

    #[test]
    fn an_event_leaves_with_one_marker_and_three_ends() {
        let (mut relay, now) = (Relay::default(), Instant::now());
        let mut sent = Vec::new();
        for n in 1..=5 {
            sent.extend(
                relay
                    .receive(
                        now + ms(20 * n),
                        77,
                        payload(5, false, 160 * n as u16),
                        Some(9),
                    )
                    .send,
            );
        }
        let step = relay.receive(now + ms(120), 77, payload(5, true, 960), Some(9));
        assert_eq!(
            step.digit,
            Some(Digit {
                digit: '5',
                duration_ms: 120
            })
        );
        sent.extend(step.send);
        assert_eq!(
            relay.receive(now + ms(125), 77, payload(5, true, 960), None),
            Step::default()
        );
        assert_eq!(relay.timeout(now + ms(139)), Step::default());
        sent.extend(relay.timeout(now + ms(140)).send);
        let last = relay.timeout(now + ms(160));
        sent.extend(last.send);
        assert_eq!(last.over, Some((Some(9), 960)));
        assert!(!relay.active());
        assert_eq!(sent.len(), 8);
        assert_eq!(sent.iter().filter(|e| e.marker).count(), 1);
        assert!(sent[0].marker && sent.iter().all(|e| e.start == Some(9)));
        assert_eq!(sent.iter().filter(|e| e.payload.end).count(), 3);
        assert!(
            !relay.begins(77, payload(5, true, 960)),
            "a late end packet begins nothing"
        );
        assert_eq!(
            relay.receive(now + ms(200), 77, payload(5, true, 960), None),
            Step::default()
        );
    }

    #[test]
    fn an_event_whose_end_packets_were_lost_ends_by_itself() {
        let (mut relay, now) = (Relay::default(), Instant::now());
        relay.receive(now, 77, payload(5, false, 160), Some(9));
        assert_eq!(relay.timeout(now + ms(99)), Step::default());
        let step = relay.timeout(now + ms(100));
        assert!(step.send.unwrap().payload.end);
        assert_eq!(step.digit.unwrap().digit, '5');
    }

    #[test]
    fn an_event_of_which_only_an_end_packet_came_is_still_heard() {
        let (mut relay, now) = (Relay::default(), Instant::now());
        let step = relay.receive(now, 77, payload(5, true, 960), Some(9));
        assert!(step.send.unwrap().marker && step.digit.is_some());
    }

    #[test]
    fn a_key_held_for_ten_seconds_is_one_digit() {
        let (mut relay, now) = (Relay::default(), Instant::now());
        relay.receive(now, 1_000, payload(1, false, 0xffff), Some(9));
        let (next, later) = (payload(1, false, 160), now + ms(8_200));
        assert!(
            !relay.continues(now + ms(20), 1_000 + 0xffff, next, 1),
            "only by its own word"
        );
        assert!(relay.continues(later, 1_000 + 0xffff, next, 1));
        relay.segment(later, 1_000 + 0xffff, 0xffff);
        assert_eq!(relay.receive(later, 1_000 + 0xffff, next, None).digit, None);
        let step = relay.receive(
            later + ms(20),
            1_000 + 0xffff,
            payload(1, true, 14_465),
            None,
        );
        assert_eq!(step.digit.unwrap().duration_ms, 10_000);
    }
}
