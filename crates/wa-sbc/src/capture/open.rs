//! One capture being written: what stands in its packets and their comments, the turn of its files, and how it ends.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::counts::Counts;
use super::files::{Counted, Files};
use super::glimpse::Glimpse;
use super::status::Status;
use crate::trace::{By, Followed, StoryWriter, Told};

/// A capture that begins.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its bit.
    pub(super) by: By,
    pub(super) status: Arc<Status>,
    pub(super) files: Files,
}

/// A capture being written.
pub(super) struct Open {
    pub(super) by: By,
    pub(super) status: Arc<Status>,
    files: Files,
    pub(super) writer: StoryWriter<Counted>,
    until: Option<Instant>,
    /// Words for the comment of the next packet of a story.
    more: HashMap<u64, String>,
}

impl Open {
    pub(super) fn begin(begun: Begun, now: Instant) -> io::Result<Open> {
        let Begun {
            by,
            status,
            mut files,
        } = begun;
        let writer = StoryWriter::new(files.begin()?, status.wish.keys)?.with_media();
        status.has_files(files.kept());
        Ok(Open {
            by,
            until: status.wish.duration().map(|long| now + long),
            status,
            files,
            writer,
            more: HashMap::new(),
        })
    }

    pub(super) fn write(&mut self, item: &Item, bytes: &[u8]) -> io::Result<()> {
        match item {
            Item::Seen(followed) => self.seen(followed)?,
            Item::Glimpse(glimpse, range) => self.glimpse(glimpse, &bytes[range.clone()])?,
        }
        if self.files.bytes() >= self.status.wish.file_size() {
            self.flush()?;
            let next = self.files.begin()?;
            self.writer.turn(next)?;
            self.status.has_files(self.files.kept());
        }
        Ok(())
    }

    fn seen(&mut self, followed: &Followed) -> io::Result<()> {
        match &followed.what {
            Told::Seen(seen) => {
                let more = self.more.remove(&followed.story).unwrap_or_default();
                let outside = if followed.outside { " outside" } else { "" };
                let more = format!(" story={}{outside}{more}", followed.story);
                let call = followed.call.map_or(0, |call| call.0);
                self.status.message();
                self.writer.seen(call, seen, &more)?;
            }
            Told::Leg(side, call_id) => {
                let more = self.more.entry(followed.story).or_default();
                more.push_str(&format!(" leg{side:?}={call_id}"));
            }
            Told::Carrier(side) => {
                let more = self.more.entry(followed.story).or_default();
                more.push_str(&format!(" carrier={side:?}"));
            }
        }
        Ok(())
    }

    fn glimpse(&mut self, glimpse: &Glimpse, bytes: &[u8]) -> io::Result<()> {
        let (way, ends) = match glimpse.inward {
            true => ("in", (glimpse.remote, glimpse.local)),
            false => ("out", (glimpse.local, glimpse.remote)),
        };
        let clear = if glimpse.opened { "clear" } else { "sealed" };
        let comment = format!(
            "wa-sbc call={} media={clear} gap={} way={way}",
            glimpse.call.0,
            glimpse.gap.label()
        );
        self.status.datagram();
        self.writer.datagram(glimpse.at, ends, bytes, &comment)
    }

    /// Whether it ends now, and with which words.
    pub(super) fn over(&self, now: Instant) -> Option<&'static str> {
        if self.status.is_stopping() {
            return Some("stopped");
        }
        self.until
            .is_some_and(|until| until <= now)
            .then_some("its time was over")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.files.flushed();
        Ok(())
    }

    /// Its end; its last words may still find the disk full.
    pub(super) fn end(mut self, why: &str, counts: &Counts) {
        if let Err(error) = self.flush() {
            return self.broke(&error, counts);
        }
        self.status.has_files(self.files.kept());
        self.status.end(why);
        tracing::info!(capture = self.status.name, why, "capture ended");
    }

    /// It cannot be written: what could be stays, to the last whole packet.
    pub(super) fn broke(self, error: &io::Error, counts: &Counts) {
        let Self {
            status,
            files,
            writer,
            ..
        } = self;
        drop(writer);
        if let Err(error) = files.mend() {
            tracing::debug!(capture = status.name, %error, "its last file ends within a packet");
        }
        status.has_files(files.kept());
        fail(counts, &status, error);
    }
}

/// Something to write, and since when it waits.
pub(super) enum Item {
    Seen(Followed),
    /// Where its bytes are.
    Glimpse(Glimpse, std::ops::Range<usize>),
}

/// A capture cannot be written: it alone ends.
pub(super) fn fail(counts: &Counts, status: &Status, error: &io::Error) {
    counts.broke();
    status.end(&format!("cannot be written: {error}"));
    tracing::warn!(capture = status.name, %error, "a capture ended: it cannot be written; calls go on");
}
