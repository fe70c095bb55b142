//! The files of a capture: so many of so many bytes each, the oldest goes when another is begun.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file of ours ends.
pub(crate) const SUFFIX: &str = ".pcapng";

/// A file that counts what is written to it.
#[derive(Debug)]
pub(crate) struct Counted {
    file: BufWriter<File>,
    bytes: Arc<AtomicU64>,
}

#[cfg(test)]
impl Counted {
    /// A file on a disk without room.
    pub(super) fn full() -> Counted {
        let file = OpenOptions::new().write(true).open("/dev/full");
        Counted {
            file: BufWriter::new(file.expect("Linux")),
            bytes: Arc::default(),
        }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The ring of files.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    name: String,
    most: usize,
    begun: u64,
    kept: VecDeque<PathBuf>,
    bytes: Arc<AtomicU64>,
    /// Of them, those that are on disk as whole packets.
    whole: u64,
}

impl Files {
    /// A ring of at most `most` files in a directory that is made if it is missing.
    pub(crate) fn new(directory: &Path, name: &str, most: u64) -> io::Result<Files> {
        std::fs::create_dir_all(directory)?;
        Ok(Files {
            directory: directory.into(),
            name: name.into(),
            most: most.try_into().unwrap_or(usize::MAX).max(1),
            begun: 0,
            kept: VecDeque::new(),
            bytes: Arc::default(),
            whole: 0,
        })
    }

    /// Begins another file, and lets the oldest go where there are too many.
    pub(crate) fn begin(&mut self) -> io::Result<Counted> {
        self.begun += 1;
        let path = self
            .directory
            .join(format!("{}-{:04}{SUFFIX}", self.name, self.begun));
        while self.kept.len() >= self.most {
            if let Some(oldest) = self.kept.pop_front() {
                std::fs::remove_file(oldest)?;
            }
        }
        let mut options = OpenOptions::new();
        options.create_new(true).write(true);
        // Captures hold what people say: nobody but the operator's group reads them.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        let file = options.open(&path)?;
        self.kept.push_back(path);
        (self.bytes, self.whole) = Default::default();
        Ok(Counted {
            file: BufWriter::new(file),
            bytes: self.bytes.clone(),
        })
    }

    /// Bytes written to the last file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Everything written so far is on disk.
    pub(crate) fn flushed(&mut self) {
        self.whole = self.bytes();
    }

    /// Takes from the last file what is no whole packet: its disk was full. Nobody writes to it any more.
    pub(crate) fn mend(&self) -> io::Result<()> {
        let Some(last) = self.kept.back() else {
            return Ok(());
        };
        let file = OpenOptions::new().write(true).open(last)?;
        match file.metadata()?.len() > self.whole {
            true => file.set_len(self.whole),
            false => Ok(()),
        }
    }

    /// The files that are there, the oldest first.
    pub(crate) fn kept(&self) -> Vec<PathBuf> {
        self.kept.iter().cloned().collect()
    }
}

/// Bytes captures take up in a directory; 0 where there is none.
pub(crate) fn taken(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(SUFFIX))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_the_disk_was_full_under_ends_with_its_last_whole_packet() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-mend-{}", std::process::id()));
        let mut files = Files::new(&directory, "one", 2).expect("a directory");
        files.mend().expect("there is none");
        let mut file = files.begin().expect("a file");
        file.write_all(b"whole").expect("room");
        file.flush().expect("room");
        files.flushed();
        file.write_all(b"half a pa").expect("room");
        drop(file);
        assert_eq!(taken(&directory), 14);
        files.mend().expect("it is there");
        assert_eq!(std::fs::read(&files.kept()[0]).expect("there"), b"whole");
        let _ = std::fs::remove_dir_all(&directory);
    }

    #[test]
    fn the_oldest_file_goes_when_another_is_begun() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-files-{}", std::process::id()));
        let mut files = Files::new(&directory, "one", 2).expect("a directory");
        for round in 1..=4_u64 {
            let mut file = files.begin().expect("a file");
            file.write_all(&vec![7; 100 * round as usize])
                .expect("room");
            file.flush().expect("room");
            assert_eq!(files.bytes(), 100 * round);
            assert_eq!(files.kept().len() as u64, round.min(2));
        }
        assert_eq!(taken(&directory), 300 + 400);
        assert!(files.kept()[1].ends_with("one-0004.pcapng"));
        let _ = std::fs::remove_dir_all(&directory);
        assert_eq!(taken(&directory), 0);
    }
}
