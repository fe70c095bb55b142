//! `/metrics`: what Prometheus reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use b2bua::Service;
use b2bua::operator::{NumberState, Reply, Status, TrunkState, Wish};
use b2bua::profile::PBX;

use super::exports::of_exports;
use super::exposition::Exposition;
use super::legs::of_legs;
use super::load::of_load;
use super::memory::of_memory;
use super::{Operator, problem};
use crate::capture::Counts;
use crate::doctor::Verdict;
use crate::meters::Counted;
use crate::net::tally::{Handshake, Role};
use crate::records::SinkCounts;

/// Name, help, and the figure.
type FigureOf<T> = (&'static str, &'static str, fn(&T) -> f64);
/// Name, kind, help, and the count.
type CountOfSink = (
    &'static str,
    &'static str,
    &'static str,
    fn(&SinkCounts) -> &AtomicU64,
);

pub(super) async fn metrics(State(operator): State<Operator>) -> Response {
    let mut text = Exposition::default();
    let asked = (
        operator.ask(Wish::Status).await,
        operator.ask(Wish::Numbers).await,
        operator.ask(Wish::Trunks).await,
    );
    let (Some(Reply::Status(status)), Some(Reply::Numbers(numbers)), Some(Reply::Trunks(trunks))) =
        asked
    else {
        return problem(503, "the core does not answer");
    };
    of_core(&mut text, &status);
    of_load(&mut text, &status, &operator.gauges);
    let counted = operator.meters.read();
    of_calls(&mut text, &counted);
    of_answers(&mut text, &counted, operator.meters.alarm_below());
    of_legs(&mut text, &counted);
    of_numbers(&mut text, &numbers);
    of_trunks(&mut text, &trunks);
    of_process(&mut text, &operator);
    of_exports(&mut text, &operator);
    of_captures(&mut text, &operator.captures);
    of_doctor(&mut text, &operator);
    of_memory(&mut text);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text.finish()).into_response()
}

fn of_core(text: &mut Exposition, status: &Status) {
    let counters = &status.counters;
    let (calls, limit) = status.calls;
    text.family("wa_sbc_calls_active", "gauge", "Calls that have not ended.")
        .sample(&[], calls as f64);
    text.family("wa_sbc_calls_limit", "gauge", "Most calls at once.")
        .sample(&[], limit as f64);
    text.family(
        "wa_sbc_draining",
        "gauge",
        "1 while no new calls are taken.",
    )
    .sample(&[], f64::from(u8::from(status.draining)));
    for (name, help, value) in [
        (
            "wa_sbc_invites_total",
            "INVITEs that belong to no dialog.",
            counters.invites,
        ),
        (
            "wa_sbc_challenges_total",
            "INVITEs answered with a challenge.",
            counters.challenges,
        ),
        (
            "wa_sbc_admitted_total",
            "INVITEs that became calls.",
            counters.admitted,
        ),
        (
            "wa_sbc_digest_failures_total",
            "Wrong digests, whoever gave them.",
            counters.wrong_digests,
        ),
        (
            "wa_sbc_dropped_total",
            "Messages of strangers forgotten without an answer.",
            counters.dropped,
        ),
        (
            "wa_sbc_bans_total",
            "Sources that were shut out for a time.",
            counters.bans,
        ),
        (
            "wa_sbc_ended_total",
            "Calls that ended, each with a record.",
            counters.ended,
        ),
        (
            "wa_sbc_bugs_total",
            "Broken invariants, each of which cost one call.",
            counters.bugs,
        ),
    ] {
        text.family(name, "counter", help).sample(&[], value as f64);
    }
    let mut refused = text.family(
        "wa_sbc_refused_total",
        "counter",
        "INVITEs refused before they became calls, by cause.",
    );
    for (cause, count) in &counters.refused {
        refused.sample(&[("cause", cause)], *count as f64);
    }
    let mut byes = text.family(
        "wa_sbc_byes_failed_total",
        "counter",
        "BYEs of ours that were refused or never answered, by leg.",
    );
    for (leg, name) in [("carrier", whatsapp::META.name), ("pbx", PBX.name)] {
        let failed = counters.byes_failed.get(name).copied().unwrap_or_default();
        byes.sample(&[("leg", leg)], failed as f64);
    }
    text.family("wa_sbc_banned", "gauge", "Sources that are shut out now.")
        .sample(&[], counters.banned as f64);
}

fn of_captures(text: &mut Exposition, counts: &Counts) {
    text.family("wa_sbc_captures", "gauge", "Captures that run.")
        .sample(&[], counts.running() as f64);
    text.family(
        "wa_sbc_capture_dropped_total",
        "counter",
        "Messages and datagrams no capture came to write.",
    )
    .sample(&[], counts.dropped() as f64);
    text.family(
        "wa_sbc_capture_failures_total",
        "counter",
        "Captures that ended because they could not be written.",
    )
    .sample(&[], counts.broken() as f64);
}

fn of_doctor(text: &mut Exposition, operator: &Operator) {
    let round = operator.rounds.last();
    let mut checks = text.family(
        "wa_sbc_doctor_check",
        "gauge",
        "The worst a check of the doctor's last round found: 0 pass, 1 warn, 2 fail.",
    );
    for (check, verdict) in round.iter().flat_map(|round| round.worst()) {
        let value = match verdict {
            Verdict::Pass => 0.0,
            Verdict::Warn => 1.0,
            Verdict::Fail => 2.0,
        };
        checks.sample(&[("check", check)], value);
    }
    let mut began = text.family(
        "wa_sbc_doctor_round_time_seconds",
        "gauge",
        "When the doctor's last round began, since 1970.",
    );
    if let Some(round) = round {
        let at = round.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        began.sample(&[], at.as_secs_f64());
    }
}

fn of_calls(text: &mut Exposition, counted: &Counted) {
    let mut ended = text.family(
        "wa_sbc_calls_total",
        "counter",
        "Calls that ended, by direction, number, trunk and cause.",
    );
    for ((direction, number, trunk, cause), count) in &counted.ended {
        let labels = [
            ("direction", *direction),
            ("number", number),
            ("trunk", trunk),
            ("cause", cause),
        ];
        ended.sample(&labels, *count as f64);
    }
    for (name, help, family) in [
        (
            "wa_sbc_call_setup_seconds",
            "From the INVITE to the first ringing.",
            &counted.setup,
        ),
        (
            "wa_sbc_call_answer_seconds",
            "From the INVITE to the answer.",
            &counted.answer,
        ),
        (
            "wa_sbc_call_talk_seconds",
            "From the answer to the end.",
            &counted.talk,
        ),
        (
            "wa_sbc_call_first_audio_seconds",
            "From the answer to the first audio the caller is sent.",
            &counted.first_audio,
        ),
    ] {
        let mut samples = text.family(name, "histogram", help);
        for (direction, histogram) in family {
            samples.histogram(&[("direction", direction)], histogram);
        }
    }
}

fn of_answers(text: &mut Exposition, counted: &Counted, below: f64) {
    let shares: Vec<(&str, f64)> = counted
        .answers
        .iter()
        .filter_map(|(number, answers)| Some((number.as_str(), answers.share()?)))
        .collect();
    let mut ratio = text.family(
        "wa_sbc_answer_ratio",
        "gauge",
        "Share of the last 64 users' calls to the number that were answered.",
    );
    shares
        .iter()
        .for_each(|(number, share)| ratio.sample(&[("number", number)], *share));
    let mut alarm = text.family(
        "wa_sbc_answer_alarm",
        "gauge",
        "1 while that share is below [http] answer_alarm.",
    );
    shares.iter().for_each(|(number, share)| {
        alarm.sample(&[("number", number)], f64::from(u8::from(*share < below)))
    });
}

fn in_service(service: Service) -> f64 {
    f64::from(u8::from(service == Service::In))
}

fn of_numbers(text: &mut Exposition, numbers: &[NumberState]) {
    let families: [FigureOf<NumberState>; 5] = [
        ("wa_sbc_number_calls", "Calls of the number.", |number| {
            number.calls.0 as f64
        }),
        (
            "wa_sbc_number_calls_limit",
            "Most calls of the number at once.",
            |number| number.calls.1 as f64,
        ),
        (
            "wa_sbc_number_initiated_day",
            "Business-initiated calls begun in 24 hours.",
            |number| f64::from(number.initiated.0),
        ),
        (
            "wa_sbc_number_initiated_day_limit",
            "Most of them.",
            |number| f64::from(number.initiated.1),
        ),
        (
            "wa_sbc_number_in_service",
            "1 unless the operator took the number out of service.",
            |number| in_service(number.service),
        ),
    ];
    for (name, help, of) in families {
        let mut samples = text.family(name, "gauge", help);
        for number in numbers {
            samples.sample(&[("number", &number.e164.plus())], of(number));
        }
    }
}

fn of_trunks(text: &mut Exposition, trunks: &[TrunkState]) {
    let families: [FigureOf<TrunkState>; 3] = [
        ("wa_sbc_trunk_calls", "Calls of the trunk.", |trunk| {
            trunk.calls.0 as f64
        }),
        (
            "wa_sbc_trunk_calls_limit",
            "Most calls of the trunk at once.",
            |trunk| trunk.calls.1 as f64,
        ),
        (
            "wa_sbc_trunk_in_service",
            "1 unless the operator took the trunk out of service.",
            |trunk| in_service(trunk.service),
        ),
    ];
    for (name, help, of) in families {
        let mut samples = text.family(name, "gauge", help);
        trunks
            .iter()
            .for_each(|trunk| samples.sample(&[("trunk", &trunk.name)], of(trunk)));
    }
    let mut registered = text.family(
        "wa_sbc_trunk_registered",
        "gauge",
        "1 while the PBX knows us as its extension.",
    );
    for trunk in trunks {
        if let Some(ours) = &trunk.registration {
            let labels = [("trunk", &*trunk.name)];
            registered.sample(&labels, f64::from(u8::from(ours.state == "registered")));
        }
    }
    let mut contacts = text.family(
        "wa_sbc_trunk_contacts",
        "gauge",
        "Contacts the trunk has registered here.",
    );
    for trunk in trunks {
        if let Some(count) = trunk.contacts {
            contacts.sample(&[("trunk", &*trunk.name)], count as f64);
        }
    }
    let mut up = text.family(
        "wa_sbc_trunk_destination_up",
        "gauge",
        "1 unless the destination is known not to answer.",
    );
    for trunk in trunks {
        for destination in &trunk.destinations {
            let labels = [
                ("trunk", &*trunk.name),
                ("destination", destination.target.as_str()),
            ];
            up.sample(&labels, f64::from(u8::from(destination.alive)));
        }
    }
}

fn of_process(text: &mut Exposition, operator: &Operator) {
    let mut handshakes = text.family(
        "wa_sbc_tls_handshakes_total",
        "counter",
        "TLS handshakes by our role and how they ended.",
    );
    for (role, label) in [(Role::Server, "server"), (Role::Client, "client")] {
        for outcome in Handshake::ALL {
            let labels = [("role", label), ("outcome", outcome.label())];
            handshakes.sample(&labels, outcome.counted(role) as f64);
        }
    }
    let mut expiry = text.family(
        "wa_sbc_certificate_expiry_seconds",
        "gauge",
        "Until when a certificate of ours is valid, in seconds since 1970.",
    );
    for (path, until) in operator.certificates() {
        if let Some(until) = until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()) {
            expiry.sample(&[("file", &path)], until.as_secs_f64());
        }
    }
    let mut pairs = text.family(
        "wa_sbc_media_port_pairs",
        "gauge",
        "Pairs of media ports by what they do.",
    );
    for (index, gauge) in operator.gauges.iter().enumerate() {
        for (state, count) in gauge.pairs() {
            pairs.sample(
                &[("thread", &index.to_string()), ("state", state)],
                count as f64,
            );
        }
    }
    let mut unclaimed = text.family(
        "wa_sbc_media_unclaimed_packets_total",
        "counter",
        "Packets at the port all calls share towards Meta that no call's key fits.",
    );
    for (index, gauge) in operator.gauges.iter().enumerate() {
        let count = gauge.unclaimed() as f64;
        unclaimed.sample(&[("thread", &index.to_string())], count);
    }
    let families: [CountOfSink; 4] = [
        (
            "wa_sbc_records_written_total",
            "counter",
            "Records a place took.",
            |counts| &counts.written,
        ),
        (
            "wa_sbc_records_failures_total",
            "counter",
            "Attempts of a place that failed.",
            |counts| &counts.failures,
        ),
        (
            "wa_sbc_records_waiting",
            "gauge",
            "Records that wait for a place.",
            |counts| &counts.waiting,
        ),
        (
            "wa_sbc_records_lost_total",
            "counter",
            "Records a place never got because too many waited.",
            |counts| &counts.lost,
        ),
    ];
    for (name, kind, help, of) in families {
        let mut samples = text.family(name, kind, help);
        for counts in operator.sinks.iter() {
            samples.sample(
                &[("place", counts.name)],
                of(counts).load(Ordering::Relaxed) as f64,
            );
        }
    }
    let started = operator
        .started
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    text.family(
        "process_start_time_seconds",
        "gauge",
        "When the program started, in seconds since 1970.",
    )
    .sample(&[], started.as_secs_f64());
    text.family("wa_sbc_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}
