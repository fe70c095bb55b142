//! How the engine works, and why a session may not start.

use std::time::{Duration, Instant};

use sdp::Side;

use crate::codec::{CodecError, OpusSettings};

/// How the engine works, the same for all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Effort of the Opus encoder, 0 to 10.
    pub opus_complexity: u8,
    /// Bits per second of the Opus encoder.
    pub opus_bitrate: u32,
    /// Send in-band forward error correction in Opus.
    pub fec: bool,
    /// Loss the Opus encoder prepares for, in percent.
    pub expected_loss: u8,
    /// The most audio that is held until the way to a leg is proven ([`sdp::plan::Proof`]); zero: none.
    pub preroll: Duration,
    /// A moment in both reckonings, for the NTP timestamps of sender reports: an instant, and the same
    /// as time since the Unix epoch. Without it the reports count from the start of the session, which
    /// is enough for round trips (RFC 3550 §4).
    pub wall: Option<(Instant, Duration)>,
    /// Tell every RTCP report that leaves ([`crate::Outbox::report`]).
    pub tell_reports: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let opus = OpusSettings::default();
        Self {
            opus_complexity: opus.complexity,
            opus_bitrate: opus.bitrate,
            fec: opus.fec,
            expected_loss: opus.expected_loss,
            preroll: Duration::from_millis(600),
            wall: None,
            tell_reports: false,
        }
    }
}

impl EngineSettings {
    /// `now` as time since the Unix epoch.
    pub(crate) fn time_of_day(&self, now: Instant) -> Duration {
        match self.wall {
            None => Duration::ZERO,
            Some((at, since_epoch)) => match now.checked_duration_since(at) {
                Some(later) => since_epoch + later,
                None => since_epoch.saturating_sub(at.saturating_duration_since(now)),
            },
        }
    }

    pub(crate) fn opus(&self) -> OpusSettings {
        OpusSettings {
            complexity: self.opus_complexity,
            bitrate: self.opus_bitrate,
            fec: self.fec,
            expected_loss: self.expected_loss,
        }
    }
}

/// Why a session could not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// The leg at fault.
    pub side: Side,
    /// What is wrong with its codec.
    pub why: CodecError,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "media of leg {:?}: {}", self.side, self.why)
    }
}

impl std::error::Error for StartError {}
