//! Records as JSON lines in a file, put aside by size or by day.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::entry::Entry;
use super::sink::Sink;
use crate::clock;
use crate::config::Rotation;

/// How often what was written is forced onto the disk, at most.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How far back a record is looked for that may have been written before a crash.
const LOOK_BACK: u64 = 8 << 20;
/// Milliseconds.
const DAY: u64 = 24 * 3600 * 1000;

/// The file of records.
#[derive(Debug)]
pub(super) struct JsonLines {
    path: PathBuf,
    rotation: Rotation,
    synced: Instant,
    /// When a file was last put aside, in milliseconds since 1970.
    stamp: u64,
}

impl JsonLines {
    /// Opens the file once, so that a wrong path is found at the start, and cuts off a line that a
    /// crash tore.
    pub(super) fn start(path: &Path, rotation: Rotation) -> io::Result<JsonLines> {
        let file = open(path)?;
        if file.metadata()?.is_file() {
            cut_torn_line(path)?;
        }
        Ok(JsonLines {
            path: path.to_owned(),
            rotation,
            synced: clock::now(),
            stamp: 0,
        })
    }

    fn rotate(&mut self, file: File) -> io::Result<File> {
        let metadata = file.metadata()?;
        let size = metadata.len();
        if size == 0 || !metadata.is_file() {
            return Ok(file);
        }
        let today = day(clock::wall());
        let too_large = self.rotation.at_octets.is_some_and(|most| size >= most);
        let too_old = self.rotation.daily && metadata.modified().is_ok_and(|at| day(at) < today);
        if !too_large && !too_old {
            return Ok(file);
        }
        // Later than the last one, so that the names sort as they were put aside.
        self.stamp = millis(clock::wall()).max(self.stamp + 1);
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(format!(".{:013}", self.stamp));
        std::fs::rename(&self.path, aside)?;
        self.forget_old();
        open(&self.path)
    }

    fn forget_old(&self) {
        for path in put_aside(&self.path).iter().skip(self.rotation.keep) {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an old file of records stays");
            }
        }
    }

    /// Whether a record is among the last ones of the file.
    fn holds(&self, key: &str) -> bool {
        let tail = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(LOOK_BACK)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(String::from_utf8_lossy(&tail).into_owned())
        };
        tail().is_ok_and(|tail| tail.contains(&format!("\"key\":\"{key}\"")))
    }
}

impl Sink for JsonLines {
    fn name(&self) -> &'static str {
        "file"
    }

    /// Opened anew each time, so that a file moved away by somebody else's rotation is left alone.
    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut file = self.rotate(open(&self.path)?)?;
        let mut text = String::new();
        for entry in entries {
            if entry.complete || !self.holds(&entry.key) {
                text.push_str(&entry.line);
                text.push('\n');
            }
        }
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(text.as_bytes()) {
            // A full disk took a part of it, which would make an unreadable line of the next one.
            let _ = file.set_len(before);
            return Err(error);
        }
        if self.synced.elapsed() >= SYNC_EVERY {
            // Records are handed to the system now and survive us; forcing is for power failures.
            let _ = file.sync_data();
            self.synced = clock::now();
        }
        Ok(())
    }
}

/// Opens for appending. Records name people: nobody but the operator's group reads them.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// The files that were put aside, the newest first.
pub(super) fn put_aside(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let ours = |name: &str| {
        name.strip_prefix(&prefix)
            .is_some_and(|rest| rest.len() == 13 && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut aside: Vec<PathBuf> = entries
        .filter(|entry| ours(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    aside.sort_unstable_by(|a, b| b.cmp(a));
    aside
}

/// Cuts the file behind its last line end.
pub(super) fn cut_torn_line(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(1 << 20);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if tail.last().is_none_or(|last| *last == b'\n') {
        return Ok(());
    }
    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    file.set_len(from + whole as u64)
}

fn day(time: SystemTime) -> u64 {
    millis(time) / DAY
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
