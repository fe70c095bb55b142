//! What a process and the machine cost and are.

use std::fs;
use std::time::Duration;

/// A hundredth of a second: the unit of `/proc/*/stat` on every Linux in use.
const TICK: Duration = Duration::from_millis(10);

/// Processor time the process has taken so far, all threads, user and system (`/proc/<pid>/stat`).
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // State is field 3; user and system time are fields 14 and 15.
    let ticks: u32 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    TICK * ticks
}

/// Processor time this thread has taken so far (`/proc/thread-self/schedstat`).
pub(crate) fn thread_time() -> Duration {
    let counts = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = counts.split_whitespace().next();
    Duration::from_nanos(ran.and_then(|ran| ran.parse().ok()).unwrap_or_default())
}

/// Processor time everything on the machine took, and that it had nothing to do for (`/proc/stat`).
pub(crate) fn machine_time() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u32> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle: u32 = fields.iter().skip(3).take(2).sum();
    let all: u32 = fields.iter().take(8).sum();
    (TICK * (all - idle), TICK * idle)
}

/// What this is measured on, in a line.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} × {model}, Linux {}, load {}",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_processor_time() {
        let before = processor_time(std::process::id());
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        assert!(processor_time(std::process::id()) > before);
    }
}
