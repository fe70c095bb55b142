//! A box between two ends of TCP that forgets connections, as NATs and firewalls do: nobody is told, and the first word on such a
//! connection is answered with a reset.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The box. It forwards for as long as the test runs.
pub struct Forgetful {
    /// Where it takes connections.
    pub listen: SocketAddr,
    seen: Arc<AtomicUsize>,
    forgotten: Arc<AtomicUsize>,
    shut: Arc<AtomicBool>,
}

impl Forgetful {
    /// Forwards what comes to `listen` to `to`.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn start(listen: SocketAddr, to: SocketAddr) -> Forgetful {
        let listener = TcpListener::bind(listen).expect("the address is ours");
        let (seen, forgotten, shut) = (Arc::default(), Arc::default(), Arc::default());
        let us = Forgetful {
            listen,
            seen: Arc::clone(&seen),
            forgotten: Arc::clone(&forgotten),
            shut: Arc::clone(&shut),
        };
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let connection = seen.fetch_add(1, Ordering::SeqCst) + 1;
                let forgotten = Arc::clone(&forgotten);
                if shut.load(Ordering::SeqCst) {
                    continue;
                }
                if let Ok(far) = TcpStream::connect(to) {
                    let is_forgotten = move || connection <= forgotten.load(Ordering::SeqCst);
                    thread::spawn(move || carry(near, far, is_forgotten));
                }
            }
        });
        us
    }

    /// Connections it has taken so far.
    pub fn connections(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// From now on whoever connects is hung up at once.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Forgets all connections there are; those that come later are not concerned.
    pub fn forget(&self) {
        self.forgotten.store(self.connections(), Ordering::SeqCst);
    }
}

/// Carries bytes both ways until an end closes, or the connection is forgotten and somebody uses it.
fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    is_forgotten: impl Fn() -> bool + Clone + Send + 'static,
) {
    let (Ok(from_far), Ok(to_near)) = (far.try_clone(), near.try_clone()) else {
        return;
    };
    let forgotten_too = is_forgotten.clone();
    let back = thread::spawn(move || copy(from_far, to_near, &forgotten_too));
    if copy_until(&mut near, &mut far, &is_forgotten) {
        // Linger 0: the close is a reset.
        let _ = socket2::SockRef::from(&near).set_linger(Some(Duration::ZERO));
    } else {
        let _ = near.shutdown(Shutdown::Both);
    }
    let _ = far.shutdown(Shutdown::Both);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, is_forgotten: &impl Fn() -> bool) {
    if !copy_until(&mut from, &mut to, is_forgotten) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Whether it ended because the connection is forgotten.
fn copy_until(from: &mut TcpStream, to: &mut TcpStream, is_forgotten: &impl Fn() -> bool) -> bool {
    let mut buffer = [0; 16_384];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        if is_forgotten() {
            return true;
        }
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            return false;
        }
    }
}
