//! What was heard, and whether it is what was said.

use std::fmt;

use serde_json::Value;

use super::cast::{DESK_DIGITS, DESK_TONE, USER_DIGITS, USER_TONE, Who};
use super::script::{Call, Direction};

/// A level that differs by more is not the same tone.
const LEVEL_DB: f64 = 3.0;
/// Loss on loopback beyond this share is ours.
const LOSS: f64 = 0.01;
/// Silence inside the tone, digits apart.
const GAP_MS: f64 = 40.0;
/// From the answer to the first window of the tone.
const FIRST_AUDIO_MS: i64 = 1_000;

/// The outcome of one call.
pub(super) struct Verdict {
    lines: Vec<String>,
    faults: Vec<String>,
    record: String,
}

impl Verdict {
    /// Whether everything held.
    pub(super) fn held(&self) -> bool {
        self.faults.is_empty()
    }

    fn must(&mut self, held: bool, fault: impl Into<String>) {
        if !held {
            self.faults.push(fault.into());
        }
    }
}

/// Judges a call.
pub(super) fn judge(call: &Call) -> Verdict {
    let mut verdict = Verdict {
        lines: Vec::new(),
        faults: Vec::new(),
        record: call.record.line.clone(),
    };
    audio(
        &mut verdict,
        call,
        Who::Pbx,
        "user → desk",
        USER_TONE,
        USER_DIGITS,
    );
    audio(
        &mut verdict,
        call,
        Who::Meta,
        "desk → user",
        DESK_TONE,
        DESK_DIGITS,
    );
    for (who, name) in [(Who::Meta, "Meta"), (Who::Pbx, "the PBX")] {
        for broken in call.events(who, "violation") {
            verdict
                .faults
                .push(format!("{name}: rule broken: {}", text(broken, "rule")));
        }
        verdict.must(
            call.event(who, "confirmed").is_some(),
            format!("{name}: no ACK"),
        );
        let ended = call.event(who, "ended").cloned().unwrap_or_default();
        let by = if who == call.direction.caller() {
            "us"
        } else {
            "far"
        };
        verdict.must(
            ended["by"] == by,
            format!("{name}: ended by {}, not {by}", ended["by"]),
        );
    }
    let answered = call
        .events(call.direction.caller(), "bye_answered")
        .any(|bye| bye["status"] == 200);
    verdict.must(answered, "the BYE was not answered with 200");
    record(&mut verdict, call);
    verdict
}

/// One direction, by what its listener heard.
fn audio(verdict: &mut Verdict, call: &Call, listener: Who, name: &str, hz: u32, digits: &str) {
    let Some(heard) = call.event(listener, "heard") else {
        verdict.faults.push(format!("{name}: nothing was heard"));
        return;
    };
    let number = |key: &str| heard[key].as_f64().unwrap_or(f64::NAN);
    let found = heard["tone_found"] == true;
    let (level, lost, packets) = (number("level_error_db"), number("lost"), number("packets"));
    let loss = lost / (lost + packets).max(1.0);
    let first = heard["first_tone_ms"].as_i64();
    let pressed = text(heard, "digits");
    let codec = call
        .event(listener, "answered")
        .map(|answered| text(answered, "codec"))
        .unwrap_or_default();
    verdict.lines.push(format!(
        "  {name}: {hz} Hz {}, {:.1} dBFS ({level:+.1} dB), {packets} packets {codec}, {:.1} % lost, \
         longest gap {} ms, answer to first audio {}, digits {pressed}",
        if found { "found" } else { "NOT found" },
        number("level_db"),
        loss * 100.0,
        heard["longest_tone_gap_ms"],
        first.map_or("never".into(), |ms| format!("{ms} ms")),
    ));
    verdict.must(found, format!("{name}: the tone is not there"));
    verdict.must(
        level.abs() <= LEVEL_DB,
        format!("{name}: the level is off by {level:+.1} dB"),
    );
    verdict.must(
        loss <= LOSS,
        format!("{name}: {lost} of {packets} packets lost"),
    );
    verdict.must(
        number("longest_tone_gap_ms") <= GAP_MS,
        format!("{name}: a gap of {} ms", heard["longest_tone_gap_ms"]),
    );
    verdict.must(
        pressed == digits,
        format!("{name}: digits {pressed} instead of {digits}"),
    );
    verdict.must(
        number("ssrcs") == 1.0,
        format!("{name}: {} SSRCs", heard["ssrcs"]),
    );
    verdict.must(
        first.is_some_and(|ms| ms <= FIRST_AUDIO_MS),
        format!("{name}: the first audio took longer than {FIRST_AUDIO_MS} ms"),
    );
}

fn record(verdict: &mut Verdict, call: &Call) {
    let record = &call.record.what;
    let (direction, released_by) = match call.direction {
        Direction::UserCalls => ("user_initiated", "carrier"),
        Direction::DeskCalls => ("business_initiated", "pbx"),
    };
    let expected = [
        ("direction", direction),
        ("released_by", released_by),
        ("cause", "normal"),
    ];
    for (key, value) in expected {
        verdict.must(
            record[key] == value,
            format!("the record says {key} {}, not {value}", record[key]),
        );
    }
    verdict.must(
        record["duration_ms"].as_u64().is_some_and(|ms| ms >= 4_000),
        "the record has no duration",
    );
    verdict.must(
        record["carrier"]["keying"] == "sdes",
        "the record does not say SDES towards Meta",
    );
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "  record: {}", self.record)?;
        for fault in &self.faults {
            writeln!(f, "  FAULT: {fault}")?;
        }
        Ok(())
    }
}
