//! The captures that run and those that ran, owned by the owner of the core.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use b2bua::event::Facts;
use b2bua::settings::Trunk;
use sip::Transport;

use super::counts::Counts;
use super::files::{self, Files};
use super::glimpse::Glimpses;
use super::open::Begun;
use super::status::Status;
use super::wish::Wish;
use super::writer::{Tell, run};
use crate::config::CaptureSettings;
use crate::trace::{By, Follow, Followed, Reach, reached};

/// Things waiting for the writer.
const QUEUE: usize = 4_096;
/// Captures at once: one bit each.
const AT_ONCE: usize = By::BITS as usize;
/// Captures that ended and are still listed.
const PAST: usize = 32;

/// The thread that writes.
#[derive(Debug)]
struct Thread {
    tell: SyncSender<Tell>,
    handle: JoinHandle<()>,
}

/// All captures.
#[derive(Debug)]
pub(crate) struct Captures {
    settings: CaptureSettings,
    /// What is whose: trunks and numbers as configured now.
    core: b2bua::Settings,
    counts: Arc<Counts>,
    thread: Option<Thread>,
    running: [Option<Arc<Status>>; AT_ONCE],
    past: VecDeque<Arc<Status>>,
    /// The bit of the next one: one that was not used for as long as possible.
    next: usize,
}

/// A capture that was begun: its bit, what it follows, and how it is doing.
pub(crate) type Begin = (By, Follow, Arc<Status>);

impl Captures {
    /// None yet.
    pub(crate) fn new(settings: CaptureSettings, core: b2bua::Settings) -> Self {
        Self {
            settings,
            core,
            counts: Arc::default(),
            thread: None,
            running: Default::default(),
            past: VecDeque::new(),
            next: 0,
        }
    }

    /// Figures.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Whether none runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// Trunks and numbers from now on, for captures that begin.
    pub(crate) fn reload(&mut self, core: b2bua::Settings) {
        self.core = core;
    }

    /// What a wish follows beside the calls the core names.
    fn follow(&self, wish: &Wish) -> Result<Follow, String> {
        let trunks = &self.core.trunks;
        let reach = wish.trunk.as_ref().map(|name| {
            Reach::of(name, &self.core).ok_or_else(|| {
                let known: Vec<&str> = trunks.iter().map(|trunk| &*trunk.name).collect();
                format!("no trunk is called {name}: there is {}", known.join(", "))
            })
        });
        Ok(Follow {
            all: wish.all,
            word: wish.word().map(str::to_owned),
            trunk: reach.transpose()?,
            secure: { trunks.iter() }
                .filter(|trunk| is_secure(trunk))
                .flat_map(|trunk| reached(trunk))
                .collect(),
        })
    }

    /// Begins one. `taps` gives the ends of the media threads' rings; asked for where none runs yet.
    pub(crate) fn begin(
        &mut self,
        wish: Wish,
        wall: SystemTime,
        taps: impl FnOnce() -> Vec<Glimpses>,
    ) -> Result<Begin, String> {
        if let Some(objection) = wish.objection() {
            return Err(objection.into());
        }
        let follow = self.follow(&wish)?;
        self.admits(&wish)?;
        let bits = (self.next..).take(AT_ONCE).map(|at| at % AT_ONCE);
        let slot = { bits }
            .find(|at| self.running[*at].is_none())
            .ok_or_else(|| format!("{AT_ONCE} captures run already: stop one"))?;
        let name = named(wall, slot);
        let directory = &self.settings.directory;
        let cannot = |error: io::Error| format!("{}: {error}", directory.display());
        let files = Files::new(directory, &name, wish.files).map_err(cannot)?;
        let status = Arc::new(Status::new(name, wish, wall));
        let by = 1 << slot;
        let is_first = self.is_idle();
        let tell = self.writer().map_err(|error| error.to_string())?;
        let begun = Box::new(Begun {
            by,
            status: status.clone(),
            files,
        });
        let busy = |_| "the writer of captures is busy: ask again".to_owned();
        if is_first {
            tell.try_send(Tell::Taps(taps())).map_err(busy)?;
        }
        tell.try_send(Tell::Begin(begun)).map_err(busy)?;
        self.running[slot] = Some(status.clone());
        self.next = slot + 1;
        self.count();
        tracing::warn!(
            capture = status.name,
            of = status.wish.about(),
            keys = status.wish.keys,
            "capture begun: what people say is written to disk"
        );
        Ok((by, follow, status))
    }

    /// Whether the disk it may take up is still to be had.
    fn admits(&self, wish: &Wish) -> Result<(), String> {
        let reserved: u64 = self
            .running
            .iter()
            .flatten()
            .map(|status| status.wish.most())
            .sum();
        let on_disk = files::taken(&self.settings.directory);
        let taken = on_disk.max(reserved);
        if taken.saturating_add(wish.most()) <= self.settings.bytes {
            return Ok(());
        }
        Err(format!(
            "captures may take {} MB in {}, {} MB are taken or promised: delete some, or ask for fewer or smaller files",
            self.settings.bytes / 1_000_000,
            self.settings.directory.display(),
            taken.div_ceil(1_000_000),
        ))
    }

    fn writer(&mut self) -> io::Result<SyncSender<Tell>> {
        if let Some(thread) = &self.thread {
            return Ok(thread.tell.clone());
        }
        let (tell, told) = sync_channel(QUEUE);
        let counts = self.counts.clone();
        let handle = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || run(&told, &counts))?;
        self.thread = Some(Thread {
            tell: tell.clone(),
            handle,
        });
        Ok(tell)
    }

    /// Those that want a call.
    pub(crate) fn wanting(&self, facts: &Facts) -> By {
        let wants = self.running.iter().enumerate().filter(|(_, status)| {
            let status = status.as_ref();
            status.is_some_and(|status| status.wish.wants(facts))
        });
        wants.fold(0, |by, (slot, _)| by | 1 << slot)
    }

    /// Something was seen of what is captured; all that is known by now, in one piece: a capture of everything
    /// that begins is told of hundreds of calls at once.
    pub(crate) fn seen(&self, seen: Vec<Followed>) {
        let Some(thread) = self.thread.as_ref().filter(|_| !seen.is_empty()) else {
            return;
        };
        if let Err(TrySendError::Full(Tell::Seen(lost))) = thread.tell.try_send(Tell::Seen(seen)) {
            self.counts.lose(lost.len() as u64);
            for (slot, status) in self.running.iter().enumerate() {
                let of_it = lost.iter().filter(|lost| lost.by & 1 << slot != 0);
                if let Some(status) = status {
                    status.dropped(of_it.count() as u64);
                }
            }
        }
    }

    /// Those that run, and those that ran, the newest at the end.
    pub(crate) fn list(&self) -> Vec<Arc<Status>> {
        let mut all: Vec<_> = self
            .past
            .iter()
            .chain(self.running.iter().flatten())
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.into_iter().cloned().collect()
    }

    /// Those that ended since this was asked last.
    pub(crate) fn tidy(&mut self) -> By {
        let mut over = 0;
        for (slot, running) in self.running.iter_mut().enumerate() {
            if running
                .as_ref()
                .is_none_or(|status| status.ended().is_none())
            {
                continue;
            }
            over |= 1 << slot;
            self.past.extend(running.take());
        }
        while self.past.len() > PAST {
            self.past.pop_front();
        }
        if over != 0 {
            self.count();
        }
        over
    }

    fn count(&self) {
        let running = self.running.iter().flatten().count() as u64;
        self.counts.run(running);
    }

    /// Waits until everything is written.
    pub(crate) fn finish(self) {
        if let Some(thread) = self.thread {
            // It takes whatever is in front of this first.
            let _ = thread.tell.send(Tell::End);
            let _ = thread.handle.join();
        }
    }
}

/// Whether a trunk may speak TLS with us.
fn is_secure(trunk: &Trunk) -> bool {
    let targets = trunk.destinations().chain(trunk.registrars());
    let named = targets.map(|target| target.transport);
    let registers = trunk.access.registers.then_some(trunk.target.transport);
    let mut all = named
        .chain(registers)
        .chain(trunk.transports.iter().copied());
    all.any(|transport| transport == Transport::Tls)
}

/// The name of a capture: when it began (UTC), and its slot. No row of digits is as long as that of a telephone
/// number, which the log would shorten.
fn named(wall: SystemTime, slot: usize) -> String {
    let at = jiff::Timestamp::try_from(wall).unwrap_or_default();
    format!("capture-{}-{slot}", at.strftime("%Y-%m-%d-%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::trace::{Seen, Told, What};

    #[test]
    fn a_capture_that_begins_hears_of_all_calls_at_once() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-all-{}", std::process::id()));
        let settings = CaptureSettings {
            directory: directory.clone(),
            bytes: 100_000_000,
        };
        let mut captures = Captures::new(settings, sim::scene::settings());
        let wish = Wish {
            all: true,
            files: 1,
            ..Wish::default()
        };
        let begun = captures.begin(wish, clock::wall(), Vec::new);
        let (by, _, status) = begun.expect("there is room");
        let fact = |story| Followed {
            by,
            story,
            call: None,
            outside: false,
            what: Told::Seen(Seen {
                at: clock::wall(),
                what: What::Fact {
                    gap: None,
                    text: "a call from before".into(),
                },
            }),
        };
        let count = 3 * QUEUE as u64;
        captures.seen((0..count).map(fact).collect());
        captures.finish();
        let shown = status.json();
        assert_eq!(
            (&shown["messages"], &shown["dropped"]),
            (&count.into(), &0.into())
        );
        let _ = std::fs::remove_dir_all(&directory);
    }

    #[test]
    fn a_capture_is_called_by_when_it_began() {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_806_524_084);
        let name = named(at, 3);
        assert_eq!(name, "capture-2026-11-27-190844-3");
        assert_eq!(
            crate::log::redact(&name),
            name,
            "--stop takes it from the log"
        );
    }

    #[test]
    fn captures_take_no_more_of_the_disk_than_they_may() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-most-{}", std::process::id()));
        let settings = CaptureSettings {
            directory: directory.clone(),
            bytes: 25_000_000,
        };
        let mut captures = Captures::new(settings, sim::scene::settings());
        let wish = Wish {
            all: true,
            files: 2,
            megabytes: 10,
            ..Wish::default()
        };
        let mut begin = |wish: Wish| captures.begin(wish, clock::wall(), Vec::new);
        let (by, _, status) = begin(wish.clone()).expect("there is room");
        let why = begin(wish.clone()).expect_err("there is no room for both");
        assert!(
            why.contains("25 MB") && why.contains("20 MB are taken"),
            "{why}"
        );
        let (other, ..) = begin(Wish {
            files: 1,
            megabytes: 5,
            ..wish
        })
        .expect("a small one fits");
        assert_eq!((by, other), (1, 2));
        assert_eq!(captures.counts().running(), 2);
        status.stop();
        while status.ended().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!((captures.tidy(), captures.tidy()), (1, 0));
        assert_eq!((captures.counts().running(), captures.list().len()), (1, 2));
        captures.finish();
        let _ = std::fs::remove_dir_all(&directory);
    }
}
