//! The thread that writes captures: SIP from the core's task, datagrams from the media threads, both put in
//! the order of time. A capture whose disk is full ends, and says so; nothing else does.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::counts::Counts;
use super::glimpse::{Captures, Glimpses};
use super::open::{Begun, Item, Open, fail};
use crate::clock;
use crate::trace::{By, Followed, Told};

/// How often the media threads' rings are emptied.
const TURN: Duration = Duration::from_millis(20);
/// How long the past is held back for what comes late: the threads are emptied one after the other.
const HOLD: Duration = Duration::from_millis(60);

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Tell {
    /// The ends of the media threads' rings.
    Taps(Vec<Glimpses>),
    /// Write another capture.
    Begin(Box<Begun>),
    /// Something was seen.
    Seen(Vec<Followed>),
    /// Write what is there and end.
    End,
}

/// The writer.
pub(super) struct Writing<'a> {
    counts: &'a Counts,
    open: Vec<Open>,
    taps: Vec<Glimpses>,
    pending: Vec<(SystemTime, Item)>,
    bytes: Vec<u8>,
}

/// Runs until it is told to end.
pub(super) fn run(tell: &Receiver<Tell>, counts: &Counts) {
    let mut writing = Writing::new(counts);
    loop {
        let told = match writing.open.is_empty() {
            true => tell.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => tell.recv_timeout(TURN),
        };
        let ends = match told {
            Ok(told) => writing.told(told) || tell.try_iter().any(|told| writing.told(told)),
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if writing.open.is_empty() && !ends {
            writing.pending.clear();
            continue;
        }
        writing.look();
        if ends {
            writing.write(None);
            writing
                .open
                .drain(..)
                .for_each(|open| open.end("the program ended", counts));
            return;
        }
        writing.turn(clock::now(), clock::wall());
    }
}

impl<'a> Writing<'a> {
    pub(super) fn new(counts: &'a Counts) -> Self {
        Self {
            counts,
            open: Vec::new(),
            taps: Vec::new(),
            pending: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Whether it is to end.
    fn told(&mut self, told: Tell) -> bool {
        match told {
            Tell::Taps(taps) => self.taps = taps,
            Tell::Begin(begun) => {
                let status = begun.status.clone();
                match Open::begin(*begun, clock::now()) {
                    Ok(open) => self.open.push(open),
                    Err(error) => fail(self.counts, &status, &error),
                }
            }
            Tell::Seen(seen) => self.pending.extend(seen.into_iter().map(|followed| {
                let at = match &followed.what {
                    Told::Seen(seen) => seen.at,
                    Told::Leg(..) | Told::Carrier(_) => SystemTime::UNIX_EPOCH,
                };
                (at, Item::Seen(followed))
            })),
            Tell::End => return true,
        }
        false
    }

    /// Empties the rings of the media threads.
    fn look(&mut self) {
        let Self {
            taps,
            pending,
            bytes,
            open,
            counts,
        } = self;
        for tap in taps {
            let mut begin = bytes.len();
            while let Some(glimpse) = tap.next(bytes) {
                pending.push((glimpse.at, Item::Glimpse(glimpse, begin..bytes.len())));
                begin = bytes.len();
            }
            let dropped = tap.dropped();
            if dropped > 0 && !open.is_empty() {
                counts.lose(dropped);
                open.iter().for_each(|open| open.status.dropped(dropped));
            }
        }
    }

    /// Writes what has waited long enough, and ends what is over.
    fn turn(&mut self, now: Instant, wall: SystemTime) {
        let over: Vec<(By, &'static str)> = self
            .open
            .iter()
            .filter_map(|open| Some((open.by, open.over(now)?)))
            .collect();
        // Whoever ends wants everything until now.
        let ripe = if over.is_empty() {
            Some(wall - HOLD)
        } else {
            None
        };
        self.write(ripe);
        for (by, why) in over {
            if let Some(at) = self.open.iter().position(|open| open.by == by) {
                self.open.remove(at).end(why, self.counts);
            }
        }
    }

    /// Writes everything, or what was seen up to a moment.
    fn write(&mut self, ripe: Option<SystemTime>) {
        self.pending.sort_by_key(|(at, _)| *at);
        let count = match ripe {
            Some(ripe) => self.pending.partition_point(|(at, _)| *at <= ripe),
            None => self.pending.len(),
        };
        let ready: Vec<(SystemTime, Item)> = self.pending.drain(..count).collect();
        for (_, item) in &ready {
            let wanted: Captures = match item {
                Item::Seen(followed) => followed.by,
                Item::Glimpse(glimpse, _) => glimpse.by,
            };
            self.each(|open, bytes| match open.by & wanted {
                0 => Ok(()),
                _ => open.write(item, bytes),
            });
        }
        if !ready.is_empty() {
            self.each(|open, _| open.flush());
        }
        if self.pending.is_empty() {
            self.bytes.clear();
        } else {
            self.compact();
        }
    }

    /// Forgets the bytes nothing waits for any more.
    fn compact(&mut self) {
        let waiting = self.pending.iter().filter_map(|(_, item)| match item {
            Item::Glimpse(_, range) => Some(range.start),
            Item::Seen(_) => None,
        });
        let first = waiting.min().unwrap_or(self.bytes.len());
        self.bytes.drain(..first);
        for (_, item) in &mut self.pending {
            if let Item::Glimpse(_, range) = item {
                *range = range.start - first..range.end - first;
            }
        }
    }

    /// Does something to every capture; one that cannot is over.
    fn each(&mut self, mut act: impl FnMut(&mut Open, &[u8]) -> io::Result<()>) {
        let mut at = 0;
        while let Some(open) = self.open.get_mut(at) {
            match act(open, &self.bytes) {
                Ok(()) => at += 1,
                Err(error) => self.open.remove(at).broke(&error, self.counts),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use b2bua::CallId;
    use sdp::Side;

    use super::super::files::{Counted, Files};
    use super::super::glimpse::{Crossing, Watched, glimpses};
    use super::super::status::Status;
    use super::super::wish::Wish;
    use super::*;
    use crate::pcap;
    use crate::trace::{Seen, StoryWriter, What};

    fn begun(by: By, directory: &std::path::Path, files: u64) -> Begun {
        let name = format!("of-{by}");
        let wish = Wish {
            all: true,
            files,
            megabytes: 1,
            ..Wish::default()
        };
        Begun {
            by,
            files: Files::new(directory, &name, files).expect("a directory"),
            status: Arc::new(Status::new(name, wish, SystemTime::UNIX_EPOCH)),
        }
    }

    fn fact(by: By, at: SystemTime, text: &str) -> Tell {
        Tell::Seen(vec![Followed {
            by,
            story: 1,
            call: Some(CallId(7)),
            outside: false,
            what: Told::Seen(Seen {
                at,
                what: What::Fact {
                    gap: None,
                    text: text.into(),
                },
            }),
        }])
    }

    #[test]
    fn files_turn_and_every_one_of_them_can_be_read_alone_in_the_order_of_time() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-turn-{}", std::process::id()));
        let counts = Counts::default();
        let mut writing = Writing::new(&counts);
        let (now, wall) = (clock::now(), clock::wall());
        let (mut tap, end) = glimpses(now, wall);
        writing.told(Tell::Taps(vec![end]));
        let begun = begun(1, &directory, 2);
        let status = begun.status.clone();
        writing.told(Tell::Begin(Box::new(begun)));
        let crossing = Crossing {
            inward: true,
            side: Side::A,
            local: ([203, 0, 113, 1], 20_000).into(),
            remote: ([203, 0, 113, 9], 40_000).into(),
        };
        let of = |by| {
            let carrier = Side::A;
            (CallId(7), Watched { by, carrier })
        };
        for round in 0..4_000_u64 {
            let later = Duration::from_millis(round);
            tap.show(now + later, of(1), crossing, Some(&[0x80; 700]));
            tap.show(now + later, of(2), crossing, Some(b"of nobody's"));
            // Told later than it was seen.
            writing.told(fact(1, wall + later - Duration::from_millis(1), "a fact"));
            if round % 100 == 99 {
                writing.look();
                writing.turn(now, wall + later);
            }
        }
        status.stop();
        writing.turn(now, wall);
        assert_eq!(status.ended().as_deref(), Some("stopped"));
        let files = status.files();
        assert_eq!(files.len(), 2, "the oldest went");
        for file in &files {
            let bytes = std::fs::read(file).expect("readable");
            assert!(bytes.len() < 1_010_000, "{}", bytes.len());
            let packets = pcap::read(&bytes).expect("a capture");
            assert!(packets.len() > 100);
            assert!(packets.is_sorted_by_key(|packet| packet.at));
            assert!(
                packets
                    .iter()
                    .all(|packet| packet.comment.contains("call=7"))
            );
        }
        let json = status.json();
        assert_eq!(
            (&json["messages"], &json["datagrams"]),
            (&4_000.into(), &4_000.into())
        );
        let _ = std::fs::remove_dir_all(&directory);
    }

    #[test]
    fn a_full_disk_ends_one_capture_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-full-{}", std::process::id()));
        let counts = Counts::default();
        let mut writing = Writing::new(&counts);
        let (first, second) = (begun(1, &directory, 1), begun(2, &directory, 1));
        let statuses = [first.status.clone(), second.status.clone()];
        writing.told(Tell::Begin(Box::new(first)));
        writing.told(Tell::Begin(Box::new(second)));
        let full = StoryWriter::new(Counted::full(), false);
        writing.open[0].writer = full.expect("nothing is written yet");
        writing.told(fact(3, SystemTime::UNIX_EPOCH, "to both"));
        writing.turn(clock::now(), clock::wall());
        let ended = statuses[0].ended().expect("it ended");
        assert!(ended.contains("No space left on device"), "{ended}");
        assert_eq!((statuses[1].ended(), counts.broken()), (None, 1));
        writing.told(fact(2, SystemTime::UNIX_EPOCH, "to one"));
        statuses[1].stop();
        writing.turn(clock::now(), clock::wall());
        assert_eq!(statuses[1].ended().as_deref(), Some("stopped"));
        assert_eq!(statuses[1].json()["messages"], 2);
        let _ = std::fs::remove_dir_all(&directory);
    }
}
