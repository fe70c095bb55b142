//! A program that was started: what it says, how it ends, how much memory it holds.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the workspace")
}

/// A started program. Dropping it ends the program, by its process id.
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command`; what it writes goes to `<name>.log` in the test's directory.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(place: &Place, name: &str, command: &mut Command) -> Running {
        Running::spawn(place, name, command.stdin(Stdio::null()))
    }

    /// Like [`Running::start`], for a program that takes commands: see [`Running::say`].
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_listening(place: &Place, name: &str, command: &mut Command) -> Running {
        Running::spawn(place, name, command.stdin(Stdio::piped()))
    }

    fn spawn(place: &Place, name: &str, command: &mut Command) -> Running {
        let log = place.path(&format!("{name}.log"));
        let out = File::create(&log).expect("the test's directory is writable");
        let err = out.try_clone().expect("a file can be opened twice");
        let child = command
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} cannot be started: {error}; command {command:?}")
            });
        Running {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives the program a line on its standard input.
    ///
    /// # Panics
    /// When it was not started for that, or does not read.
    pub fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("started to listen");
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .expect("a program that listens");
    }

    /// Everything the program has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of what the program has written, for messages of failing tests.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until the program has written `words`.
    ///
    /// # Panics
    /// When it ends before or does not do so within `limit`.
    pub fn wait_for(&mut self, words: &str, limit: Duration) {
        self.wait_for_times(words, 1, limit);
    }

    /// Waits until the program has written `words` at least `times` times.
    ///
    /// # Panics
    /// When it ends before or does not do so within `limit`.
    pub fn wait_for_times(&mut self, words: &str, times: usize, limit: Duration) {
        let started = Instant::now();
        loop {
            if self.log().matches(words).count() >= times {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
                panic!(
                    "{} ended ({status}) before it said {words:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            assert!(
                started.elapsed() < limit,
                "{} did not say {words:?} within {limit:?}:\n{}",
                self.name,
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program ends by itself.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    pub fn finish(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be asked") {
                return status;
            }
            assert!(
                started.elapsed() < limit,
                "{} still runs after {limit:?}:\n{}",
                self.name,
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program ends by itself, successfully.
    ///
    /// # Panics
    /// When it is still there after `limit`, or ends with another status than 0.
    pub fn succeed(&mut self, limit: Duration) {
        let status = self.finish(limit);
        assert!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            self.tail()
        );
    }

    /// Whether the program still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the program to end (SIGTERM) and waits for it; after 10 s it is ended.
    pub fn terminate(&mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }

    /// Sends a signal by name (`TERM`, `HUP`, `INT`).
    pub fn signal(&mut self, name: &str) {
        if self.alive() {
            let _ = Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.pid().to_string())
                .status();
        }
    }

    /// Resident set in KiB (`VmRSS`), 0 when the program is gone.
    pub fn resident_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    }

    /// How many file descriptors are open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).map_or(0, Iterator::count)
    }

    /// Datagrams the kernel has thrown away because `socket` (in the spelling of [`Running::udp_sockets`]) was not read fast
    /// enough.
    pub fn udp_drops(&self, socket: &str) -> u64 {
        std::fs::read_to_string("/proc/net/udp")
            .unwrap_or_default()
            .lines()
            .filter(|line| line.split_whitespace().nth(1) == Some(socket))
            .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
            .sum()
    }

    /// UDP sockets the program holds, as `address:port` in the spelling of `/proc/net/udp`.
    pub fn udp_sockets(&self) -> Vec<String> {
        let owned: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter_map(|link| {
                let text = link.to_string_lossy().into_owned();
                text.strip_prefix("socket:[")
                    .and_then(|rest| rest.strip_suffix(']'))
                    .map(str::to_owned)
            })
            .collect();
        std::fs::read_to_string("/proc/net/udp")
            .unwrap_or_default()
            .lines()
            .skip(1)
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                owned
                    .iter()
                    .any(|inode| Some(&inode.as_str()) == fields.get(9))
                    .then(|| fields[1].to_owned())
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.alive() {
            self.signal("TERM");
            let started = Instant::now();
            while self.alive() && started.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "---- {} ({}) said at the end:\n{}",
                self.name,
                self.log.display(),
                self.tail()
            );
        }
    }
}
