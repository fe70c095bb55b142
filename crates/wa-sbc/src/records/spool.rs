//! Records to somebody far away, by way of a queue on disk.
//!
//! ```text
//!   writer ─► Spooled (a place) ─► Queue on disk ─► thread ── Courier::bring ──► far away
//!                                       ▲              │ taken: next; anything else: again,
//!                                       └── position ──┘ after 1, 2, 4 … s
//! ```
//!
//! A record counts as written for the journal once it is in the queue; from there the queue is its memory.
//! Records arrive in order and at least once. One that is not taken holds up those behind it
//! (`docs/adr/0018-a-webhook-is-a-queue.md`).

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::queue::Queue;
use super::sink::{Sink, SinkCounts};
use crate::clock;

/// Records brought at once at most.
const BATCH: usize = 100;
/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often one who takes nothing is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// What is still delivered at the end of the program; the rest waits in the queue.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who brings records to where they belong. Runs on a thread of its own and may take its time.
pub(super) trait Courier: Send {
    /// Brings all of them, or says in plain words why not; then they come again.
    fn bring(&mut self, lines: &[String]) -> Result<(), String>;
}

/// One far place: its names in logs and metrics, and how much may wait for it.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The place itself.
    pub(super) name: &'static str,
    /// The queue in front of it.
    pub(super) spool: &'static str,
    /// Where it is, for the log.
    pub(super) at: String,
    /// Octets that may wait.
    pub(super) octets: u64,
    /// The longest time between two attempts.
    pub(super) longest_pause: Duration,
}

/// The queue, and the bell that rings when something is in it or nothing will be any more.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// When the last delivery has to have begun.
    ends: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place in front of the queue.
#[derive(Debug)]
pub(super) struct Spooled {
    name: &'static str,
    shared: Arc<Shared>,
    delivered: Arc<SinkCounts>,
}

impl Sink for Spooled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.queue.push(entries)?;
        self.delivered
            .waiting
            .store(state.queue.waiting(), Ordering::Relaxed);
        self.shared.changed.notify_one();
        Ok(())
    }
}

/// The thread that delivers.
#[derive(Debug)]
pub(super) struct Delivery {
    name: &'static str,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl Delivery {
    /// Opens the queue in `directory` and goes on delivering what waits there.
    pub(super) fn start(
        address: Address,
        directory: &Path,
        courier: Box<dyn Courier>,
    ) -> io::Result<(Delivery, Spooled, Arc<SinkCounts>)> {
        let queue = Queue::open(directory, address.name, address.octets)?;
        let counts = SinkCounts::new(address.name);
        counts.waiting.store(queue.waiting(), Ordering::Relaxed);
        let state = Mutex::new(State { queue, ends: None });
        let shared = Arc::new(Shared {
            state,
            changed: Condvar::new(),
        });
        let (name, spool) = (address.name, address.spool);
        let delivering = Delivering {
            address,
            courier,
            shared: shared.clone(),
            counts: counts.clone(),
            complained: None,
        };
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || delivering.run(end))?;
        let place = Spooled {
            name: spool,
            shared: shared.clone(),
            delivered: counts.clone(),
        };
        let delivery = Delivery {
            name,
            shared,
            ended,
        };
        Ok((delivery, place, counts))
    }

    /// Delivers what is taken at once. A delivery that hangs is left to the next start.
    pub(super) fn finish(self) {
        self.shared.lock().ends = Some(clock::now() + LAST_WORDS);
        self.shared.changed.notify_one();
        if self.ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                place = self.name,
                "records are taken slowly; the rest of them waits for the next start"
            );
        }
    }
}

/// Who delivers.
struct Delivering {
    address: Address,
    courier: Box<dyn Courier>,
    shared: Arc<Shared>,
    counts: Arc<SinkCounts>,
    complained: Option<Instant>,
}

impl Delivering {
    /// Delivers until the end; dropping `_end` says that it has come.
    fn run(mut self, _end: Sender<()>) {
        let mut pause = Duration::ZERO;
        while self.wait(pause) {
            pause = match self.deliver() {
                Ok(()) => Duration::ZERO,
                Err(why) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    self.complain(&why);
                    (pause * 2).clamp(FIRST_PAUSE, self.address.longest_pause)
                }
            };
        }
    }

    /// Waits until something waits, and after a failure for `pause` besides; whether to go on.
    fn wait(&self, pause: Duration) -> bool {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, pause, |state| state.ends.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let state = self
            .shared
            .changed
            .wait_while(state, |state| {
                state.ends.is_none() && state.queue.waiting() == 0
            })
            .unwrap_or_else(PoisonError::into_inner);
        match state.ends {
            // The last attempt has failed, or there is nothing more.
            Some(end) => pause.is_zero() && state.queue.waiting() > 0 && clock::now() < end,
            None => true,
        }
    }

    /// Delivers the oldest records. The queue is not held meanwhile.
    fn deliver(&mut self) -> Result<(), String> {
        let peeked = self.shared.lock().queue.peek(BATCH);
        let Some(batch) = peeked.map_err(|error| error.to_string())? else {
            return Err("the queue on disk cannot be read on".into());
        };
        self.courier.bring(&batch.lines)?;
        let mut state = self.shared.lock();
        let advanced = state.queue.advance(&batch);
        self.counts
            .written
            .fetch_add(batch.lines.len() as u64, Ordering::Relaxed);
        self.counts
            .waiting
            .store(state.queue.waiting(), Ordering::Relaxed);
        drop(state);
        let Address { name, at, .. } = &self.address;
        if let Err(error) = advanced {
            tracing::warn!(place = name, %error, "how far it is, is not kept: after a crash records would be brought again");
        }
        if self.complained.take().is_some() {
            tracing::info!(place = name, at, "records are taken again");
        }
        Ok(())
    }

    fn complain(&mut self, why: &str) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(clock::now());
            let waiting = self.counts.waiting.load(Ordering::Relaxed);
            let Address { name, at, .. } = &self.address;
            tracing::error!(
                place = name,
                at,
                why,
                waiting,
                "records are not taken; they wait on disk, calls go on"
            );
        }
    }
}
