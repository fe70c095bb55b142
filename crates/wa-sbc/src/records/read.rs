//! Reading records back, for `wa-sbc calls`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::file::put_aside;
use super::sqlite;
use crate::config::RecordSettings;
use crate::reference;

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// At most so many, the newest.
    pub last: usize,
    /// Of this business number or user, or with this part of it: see [`wanted_number`].
    pub number: Option<String>,
    /// With this reference of the carrier's, this part of it, or as the log shows it.
    pub reference: Option<String>,
    /// That ended for this cause.
    pub cause: Option<String>,
}

/// The records that fit, the oldest first, as lines of JSON: from the database if there is one, else
/// from the file. `None` if neither is configured.
pub fn read(settings: &RecordSettings, question: &Question) -> Option<io::Result<Vec<String>>> {
    if let Some(path) = &settings.sqlite {
        return Some(sqlite::select(path, question).map(|mut lines| {
            lines.reverse();
            lines
        }));
    }
    settings.file.as_ref().map(|path| scan(path, question))
}

/// What is looked for in numbers and in ids of users when somebody asks for this: the digits of a number as
/// people write it, or a part of it; else the id as it is. `None` where nothing is asked for.
pub fn wanted_number(text: &str) -> Option<String> {
    let text = text.trim();
    let number = text.strip_prefix('+').or_else(|| text.strip_prefix("00"));
    let separates = |char: &char| matches!(char, ' ' | '-' | '.' | '(' | ')' | '/');
    let bare = number.unwrap_or(text).chars();
    let bare: String = bare.filter(|char| !separates(char)).collect();
    let is_number = bare.bytes().all(|byte| byte.is_ascii_digit());
    let says = text.chars().any(char::is_alphanumeric);
    match is_number {
        true => Some(bare).filter(|digits| !digits.is_empty()),
        false => Some(text.to_owned()).filter(|_| says),
    }
}

/// From the file as it is now back through those that were put aside.
fn scan(path: &Path, question: &Question) -> io::Result<Vec<String>> {
    let mut found = VecDeque::new();
    let mut newest = Some(File::open(path)?);
    let mut older = put_aside(path).into_iter();
    loop {
        let file = match newest.take() {
            Some(file) => file,
            None if found.len() >= question.last => break,
            None => match older.next().map(File::open) {
                Some(Ok(file)) => file,
                Some(Err(_)) => continue, // removed since
                None => break,
            },
        };
        let room = question.last - found.len();
        let mut lines = fitting(file, question, room)?;
        lines.append(&mut found);
        found = lines;
    }
    Ok(found.into())
}

/// The last records of a file that fit, so many at most.
fn fitting(file: File, question: &Question, at_most: usize) -> io::Result<VecDeque<String>> {
    let mut found = VecDeque::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        let Ok(record) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if question.fits(&record) {
            found.push_back(line);
            if found.len() > at_most {
                found.pop_front();
            }
        }
    }
    Ok(found)
}

impl Question {
    fn fits(&self, record: &Value) -> bool {
        let holds = |field: &str, part: &str| {
            record[field]
                .as_str()
                .is_some_and(|text| text.contains(part))
        };
        let number = self.number.as_deref();
        let reference = self.reference.as_deref();
        number.is_none_or(|part| {
            ["number", "user", "user_id"]
                .iter()
                .any(|field| holds(field, part))
        }) && reference.is_none_or(|part| match reference::asked(part) {
            Some(short) => record["reference"]
                .as_str()
                .is_some_and(|id| reference::stands_in(short, id.as_bytes())),
            None => holds("reference", part),
        }) && self
            .cause
            .as_deref()
            .is_none_or(|cause| record["cause"] == cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_asked_for_as_people_write_them_and_users_by_their_ids() {
        for (text, wanted) in [
            ("+1 219-555-0714", Some("12195550714")),
            ("0049 (151) 555/555.55", Some("4915155555555")),
            ("0714", Some("0714")),
            (" US.13491208655302741918 ", Some("US.13491208655302741918")),
            ("zoë", Some("zoë")),
            ("", None),
            ("+", None),
            ("+ -", None),
            ("?!", None),
        ] {
            assert_eq!(wanted_number(text).as_deref(), wanted, "{text}");
        }
    }
}
