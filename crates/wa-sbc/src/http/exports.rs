//! `/metrics` of what leaves the house beside calls.

use std::sync::atomic::Ordering;

use super::Operator;
use super::exposition::Exposition;
use crate::hep::HepCounts;

pub(super) fn of_exports(text: &mut Exposition, operator: &Operator) {
    of_hep(text, &operator.hep);
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
