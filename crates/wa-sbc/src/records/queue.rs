//! A queue of records on disk: what a server has not taken yet, in order, across restarts and kills.
//!
//! ```text
//!   push ──► webhook-0000000007 (being written)     one record a line: key TAB line
//!            webhook-0000000006
//!   peek ◄── webhook-0000000005 (being read)        webhook.position: "5 81920"
//! ```
//!
//! Segments are files of some megabytes; one that has been read is removed, and the newest one stays as the
//! memory of what was queued lately. A position names its segment, so that no order of writes and kills can make it
//! skip a record: at worst some are read twice. What was handed to the system survives the death of this
//! process, as in the journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::file::{cut_torn_line, open};

/// A segment is closed above this size.
const SEGMENT: u64 = 4 << 20;

/// Where a reader stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    segment: u64,
    offset: u64,
}

/// Records as they were read, and where the next ones begin.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<String>,
    pub(super) next: Position,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    directory: PathBuf,
    name: &'static str,
    /// Octets that may wait; a segment of what was read stays on disk beside them.
    bound: u64,
    /// Size by segment, the newest last; at least one.
    segments: Vec<(u64, u64)>,
    newest: File,
    read: Position,
    position: File,
    /// Records not read yet.
    waiting: u64,
}

impl Queue {
    /// Opens the queue as it was left.
    pub(super) fn open(directory: &Path, name: &'static str, bound: u64) -> io::Result<Queue> {
        fs::create_dir_all(directory)?;
        let mut segments = Vec::new();
        for found in fs::read_dir(directory)? {
            let file = found?.file_name();
            let number = file
                .to_str()
                .and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
            segments.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        segments.sort_unstable();
        let path_of = |number: u64| directory.join(format!("{name}-{number:010}"));
        let stored = directory.join(format!("{name}.position"));
        let mut read =
            fs::read_to_string(&stored).map_or_else(|_| Position::default(), |text| parsed(&text));
        if segments.is_empty() {
            segments.push(read.segment + 1);
        }
        let newest = *segments.last().expect("at least one");
        let file = open(&path_of(newest))?;
        cut_torn_line(&path_of(newest))?;
        let sizes: io::Result<Vec<(u64, u64)>> = segments
            .iter()
            .map(|number| Ok((*number, fs::metadata(path_of(*number))?.len())))
            .collect();
        let segments = sizes?;
        // The segment it names may have been removed just before a kill, or cut.
        let oldest = segments[0].0;
        if read.segment < oldest {
            read = Position {
                segment: oldest,
                offset: 0,
            };
        }
        let position = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o640)
            .open(&stored)?;
        let mut queue = Queue {
            directory: directory.to_owned(),
            name,
            bound,
            segments,
            newest: file,
            read,
            position,
            waiting: 0,
        };
        queue.waiting = queue.count()?;
        queue.store()?;
        Ok(queue)
    }

    /// Records not read yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Appends all of them, or none.
    pub(super) fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        let (mut text, mut count) = (String::new(), 0);
        for entry in entries {
            // What comes out of the journal after a crash may have come here before it.
            if entry.complete || !self.holds(&entry.key)? {
                text.push_str(&format!("{}\t{}\n", entry.key, entry.line));
                count += 1;
            }
        }
        let unread = self.unread();
        if unread > 0 && unread + text.len() as u64 > self.bound {
            let full = format!("{unread} octets wait already: spool_mib allows no more");
            return Err(io::Error::other(full));
        }
        if self
            .segments
            .last()
            .is_some_and(|(_, size)| *size >= SEGMENT)
        {
            let next = self.segments.last().map_or(1, |(number, _)| number + 1);
            self.newest = open(&self.path(next))?;
            self.segments.push((next, 0));
        }
        let (_, size) = self.segments.last_mut().expect("at least one");
        if let Err(error) = self.newest.write_all(text.as_bytes()) {
            // A full disk took a part of it.
            let _ = self.newest.set_len(*size);
            return Err(error);
        }
        *size += text.len() as u64;
        self.waiting += count;
        Ok(())
    }

    /// The next records, at most so many; `None` when all have been read.
    pub(super) fn peek(&self, at_most: usize) -> io::Result<Option<Batch>> {
        let mut next = self.read;
        let mut lines = Vec::new();
        loop {
            let mut file = BufReader::new(File::open(self.path(next.segment))?);
            file.seek(SeekFrom::Start(next.offset))?;
            let mut line = String::new();
            while lines.len() < at_most {
                line.clear();
                let length = file.read_line(&mut line)?;
                if length == 0 || !line.ends_with('\n') {
                    break;
                }
                next.offset += length as u64;
                if let Some((_, record)) = line.trim_end().split_once('\t') {
                    lines.push(record.to_owned());
                }
            }
            let later = self
                .segments
                .iter()
                .map(|(number, _)| *number)
                .find(|number| *number > next.segment);
            match later {
                Some(segment) if lines.is_empty() => next = Position { segment, offset: 0 },
                _ => break,
            }
        }
        Ok((!lines.is_empty()).then_some(Batch { lines, next }))
    }

    /// What was peeked has been taken.
    pub(super) fn advance(&mut self, batch: &Batch) -> io::Result<()> {
        self.read = batch.next;
        self.waiting = self.waiting.saturating_sub(batch.lines.len() as u64);
        self.store()?;
        let read = self.read.segment;
        let passed: Vec<u64> = self
            .segments
            .iter()
            .map(|(number, _)| *number)
            .filter(|number| *number < read)
            .collect();
        for number in passed {
            fs::remove_file(self.path(number))?;
            self.segments.retain(|(other, _)| *other != number);
        }
        Ok(())
    }

    /// Over what stood there, which a full disk allows, and of one length, so that no kill leaves half of it.
    fn store(&mut self) -> io::Result<()> {
        let Position { segment, offset } = self.read;
        self.position
            .write_all_at(format!("{segment:020} {offset:020}\n").as_bytes(), 0)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{}-{segment:010}", self.name))
    }

    /// Octets not read yet.
    fn unread(&self) -> u64 {
        let Position { segment, offset } = self.read;
        let all = self
            .segments
            .iter()
            .filter(|(number, _)| *number >= segment);
        let octets: u64 = all.map(|(_, size)| size).sum();
        octets.saturating_sub(offset)
    }

    fn count(&self) -> io::Result<u64> {
        let mut count = 0;
        for (number, _) in self
            .segments
            .iter()
            .filter(|(number, _)| *number >= self.read.segment)
        {
            let mut file = File::open(self.path(*number))?;
            if *number == self.read.segment {
                file.seek(SeekFrom::Start(self.read.offset))?;
            }
            count += BufReader::new(file).lines().map_while(Result::ok).count() as u64;
        }
        Ok(count)
    }

    fn holds(&self, key: &str) -> io::Result<bool> {
        let start = format!("{key}\t");
        for (number, _) in &self.segments {
            let file = BufReader::new(File::open(self.path(*number))?);
            if file
                .lines()
                .map_while(Result::ok)
                .any(|line| line.starts_with(&start))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn parsed(text: &str) -> Position {
    let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(segment), Some(offset)) => Position { segment, offset },
        _ => Position::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    fn entry(number: usize) -> Entry {
        Entry {
            key: format!("0-{number}"),
            line: format!("{{\"id\":{number},\"filling\":\"{}\"}}", "x".repeat(300)),
            complete: true,
        }
    }

    fn read(queue: &mut Queue, at_most: usize) -> Vec<usize> {
        let Some(batch) = queue.peek(at_most).expect("readable") else {
            return Vec::new();
        };
        queue.advance(&batch).expect("writable");
        let id = |line: &String| line[6..].split(',').next().and_then(|id| id.parse().ok());
        batch
            .lines
            .iter()
            .map(|line| id(line).expect("an id"))
            .collect()
    }

    #[test]
    fn records_come_out_in_order_across_segments_restarts_and_a_torn_line() {
        let scratch = Scratch::new();
        let open = || Queue::open(&scratch.path("spool"), "webhook", 1 << 30).expect("a queue");
        let mut queue = open();
        let mut expected = Vec::new();
        for thousand in 0..30 {
            let entries: Vec<Entry> = (0..1000).map(|n| entry(thousand * 1000 + n)).collect();
            queue.push(&entries).expect("room");
            expected.extend(thousand * 1000..(thousand + 1) * 1000);
        }
        assert_eq!(queue.segments.len(), 3, "{:?}", queue.segments);
        let mut got = Vec::new();
        for _ in 0..70 {
            got.extend(read(&mut queue, 100));
        }
        drop(queue); // as a kill does: nothing is said at the end
        let newest = scratch.path("spool/webhook-0000000003");
        let mut file = OpenOptions::new().append(true).open(newest).expect("there");
        file.write_all(b"0-x\t{\"id\":77").expect("writable");
        let mut queue = open();
        assert_eq!(queue.waiting(), 23_000);
        queue.push(&[entry(30_000)]).expect("room");
        expected.push(30_000);
        loop {
            match read(&mut queue, 999) {
                some if some.is_empty() => break,
                some => got.extend(some),
            }
        }
        assert_eq!(got, expected);
        assert_eq!(
            queue.segments.len(),
            1,
            "what was read is gone from the disk"
        );
        assert_eq!(queue.waiting(), 0);
        assert_eq!(open().waiting(), 0);
    }

    #[test]
    fn a_record_out_of_the_journal_that_was_queued_before_the_crash_is_not_queued_again() {
        let scratch = Scratch::new();
        let mut queue = Queue::open(&scratch.path("spool"), "webhook", 1 << 30).expect("a queue");
        queue.push(&[entry(1), entry(2)]).expect("room");
        assert_eq!(read(&mut queue, 9), [1, 2]);
        let again = Entry {
            complete: false,
            ..entry(2)
        };
        let new = Entry {
            complete: false,
            ..entry(3)
        };
        queue.push(&[again, new]).expect("room");
        assert_eq!(read(&mut queue, 9), [3]);
    }

    #[test]
    fn above_its_bound_it_takes_nothing_and_loses_nothing() {
        let scratch = Scratch::new();
        let mut queue = Queue::open(&scratch.path("spool"), "webhook", 2_000).expect("a queue");
        let mut taken = 0;
        while queue.push(&[entry(taken)]).is_ok() {
            taken += 1;
        }
        assert!((3..10).contains(&taken), "{taken}");
        let expected: Vec<usize> = (0..taken).collect();
        assert_eq!(read(&mut queue, 99), expected);
        assert!(queue.push(&[entry(99)]).is_ok(), "what was read makes room");
        assert_eq!(read(&mut queue, 99), [99]);
    }

    #[test]
    fn cut_at_any_byte_it_has_every_record_that_is_whole_and_takes_more() {
        let scratch = Scratch::new();
        let open = || Queue::open(&scratch.path("spool"), "webhook", 1 << 30).expect("a queue");
        let mut queue = open();
        queue.push(&[entry(1), entry(2), entry(3)]).expect("room");
        let path = scratch.path("spool/webhook-0000000001");
        let whole = fs::read(&path).expect("there");
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let mut queue = open();
            queue.push(&[entry(9)]).expect("room");
            let batch = queue.peek(99).expect("readable").expect("something waits");
            let id = |line: &String| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].as_u64()
            };
            let got: Vec<u64> = batch.lines.iter().filter_map(id).collect();
            let expected: Vec<u64> = (1..=lines as u64).chain([9]).collect();
            assert_eq!(got, expected, "cut at {cut}");
        }
    }
}
