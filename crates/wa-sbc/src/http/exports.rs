//! `/metrics` of what leaves the house beside calls.

use std::sync::atomic::Ordering;

use super::Operator;
use super::exposition::Exposition;
use crate::acme::AcmeCounts;
use crate::hep::HepCounts;
use crate::otlp::OtlpCounts;

pub(super) fn of_exports(text: &mut Exposition, operator: &Operator) {
    of_hep(text, &operator.hep);
    of_otlp(text, &operator.otlp);
    of_acme(text, &operator.acme);
}

fn of_hep(text: &mut Exposition, counts: &HepCounts) {
    text.family(
        "wa_sbc_hep_sent_total",
        "counter",
        "Messages and reports sent to the HEP collector.",
    )
    .sample(&[], counts.sent.load(Ordering::Relaxed) as f64);
    let mut dropped = text.family(
        "wa_sbc_hep_dropped_total",
        "counter",
        "Messages and reports the HEP collector never saw, by reason.",
    );
    for (reason, count) in [
        ("queue_full", &counts.crowded),
        ("not_reached", &counts.unreached),
        ("too_long", &counts.oversized),
    ] {
        dropped.sample(&[("reason", reason)], count.load(Ordering::Relaxed) as f64);
    }
}

fn of_otlp(text: &mut Exposition, counts: &OtlpCounts) {
    text.family(
        "wa_sbc_otlp_sent_total",
        "counter",
        "Calls whose traces the collector took.",
    )
    .sample(&[], counts.sent.load(Ordering::Relaxed) as f64);
    let mut dropped = text.family(
        "wa_sbc_otlp_dropped_total",
        "counter",
        "Calls whose traces the collector never got, by reason.",
    );
    for (reason, count) in [
        ("queue_full", &counts.crowded),
        ("refused", &counts.refused),
        ("not_reached", &counts.unreached),
    ] {
        dropped.sample(&[("reason", reason)], count.load(Ordering::Relaxed) as f64);
    }
}

fn of_acme(text: &mut Exposition, counts: &AcmeCounts) {
    let mut orders = text.family(
        "wa_sbc_acme_orders_total",
        "counter",
        "Certificates asked for from the ACME authority, by how that ended.",
    );
    for (outcome, count) in [("obtained", &counts.obtained), ("failed", &counts.failed)] {
        orders.sample(
            &[("outcome", outcome)],
            count.load(Ordering::Relaxed) as f64,
        );
    }
}
