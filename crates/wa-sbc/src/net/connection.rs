//! One TCP or TLS connection: bytes to messages, messages to bytes.
//!
//! ```text
//!            ┌──────────── task ────────────┐
//!  socket ──►│ read ─► Framer ─► Event ─────┼──► events (bounded: a full queue stops the reading)
//!  socket ◄──│ write ◄──────────────────────┼─── Writer (bounded: a full queue ends the connection)
//!            └──────────────────────────────┘
//! ```
//!
//! A slow reader never blocks the sender: its queue fills up, or a write stalls, and it is closed.
//!
//! Where a peer is to be kept in touch with, a double CRLF goes out when nothing has come for a while
//! (RFC 5626 §4.4.1). Whoever answered one and then lets one pass is dead; whoever never answers does
//! not know of them, which says nothing (RFC 3261 §7.5 only asks to ignore them).

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sip::{Flow, Frame, Framer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::Event;

/// Bytes read at once: a message or two. Thousands of connections may stay open without a word.
const READ: usize = 4 * 1024;
/// Bytes written at once while more than one message waits: what a TLS record holds.
const WRITE: usize = 16 * 1024;

/// What a connection may take of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Looking a name up and opening a TCP connection, each.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// From the start of an accepted connection to its first complete message.
    pub first_message: Duration,
    /// From one complete message (or ping) to the next.
    pub idle: Duration,
    /// One write.
    pub write: Duration,
    /// Without a word of the far side for so long, it is pinged; `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long a ping may wait for its answer (RFC 5626 §4.4.1).
    pub pong: Duration,
    /// Messages waiting to be written.
    pub queue: usize,
    /// Frames that are no SIP messages, in all.
    pub malformed: u32,
    /// Accepted connections of one listener.
    pub connections: usize,
    /// Accepted connections of one listener from one address of a network nobody configured.
    pub per_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            first_message: Duration::from_secs(30),
            idle: Duration::from_secs(3600),
            write: Duration::from_secs(10),
            keep_alive: None,
            pong: Duration::from_secs(10),
            queue: 256,
            malformed: 64,
            connections: 4096,
            per_source: 32,
        }
    }
}

/// The sending end of a connection. When it is dropped, the connection writes what is queued and
/// closes.
#[derive(Clone, Debug)]
pub struct Writer(mpsc::Sender<Bytes>);

impl Writer {
    /// A queue of `limits.queue` messages and the end the connection reads from.
    pub(crate) fn new(limits: &Limits) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(limits.queue.max(1));
        (Self(sender), receiver)
    }

    /// Queues bytes; `false` when the connection is gone or does not keep up.
    pub(crate) fn send(&self, bytes: Bytes) -> bool {
        self.0.try_send(bytes).is_ok()
    }

    /// A handle for answering pings: weak, or a connection would keep itself open after everybody
    /// else has let go of it.
    pub(crate) fn downgrade(&self) -> mpsc::WeakSender<Bytes> {
        self.0.downgrade()
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The far side closed it.
    Closed,
    /// We let go of it.
    Dropped,
    /// Nothing came for too long.
    Idle,
    /// It answered our pings, and does not any more.
    Silent,
    /// The far side does not read what we write.
    Stalled,
    /// What came was no SIP.
    Garbage,
    /// The network says so.
    Failed(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed by the far side"),
            End::Dropped => f.write_str("let go"),
            End::Idle => f.write_str("idle"),
            End::Silent => f.write_str("no answer to a ping"),
            End::Stalled => f.write_str("the far side does not read"),
            End::Garbage => f.write_str("no SIP"),
            End::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// Runs a connection to its end. `own` is a handle of the [`Writer`] that feeds `queue`.
pub(crate) async fn run<S>(
    stream: S,
    flow: Flow,
    own: mpsc::WeakSender<Bytes>,
    mut queue: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<Event>,
    limits: &Limits,
) -> End
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from, mut to) = tokio::io::split(stream);
    let end = tokio::select! {
        end = read(&mut from, flow, own, events, limits) => end,
        end = write(&mut to, &mut queue, limits) => end,
    };
    queue.close();
    if !matches!(end, End::Stalled | End::Failed(_)) {
        // What was queued before the end still goes out: a 400 before we hang up, above all.
        let _ = timeout(limits.write, async {
            while let Some(bytes) = queue.recv().await {
                to.write_all(&bytes).await?;
            }
            to.shutdown().await
        })
        .await;
    }
    end
}

async fn read<R: AsyncRead + Unpin>(
    from: &mut R,
    flow: Flow,
    own: mpsc::WeakSender<Bytes>,
    events: &mpsc::Sender<Event>,
    limits: &Limits,
) -> End {
    let reply = |bytes: Bytes| own.upgrade().is_some_and(|own| own.try_send(bytes).is_ok());
    let mut framer = Framer::new(sip::Limits::default());
    let mut buffer = vec![0; READ];
    let mut deadline = Instant::now() + limits.first_message;
    let mut touch = Touch::new(limits);
    let mut malformed = 0;
    loop {
        let wake = touch.next().map_or(deadline, |at| at.min(deadline));
        let length = match timeout_at(wake, from.read(&mut buffer)).await {
            Err(_) if Instant::now() >= deadline => return End::Idle,
            Err(_) => match touch.due() {
                Due::Nothing => continue,
                Due::Dead => return End::Silent,
                Due::Ping => {
                    framer.pinged();
                    if !reply(Bytes::from_static(b"\r\n\r\n")) {
                        return End::Stalled;
                    }
                    continue;
                }
            },
            Ok(Ok(0)) => return End::Closed,
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return End::Failed(error),
        };
        touch.heard();
        framer.push(&buffer[..length]);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message(message) => {
                    let bytes = framer.given().clone();
                    let event = Event::Message {
                        flow,
                        message,
                        bytes,
                    };
                    if events.send(event).await.is_err() {
                        return End::Dropped;
                    }
                }
                Frame::Pong => touch.answered(),
                Frame::Ping => {
                    if !reply(Bytes::from_static(b"\r\n")) {
                        return End::Stalled;
                    }
                }
                Frame::Malformed(why) => {
                    let _ = events.try_send(Event::Malformed(flow.remote.ip()));
                    tracing::debug!(flow = ?flow.id, remote = %flow.remote, ?why, "no SIP message");
                    why.reply().map(reply);
                    malformed += 1;
                    if malformed > limits.malformed {
                        return End::Garbage;
                    }
                }
                Frame::Broken(why) => {
                    tracing::debug!(flow = ?flow.id, remote = %flow.remote, ?why, "the stream cannot be framed");
                    why.reply().map(reply);
                    return End::Garbage;
                }
            }
            deadline = Instant::now() + limits.idle;
        }
    }
}

/// A message, and those that wait behind it: under load many leave in one TLS record and one write.
fn joined(first: Bytes, queue: &mut mpsc::Receiver<Bytes>) -> Bytes {
    let Ok(second) = queue.try_recv() else {
        return first;
    };
    let mut all = BytesMut::with_capacity(WRITE);
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    while all.len() < WRITE / 2
        && let Ok(next) = queue.try_recv()
    {
        all.extend_from_slice(&next);
    }
    all.freeze()
}

async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    queue: &mut mpsc::Receiver<Bytes>,
    limits: &Limits,
) -> End {
    while let Some(bytes) = queue.recv().await {
        let bytes = joined(bytes, queue);
        let written = timeout(limits.write, async {
            to.write_all(&bytes).await?;
            to.flush().await
        });
        match written.await {
            Err(_) => return End::Stalled,
            Ok(Err(error)) => return End::Failed(error),
            Ok(Ok(())) => {}
        }
    }
    End::Dropped
}

/// Keeping in touch with a far side that has nothing to say.
struct Touch {
    every: Option<Duration>,
    pong: Duration,
    heard: Instant,
    /// A ping of ours is out since then.
    pinged: Option<Instant>,
    /// What came last came so long after a ping.
    delay: Option<Duration>,
    /// It has answered a ping before.
    answers: bool,
}

/// What is due towards a silent far side.
enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Touch {
    fn new(limits: &Limits) -> Self {
        Self {
            every: limits.keep_alive,
            pong: limits.pong,
            heard: Instant::now(),
            pinged: None,
            delay: None,
            answers: false,
        }
    }

    /// Something came: it lives.
    fn heard(&mut self) {
        self.heard = Instant::now();
        self.delay = self.pinged.take().map(|at| self.heard - at);
    }

    /// What came is a pong. One that comes late is somebody's own keep-alive.
    fn answered(&mut self) {
        self.answers |= self.delay.is_some_and(|delay| delay < self.pong);
    }

    fn next(&self) -> Option<Instant> {
        let every = self.every?;
        let answer_by = self
            .pinged
            .filter(|_| self.answers)
            .map(|at| at + self.pong);
        Some(answer_by.unwrap_or(self.pinged.unwrap_or(self.heard) + every))
    }

    fn due(&mut self) -> Due {
        let now = Instant::now();
        if self.next().is_none_or(|at| now < at) {
            return Due::Nothing;
        }
        if self.answers && self.pinged.is_some() {
            return Due::Dead;
        }
        self.pinged = Some(now);
        Due::Ping
    }
}
