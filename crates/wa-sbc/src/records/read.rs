//! Reading records back, for `wa-sbc calls`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::sqlite;
use crate::config::RecordSettings;

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// At most so many, the newest.
    pub last: usize,
    /// Of this business number or user, or with this part of it.
    pub number: Option<String>,
    /// With this reference of the carrier's, or this part of it.
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

fn scan(path: &Path, question: &Question) -> io::Result<Vec<String>> {
    let mut found = VecDeque::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let Ok(record) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if question.fits(&record) {
            found.push_back(line);
            if found.len() > question.last {
                found.pop_front();
            }
        }
    }
    Ok(found.into())
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
        number.is_none_or(|part| holds("number", part) || holds("user", part))
            && reference.is_none_or(|part| holds("reference", part))
            && self
                .cause
                .as_deref()
                .is_none_or(|cause| record["cause"] == cause)
    }
}
