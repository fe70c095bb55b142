//! What media reports about a call: plain figures for the record of the call and the metrics.

use std::fmt;
use std::net::SocketAddr;
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
    /// Packets of the far side that came after their moment: the one a jitter buffer decided on or, where there is none, a second
    /// after others had to take their place.
    pub late: u64,
    /// Packets of the far side that could have passed, and were decoded and encoded anew because the other leg takes one length of
    /// packets only.
    pub recut: u64,
    /// RTCP packets received.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Fraction of our packets lost on the way there, as the far side last reported (0.0 to 1.0).
    pub remote_loss: Option<f32>,
    /// Packets of ours the far side missed since the beginning, by its last report.
    pub remote_lost: Option<u64>,
    /// Interarrival jitter of our packets there, by its last report.
    pub remote_jitter: Option<Duration>,
    /// Round trip computed from the far side's RTCP reports (RFC 3550 §6.4.1): the last one.
    pub round_trip: Option<Duration>,
    /// From `start` of the media session to the first packet received.
    pub first_received: Option<Duration>,
    /// From `start` of the media session to the first packet sent.
    pub first_sent: Option<Duration>,
    /// From the opening of the gate to the first packet *carrying the other leg's audio* (not filler) sent.
    pub first_audio_sent: Option<Duration>,
    /// From `start` of the media session to the last packet received.
    pub last_received: Option<Duration>,
    /// From `start` of the media session to the last packet sent.
    pub last_sent: Option<Duration>,
    /// Audio for this leg that was held because its way was not proven, and played then.
    pub held: Duration,
    /// How much faster the far side's clock is than ours, in parts per million; negative: slower.
    pub clock_drift_ppm: Option<f32>,
    /// Mean opinion score of what came from the far side (ITU-T G.107), 1.0 to 4.5.
    pub mos_received: Option<f32>,
    /// The same of what the far side got from us, by its reports.
    pub mos_sent: Option<f32>,
}

impl LegReport {
    /// The figures of a leg whose far side was another one before: `self` are the later ones.
    #[must_use]
    pub fn after(self, before: &LegReport) -> LegReport {
        LegReport {
            packets_received: self.packets_received + before.packets_received,
            packets_sent: self.packets_sent + before.packets_sent,
            octets_received: self.octets_received + before.octets_received,
            octets_sent: self.octets_sent + before.octets_sent,
            lost: self.lost + before.lost,
            reordered: self.reordered + before.reordered,
            duplicates: self.duplicates + before.duplicates,
            jitter: self.jitter,
            concealed: self.concealed + before.concealed,
            digits_received: self.digits_received + before.digits_received,
            undecryptable: self.undecryptable + before.undecryptable,
            foreign: self.foreign + before.foreign,
            malformed: self.malformed + before.malformed,
            clipped: self.clipped + before.clipped,
            late: self.late + before.late,
            recut: self.recut + before.recut,
            rtcp_received: self.rtcp_received + before.rtcp_received,
            rtcp_sent: self.rtcp_sent + before.rtcp_sent,
            remote_loss: self.remote_loss.or(before.remote_loss),
            remote_lost: [self.remote_lost, before.remote_lost]
                .into_iter()
                .flatten()
                .reduce(|later, earlier| later + earlier),
            remote_jitter: self.remote_jitter.or(before.remote_jitter),
            round_trip: self.round_trip.or(before.round_trip),
            first_received: before.first_received.or(self.first_received),
            first_sent: before.first_sent.or(self.first_sent),
            first_audio_sent: before.first_audio_sent.or(self.first_audio_sent),
            last_received: self.last_received.or(before.last_received),
            last_sent: self.last_sent.or(before.last_sent),
            held: self.held + before.held,
            clock_drift_ppm: self.clock_drift_ppm.or(before.clock_drift_ppm),
            mos_received: self.mos_received.or(before.mos_received),
            mos_sent: self.mos_sent.or(before.mos_sent),
        }
    }
}

/// Figures of both legs of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaReport {
    /// Index by [`crate::Side::index`].
    pub legs: [LegReport; 2],
}

/// Why a packet of a leg with keys could not be opened (RFC 3711 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Its authentication tag is wrong: another key than agreed, or none, or it was changed on the way.
    Tag,
    /// It came before, or is too old to tell.
    Replay,
    /// Its master key identifier names no key of ours.
    Mki,
}

impl Unopened {
    /// A stable label for logs and listeners.
    pub const fn label(self) -> &'static str {
        match self {
            Unopened::Tag => "tag",
            Unopened::Replay => "replay",
            Unopened::Mki => "mki",
        }
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unopened::Tag => "wrong tag",
            Unopened::Replay => "replayed",
            Unopened::Mki => "no key of that MKI",
        })
    }
}

/// One report block (RFC 3550 §6.4.1): how a source is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The source reported on.
    pub ssrc: u32,
    /// Fraction lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; may be negative with duplicates.
    pub lost: i32,
    /// Extended highest sequence number received (low 32 bits).
    pub highest: u32,
    /// Interarrival jitter in ticks of the source's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report; 0 if none came.
    pub last_report: u32,
    /// Delay since that report in 1/65536 s.
    pub delay: u32,
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Wall clock, 32.32 fixed point seconds.
    pub ntp: u64,
    /// The same moment on the line of RTP timestamps.
    pub timestamp: u32,
    /// RTP packets sent (low 32 bits).
    pub packets: u32,
    /// RTP payload octets sent (low 32 bits).
    pub octets: u32,
}

/// An RTCP report of ours, as it left for a leg's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentReport {
    /// Where it went.
    pub to: SocketAddr,
    /// From our RTP port, with RTP and RTCP multiplexed (RFC 5761).
    pub multiplexed: bool,
    /// The source that reports: ours towards this leg.
    pub ssrc: u32,
    /// What it says of what it sent; `None` in a receiver report.
    pub sender: Option<SenderReport>,
    /// How it receives the leg's peer; `None` before anything came.
    pub block: Option<Block>,
}
