//! The thread that sends to the collector, and the bounded queue in front of it.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chunks::{Agent, Payload, write};
use super::{Item, What, json};
use crate::clock;
use crate::config::{HepSettings, HepTransport};
use crate::trace::redacted;

/// The longest a connection may take to open, or a write to be taken.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a collector that was not reached is left alone; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a collector that is not reached is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What happened, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct HepCounts {
    /// Packets handed to the system.
    pub(crate) sent: AtomicU64,
    /// Messages and reports that found no room in the queue.
    pub(crate) crowded: AtomicU64,
    /// Those the collector was not there for.
    pub(crate) unreached: AtomicU64,
    /// Those that are longer than a packet can be.
    pub(crate) oversized: AtomicU64,
}

impl HepCounts {
    #[cfg(test)]
    pub(super) fn dropped_now(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }
}

/// Where items are handed over. Never waits.
#[derive(Debug)]
pub(crate) struct Sender {
    /// `None`: the end has come.
    items: Option<SyncSender<Item>>,
    counts: Arc<HepCounts>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts the thread.
    pub(crate) fn start(settings: &HepSettings) -> io::Result<Sender> {
        let (items, receiver) = sync_channel(settings.queue);
        let counts = Arc::new(HepCounts::default());
        let sending = Sending {
            settings: settings.clone(),
            counts: counts.clone(),
            line: None,
            pause: FIRST_PAUSE,
            again: None,
            complained: None,
        };
        let thread = std::thread::Builder::new()
            .name("hep".into())
            .spawn(move || sending.run(&receiver))?;
        Ok(Sender {
            items: Some(items),
            counts,
            thread: Some(thread),
        })
    }

    #[cfg(test)]
    pub(super) fn to(items: SyncSender<Item>) -> Sender {
        Sender {
            items: Some(items),
            counts: Arc::default(),
            thread: None,
        }
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Arc<HepCounts> {
        self.counts.clone()
    }

    pub(super) fn send(&self, item: Item) {
        if let Some(items) = &self.items
            && items.try_send(item).is_err()
        {
            self.drop_one();
        }
    }

    /// There was no room for something.
    pub(super) fn drop_one(&self) {
        self.counts.crowded.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is queued still goes out; a collector that is not there is not waited for.
impl Drop for Sender {
    fn drop(&mut self) {
        self.items = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An open way to the collector.
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

struct Sending {
    settings: HepSettings,
    counts: Arc<HepCounts>,
    line: Option<Line>,
    pause: Duration,
    /// Not before then.
    again: Option<Instant>,
    complained: Option<Instant>,
}

impl Sending {
    fn run(mut self, items: &Receiver<Item>) {
        let mut packet = Vec::new();
        for item in items {
            let agent = Agent {
                id: self.settings.agent,
                password: self
                    .settings
                    .password
                    .as_ref()
                    .map(|word| word.expose().as_str()),
            };
            let fits = match &item.what {
                What::Sip(bytes) if self.settings.secrets => {
                    write(&mut packet, agent, &item, Payload::Sip, bytes)
                }
                What::Sip(bytes) => {
                    write(&mut packet, agent, &item, Payload::Sip, &redacted(bytes))
                }
                What::Rtcp(report) => {
                    let text = json::of(report);
                    write(&mut packet, agent, &item, Payload::Rtcp, text.as_bytes())
                }
            };
            let count = match fits && self.fits(packet.len()) {
                false => &self.counts.oversized,
                true if self.send(&packet) => &self.counts.sent,
                true => &self.counts.unreached,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the transport carries a packet of this length.
    fn fits(&self, length: usize) -> bool {
        const LARGEST_DATAGRAM: usize = 65_507;
        self.settings.transport == HepTransport::Tcp || length <= LARGEST_DATAGRAM
    }

    fn send(&mut self, packet: &[u8]) -> bool {
        let sent = self.line().and_then(|line| match line {
            Line::Udp(socket) => socket.send(packet).map(drop),
            Line::Tcp(stream) => stream.write_all(packet),
        });
        let Err(error) = sent else {
            self.pause = FIRST_PAUSE;
            return true;
        };
        match error.kind() {
            io::ErrorKind::WouldBlock if self.line.is_none() => {}
            // Nobody listens there for now; the socket is as good as any.
            io::ErrorKind::ConnectionRefused if self.line.is_some() && self.is_udp() => {
                self.complain(&error);
            }
            _ => {
                self.line = None;
                self.again = Some(clock::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.complain(&error);
            }
        }
        false
    }

    fn is_udp(&self) -> bool {
        self.settings.transport == HepTransport::Udp
    }

    fn complain(&mut self, error: &io::Error) {
        let now = clock::now();
        if self
            .complained
            .is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_EVERY)
        {
            self.complained = Some(now);
            tracing::warn!(server = self.settings.server, %error,
                "the HEP collector is not reached; calls go on, what it does not see is counted");
        }
    }

    fn line(&mut self) -> io::Result<&mut Line> {
        // What is written to a connection the collector has closed is gone, and nobody says so.
        if let Some(Line::Tcp(stream)) = &self.line
            && is_over(stream)
        {
            self.line = None;
        }
        if self.line.is_none() {
            if self.again.is_some_and(|at| clock::now() < at) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.line = Some(open(&self.settings)?);
        }
        self.line
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn open(settings: &HepSettings) -> io::Result<Line> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in settings.server.to_socket_addrs()? {
        let opened = match settings.transport {
            HepTransport::Udp => datagrams(address).map(Line::Udp),
            HepTransport::Tcp => stream(address).map(Line::Tcp),
        };
        match opened {
            Ok(line) => return Ok(line),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// Whether the far side has closed: a collector never says anything else.
fn is_over(stream: &TcpStream) -> bool {
    let looked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let is_over = match looked {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    };
    is_over || stream.set_nonblocking(false).is_err()
}

fn stream(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::super::TCP;
    use super::*;

    fn settings(server: SocketAddr, secrets: bool) -> HepSettings {
        HepSettings {
            server: server.to_string(),
            transport: HepTransport::Tcp,
            agent: 1,
            password: None,
            rtcp: true,
            all: false,
            secrets,
            queue: 64,
        }
    }

    fn item(text: &str) -> Item {
        Item {
            at: std::time::UNIX_EPOCH,
            from: ([192, 0, 2, 1], 1).into(),
            to: ([192, 0, 2, 2], 2).into(),
            protocol: TCP,
            correlation: None,
            what: What::Sip(bytes::Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    #[test]
    fn over_tcp_packets_follow_each_other_and_secrets_leave_only_if_asked_for() {
        let text = "OPTIONS sip:x SIP/2.0\r\n\r\na=crypto:1 S inline:c2VjcmV0\r\n";
        for (secrets, seen) in [(false, "inline:AAAAAAAA"), (true, "inline:c2VjcmV0")] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("bound");
            let sender = Sender::start(&settings(address, secrets)).expect("a thread");
            let counts = sender.counts();
            (0..3).for_each(|_| sender.send(item(text)));
            drop(sender);
            let mut all = Vec::new();
            let (mut stream, _) = listener.accept().expect("connected");
            stream.read_to_end(&mut all).expect("closed at the end");
            let mut rest = &all[..];
            for _ in 0..3 {
                assert_eq!(&rest[..4], b"HEP3");
                let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
                let packet = String::from_utf8_lossy(&rest[..length]).into_owned();
                assert!(packet.contains(seen), "{packet}");
                rest = &rest[length..];
            }
            assert!(rest.is_empty());
            assert_eq!(counts.sent.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn a_collector_that_was_started_again_gets_the_next_message_on_a_new_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let sender = Sender::start(&settings(address, false)).expect("a thread");
        let counts = sender.counts();
        let read = |stream: &mut TcpStream| {
            let mut head = [0; 6];
            stream.read_exact(&mut head).expect("a packet");
            let mut rest = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 6];
            stream.read_exact(&mut rest).expect("all of it");
            String::from_utf8_lossy(&rest).into_owned()
        };
        sender.send(item("OPTIONS sip:one SIP/2.0\r\n\r\n"));
        let (mut first, _) = listener.accept().expect("connected");
        assert!(read(&mut first).contains("sip:one"));
        drop(first);
        sender.send(item("OPTIONS sip:two SIP/2.0\r\n\r\n"));
        let (mut second, _) = listener.accept().expect("connected again");
        assert!(read(&mut second).contains("sip:two"));
        drop(sender);
        assert_eq!(counts.sent.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_collector_that_is_not_there_costs_no_time_and_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let sender = Sender::start(&settings(address, false)).expect("a thread");
        let counts = sender.counts();
        (0..20).for_each(|_| sender.send(item("OPTIONS sip:x SIP/2.0\r\n\r\n")));
        drop(sender);
        assert_eq!(counts.unreached.load(Ordering::Relaxed), 20);
        assert_eq!(counts.sent.load(Ordering::Relaxed), 0);
    }
}
