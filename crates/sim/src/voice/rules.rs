//! What a packet that came is held to: one SSRC, the agreed payload types, 20 ms, a timestamp line that keeps to the clock
//! (Meta reference 10.1, 10.6). Apart from the speaking, and with a reader of its own: the judge shares no code with the judged.

use std::time::{Duration, Instant};

use super::{Strictness, Voice, VoiceEvent};
use crate::report::millis;

/// How far the timestamp line may part from the clock.
const DRIFT: Duration = Duration::from_millis(400);

/// The sequence and timestamp line of what comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Extended number of the first and of the highest packet.
    pub(super) sequence: Option<(u64, u64)>,
    /// Arrival and unwrapped timestamp of the first audio packet, and the last audio timestamp.
    pub(super) audio: Option<(Instant, u32, i64)>,
    /// Sequence number of the last audio packet.
    pub(super) last_audio: Option<u16>,
    pub(super) last_arrival: Option<Instant>,
    pub(super) received: u64,
}

impl Voice {
    /// A plain RTP packet stands in `self.packet`.
    pub(super) fn rtp(&mut self, now: Instant) {
        let strict = self.plan.strictness == Strictness::Meta;
        let Some(header) = Header::read(self.packet.as_slice()) else {
            self.heard.bad += 1;
            return self.broken("rtp", "a packet that is no RTP".into());
        };
        let payload = self.packet.as_slice()[header.payload.clone()].to_vec();
        if strict && header.extension {
            self.broken(
                "extension",
                "an RTP header extension nobody negotiated".into(),
            );
        }
        if self.sources.insert(header.ssrc) {
            if self.sources.len() > 1 && strict {
                let all = self.sources.len();
                self.broken("ssrc", format!("{all} SSRCs in one call, one is allowed"));
            }
            if strict
                && self
                    .plan
                    .announced
                    .is_some_and(|announced| announced != header.ssrc)
            {
                self.broken(
                    "announced",
                    "an SSRC other than the one the SDP announced".into(),
                );
            }
        }
        self.count(now, header.sequence);
        if header.pt == self.plan.pt {
            self.audio(now, &header, &payload);
        } else if Some(header.pt) == self.plan.receive_events
            || (self.plan.receive_events.is_none() && header.pt == 126 && strict)
        {
            if let Some((digit, duration_ms, elapsed)) =
                self.listener.event(now, header.timestamp, &payload)
            {
                self.heard.digits.push(digit);
                if strict && duration_ms > millis(elapsed) as u32 + 200 {
                    self.broken(
                        "duration",
                        format!(
                            "digit of {duration_ms} ms in {} ms: not in 8 kHz units",
                            millis(elapsed)
                        ),
                    );
                }
                self.events
                    .push_back(VoiceEvent::Digit { digit, duration_ms });
            }
        } else {
            self.heard.bad += 1;
            self.broken(
                "pt",
                format!("payload type {} was not agreed on", header.pt),
            );
        }
    }

    /// An audio packet: ptime, timestamp line, then the ear.
    fn audio(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        let clock = i64::from(self.plan.codec.clock());
        let frame = clock / 50;
        self.heard.packets += 1;
        let (began, first, last) = *self
            .line
            .audio
            .get_or_insert((now, header.timestamp, -frame));
        let elapsed = i64::from(header.timestamp.wrapping_sub(first) as i32);
        self.line.audio = Some((began, first, last.max(elapsed)));
        let since = now.saturating_duration_since(began);
        self.reception.paced(since, clock, elapsed);
        let samples = media::codec::samples(self.plan.codec, payload).unwrap_or(0);
        if self.plan.strictness == Strictness::Meta {
            if samples != 160 {
                self.broken(
                    "ptime",
                    format!("a packet of {} ms instead of 20", samples / 8),
                );
            }
            // Within a spurt 20 ms are one frame; a marked packet, or the first behind a digit, may
            // lie anywhere ahead.
            let before = self.line.last_audio.replace(header.sequence);
            let follows = before == Some(header.sequence.wrapping_sub(1));
            let step = elapsed - last;
            if follows && (step <= 0 || (!header.marker && step != frame)) {
                self.broken(
                    "line",
                    format!("timestamp moved {step} ticks without a marker, {frame} make 20 ms"),
                );
            }
            let real =
                i64::try_from(millis(now.saturating_duration_since(began))).unwrap_or(i64::MAX);
            let told = elapsed * 1_000 / clock;
            if (real - told).unsigned_abs() > millis(DRIFT) {
                self.broken(
                    "drift",
                    format!("after {real} ms the timestamp line stands at {told} ms"),
                );
            }
        }
        if self
            .listener
            .hear(payload, elapsed * 8_000 / clock)
            .is_none()
        {
            self.heard.bad += 1;
            self.broken("decode", "audio that cannot be decoded".into());
        }
    }

    /// Sequence numbers and arrival gaps.
    fn count(&mut self, now: Instant, wire: u16) {
        self.line.received += 1;
        self.line.sequence = Some(match self.line.sequence {
            None => (u64::from(wire) + 0x1_0000, u64::from(wire) + 0x1_0000),
            Some((first, highest)) => {
                let step = i64::from(wire.wrapping_sub(highest as u16) as i16);
                (first, highest.max(highest.saturating_add_signed(step)))
            }
        });
        if let Some(last) = self.line.last_arrival.replace(now) {
            self.heard.longest_gap_ms = self
                .heard
                .longest_gap_ms
                .max(millis(now.saturating_duration_since(last)));
        }
    }
}

/// What we read of an RTP header (RFC 3550 §5.1).
struct Header {
    marker: bool,
    pt: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    extension: bool,
    payload: std::ops::Range<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; 12] = bytes.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut start = 12 + 4 * usize::from(fixed[0] & 0x0f);
        let extension = fixed[0] & 0x10 != 0;
        if extension {
            let words = u16::from_be_bytes([*bytes.get(start + 2)?, *bytes.get(start + 3)?]);
            start += 4 + 4 * usize::from(words);
        }
        let padding = if fixed[0] & 0x20 != 0 {
            usize::from(*bytes.last()?)
        } else {
            0
        };
        let end = bytes
            .len()
            .checked_sub(padding)
            .filter(|end| *end >= start)?;
        Some(Self {
            marker: fixed[1] & 0x80 != 0,
            pt: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            extension,
            payload: start..end,
        })
    }
}
