//! Stories of failed calls on disk: one capture each, the oldest ones leave.
//!
//! A thread of its own writes them; when it does not keep up, or the disk is full, a story is lost and
//! the log says so. Calls never wait.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use super::file::{self, StoryWriter};
use super::seen::Story;
use crate::pcap;

/// Stories waiting to be written.
const QUEUE: usize = 64;
const SUFFIX: &str = ".pcapng";

/// The keeper of stories.
#[derive(Debug)]
pub struct Keeper {
    stories: SyncSender<Story>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the keeper; `files` is how many stories are kept.
    pub fn start(directory: &Path, files: usize) -> io::Result<Keeper> {
        fs::create_dir_all(directory)?;
        let directory = directory.to_owned();
        let (stories, receiver) = sync_channel::<Story>(QUEUE);
        let thread = std::thread::Builder::new().name("trace".into()).spawn(move || {
            for story in receiver {
                let written = write(&directory, &story).and_then(|path| {
                    tracing::info!(path = %path.display(), call = story.call.map(|c| c.0), "trace of a failed call kept");
                    thin(&directory, files)
                });
                if let Err(error) = written {
                    tracing::warn!(directory = %directory.display(), %error, "a trace is not kept");
                }
            }
        })?;
        Ok(Keeper { stories, thread })
    }

    /// Hands a story over. Never waits.
    pub fn keep(&self, story: Story) {
        if let Err(TrySendError::Full(story)) = self.stories.try_send(story) {
            tracing::warn!(
                call = story.call.map(|call| call.0),
                "too many failed calls at once: a trace is not kept"
            );
        }
    }

    /// Waits until everything is written.
    pub fn finish(self) {
        drop(self.stories);
        let _ = self.thread.join();
    }
}

fn write(directory: &Path, story: &Story) -> io::Result<PathBuf> {
    let began = story.seen.front().map_or(UNIX_EPOCH, |seen| seen.at);
    let millis = began
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let call = story.call.map_or(0, |call| call.0);
    let path = directory.join(format!("{millis:013}-{call}{SUFFIX}"));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    // Traces name people: nobody but the operator's group reads them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut writer = StoryWriter::new(BufWriter::new(options.open(&path)?), false)?;
    writer.story(story)?;
    writer.into_inner().flush()?;
    Ok(path)
}

/// Names begin with the time, so the oldest sort first.
fn thin(directory: &Path, files: usize) -> io::Result<()> {
    let kept = kept(directory)?;
    for path in kept.iter().take(kept.len().saturating_sub(files)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn kept(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX))
        .collect();
    paths.sort();
    Ok(paths)
}

/// The kept stories somebody asks for, newest first. What cannot be read is passed over.
pub fn find(directory: &Path, query: &str) -> io::Result<Vec<Story>> {
    let mut found = Vec::new();
    for path in kept(directory)?.iter().rev() {
        let packets = fs::read(path)
            .ok()
            .and_then(|bytes| pcap::read(&bytes).ok());
        let stories = file::stories(&packets.unwrap_or_default());
        found.extend(stories.into_iter().filter(|story| story.is_about(query)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::seen::{Seen, What};
    use super::*;

    #[test]
    fn the_newest_stories_stay_and_are_found_again() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-keep-{}", std::process::id()));
        let keeper = Keeper::start(&directory, 3).expect("a directory");
        for call in 1..=7_u64 {
            let at = UNIX_EPOCH + Duration::from_secs(call);
            let crossed = super::super::seen::Crossed {
                inward: true,
                gap: super::super::seen::Gap::Carrier,
                transport: sip::Transport::Tls,
                local: ([10, 0, 0, 1], 5061).into(),
                remote: ([10, 0, 0, 2], 5061).into(),
                bytes: format!("INVITE sip:x SIP/2.0\r\nCall-ID: number-{call}\r\n\r\n").into(),
            };
            let story = Story {
                call: Some(b2bua::CallId(call)),
                seen: [Seen {
                    at,
                    what: What::Message(crossed),
                }]
                .into(),
                ..Story::default()
            };
            keeper.keep(story);
        }
        keeper.finish();
        let found = |query| find(&directory, query).expect("readable").len();
        assert_eq!(
            (found("number-"), found("number-7"), found("number-4")),
            (3, 1, 0)
        );
        let _ = fs::remove_dir_all(&directory);
    }
}
