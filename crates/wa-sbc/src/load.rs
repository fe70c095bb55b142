//! How much the machine has to do: what each thread of ours ran and waited for a processor, as Linux
//! counts it (`/proc/self/task/*/schedstat`). Elsewhere everything reads as idle.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use b2bua::Load;

/// Measures from one reading to the next.
#[derive(Debug)]
pub(crate) struct Gauge {
    at: Instant,
    processors: u32,
    threads: HashMap<u32, Thread>,
}

/// What a thread has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    ran: Duration,
    waited: Duration,
}

impl Gauge {
    /// A gauge that measures from `now` on.
    pub(crate) fn new(now: Instant) -> Gauge {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Gauge {
            at: now,
            processors: processors as u32,
            threads: threads(),
        }
    }

    /// The load since the last reading, as far as threads show it. A media thread that waits for a
    /// processor is as busy as one that has it: packets are late all the same.
    pub(crate) fn measure(&mut self, now: Instant, is_media: impl Fn(u32) -> bool) -> Load {
        let time = now.saturating_duration_since(self.at);
        let threads = threads();
        let mut load = Load::default();
        let mut ran = Duration::ZERO;
        for (id, thread) in &threads {
            let before = self.threads.get(id).copied().unwrap_or_default();
            let worked = thread.ran.saturating_sub(before.ran);
            ran += worked;
            if is_media(*id) {
                let busy = worked + thread.waited.saturating_sub(before.waited);
                load.media = load.media.max(percent(busy, time));
                load.media_ran = load.media_ran.max(percent(worked, time));
            }
        }
        load.cpu = percent(ran / self.processors, time);
        (self.at, self.threads) = (now, threads);
        load
    }
}

/// The id of this thread, as it is called in `/proc/self/task`.
pub(crate) fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

fn percent(part: Duration, whole: Duration) -> u8 {
    let whole = whole.as_micros().max(1);
    (part.as_micros() * 100 / whole).min(100) as u8
}

/// All threads of ours.
fn threads() -> HashMap<u32, Thread> {
    let tasks = fs::read_dir("/proc/self/task");
    let ids = tasks.into_iter().flatten().flatten();
    ids.filter_map(|task| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let counts = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let mut counts = counts.split_whitespace().map(|count| count.parse().ok());
        let ran = Duration::from_nanos(counts.next()??);
        let waited = Duration::from_nanos(counts.next()??);
        Some((id, Thread { ran, waited }))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::clock;

    #[test]
    fn a_media_thread_that_never_rests_is_seen_and_one_that_sleeps_is_not() {
        if fs::metadata("/proc/self/schedstat").is_err() {
            return; // another system: everything reads as idle
        }
        let stop = AtomicBool::new(false);
        let spinner = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let is_media = |id| id == spinner.load(Ordering::Relaxed);
            let mut gauge = Gauge::new(clock::now());
            let pause = || std::thread::park_timeout(Duration::from_millis(200));
            pause();
            let idle = gauge.measure(clock::now(), is_media);
            scope.spawn(|| {
                spinner.store(thread_id(), Ordering::Relaxed);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            pause();
            gauge.measure(clock::now(), is_media);
            pause();
            let busy = gauge.measure(clock::now(), is_media);
            stop.store(true, Ordering::Relaxed);
            assert_eq!(idle.media, 0, "there was no media thread");
            // It has a processor, or waits for one: nearly the whole time.
            assert!(busy.media >= 70 && busy.cpu > 0, "{busy:?}");
            assert!((1..=busy.media).contains(&busy.media_ran), "{busy:?}");
        });
    }

    #[test]
    fn percents_end_at_a_hundred() {
        let ms = Duration::from_millis;
        assert_eq!(percent(ms(250), ms(500)), 50);
        assert_eq!(percent(ms(900), ms(500)), 100);
        assert_eq!(percent(ms(1), Duration::ZERO), 100);
        assert_eq!(percent(Duration::ZERO, Duration::ZERO), 0);
    }
}
