//! `/metrics` of how the legs of answered calls sounded.

use super::exposition::Exposition;
use crate::meters::{Counted, Histogram, LegMeters};

/// Name, help, and the figure.
type CounterOfLeg = (&'static str, &'static str, fn(&LegMeters) -> f64);
/// The same for histograms.
type HistogramOfLeg = (&'static str, &'static str, fn(&LegMeters) -> &Histogram);

pub(super) fn of_legs(text: &mut Exposition, counted: &Counted) {
    let legs: Vec<_> = ["carrier", "pbx"].into_iter().zip(&counted.legs).collect();
    let histograms: [HistogramOfLeg; 4] = [
        (
            "wa_sbc_leg_loss_ratio",
            "Share of packets of an answered call that never came.",
            |leg| &leg.loss,
        ),
        (
            "wa_sbc_leg_jitter_seconds",
            "Interarrival jitter at the end of an answered call.",
            |leg| &leg.jitter,
        ),
        (
            "wa_sbc_leg_round_trip_seconds",
            "Round trip by the far side's RTCP.",
            |leg| &leg.round_trip,
        ),
        (
            "wa_sbc_leg_mos",
            "Mean opinion score (ITU-T G.107) of what came from the leg in an answered call.",
            |leg| &leg.mos,
        ),
    ];
    for (name, help, of) in histograms {
        let mut samples = text.family(name, "histogram", help);
        legs.iter()
            .for_each(|(leg, meters)| samples.histogram(&[("leg", leg)], of(meters)));
    }
    let counters: [CounterOfLeg; 4] = [
        (
            "wa_sbc_leg_undecryptable_packets_total",
            "Packets whose SRTP tag was wrong.",
            |leg| leg.undecryptable as f64,
        ),
        (
            "wa_sbc_leg_foreign_packets_total",
            "Packets from nowhere we believe.",
            |leg| leg.foreign as f64,
        ),
        (
            "wa_sbc_leg_concealed_seconds_total",
            "Audio made up because packets were missing.",
            |leg| leg.concealed,
        ),
        (
            "wa_sbc_leg_mute_calls_total",
            "Answered calls in which the leg sent no packet.",
            |leg| leg.mute as f64,
        ),
    ];
    for (name, help, of) in counters {
        let mut samples = text.family(name, "counter", help);
        legs.iter()
            .for_each(|(leg, meters)| samples.sample(&[("leg", leg)], of(meters)));
    }
}
