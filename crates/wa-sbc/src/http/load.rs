//! `/metrics` of how much there is to do: what admission goes by, and what media threads say.

use std::sync::Arc;

use b2bua::operator::Status;

use super::exposition::Exposition;
use crate::media::Gauge;

/// Name, help, and the figure.
type FigureOfThread = (&'static str, &'static str, fn(&Gauge) -> f64);

pub(super) fn of_load(text: &mut Exposition, status: &Status, threads: &[Arc<Gauge>]) {
    let load = &status.load;
    let percent = |percent: u8| f64::from(percent) / 100.0;
    let mut ratio = text.family(
        "wa_sbc_load_ratio",
        "gauge",
        "What is taken of the queue of signalling, of the busiest media thread, of all processors.",
    );
    for (of, taken) in [
        ("queue", load.backlog),
        ("media", load.media),
        ("cpu", load.cpu),
    ] {
        ratio.sample(&[("of", of)], percent(taken));
    }
    text.family(
        "wa_sbc_load_lag_seconds",
        "gauge",
        "How late signalling came to what was due.",
    )
    .sample(&[], load.lag.as_secs_f64());
    text.family(
        "wa_sbc_load_admitting_ratio",
        "gauge",
        "Share of new calls that is admitted; below 1 under overload.",
    )
    .sample(&[], percent(status.admitting));
    let counters: [FigureOfThread; 2] = [
        (
            "wa_sbc_media_busy_seconds_total",
            "Time a media thread was not waiting.",
            |thread| thread.busy().as_secs_f64(),
        ),
        (
            "wa_sbc_media_late_total",
            "Times a media thread came to what was due more than 10 ms late.",
            |thread| thread.late() as f64,
        ),
    ];
    for (name, help, of) in counters {
        let mut samples = text.family(name, "counter", help);
        for (index, thread) in threads.iter().enumerate() {
            samples.sample(&[("thread", &index.to_string())], of(thread));
        }
    }
}
