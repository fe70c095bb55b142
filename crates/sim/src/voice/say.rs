//! What a voice says: a tone or silence in 20 ms frames, digits as RFC 4733 events in between.

use std::collections::VecDeque;
use std::time::Instant;

use media::codec::{Encoder, OpusSettings};
use media::tone::Tone;
use sdp::Codec;

use super::VoicePlan;
use crate::dice::Dice;

/// Level of every tone, dBFS of a full-scale sine.
pub(super) const TONE_LEVEL: f64 = -10.0;
/// Frames a digit lasts (100 ms), and pauses after it (60 ms).
const DIGIT_FRAMES: u16 = 5;
const PAUSE_FRAMES: u16 = 3;

/// One end's speech: own sequence, own timestamp line, one SSRC.
#[derive(Debug)]
pub(super) struct Speaker {
    encoder: Encoder,
    tone: Option<Tone>,
    pt: u8,
    events: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    step: u32,
    marker: bool,
    pressed: VecDeque<(Instant, char)>,
    event: Option<Event>,
    pub(super) packets: u64,
    pub(super) octets: u64,
}

/// A digit going out.
#[derive(Debug)]
struct Event {
    code: u8,
    timestamp: u32,
    frames: u16,
}

impl Speaker {
    pub(super) fn new(plan: &VoicePlan, _now: Instant) -> Result<Self, String> {
        let mut dice = Dice::new(plan.seed);
        let opus = OpusSettings {
            complexity: 0,
            ..OpusSettings::default()
        };
        Ok(Self {
            encoder: Encoder::new(plan.codec, &opus).map_err(|why| format!("encoder: {why}"))?,
            tone: plan.talk.tone.map(|hertz| Tone::new(hertz, TONE_LEVEL)),
            pt: plan.pt,
            events: plan.send_events,
            ssrc: plan.ssrc,
            // Below 2^15, so that no one can lose count of the roll-over (RFC 3711 3.3.1).
            sequence: dice.below(0x7fff) as u16,
            timestamp: dice.roll() as u32,
            step: match plan.codec {
                Codec::Opus => 960,
                _ => 160,
            },
            marker: true,
            pressed: VecDeque::new(),
            event: None,
            packets: 0,
            octets: 0,
        })
    }

    /// Presses digits from `at` on.
    pub(super) fn press_at(&mut self, at: Instant, digits: &str) {
        self.pressed.extend(
            digits
                .chars()
                .filter(|c| code(*c).is_some())
                .map(|c| (at, c)),
        );
    }

    /// The timestamp of the next frame.
    pub(super) fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// A frame's time passes without a packet.
    pub(super) fn skip(&mut self) {
        self.skip_frames(1);
    }

    /// The time of several frames passes without a packet.
    pub(super) fn skip_frames(&mut self, frames: u32) {
        self.timestamp = self.timestamp.wrapping_add(self.step.wrapping_mul(frames));
        self.marker = true;
    }

    /// The packets of the next 20 ms: one of audio, or one of an event (three at its end).
    pub(super) fn next(&mut self, now: Instant, muted: bool) -> Vec<Vec<u8>> {
        if self.event.is_none()
            && self.pressed.front().is_some_and(|(at, _)| *at <= now)
            && let Some(code) = self.pressed.pop_front().and_then(|(_, digit)| code(digit))
        {
            self.event = Some(Event {
                code,
                timestamp: self.timestamp,
                frames: 0,
            });
        }
        let packets = match self.event.take() {
            Some(event) if !muted => self.event_packets(event),
            _ => self.audio_packet(muted),
        };
        self.timestamp = self.timestamp.wrapping_add(self.step);
        packets
    }

    fn audio_packet(&mut self, muted: bool) -> Vec<Vec<u8>> {
        let mut pcm = [0; 160];
        if let Some(tone) = &mut self.tone {
            tone.fill(&mut pcm);
        }
        let mut payload = [0; 1_200];
        let Some(length) = self.encoder.encode(&pcm, &mut payload).filter(|_| !muted) else {
            self.marker = true;
            return Vec::new();
        };
        let marker = std::mem::take(&mut self.marker);
        vec![self.packet(self.pt, marker, self.timestamp, &payload[..length])]
    }

    /// RFC 4733 §2.5.1: one packet per frame with a growing duration, the last one three times.
    /// The duration counts 8 kHz units, the timestamp stays the audio's at the start of the event.
    fn event_packets(&mut self, mut event: Event) -> Vec<Vec<u8>> {
        event.frames += 1;
        let mut packets = Vec::new();
        if event.frames <= DIGIT_FRAMES {
            let end = event.frames == DIGIT_FRAMES;
            let duration = (event.frames * 160).to_be_bytes();
            let payload = [
                event.code,
                u8::from(end) << 7 | 10,
                duration[0],
                duration[1],
            ];
            for _ in 0..if end { 3 } else { 1 } {
                packets.push(self.packet(
                    self.events,
                    event.frames == 1,
                    event.timestamp,
                    &payload,
                ));
            }
        } else {
            // The pause between two digits is spoken.
            packets = self.audio_packet(false);
        }
        if event.frames < DIGIT_FRAMES + PAUSE_FRAMES {
            self.event = Some(event);
        }
        packets
    }

    fn packet(&mut self, pt: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + payload.len());
        bytes.extend([0x80, u8::from(marker) << 7 | pt]);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
        bytes
    }
}

/// The event code of a digit (RFC 4733 §3.2).
pub(super) fn code(digit: char) -> Option<u8> {
    "0123456789*#ABCD"
        .find(digit.to_ascii_uppercase())
        .and_then(|at| u8::try_from(at).ok())
}

/// The digit of an event code.
pub(super) fn digit(code: u8) -> Option<char> {
    "0123456789*#ABCD".chars().nth(usize::from(code))
}
