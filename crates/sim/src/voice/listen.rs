//! What a voice hears: audio laid out on its own timestamps, window by window of 10 ms.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media::codec::{Decoder, MAX_SAMPLES};
use media::tone::level_dbfs;
use sdp::Codec;

use super::say::{TONE_LEVEL, digit};
use crate::report::Heard;

/// Samples of a window: 10 ms at 8 kHz.
const WINDOW: usize = 80;
/// A window has the tone when it is at most this much below what was said.
const TOLERANCE: f64 = 12.0;
/// Longest hole in a tone that counts as none, in windows.
const HOLE: i64 = 4;

/// One end's ear.
#[derive(Debug)]
pub(super) struct Listener {
    decoder: Decoder,
    expect: Option<f64>,
    /// Level of the expected tone per window since the first packet.
    windows: BTreeMap<i64, f64>,
    /// Windows covered by events instead of audio.
    pressed: Vec<(i64, i64)>,
    event: Option<Pressing>,
    /// Samples since the first audio packet at the moment of the last one.
    position: i64,
    done: Option<u32>,
}

/// A digit coming in.
#[derive(Clone, Copy, Debug)]
struct Pressing {
    timestamp: u32,
    began: Instant,
    /// Where on the timeline of windows it began.
    window: i64,
}

impl Listener {
    pub(super) fn new(codec: Codec, expect: Option<f64>) -> Result<Self, String> {
        Ok(Self {
            decoder: Decoder::new(codec).map_err(|why| format!("decoder: {why}"))?,
            expect,
            windows: BTreeMap::new(),
            pressed: Vec::new(),
            event: None,
            position: 0,
            done: None,
        })
    }

    /// A payload at `position` samples (8 kHz) behind the first packet. `None`: not decodable.
    pub(super) fn hear(&mut self, payload: &[u8], position: i64) -> Option<()> {
        let mut pcm = [0; MAX_SAMPLES];
        let length = self.decoder.decode(payload, &mut pcm)?;
        self.position = position + length as i64;
        let Some(expect) = self.expect else {
            return Some(());
        };
        for (i, window) in pcm[..length].chunks_exact(WINDOW).enumerate() {
            self.windows.insert(
                position.div_euclid(WINDOW as i64) + i as i64,
                level_dbfs(window, expect),
            );
        }
        Some(())
    }

    /// A packet of an event. A whole digit comes out at its first packet with the end bit: the digit,
    /// its duration by the 8 kHz count, and by our clock.
    pub(super) fn event(
        &mut self,
        now: Instant,
        timestamp: u32,
        payload: &[u8],
    ) -> Option<(char, u32, Duration)> {
        let [code, flags, high, low, ..] = *payload else {
            return None;
        };
        let digit = digit(code)?;
        if self.done == Some(timestamp) {
            return None;
        }
        let window = self.position.div_euclid(WINDOW as i64);
        let pressing = match self.event {
            Some(pressing) if pressing.timestamp == timestamp => pressing,
            _ => *self.event.insert(Pressing {
                timestamp,
                began: now,
                window,
            }),
        };
        let duration_ms = u32::from(u16::from_be_bytes([high, low])) / 8;
        if flags & 0x80 == 0 {
            return None;
        }
        self.done = Some(timestamp);
        self.event = None;
        // A little slack on both ends: frames around the digit may be cut.
        self.pressed.push((
            pressing.window - 3,
            pressing.window + i64::from(duration_ms / 10) + 6,
        ));
        Some((
            digit,
            duration_ms,
            now.saturating_duration_since(pressing.began) + Duration::from_millis(20),
        ))
    }

    /// Fills the tone part of the verdict.
    pub(super) fn judge(&self, heard: &mut Heard) {
        heard.expected_hz = self.expect;
        heard.level_db = -120.0;
        heard.level_error_db = -120.0 - TONE_LEVEL;
        let toned: Vec<i64> = self
            .windows
            .iter()
            .filter(|(_, level)| **level >= TONE_LEVEL - TOLERANCE)
            .map(|(at, _)| *at)
            .collect();
        let (Some(first), Some(last)) = (toned.first().copied(), toned.last().copied()) else {
            return;
        };
        let mut levels: Vec<f64> = toned
            .iter()
            .filter_map(|at| self.windows.get(at).copied())
            .collect();
        levels.sort_by(f64::total_cmp);
        heard.level_db = levels[levels.len() / 2];
        heard.level_error_db = heard.level_db - TONE_LEVEL;
        heard.first_tone_ms = Some(first * 10);
        heard.tone_ms = toned.len() as u64 * 10;
        let excused = |at: i64| {
            self.pressed
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
        };
        let mut before = first - 1;
        let mut missing = 0;
        for at in toned {
            let hole = (before + 1..at).filter(|w| !excused(*w)).count() as i64;
            missing += hole;
            if hole > HOLE {
                heard.tone_gaps += 1;
                heard.longest_tone_gap_ms = heard.longest_tone_gap_ms.max(hole as u64 * 10);
            }
            before = at;
        }
        let span = (last - first + 1) as f64;
        heard.tone_share = (span - missing as f64) / span;
        // Less than 200 ms of tone proves nothing.
        heard.tone_found = heard.tone_share >= 0.9 && span >= 20.0;
    }
}
