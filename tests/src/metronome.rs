//! Whether the machine itself kept time. Audio in real time cannot be judged while the machine stalls everybody: a test that
//! failed under such a stall is played again, and one that failed without it has failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(5);
const STALL: Duration = Duration::from_millis(20);
const ATTEMPTS: u32 = 3;

/// Beats every 5 ms and remembers the worst delay.
pub struct Metronome {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    /// Starts beating.
    pub fn start() -> Metronome {
        let (worst, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (worst_of_thread, stop_of_thread) = (worst.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stop_of_thread.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(BEAT);
                let late = began.elapsed().saturating_sub(BEAT).as_micros() as u64;
                worst_of_thread.fetch_max(late, Ordering::Relaxed);
            }
        });
        Metronome {
            worst,
            stop,
            thread: Some(thread),
        }
    }

    /// The worst delay of a beat so far.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Plays `story`; when it fails while the machine stalled or had much else to do, plays it again, three times at most.
///
/// # Panics
/// As the last attempt did.
pub fn undisturbed(story: impl Fn()) {
    for attempt in 1.. {
        let metronome = Metronome::start();
        let Err(panic) = catch_unwind(AssertUnwindSafe(&story)) else {
            return;
        };
        let (worst, load) = (metronome.worst(), load());
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let disturbed = worst > STALL || load > 1.5 * cores;
        if attempt >= ATTEMPTS || !disturbed {
            resume_unwind(panic);
        }
        eprintln!("the machine stalled for {worst:?} (load {load}); the story is played again");
    }
}

// How many threads want to run, averaged over the last minute.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(0.0)
}
