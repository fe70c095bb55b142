//! What the service manager is told (sd_notify(3)): that we are ready, reload, stop, and live.
//!
//! ```text
//!   cli ──────── READY, RELOADING, STOPPING ─► datagrams to $NOTIFY_SOCKET
//!   core_task ── WATCHDOG ───────────────────►    (nothing at all without one)
//! ```
//!
//! The sign of life comes out of the core's own loop and from nowhere else: a core that hangs falls
//! silent, and systemd starts it anew after `WatchdogSec`.

use std::env::var_os;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// How long the end takes once calls are over: goodbyes, records.
const AFTER_CALLS: Duration = Duration::from_secs(30);

/// The way to whoever started us.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    /// `None`: nobody wants to know.
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// As the environment names it.
    pub(crate) fn from_environment() -> Self {
        let named = var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, ?name, "the service manager cannot be told how we are");
                None
            }
        });
        Self { socket }
    }

    /// Every port is bound.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is read again; [`Supervisor::ready`] follows.
    pub(crate) fn reloading(&self) {
        self.say("RELOADING=1\nSTATUS=reading the configuration again");
    }

    /// No new calls are taken; running ones end. Whatever `TimeoutStopSec` the unit has, they get their
    /// time, and records some more.
    pub(crate) fn stopping(&self, within: Duration) {
        let seconds = within.as_secs();
        let patience = (within + AFTER_CALLS).as_micros();
        self.say(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={patience}\nSTATUS=no new calls; running ones may go on for {seconds} s"
        ));
    }

    /// The signs of life that are wanted, by `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(crate) fn heartbeat(self) -> Heartbeat {
        let number = |name| {
            let text = var_os(name)?.into_string().ok()?;
            text.parse::<u64>().ok()
        };
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        Heartbeat {
            every: patience.map(|micros| Duration::from_micros(micros) / 2),
            supervisor: self,
            last: None,
        }
    }

    /// A manager that does not read is its own problem: nothing waits for it.
    fn say(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// A path, or with `@` in front a name that is in no file system.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Signs of life, twice within the time after which we would be given up.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    supervisor: Supervisor,
    /// `None`: nobody waits for them.
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Heartbeat {
    /// The core turns. Called at least every half second, tells of it as often as is wanted.
    pub(crate) fn beat(&mut self, now: Instant) {
        let Some(every) = self.every else { return };
        if self.last.is_none_or(|last| now >= last + every) {
            self.last = Some(now);
            self.supervisor.say("WATCHDOG=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        let next = || {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_heart_beats_twice_within_the_time_and_only_when_told_that_the_core_turns() {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("it can");
        let mut heart = Heartbeat {
            supervisor: Supervisor { socket: Some(ours) },
            every: Some(Duration::from_secs(5)),
            last: None,
        };
        let start = clock::now();
        for half_seconds in 0..=40 {
            heart.beat(start + Duration::from_millis(500) * half_seconds);
        }
        assert_eq!(
            received(&theirs),
            ["WATCHDOG=1"; 5],
            "at 0, 5, 10, 15 and 20 s"
        );
        assert!(received(&theirs).is_empty(), "silent when the core is");
    }

    #[test]
    fn a_name_in_no_file_system_is_reached() {
        let name = format!("wa-sbc-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let theirs = UnixDatagram::bind_addr(&address).expect("a free name");
        let ours = connect(OsStr::new(&format!("@{name}"))).expect("it is there");
        Supervisor { socket: Some(ours) }.ready("2 numbers");
        let mut buffer = [0; 64];
        let length = theirs.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=2 numbers");
    }
}
