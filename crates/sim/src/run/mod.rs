//! The peers on real sockets: tokio moves bytes between sockets and a [`Peer`], nothing more.
//!
//! ```text
//!  listener, dialled connections, UDP, media sockets ─► one queue ─► the peer ─► outputs performed
//!  stdin: one command a line ──────────────────────────┘              reports ─► stdout, JSON lines
//! ```
//!
//! Commands: `call [USER]`, `hangup [CALL]`, `press DIGITS [CALL]`, `mute [CALL]`, `unmute [CALL]`,
//! `hold [CALL]`, `resume [CALL]`, `quit`.

mod connection;
mod meta;
mod pbx;
mod tls;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Flow, FlowId, Message, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::meta::run_meta;
pub use self::pbx::run_pbx;
use crate::cli::{LoadArgs, seconds};
use crate::peer::{Output, Peer};
use crate::report::{Report, What, millis};

/// What the network and the keyboard say.
enum Incoming {
    Message(Flow, Message),
    Opened(Flow, mpsc::UnboundedSender<Bytes>),
    Failed(FlowId, String),
    Closed(FlowId),
    Datagram {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A datagram on the SIP socket.
    Sip {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Bytes,
    },
    /// Bytes that are no SIP message.
    Nonsense(Flow, String),
    Line(String),
}

type Inbox = mpsc::UnboundedSender<Incoming>;

/// A peer that takes commands.
trait Actor {
    /// Its name in reports.
    const NAME: &'static str;
    /// What it is.
    type Peer: Peer;
    /// It.
    fn peer(&mut self) -> &mut Self::Peer;
    /// Places the `nth` call (from 0); `to` names whom, else the plan decides.
    fn place(&mut self, now: Instant, nth: u32, to: Option<&str>);
    /// A line command; `false` when it means nothing.
    fn command(&mut self, now: Instant, words: &[&str]) -> bool;
    /// What it counted.
    fn summary(&self) -> What;
    /// Calls over.
    fn over(&self) -> u64;
}

/// How a peer opens connections.
#[derive(Clone)]
struct Dialler {
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Every name leads here; the port is the target's.
    ip: std::net::IpAddr,
    /// The address connections leave from: the one the peer listens on.
    from: std::net::IpAddr,
}

/// A peer among its sockets.
struct Stage<A: Actor> {
    actor: A,
    started: Instant,
    inbox: Inbox,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    dialler: Dialler,
    writers: HashMap<FlowId, mpsc::UnboundedSender<Bytes>>,
    /// Bytes for connections still being opened.
    waiting: HashMap<FlowId, Vec<Bytes>>,
    media: HashMap<SocketAddr, (Arc<UdpSocket>, JoinHandle<()>)>,
    udp: Option<Arc<UdpSocket>>,
    /// UDP flows both ways round.
    remotes: HashMap<FlowId, SocketAddr>,
    flows: HashMap<SocketAddr, FlowId>,
    next_flow: u64,
    violations: u64,
    sink: Sink,
}

/// Where report lines go.
type Sink = Box<dyn Write + Send>;

impl<A: Actor> Stage<A> {
    fn new(actor: A, started: Instant, dialler: Dialler, sink: Sink) -> Self {
        let (inbox, incoming) = mpsc::unbounded_channel();
        Self {
            actor,
            started,
            inbox,
            incoming,
            dialler,
            writers: HashMap::new(),
            waiting: HashMap::new(),
            media: HashMap::new(),
            udp: None,
            remotes: HashMap::new(),
            flows: HashMap::new(),
            next_flow: 2,
            violations: 0,
            sink,
        }
    }

    /// Reads commands from the keyboard and runs.
    async fn perform(self, load: &LoadArgs) -> Result<(), String> {
        self.listen_to_lines();
        match self.run(load).await {
            0 => Ok(()),
            broken => Err(format!("{broken} rules were broken")),
        }
    }

    /// Runs until told to stop: by `quit`, by the number of calls, or by the clock.
    /// Gives the number of rules the far side broke.
    async fn run(mut self, load: &LoadArgs) -> u64 {
        let enough = load
            .exit_after
            .or((load.calls > 0).then_some(u64::from(load.calls)));
        let end = load.at_most.map(|limit| self.started + seconds(limit));
        let mut next_call = (load.calls > 0).then(|| self.started + seconds(load.call_after));
        let mut placed = 0;
        loop {
            self.drain();
            if enough.is_some_and(|enough| self.actor.over() >= enough) {
                break;
            }
            let wake = [self.actor.peer().next_timeout(), next_call, end]
                .into_iter()
                .flatten()
                .min();
            let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                incoming = self.incoming.recv() => match incoming {
                    Some(Incoming::Line(line)) => {
                        if !self.line(&line) {
                            break;
                        }
                    }
                    Some(incoming) => self.take(incoming),
                    None => break,
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                break;
            }
            while let Some(at) = next_call.filter(|at| *at <= now) {
                self.actor.place(now, placed, None);
                placed += 1;
                let pause = seconds(1.0 / load.rate.max(0.001));
                next_call = (placed < load.calls).then_some(at + pause);
            }
            self.actor.peer().timeout(now);
        }
        self.drain();
        // What was written last (an answer to a BYE, an ACK) gets out of the door.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut summary = self.actor.summary();
        if let What::Summary { violations, .. } = &mut summary {
            *violations = self.violations;
        }
        self.tell(summary);
        self.violations
    }

    fn listen_to_lines(&self) {
        let inbox = self.inbox.clone();
        // A thread of its own: reading a terminal cannot be cancelled, and must not hold up the exit.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                let Ok(line) = line else { return };
                if inbox.send(Incoming::Line(line)).is_err() {
                    return;
                }
            }
        });
    }

    /// A command line; `false` ends the run.
    fn line(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = Instant::now();
        match words[..] {
            [] => {}
            ["quit"] => return false,
            ["call"] => self.actor.place(now, 0, None),
            ["call", to] => self.actor.place(now, 0, Some(to)),
            _ => {
                if !self.actor.command(now, &words) {
                    self.tell(What::Misunderstood {
                        line: line.to_owned(),
                    });
                }
            }
        }
        true
    }

    fn take(&mut self, incoming: Incoming) {
        let now = Instant::now();
        match incoming {
            Incoming::Message(flow, message) => self.actor.peer().receive(now, flow, message),
            Incoming::Opened(flow, writer) => {
                for bytes in self.waiting.remove(&flow.id).unwrap_or_default() {
                    let _ = writer.send(bytes);
                }
                self.writers.insert(flow.id, writer);
                self.actor.peer().opened(now, flow);
            }
            Incoming::Failed(id, why) => {
                self.waiting.remove(&id);
                self.actor.peer().failed(now, id, &why);
            }
            Incoming::Closed(id) => {
                self.writers.remove(&id);
                self.actor.peer().closed(now, id);
            }
            Incoming::Datagram { to, from, bytes } => {
                self.actor.peer().datagram(now, to, from, &bytes)
            }
            Incoming::Sip { to, from, bytes } => self.sip_datagram(now, to, from, bytes),
            Incoming::Nonsense(flow, what) => {
                self.tell(What::Violation {
                    rule: format!("from {}: {what}", flow.remote),
                });
            }
            Incoming::Line(_) => {}
        }
    }

    /// A datagram on the SIP socket: a message of the flow between these two addresses.
    fn sip_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: Bytes) {
        let id = match self.flows.get(&remote) {
            Some(id) => *id,
            None => {
                let id = FlowId(self.next_flow);
                self.next_flow += 2;
                self.flows.insert(remote, id);
                self.remotes.insert(id, remote);
                id
            }
        };
        let flow = Flow {
            id,
            transport: Transport::Udp,
            local,
            remote,
        };
        if bytes.trim_ascii().is_empty() {
            return;
        }
        match sip::parse(bytes) {
            Ok(message) => self.actor.peer().receive(now, flow, message),
            Err(malformed) => self.take(Incoming::Nonsense(flow, malformed.to_string())),
        }
    }

    /// Performs what the peer wants.
    fn drain(&mut self) {
        while let Some(output) = self.actor.peer().poll() {
            match output {
                Output::Send { flow, bytes } => self.send(flow, bytes),
                Output::Connect { id, target } if target.transport == Transport::Udp => {
                    let port = target.port;
                    let remote =
                        SocketAddr::new(target.host.parse().unwrap_or(self.dialler.ip), port);
                    self.remotes.insert(id, remote);
                    self.flows.insert(remote, id);
                }
                Output::Connect { id, target } => {
                    self.waiting.insert(id, Vec::new());
                    tokio::spawn(connection::dial(
                        id,
                        target,
                        self.dialler.clone(),
                        self.inbox.clone(),
                    ));
                }
                Output::Close { id } => {
                    // The writer writes what it has, then closes.
                    self.writers.remove(&id);
                }
                Output::Bind { address } => self.bind(address),
                Output::Unbind { address } => {
                    if let Some((_, task)) = self.media.remove(&address) {
                        task.abort();
                    }
                }
                Output::Datagram { from, to, bytes } => {
                    if let Some((socket, _)) = self.media.get(&from) {
                        // A full socket buffer is loss, as on any network.
                        let _ = socket.try_send_to(&bytes, to);
                    }
                }
                Output::Report(report) => self.print(&report),
            }
        }
    }

    fn send(&mut self, flow: FlowId, bytes: Bytes) {
        if let Some(waiting) = self.waiting.get_mut(&flow) {
            waiting.push(bytes);
        } else if let Some(writer) = self.writers.get(&flow) {
            let _ = writer.send(bytes);
        } else if let (Some(remote), Some(udp)) = (self.remotes.get(&flow), &self.udp) {
            let _ = udp.try_send_to(&bytes, *remote);
        }
    }

    fn bind(&mut self, address: SocketAddr) {
        let socket = std::net::UdpSocket::bind(address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .and_then(UdpSocket::from_std);
        let socket = match socket {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                return self.tell(What::Failed {
                    why: format!("media {address}: {error}"),
                });
            }
        };
        let (reader, inbox) = (Arc::clone(&socket), self.inbox.clone());
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                // An error here is an ICMP message about a packet we sent: the next read works again.
                let Ok((length, from)) = reader.recv_from(&mut buffer).await else {
                    continue;
                };
                let bytes = buffer[..length].to_vec();
                if inbox
                    .send(Incoming::Datagram {
                        to: address,
                        from,
                        bytes,
                    })
                    .is_err()
                {
                    return;
                }
            }
        });
        self.media.insert(address, (socket, task));
    }

    /// Reports something of our own.
    fn tell(&mut self, what: What) {
        let at_ms = millis(self.started.elapsed());
        self.print(&Report {
            at_ms,
            peer: A::NAME,
            call: 0,
            what,
        });
    }

    fn print(&mut self, report: &Report) {
        if matches!(report.what, What::Violation { .. }) {
            self.violations += 1;
        }
        // Whoever reads us may be gone; the calls go on.
        let _ = writeln!(self.sink, "{}", report.to_line()).and_then(|()| self.sink.flush());
    }
}

/// A seed that differs from run to run.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// The `nth` user after `first`: the number counted up, or the same name.
fn counted(first: &str, nth: u32) -> String {
    let digits = first.trim_start_matches('+');
    match digits.parse::<u64>() {
        Ok(number) => {
            let plus = if first.starts_with('+') { "+" } else { "" };
            format!(
                "{plus}{:0width$}",
                number + u64::from(nth),
                width = digits.len()
            )
        }
        Err(_) => first.to_owned(),
    }
}

/// The call a command names, if it names one.
fn named(word: Option<&&str>) -> Option<u32> {
    word.and_then(|word| word.parse().ok())
}

#[cfg(test)]
mod tests;
