//! Counters of one leg as plain integers; [`sdp::report::LegReport`] is their snapshot.

use std::time::{Duration, Instant};

use sdp::Codec;
use sdp::report::LegReport;

use crate::codec::SAMPLES_PER_MS;
use crate::quality::{Conditions, VoipMetrics, mos, rating};
use crate::rx::Receiver;

/// What is counted while packets pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) packets_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) octets_received: u64,
    pub(crate) octets_sent: u64,
    /// Samples at 8 kHz made up for this leg's missing packets.
    pub(crate) concealed: u64,
    pub(crate) digits_received: u32,
    pub(crate) undecryptable: u64,
    pub(crate) foreign: u64,
    pub(crate) malformed: u64,
    pub(crate) clipped: u32,
    /// Packets that came after their moment in the jitter buffer.
    pub(crate) late: u32,
    pub(crate) rtcp_received: u32,
    pub(crate) rtcp_sent: u32,
    /// The share of our packets the far side missed lately, in 256ths.
    pub(crate) remote_loss: Option<u8>,
    /// Packets of ours the far side missed since the beginning.
    pub(crate) remote_lost: u32,
    /// Jitter of our packets there.
    pub(crate) remote_jitter: Micros,
    pub(crate) round_trip: Option<Micros>,
    pub(crate) first_received: Option<Instant>,
    pub(crate) first_sent: Option<Instant>,
    pub(crate) first_audio_sent: Option<Instant>,
    pub(crate) last_received: Option<Instant>,
    pub(crate) last_sent: Option<Instant>,
    /// Audio that waited for the leg's way to be proven.
    pub(crate) held: Micros,
}

/// A duration in microseconds: up to 71 minutes in a quarter of the room, and a call keeps six of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Micros(u32);

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        Self(duration.as_micros().try_into().unwrap_or(u32::MAX))
    }
}

impl From<Micros> for Duration {
    fn from(Micros(micros): Micros) -> Self {
        Duration::from_micros(micros.into())
    }
}

impl Counters {
    /// The report of a leg. `started`: the session; `opened`: the leg's gate.
    pub(crate) fn report(
        &self,
        started: Instant,
        opened: Option<Instant>,
        rx: &Receiver,
        codec: Codec,
    ) -> LegReport {
        let figures = rx.figures();
        let received = self.received(rx, codec);
        let sent = self.sent(codec);
        let score = |conditions| mos(rating(&conditions)) as f32;
        let since = |from: Instant| move |at: Instant| at.saturating_duration_since(from);
        LegReport {
            packets_received: self.packets_received,
            packets_sent: self.packets_sent,
            octets_received: self.octets_received,
            octets_sent: self.octets_sent,
            lost: figures.lost(),
            reordered: figures.reordered,
            duplicates: figures.duplicates,
            jitter: rx.jitter_time(),
            concealed: Duration::from_micros(self.concealed * 1_000 / SAMPLES_PER_MS as u64),
            digits_received: self.digits_received,
            undecryptable: self.undecryptable,
            foreign: self.foreign,
            malformed: self.malformed,
            clipped: self.clipped.into(),
            late: self.late.into(),
            recut: 0, // the path knows
            rtcp_received: self.rtcp_received.into(),
            rtcp_sent: self.rtcp_sent.into(),
            remote_loss: self.remote_loss.map(|lost| f32::from(lost) / 256.0),
            remote_lost: self.remote_loss.map(|_| self.missed()),
            remote_jitter: self.remote_loss.map(|_| self.remote_jitter.into()),
            round_trip: self.round_trip.map(Into::into),
            first_received: self.first_received.map(since(started)),
            first_sent: self.first_sent.map(since(started)),
            last_received: self.last_received.map(since(started)),
            last_sent: self.last_sent.map(since(started)),
            held: self.held.into(),
            clock_drift_ppm: rx.drift_ppm(),
            mos_received: received.map(score),
            mos_sent: sent.map(score),
            first_audio_sent: opened.and_then(|opened| self.first_audio_sent.map(since(opened))),
        }
    }

    /// What the model has to know of what came from the far side; `None` before enough came to judge by.
    fn received(&self, rx: &Receiver, codec: Codec) -> Option<Conditions> {
        let figures = rx.figures();
        (figures.received > 0 && figures.expected >= JUDGED).then(|| Conditions {
            codec,
            loss: figures.lost() as f64 / figures.expected.max(1) as f64,
            burstiness: rx.bursts().burstiness,
            delay: self.delay(rx.jitter_time()),
        })
    }

    /// The same of what we sent, by the far side's reports; `None` before one came.
    fn sent(&self, codec: Codec) -> Option<Conditions> {
        self.remote_loss.filter(|_| self.packets_sent >= JUDGED)?;
        Some(Conditions {
            codec,
            loss: self.missed() as f64 / self.packets_sent as f64,
            burstiness: 1.0,
            delay: self.delay(self.remote_jitter.into()),
        })
    }

    /// Packets of ours the far side missed: no more than there were, whatever it says.
    fn missed(&self) -> u64 {
        self.packets_sent.min(self.remote_lost.into())
    }

    /// From one side of the leg to the ear on the other: the way, a packet, and the jitter buffer that
    /// a telephone needs for this jitter.
    fn delay(&self, jitter: Duration) -> Duration {
        self.trip() / 2 + PACKET + 2 * jitter
    }

    /// The round trip; nothing before one is known.
    fn trip(&self) -> Duration {
        self.round_trip.unwrap_or_default().into()
    }

    /// The leg's metrics for an extended report; `None` before anything came.
    pub(crate) fn voip_metrics(&self, rx: &Receiver, codec: Codec) -> Option<VoipMetrics> {
        let conditions = self.received(rx, codec)?;
        let listening = Conditions {
            delay: Duration::ZERO,
            ..conditions
        };
        let rated = rating(&conditions);
        Some(VoipMetrics {
            ssrc: rx.source()?,
            loss: conditions.loss,
            discarded: f64::from(self.late) / rx.figures().expected.max(1) as f64,
            bursts: rx.bursts(),
            packet: PACKET,
            round_trip: self.trip(),
            end_system: PACKET,
            rating: rated,
            mos_listening: mos(rating(&listening)),
            mos_conversing: mos(rated),
        })
    }
}

/// Packets there have to be before they are judged, a second of them: of less, a score says nothing.
const JUDGED: u64 = 50;

/// The usual packet.
const PACKET: Duration = Duration::from_millis(20);
