//! What a voice says: a tone or silence in frames of 20 ms or as its plan has it, digits as RFC 4733 events in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::codec::{Encoder, OpusSettings};
use media::tone::Tone;
use sdp::Codec;

use super::VoicePlan;
use crate::dice::Dice;

/// Level of every tone, dBFS of a full-scale sine.
pub(super) const TONE_LEVEL: f64 = -10.0;
/// How long a digit lasts (100 ms), and a pause after it (60 ms), in samples at 8 kHz.
const DIGIT: u16 = 800;
const PAUSE: u16 = 480;
/// A frame of a plan that says nothing of its length, and the longest there is.
const FRAME: u16 = 160;
const LONGEST: u16 = 480;

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
    /// Ticks of the clock per sample at 8 kHz.
    ticks: u32,
    /// Samples at 8 kHz in frames, one after the other and from the beginning again.
    frames: Vec<u16>,
    /// Which of them is next.
    turn: usize,
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
    /// How long it has lasted, its pause included, in samples at 8 kHz.
    lasted: u16,
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
            ticks: match plan.codec {
                Codec::Opus => 6,
                _ => 1,
            },
            frames: frames(&plan.talk.packets),
            turn: 0,
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

    /// Samples in the next frame.
    fn frame(&self) -> u16 {
        self.frames[self.turn]
    }

    /// How long the next frame is.
    pub(super) fn length(&self) -> Duration {
        Duration::from_millis(u64::from(self.frame()) / 8)
    }

    /// The next frame's time is over.
    fn pass(&mut self) {
        let ticks = u32::from(self.frame()) * self.ticks;
        self.timestamp = self.timestamp.wrapping_add(ticks);
        self.turn = (self.turn + 1) % self.frames.len();
    }

    /// A frame's time passes without a packet.
    pub(super) fn skip(&mut self) {
        self.pass();
        self.marker = true;
    }

    /// The packets of the next frame: one of audio, or one of an event (three at its end).
    pub(super) fn next(&mut self, now: Instant, muted: bool) -> Vec<Vec<u8>> {
        if self.event.is_none()
            && self.pressed.front().is_some_and(|(at, _)| *at <= now)
            && let Some(code) = self.pressed.pop_front().and_then(|(_, digit)| code(digit))
        {
            self.event = Some(Event {
                code,
                timestamp: self.timestamp,
                lasted: 0,
            });
        }
        let packets = match self.event.take() {
            Some(event) if !muted => self.event_packets(event),
            _ => self.audio_packet(muted),
        };
        self.pass();
        packets
    }

    fn audio_packet(&mut self, muted: bool) -> Vec<Vec<u8>> {
        let pcm = &mut [0; LONGEST as usize][..usize::from(self.frame())];
        if let Some(tone) = &mut self.tone {
            tone.fill(pcm);
        }
        let mut payload = [0; 1_200];
        let Some(length) = self.encoder.encode(pcm, &mut payload).filter(|_| !muted) else {
            self.marker = true;
            return Vec::new();
        };
        let marker = std::mem::take(&mut self.marker);
        vec![self.packet(self.pt, marker, self.timestamp, &payload[..length])]
    }

    /// RFC 4733 §2.5.1: one packet per frame with a growing duration, the last one three times.
    /// The duration counts 8 kHz units, the timestamp stays the audio's at the start of the event.
    fn event_packets(&mut self, mut event: Event) -> Vec<Vec<u8>> {
        let before = event.lasted;
        event.lasted += self.frame();
        let mut packets = Vec::new();
        if before < DIGIT {
            let end = event.lasted >= DIGIT;
            let duration = event.lasted.to_be_bytes();
            let payload = [
                event.code,
                u8::from(end) << 7 | 10,
                duration[0],
                duration[1],
            ];
            for _ in 0..if end { 3 } else { 1 } {
                packets.push(self.packet(self.events, before == 0, event.timestamp, &payload));
            }
        } else {
            // The pause between two digits is spoken.
            packets = self.audio_packet(false);
        }
        if event.lasted < DIGIT + PAUSE {
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

/// Samples in frames of these lengths: those a codec can do, one of 20 ms where there is none.
fn frames(lengths: &[Duration]) -> Vec<u16> {
    let samples = lengths.iter().map(|length| length.as_millis() * 8);
    let mut frames: Vec<u16> = samples
        .filter_map(|samples| u16::try_from(samples).ok())
        .filter(|samples| [80, 160, 320, 480].contains(samples))
        .collect();
    if frames.is_empty() {
        frames.push(FRAME);
    }
    frames
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
