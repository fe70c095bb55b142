//! Where one test lives: a directory for files and a block of loopback addresses that nobody else uses.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// The directory and the addresses of one test.
pub struct Place {
    directory: PathBuf,
    network: (u8, u8),
    // Held bound for as long as the test runs, so that a test in another process cannot take the same block.
    _reservation: UdpSocket,
}

impl Place {
    /// A fresh place; `story` names its directory, whose former contents are forgotten.
    ///
    /// # Panics
    /// When no directory can be made or no loopback block is free.
    pub fn new(story: &str) -> Place {
        let directory = crate::running::workspace()
            .join("target/places")
            .join(story);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("the target directory is writable");
        let a = 64 + (std::process::id() % 64) as u8;
        for _ in 0..250 {
            let b = NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 250);
            if let Ok(socket) = UdpSocket::bind((Ipv4Addr::new(127, a, b, 250), 9)) {
                return Place {
                    directory,
                    network: (a, b),
                    _reservation: socket,
                };
            }
        }
        panic!("no free block of loopback addresses under 127.{a}.0.0");
    }

    /// The `host`-th address of this test's block.
    pub fn address(&self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.network.0, self.network.1, host))
    }

    /// The whole block, e.g. `127.70.3.0/24`.
    pub fn network(&self) -> String {
        format!("127.{}.{}.0/24", self.network.0, self.network.1)
    }

    /// A path inside the directory of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file into the directory of this test and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("the test's directory is writable");
        }
        std::fs::write(&path, contents).expect("the test's directory is writable");
        path
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Waits until `ready` holds, looking every 20 ms.
///
/// # Panics
/// With `what` when it does not hold within `limit`.
pub fn wait_until(what: &str, limit: std::time::Duration, mut ready: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !ready() {
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A pair of neighbouring ports that nobody had on `address` a moment ago, for UDP and TCP; the first of them. (baresip takes
/// the next port for TLS.) No two calls in one process give the same pair, and the range is nobody else's in these tests.
///
/// # Panics
/// When there is none.
pub fn free_port(address: IpAddr) -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..2000 {
        let turn = TAKEN.fetch_add(1, Ordering::Relaxed) % 4000;
        let port = 11_000 + ((std::process::id() % 100) as u16 * 40 + turn) % 4000 * 2;
        let free = |port| {
            UdpSocket::bind((address, port)).is_ok() && TcpListener::bind((address, port)).is_ok()
        };
        if free(port) && free(port + 1) {
            return port;
        }
    }
    panic!("no free port on {address}");
}
