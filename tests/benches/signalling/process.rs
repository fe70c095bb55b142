//! What Linux counts of a process: processor time by thread, resident memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// A process by its id.
pub(crate) struct Process(u32);

/// Processor time by the name of a thread.
pub(crate) struct Times(BTreeMap<String, Duration>);

impl Process {
    pub(crate) fn new(pid: u32) -> Process {
        Process(pid)
    }

    /// What each thread has run so far; threads of one name together.
    pub(crate) fn threads(&self) -> Times {
        let mut times = BTreeMap::new();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0)).into_iter();
        for task in tasks.flatten().flatten() {
            let read =
                |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let name = read("comm")
                .trim()
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned();
            let ran = read("schedstat")
                .split(' ')
                .next()
                .and_then(|ns| ns.parse().ok())
                .unwrap_or(0);
            *times.entry(name).or_insert(Duration::ZERO) += Duration::from_nanos(ran);
        }
        Times(times)
    }

    /// Resident set in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let kib: u64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        kib * 1024
    }
}

impl Times {
    pub(crate) fn since(&self, before: &Times) -> Times {
        let spent = |(name, ran): (&String, &Duration)| {
            let earlier = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), ran.saturating_sub(earlier))
        };
        Times(self.0.iter().map(spent).collect())
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// Of the threads whose name begins so.
    pub(crate) fn of(&self, name: &str) -> Duration {
        let named = self.0.iter().filter(|(of, _)| of.starts_with(name));
        named.map(|(_, ran)| ran).sum()
    }

    /// Microseconds of each thread for each of so many calls.
    pub(crate) fn per_call(&self, calls: u32) -> String {
        let mut text = String::new();
        for (name, ran) in &self.0 {
            let _ = write!(
                text,
                "{name} {:.0}  ",
                ran.as_secs_f64() * 1e6 / f64::from(calls)
            );
        }
        text
    }
}

/// The processor, and how many of it.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches(['\t', ' ', ':'])
        });
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!("{cores} x {model}")
}
