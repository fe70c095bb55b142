//! Counters of one leg as plain integers; [`sdp::report::LegReport`] is their snapshot.

use std::time::{Duration, Instant};

use sdp::report::LegReport;

use crate::codec::SAMPLES_PER_MS;
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
    pub(crate) clipped: u64,
    pub(crate) rtcp_received: u64,
    pub(crate) rtcp_sent: u64,
    pub(crate) remote_loss: Option<f32>,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) first_received: Option<Instant>,
    pub(crate) first_sent: Option<Instant>,
    pub(crate) first_audio_sent: Option<Instant>,
    pub(crate) last_received: Option<Instant>,
    pub(crate) last_sent: Option<Instant>,
    /// Audio that waited for the leg's way to be proven.
    pub(crate) held: Duration,
}

impl Counters {
    /// The report of a leg. `started`: the session; `opened`: the leg's gate.
    pub(crate) fn report(
        &self,
        started: Instant,
        opened: Option<Instant>,
        rx: &Receiver,
    ) -> LegReport {
        let figures = rx.figures();
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
            clipped: self.clipped,
            rtcp_received: self.rtcp_received,
            rtcp_sent: self.rtcp_sent,
            remote_loss: self.remote_loss,
            round_trip: self.round_trip,
            first_received: self.first_received.map(since(started)),
            first_sent: self.first_sent.map(since(started)),
            last_received: self.last_received.map(since(started)),
            last_sent: self.last_sent.map(since(started)),
            held: self.held,
            first_audio_sent: opened.and_then(|opened| self.first_audio_sent.map(since(opened))),
        }
    }
}
