//! The clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Check, Finding, Patient};

/// Certificates, nonces and the seconds of records hang on the clock.
pub(super) struct Clock;

/// When this check was written: no clock is right that shows an earlier time.
const WRITTEN: Duration = Duration::from_secs(1_795_000_000);
/// A year this program will hardly see.
const FAR: Duration = Duration::from_secs(4_102_444_800);

const REMEDY: &str = "set the clock and keep it with NTP (timedatectl set-ntp true): certificates and digest nonces depend on it";

impl Check for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let since = patient.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut findings = Vec::new();
        if since < WRITTEN {
            let days = (WRITTEN - since).as_secs() / 86_400;
            findings.push(Finding::fail(
                format!("the clock of this machine is at least {days} days slow"),
                REMEDY,
            ));
        } else if since > FAR {
            findings.push(Finding::fail(
                "the clock of this machine is decades fast",
                REMEDY,
            ));
        }
        // Files of this machine cannot be younger than now.
        if let Some(port) = &patient.settings.tls
            && let Ok(changed) = std::fs::metadata(&port.certificate).and_then(|m| m.modified())
            && let Ok(ahead) = changed.duration_since(patient.now)
            && ahead > Duration::from_secs(3_600)
        {
            findings.push(Finding::fail(
                format!(
                    "the certificate was written {} h in the future: the clock went back",
                    ahead.as_secs() / 3_600
                ),
                REMEDY,
            ));
        }
        if findings.is_empty() {
            findings.push(Finding::pass(format!(
                "the clock shows {}",
                date(patient.now)
            )));
        }
        findings
    }
}

/// `2026-11-27 13:20 UTC` (civil date of a day count, proleptic Gregorian).
pub(super) fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (of_day / 3_600, of_day % 3_600 / 60);
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(1_767_225_599), "2025-12-31 23:59 UTC");
    }
}
