//! Calls that are over but whose records are not yet where they belong.
//!
//! ```text
//!   core ── over ──► journal ──► "+key<TAB>line"        before any peer hears of the end
//!   writer ─ done ─► journal ──► "-key"                 once every place has the final record
//!   start ─────────► journal ──► whatever has a + and no -: a crash came between
//! ```
//!
//! A thread of its own only appends, so that the core's wait for it is short. What was handed to the
//! system survives the death of this process; it is not forced onto the disk, because only a power
//! failure would tell the difference and forcing takes longer than a call may wait.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::entry::Entry;
use super::file::open;

/// The journal is written afresh, with open entries only, above this size.
const COMPACT_ABOVE: u64 = 4 << 20;

/// The longest the core waits for the journal. A disk that takes longer loses its right to be waited
/// for until it has caught up.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// What the journal is told.
#[derive(Debug)]
pub(super) enum Note {
    /// A call is over; this is its record so far.
    Over(Entry),
    /// Its final record is in every place.
    Done(String),
}

/// How far the journal is, for whoever waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<(Mutex<u64>, Condvar)>);

impl Progress {
    /// `count` calls are in the journal.
    fn reached(&self, count: u64) {
        let (written, changed) = &*self.0;
        *written.lock().unwrap_or_else(PoisonError::into_inner) = count;
        changed.notify_all();
    }

    /// Whether `count` calls are in the journal; waits for it at most so long.
    pub(super) fn wait(&self, count: u64, at_most: Duration) -> bool {
        let (written, changed) = &*self.0;
        let guard = written.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, at_most, |written| *written < count);
        let (written, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *written >= count
    }
}

/// The journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    size: u64,
    open: BTreeMap<String, Entry>,
    failing: bool,
}

impl Journal {
    /// Opens the journal in this directory, and says what a crash left in it.
    pub(super) fn open(directory: &Path) -> io::Result<(Journal, Vec<Entry>)> {
        let path = directory.join("journal");
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let open_entries = unfinished(&text);
        let left: Vec<Entry> = open_entries.values().cloned().collect();
        let mut journal = Journal {
            file: open(&path)?,
            path,
            size: 0,
            open: open_entries,
            failing: false,
        };
        journal.compact()?;
        Ok((journal, left))
    }

    /// Writes what it is told until nobody tells it anything any more.
    pub(super) fn run(mut self, notes: &Receiver<Note>, progress: &Progress) {
        let mut count = 0;
        while let Ok(first) = notes.recv() {
            let mut text = String::new();
            for note in std::iter::once(first).chain(notes.try_iter()) {
                match note {
                    Note::Over(entry) => {
                        count += 1;
                        text.push_str(&format!("+{}\t{}\n", entry.key, entry.line));
                        self.open.insert(entry.key.clone(), entry);
                    }
                    Note::Done(key) => {
                        text.push_str(&format!("-{key}\n"));
                        self.open.remove(&key);
                    }
                }
            }
            let written = self.append(&text);
            progress.reached(count);
            self.judge(written);
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        if self.size > COMPACT_ABOVE {
            self.compact()?;
        }
        Ok(())
    }

    /// Writes the open entries into a new file and puts it in the place of the old one.
    fn compact(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let mut file = open(&new)?;
        let mut text = String::new();
        for Entry { key, line, .. } in self.open.values() {
            text.push_str(&format!("+{key}\t{line}\n"));
        }
        file.write_all(text.as_bytes())?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        // Measured from here: were there many open entries, it would be compacted at every note.
        self.size = 0;
        Ok(())
    }

    fn judge(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(path = %self.path.display(), %error,
                    "the journal of records cannot be written: a crash now would lose records of calls just ended");
            }
            Err(_) => {}
        }
    }
}

/// The entries of a journal that were never done. A torn last line counts for nothing.
fn unfinished(text: &str) -> BTreeMap<String, Entry> {
    let mut open = BTreeMap::new();
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        if let Some((key, line)) = line
            .strip_prefix('+')
            .and_then(|rest| rest.split_once('\t'))
        {
            let entry = Entry {
                key: key.to_owned(),
                line: line.to_owned(),
                complete: false,
            };
            open.insert(key.to_owned(), entry);
        } else if let Some(key) = line.strip_prefix('-') {
            open.remove(key);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_and_not_done_is_left_and_a_torn_line_is_not() {
        let left = unfinished("+a\t{1}\n+b\t{2}\n-a\n+c\t{3}\n+d\t{to");
        let keys: Vec<&str> = left.keys().map(String::as_str).collect();
        assert_eq!(keys, ["b", "c"]);
        assert_eq!(left["b"].line, "{2}");
    }

    /// A kill lets a part of the last write reach the file. Whichever part it is, no call whose line is whole is
    /// forgotten, none that is done comes back, and the next notes find a clean line.
    #[test]
    fn cut_at_any_byte_it_keeps_every_call_whose_line_is_whole() {
        let notes = [
            "+a\t{\"user\":\"Zoë\"}\n",
            "+b\t{2}\n",
            "-a\n",
            "+ab\t{3}\n",
            "-b\n",
            "+c\t{4}\n",
        ];
        let whole: String = notes.concat();
        let scratch = super::super::tests::Scratch::new();
        let directory = scratch.path("spool");
        std::fs::create_dir_all(&directory).expect("a directory");
        for cut in 0..=whole.len() {
            let mut expected: Vec<&str> = Vec::new();
            let mut end = 0;
            for note in notes {
                end += note.len();
                if end > cut {
                    break;
                }
                match note.trim_end().split_at(1) {
                    ("-", done) => expected.retain(|key| *key != done),
                    (_, entry) => expected.extend(entry.split('\t').next()),
                }
            }
            expected.sort_unstable();
            std::fs::write(directory.join("journal"), &whole.as_bytes()[..cut]).expect("written");
            let keys = |left: &[Entry]| {
                left.iter()
                    .map(|entry| entry.key.clone())
                    .collect::<Vec<_>>()
            };
            let (mut journal, left) = Journal::open(&directory).expect("a journal");
            assert_eq!(keys(&left), expected, "cut at {cut}");
            journal.append("+z\t{9}\n").expect("written");
            drop(journal);
            let (_, left) = Journal::open(&directory).expect("a journal");
            assert_eq!(
                keys(&left),
                [&expected[..], &["z"]].concat(),
                "cut at {cut}, and on"
            );
        }
    }
}
