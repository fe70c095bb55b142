//! What media reports about a call: plain figures for the record of the call and the metrics.

use std::time::Duration;

/// Figures of one leg. "Received" is what came from the far side, "sent" what we sent to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegReport {
    /// RTP packets received and accepted.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP payload octets received.
    pub octets_received: u64,
    /// RTP payload octets sent.
    pub octets_sent: u64,
    /// Packets of the far side that never came (RFC 3550 A.3).
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Interarrival jitter of what we received, at the end of the call (RFC 3550 A.8).
    pub jitter: Duration,
    /// Audio made up because packets were missing.
    pub concealed: Duration,
    /// Digits received (RFC 4733 events, each counted once).
    pub digits_received: u32,
    /// Packets dropped because their SRTP or SRTCP tag was wrong, or they were replayed.
    pub undecryptable: u64,
    /// Packets dropped because they came from nowhere we believe.
    pub foreign: u64,
    /// Packets dropped because they were no RTP or RTCP, or of an unknown payload type.
    pub malformed: u64,
    /// Packets for this leg dropped because its gate was shut.
    pub clipped: u64,
    /// RTCP packets received.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Fraction of our packets lost on the way there, as the far side last reported (0.0 to 1.0).
    pub remote_loss: Option<f32>,
    /// Round trip computed from the far side's RTCP reports (RFC 3550 §6.4.1).
    pub round_trip: Option<Duration>,
    /// From `start` of the media session to the first packet received.
    pub first_received: Option<Duration>,
    /// From `start` of the media session to the first packet sent.
    pub first_sent: Option<Duration>,
    /// From the opening of the gate to the first packet *carrying the other leg's audio* (not filler) sent.
    pub first_audio_sent: Option<Duration>,
}

/// Figures of both legs of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaReport {
    /// Index by [`crate::Side::index`].
    pub legs: [LegReport; 2],
}
