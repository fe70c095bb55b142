use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::line::tests::record;
use super::*;
use crate::config::Rotation;

/// A directory nobody else uses; removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wa-sbc-records-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a place for temporary files");
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn everywhere(&self) -> RecordSettings {
        RecordSettings {
            file: Some(self.path("records.jsonl")),
            sqlite: Some(self.path("records.db")),
            spool: Some(self.path("spool")),
            ..RecordSettings::default()
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ids_in(text: &str) -> Vec<u64> {
    let id = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        record["id"].as_u64().expect("an id")
    };
    text.lines().map(id).collect()
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn all(settings: &RecordSettings) -> Vec<u64> {
    let question = Question {
        last: 10_000,
        ..Question::default()
    };
    let lines = read(settings, &question).expect("a place").expect("read");
    ids_in(&lines.join("\n"))
}

#[test]
fn every_record_is_in_every_place_when_the_program_has_ended_even_if_the_file_was_moved_meanwhile()
{
    let scratch = Scratch::new();
    let settings = scratch.everywhere();
    let (path, moved) = (scratch.path("records.jsonl"), scratch.path("moved"));
    let records = Records::start(&settings, 0).expect("writable places");
    (0..50).for_each(|id| records.write(Box::new(record(id))));
    let _ = std::fs::rename(&path, &moved);
    (50..100).for_each(|id| records.write(Box::new(record(id))));
    records.finish();
    let expected: Vec<u64> = (0..100).collect();
    assert_eq!(ids_in(&(text_of(&moved) + &text_of(&path))), expected);
    assert_eq!(all(&settings), expected);
}

#[test]
fn a_place_that_cannot_be_written_is_found_at_the_start() {
    for settings in [
        RecordSettings {
            file: Some("/nonexistent/records".into()),
            ..RecordSettings::default()
        },
        RecordSettings {
            sqlite: Some("/nonexistent/records".into()),
            ..RecordSettings::default()
        },
        RecordSettings {
            spool: Some("/proc/records".into()),
            ..RecordSettings::default()
        },
    ] {
        let error = Records::start(&settings, 0)
            .map(|_| ())
            .expect_err("no such directory");
        assert!(error.to_string().contains("/records"), "{error}");
    }
}

#[test]
fn the_file_is_put_aside_by_size_and_only_the_newest_ones_are_kept() {
    let scratch = Scratch::new();
    let path = scratch.path("records.jsonl");
    let one = line(0, &record(1)).len() as u64;
    let rotation = Rotation {
        at_octets: Some(one),
        daily: false,
        keep: 3,
    };
    let mut file = file::JsonLines::start(&path, rotation).expect("a file");
    for id in 0..10 {
        let entry = Entry {
            key: id.to_string(),
            line: line(0, &record(id)),
            complete: true,
        };
        file.write(&[entry]).expect("written");
    }
    let mut names: Vec<_> = std::fs::read_dir(&scratch.0)
        .expect("there")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort_unstable();
    assert_eq!(names.len(), 4, "{names:?}");
    let kept: Vec<u64> = names
        .iter()
        .flat_map(|path| ids_in(&text_of(path)))
        .collect();
    assert_eq!(kept.iter().sum::<u64>(), 6 + 7 + 8 + 9, "{kept:?}");
}

#[test]
fn a_full_disk_costs_nothing_but_time_once_there_is_room_again() {
    let scratch = Scratch::new();
    let mut settings = scratch.everywhere();
    settings.file = Some("/dev/full".into());
    let records = Records::start(&settings, 0).expect("it opens");
    let counts = records.counts().to_vec();
    (0..5).for_each(|id| records.write(Box::new(record(id))));
    records.finish();
    let figure = |name: &str, of: fn(&SinkCounts) -> &std::sync::atomic::AtomicU64| {
        let counts = counts
            .iter()
            .find(|counts| counts.name == name)
            .expect("a place");
        of(counts).load(Ordering::Relaxed)
    };
    assert_eq!(figure("file", |counts| &counts.waiting), 5);
    assert!(figure("file", |counts| &counts.failures) > 0);
    assert_eq!(figure("sqlite", |counts| &counts.written), 5);
    assert_eq!(all(&settings), [0, 1, 2, 3, 4], "the other place has them");
}

#[test]
fn what_was_over_when_the_program_was_killed_is_recorded_at_the_next_start_once() {
    let scratch = Scratch::new();
    let settings = scratch.everywhere();
    let mut records = Records::start(&settings, 0).expect("writable places");
    (0..3).for_each(|id| records.over(&record(id)));
    assert!(records.is_behind());
    records.catch_up();
    assert!(!records.is_behind());
    records.write(Box::new(record(1)));
    // Killed: nothing is finished, the threads are left behind with what they have been given.
    while text_of(&scratch.path("spool/journal"))
        .lines()
        .filter(|line| line.starts_with('-'))
        .count()
        < 1
    {
        std::thread::yield_now();
    }
    std::mem::forget(records);

    Records::start(&settings, 0)
        .expect("writable places")
        .finish();
    let mut ids = all(&settings);
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    let mut ids = ids_in(&text_of(&scratch.path("records.jsonl")));
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    let recovered = text_of(&scratch.path("records.jsonl"));
    assert_eq!(
        recovered.matches(r#""complete":false"#).count(),
        2,
        "{recovered}"
    );

    Records::start(&settings, 0)
        .expect("writable places")
        .finish();
    assert_eq!(
        ids_in(&text_of(&scratch.path("records.jsonl"))).len(),
        3,
        "not again"
    );
}

#[test]
fn a_line_torn_by_a_crash_does_not_spoil_the_next_one() {
    let scratch = Scratch::new();
    let settings = RecordSettings {
        file: Some(scratch.path("records.jsonl")),
        ..RecordSettings::default()
    };
    let whole = line(0, &record(1));
    std::fs::write(
        scratch.path("records.jsonl"),
        format!("{whole}\n{}", &whole[..40]),
    )
    .expect("written");
    let records = Records::start(&settings, 0).expect("a file");
    records.write(Box::new(record(2)));
    records.finish();
    assert_eq!(all(&settings), [1, 2]);
}

#[test]
fn records_are_found_by_number_reference_and_cause_in_either_store() {
    let scratch = Scratch::new();
    let both = scratch.everywhere();
    let records = Records::start(&both, 0).expect("writable places");
    let mut busy = record(2);
    busy.cause = b2bua::Cause::UserBusy;
    busy.user = "+4915155555555".into();
    busy.reference = Some("wacid.B".into());
    records.write(Box::new(record(1)));
    records.write(Box::new(busy));
    records.write(Box::new(record(3)));
    records.finish();
    let only_file = RecordSettings {
        sqlite: None,
        ..both.clone()
    };
    for settings in [&both, &only_file] {
        let ids = |question: Question| {
            let lines = read(settings, &question).expect("a place").expect("read");
            ids_in(&lines.join("\n"))
        };
        let last = |last| Question {
            last,
            ..Question::default()
        };
        assert_eq!(ids(last(2)), [2, 3]);
        assert_eq!(
            ids(Question {
                number: Some("49151".into()),
                ..last(9)
            }),
            [2]
        );
        assert_eq!(
            ids(Question {
                reference: Some("wacid.B".into()),
                ..last(9)
            }),
            [2]
        );
        assert_eq!(
            ids(Question {
                cause: Some("normal".into()),
                ..last(9)
            }),
            [1, 3]
        );
    }
}
