//! Records of calls as JSON lines: one object a line, one line a call (Meta reference 11).
//!
//! A thread of its own writes them, so a slow disk never delays a call. What cannot be written is
//! kept and tried again with the next record and at the end.

mod line;

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use b2bua::Record;

use crate::config::RecordSettings;
use crate::error::Error;

pub use line::line;

/// Lines kept while they cannot be written.
const KEPT: usize = 100_000;

/// The writer of records.
#[derive(Debug)]
pub struct Records {
    lines: Sender<String>,
    thread: JoinHandle<()>,
}

impl Records {
    /// Opens the file once, so that a wrong path is found at the start.
    pub fn start(settings: &RecordSettings) -> Result<Records, Error> {
        if let Some(path) = &settings.file {
            open(path).map_err(|source| Error::Records {
                path: path.clone(),
                source,
            })?;
        }
        let (lines, receiver) = channel();
        let settings = settings.clone();
        let thread = std::thread::Builder::new()
            .name("records".into())
            .spawn(move || write(&settings, &receiver))?;
        Ok(Records { lines, thread })
    }

    /// Hands a record over. Never waits.
    pub fn write(&self, record: &Record) {
        // The thread lives as long as we hold the sender.
        let _ = self.lines.send(line(record));
    }

    /// Waits until everything is written.
    pub fn finish(self) {
        drop(self.lines);
        let _ = self.thread.join();
    }
}

fn write(settings: &RecordSettings, lines: &Receiver<String>) {
    let mut kept = VecDeque::new();
    while let Ok(line) = lines.recv() {
        if settings.stdout {
            let _ = writeln!(io::stdout().lock(), "{line}");
        }
        let Some(path) = &settings.file else { continue };
        kept.push_back(line);
        if let Err(error) = append(path, &mut kept) {
            tracing::error!(path = %path.display(), %error, waiting = kept.len(), "records cannot be written");
            while kept.len() > KEPT {
                kept.pop_front();
            }
        }
    }
    if let Some(path) = &settings.file
        && let Err(error) = append(path, &mut kept)
    {
        tracing::error!(path = %path.display(), %error, lost = kept.len(), "records are lost");
    }
}

/// Opened anew each time, so that a file moved away by log rotation is left alone.
fn append(path: &Path, kept: &mut VecDeque<String>) -> io::Result<()> {
    let mut file = open(path)?;
    while let Some(mut line) = kept.pop_front() {
        line.push('\n');
        if let Err(error) = file.write_all(line.as_bytes()) {
            line.pop();
            kept.push_front(line);
            return Err(error);
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    // Records name people: nobody but the operator's group reads them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::line::tests::record;
    use super::*;

    /// A path nobody else uses; removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let unique = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("wa-sbc-records-{}-{unique}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn every_record_is_in_the_file_when_the_program_has_ended_even_if_it_was_rotated_meanwhile() {
        let (path, rotated) = (Scratch::new(), Scratch::new());
        let settings = RecordSettings {
            file: Some(path.0.clone()),
            stdout: false,
        };
        let records = Records::start(&settings).expect("a writable file");
        for id in 0..50 {
            records.write(&record(id));
        }
        let _ = std::fs::rename(&path.0, &rotated.0);
        for id in 50..100 {
            records.write(&record(id));
        }
        records.finish();
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let text = read(&rotated.0) + &read(&path.0);
        let ids: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"]
                    .as_u64()
                    .expect("an id")
            })
            .collect();
        assert_eq!(ids, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_at_the_start() {
        let settings = RecordSettings {
            file: Some("/nonexistent/records.jsonl".into()),
            stdout: false,
        };
        let error = Records::start(&settings)
            .map(|_| ())
            .expect_err("no such directory")
            .to_string();
        assert!(error.contains("/nonexistent/records.jsonl"), "{error}");
    }
}
