//! Says keys as tones.

use std::collections::VecDeque;
use std::f32::consts::TAU;

use super::{EVENTS, HIGH, LOW, RATE};
use crate::codec::SAMPLES_PER_MS;

/// The shortest tone: enough for every receiver of Q.24, and for the codecs on the way.
const SHORTEST: usize = 80 * SAMPLES_PER_MS;
/// The longest tone: longer is a key that leans against something.
const LONGEST: usize = 10_000 * SAMPLES_PER_MS;
/// The shortest pause between two.
const PAUSE: usize = 60 * SAMPLES_PER_MS;
/// Keys that can wait.
const ROOM: usize = 32;
/// Peak of the tone of a column: -7 dBm0; that of a row is 2 dB below (Q.23 allows 1 to 4).
const LOUD: f32 = 32_767.0 * 0.7 * 0.446;
const LESS: f32 = 0.794;

/// A voice that says keys, each at least 80 ms, one after the other.
#[derive(Debug)]
pub(crate) struct Voice {
    waiting: VecDeque<Key>,
    /// Of the first in line.
    said: usize,
    pause: usize,
    angles: [f32; 2],
}

#[derive(Clone, Copy, Debug)]
struct Key {
    event: u8,
    /// In samples, once it is released.
    lasts: Option<usize>,
}

impl Voice {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(ROOM),
            said: 0,
            pause: 0,
            angles: [0.0; 2],
        }
    }

    /// A key is down. One too many is not said.
    pub(crate) fn press(&mut self, event: u8) {
        if self.waiting.len() < ROOM {
            self.waiting.push_back(Key { event, lasts: None });
        }
    }

    /// The key pressed last is released, after so many samples.
    pub(crate) fn release(&mut self, lasted: usize) {
        if let Some(key) = self.waiting.back_mut() {
            key.lasts.get_or_insert(lasted.clamp(SHORTEST, LONGEST));
        }
    }

    /// Whether something is being said: other audio waits.
    pub(crate) fn speaks(&self) -> bool {
        !self.waiting.is_empty() || self.pause > 0
    }

    /// The next samples: tone, or the pause behind one.
    pub(crate) fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            *sample = self.sample();
        }
    }

    fn sample(&mut self) -> i16 {
        if self.pause > 0 {
            self.pause -= 1;
            return 0;
        }
        let Some(key) = self.waiting.front() else {
            return 0;
        };
        if self.said >= key.lasts.unwrap_or(LONGEST) {
            self.waiting.pop_front();
            (self.said, self.pause, self.angles) = (0, PAUSE - 1, [0.0; 2]);
            return 0;
        }
        let (row, column) = place(key.event);
        self.said += 1;
        let value = LOUD * (LESS * self.angles[0].sin() + self.angles[1].sin());
        for (angle, hertz) in self.angles.iter_mut().zip([LOW[row], HIGH[column]]) {
            *angle = (*angle + TAU * hertz / RATE) % TAU;
        }
        value as i16
    }
}

/// Row and column of an event.
fn place(event: u8) -> (usize, usize) {
    let find = |row: &[u8; 4]| row.iter().position(|one| *one == event);
    let mut rows = EVENTS.iter().enumerate();
    rows.find_map(|(at, row)| find(row).map(|column| (at, column)))
        .unwrap_or((3, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inband::{Change, Ear};

    #[test]
    fn every_key_is_said_as_long_as_it_was_held_and_heard_again() {
        for event in 0..16 {
            for ms in [20, 80, 300] {
                let (mut voice, mut ear) = (Voice::new(), Ear::new());
                voice.press(event);
                let mut pcm = [0; 160];
                voice.fill(&mut pcm);
                assert!(voice.speaks());
                voice.release(ms * SAMPLES_PER_MS);
                let (mut said, mut changes) = (pcm.to_vec(), Vec::new());
                changes.extend(ear.hear(&pcm));
                while voice.speaks() {
                    voice.fill(&mut pcm);
                    said.extend(pcm);
                    changes.extend(ear.hear(&pcm));
                }
                let last = said.iter().rposition(|sample| *sample != 0).unwrap() + 1;
                let wanted = (ms * SAMPLES_PER_MS).max(SHORTEST);
                assert!(last.abs_diff(wanted) <= 2, "{last} of {wanted}");
                let ups = changes
                    .iter()
                    .filter(|change| matches!(change, Change::Up(..)));
                assert_eq!(ups.count(), 1);
                let Some(Change::Up(heard, samples)) = changes.last().copied() else {
                    panic!("{changes:?}");
                };
                assert_eq!(heard, event);
                // From when it was recognised.
                let missing = wanted - samples as usize;
                assert!((200..=400).contains(&missing), "{missing}");
            }
        }
    }

    #[test]
    fn keys_wait_for_one_another_and_no_more_than_there_is_room_for() {
        let mut voice = Voice::new();
        for event in 0..40 {
            voice.press(event % 16);
            voice.release(0);
        }
        let (mut ear, mut pcm, mut heard) = (Ear::new(), [0; 160], Vec::new());
        while voice.speaks() {
            voice.fill(&mut pcm);
            if let Some(Change::Up(event, _)) = ear.hear(&pcm) {
                heard.push(event);
            }
        }
        let expected: Vec<u8> = (0..ROOM as u8).map(|event| event % 16).collect();
        assert_eq!(heard, expected);
    }
}
