//! Waiting for datagrams: epoll, level-triggered, and a bell others may ring.
//!
//! A socket of a call holds one packet almost always. Level-triggered, one read takes it and nothing has to
//! be asked twice; edge-triggered, every socket has to be read until it says that it is empty, which costs
//! half a system call of three for each packet ([ADR 27](../../../../docs/adr/0027-level-triggered.md)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The most sockets one look finds ready; the others come with the next one.
const AT_ONCE: usize = 512;
/// The token of the bell.
const BELL: u64 = u64::MAX;

/// The sockets of one thread.
pub(super) struct Poll {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
    ready: Vec<u64>,
}

/// Wakes the thread that waits.
#[derive(Clone, Debug)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Poll {
    /// No sockets yet.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self {
            epoll,
            bell: Arc::new(bell),
            ready: Vec::with_capacity(AT_ONCE),
        })
    }

    /// What wakes [`Poll::wait`].
    pub(super) fn bell(&self) -> Bell {
        Bell(self.bell.clone())
    }

    /// Looks after a socket from now on, until it is closed. `token` is below `u64::MAX`.
    pub(super) fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, socket, data, EventFlags::IN)?)
    }

    /// Waits until something can be read or the bell rings, or for as long as `timeout` says.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().min(3_600) as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = [MaybeUninit::uninit(); AT_ONCE];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((found, _)) => {
                let tokens = found.iter().map(|event| event.data.u64());
                self.ready.extend(tokens);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.ready.contains(&BELL) {
            // It counts how often it was rung; whoever rang has put something down for us.
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
        Ok(())
    }

    /// How many were found ready, the bell included.
    pub(super) fn found(&self) -> usize {
        self.ready.len()
    }

    /// The token of one that was found; `None` for the bell.
    pub(super) fn token(&self, at: usize) -> Option<u64> {
        self.ready.get(at).copied().filter(|token| *token != BELL)
    }
}

impl Bell {
    /// Rings. `false` when it cannot be heard.
    pub(super) fn ring(&self) -> bool {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // Full means that it rings already.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => true,
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(5));

    fn tokens(poll: &Poll) -> Vec<Option<u64>> {
        (0..poll.found()).map(|at| poll.token(at)).collect()
    }

    #[test]
    fn a_socket_is_found_until_it_is_empty_and_forgotten_when_it_is_closed() {
        let mut poll = Poll::new().expect("epoll");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        poll.add(&socket, 7).expect("room in the epoll");
        let to = socket.local_addr().expect("bound");
        for _ in 0..2 {
            socket.send_to(b"word", to).expect("loopback");
        }
        for _ in 0..2 {
            poll.wait(SOON).expect("wait");
            assert_eq!(tokens(&poll), [Some(7)]);
            socket.recv_from(&mut [0; 8]).expect("a datagram");
        }
        poll.wait(Some(Duration::ZERO)).expect("wait");
        assert_eq!(poll.found(), 0);
        socket.send_to(b"word", to).expect("loopback");
        drop(socket);
        poll.wait(Some(Duration::ZERO)).expect("wait");
        assert_eq!(poll.found(), 0);
    }

    #[test]
    fn the_bell_wakes_once_however_often_it_rings() {
        let mut poll = Poll::new().expect("epoll");
        let bell = poll.bell();
        assert!(bell.ring() && bell.ring());
        poll.wait(SOON).expect("wait");
        assert_eq!(tokens(&poll), [None]);
        poll.wait(Some(Duration::ZERO)).expect("wait");
        assert_eq!(poll.found(), 0);
    }
}
