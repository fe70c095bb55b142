//! Which processor does what while something is measured: the program measured has one for itself, whoever plays with it runs on
//! another. Where a packet wakes somebody decides about half of what it costs, and left alone that is decided anew in every run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The processor of the program measured, and that of everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// Of the program measured.
    Measured,
    /// Of the load, and of all else.
    Load,
}

impl Processor {
    fn number(self) -> usize {
        match self {
            Processor::Load => 0,
            Processor::Measured => 1,
        }
    }

    /// Moves the calling program (its main thread, and what it starts from now on) here; whether that could be done.
    /// With one processor only there is nothing to divide.
    pub fn keep_to(self) -> bool {
        let [number, process] = [self.number(), std::process::id() as usize].map(|n| n.to_string());
        Path::new("/sys/devices/system/cpu/cpu1").exists()
            && Command::new("taskset")
                .args(["-p", "-c", &number, &process])
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    }

    /// Processor time the kernel spent here on packets that a process sent and had no time to deliver: of its thread for
    /// that (`ksoftirqd`). Zero where it cannot be seen.
    pub fn packets_later(self) -> Duration {
        let name = format!("ksoftirqd/{}", self.number());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        all.map(|process| process.path())
            .find(|path| read(&path.join("comm")).trim() == name)
            .and_then(|path| {
                let ran = read(&path.join("schedstat"));
                ran.split(' ').next()?.parse().ok()
            })
            .map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// How long this processor has had nothing to do, in all (`/proc/stat`).
    pub fn idle(self) -> Duration {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{} ", self.number());
        let line = stat.lines().find_map(|line| line.strip_prefix(&name));
        // Idle and waiting for a disk, in hundredths of a second.
        let ticks = line.map_or(0, |line| {
            let fields = line.split_whitespace().skip(3).take(2);
            fields.filter_map(|field| field.parse::<u32>().ok()).sum()
        });
        Duration::from_millis(10) * ticks
    }
}

/// Starts something that has its processor to itself: a child runs where its parent does. The caller is on the other
/// processor from now on.
pub fn alone<T>(start: impl FnOnce() -> T) -> T {
    Processor::Measured.keep_to();
    let started = start();
    Processor::Load.keep_to();
    started
}
