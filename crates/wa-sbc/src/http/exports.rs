//! `/metrics` of what leaves the house beside calls.

use std::sync::atomic::Ordering;

use super::Operator;
use super::exposition::Exposition;
use crate::acme::Progress;
use crate::hep::HepCounts;
use crate::otlp::OtlpCounts;

pub(super) fn of_exports(text: &mut Exposition, operator: &Operator) {
    of_hep(text, &operator.hep);
    of_otlp(text, &operator.otlp);
    of_acme(text, operator.acme.as_deref());
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

fn of_acme(text: &mut Exposition, progress: Option<&Progress>) {
    let mut orders = text.family(
        "wa_sbc_acme_orders_total",
        "counter",
        "Certificates asked for from the ACME authority, by how that ended.",
    );
    if let Some(progress) = progress {
        orders.sample(&[("outcome", "obtained")], progress.obtained() as f64);
        orders.sample(&[("outcome", "failed")], progress.failed_in_all() as f64);
    }
    let mut failures = text.family(
        "wa_sbc_acme_failures_in_a_row",
        "gauge",
        "Orders that failed since the last that went well.",
    );
    if let Some(progress) = progress {
        failures.sample(&[], f64::from(progress.failures()));
    }
    let mut next = text.family(
        "wa_sbc_acme_next_order_time_seconds",
        "gauge",
        "When a certificate is ordered next, Unix time.",
    );
    if let Some(progress) = progress {
        next.sample(&[], progress.next() as f64);
    }
}
