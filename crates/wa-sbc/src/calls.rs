//! `wa-sbc calls`: what was recorded, for people or as JSON.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::config::Settings;
use crate::error::Error;
use crate::plain::plain;
use crate::records::{Question, read, wanted_number};

/// Show what was recorded of calls.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// So many, the newest.
    #[arg(long, default_value = "20")]
    last: NonZeroUsize,
    /// Those of a business number or a user, or of a part of it; a user without a number by its id.
    #[arg(long, value_parser = number)]
    number: Option<String>,
    /// The one with this id of Meta's, this part of it, or what the log shows of it.
    #[arg(long)]
    wacid: Option<String>,
    /// Those that ended for this cause: normal, cancelled, no_answer, …
    #[arg(long)]
    cause: Option<String>,
    /// The records as they are, one line of JSON each.
    #[arg(long)]
    json: bool,
}

fn number(text: &str) -> Result<String, &'static str> {
    wanted_number(text).ok_or("that is no number, and no id of a user")
}

/// Prints the records that fit, the oldest first.
pub(crate) fn main(options: Options, settings: &Settings) -> Result<(), Error> {
    let question = Question {
        last: options.last.get(),
        number: options.number,
        reference: options.wacid,
        cause: options.cause,
    };
    let records = &settings.records;
    let Some(path) = records.sqlite.as_ref().or(records.file.as_ref()) else {
        return Err(Error::NoRecords);
    };
    if !path.exists() {
        return Err(Error::NoStore { path: path.clone() });
    }
    let lines = read(records, &question).unwrap_or_else(|| Ok(Vec::new()));
    let lines = lines.map_err(|source| Error::Unreadable {
        path: path.clone(),
        source,
    })?;
    let text = match (options.json, lines.is_empty()) {
        (true, _) => lines.iter().map(|line| format!("{line}\n")).collect(),
        (false, true) => format!("no call of that kind in {}\n", path.display()),
        (false, false) => table(&lines),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it, `head` for one, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn table(lines: &[String]) -> String {
    let mut out = format!(
        "{:<19}  {:<3}  {:<16}  {:<20}  {:<12}  {:>8}  {:>12}  {:<8}  why\n",
        "began (UTC)", "way", "number", "user", "trunk", "talked", "MOS Meta/PBX", "ended by"
    );
    for line in lines {
        if let Ok(record) = serde_json::from_str(line) {
            // Callers and peers choose their words; a terminal obeys some of them.
            out.push_str(&plain(&row(&record)));
            out.push('\n');
        }
    }
    out
}

fn row(record: &Value) -> String {
    let text = |field: &str| record[field].as_str().unwrap_or("-");
    let began = record["started_ms"].as_u64().unwrap_or_default();
    let way = match text("direction") {
        "user_initiated" => "in",
        "business_initiated" => "out",
        _ => "?",
    };
    let talked = match record["answered_ms"].is_null() {
        true => "-".to_owned(),
        false => format!(
            "{:.1} s",
            record["duration_ms"].as_f64().unwrap_or_default() / 1e3
        ),
    };
    // Of what came from either side; a call too short to be judged has none.
    let score = |leg: &str| match record[leg]["mos_received"].as_f64() {
        Some(score) => format!("{score:.1}"),
        None => "-".to_owned(),
    };
    let scores = format!("{}/{}", score("carrier"), score("pbx"));
    let hint = text("hint");
    let dash = if hint.is_empty() { "" } else { ": " };
    let why = format!("{}{dash}{hint}", text("text"));
    format!(
        "{:<19}  {way:<3}  {:<16}  {:<20}  {:<12}  {talked:>8}  {scores:>12}  {:<8}  {why}",
        utc(Duration::from_millis(began)),
        text("number"),
        text("user"),
        text("trunk"),
        text("released_by"),
    )
}

/// `2026-11-27 13:05:09` (proleptic Gregorian calendar, from days since 1970).
fn utc(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that a leap day is the last day of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_read_them() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_795_784_709, "2026-11-27 13:05:09"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), expected);
        }
    }
}
