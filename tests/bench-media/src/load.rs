//! The load generator: one thread that speaks for both ends of every call, a packet every 20 ms each way,
//! and notes what arrives when.
//!
//! ```text
//!  calls ─► every turn: the ends whose turn it is  ─► seal ─► socket of all Metas │ of all PBXs
//!           whatever arrived ◄─ open ◄─ which call? by port or by SSRC ◄──────────────────┘
//! ```
//!
//! It is one thread, and may have less time than the program it speaks to: it tells how late it was itself ([`Figures::own_lateness`]).
//!
//! It may stall once a second, and then send what it owes at once, as a throttled thread or a PBX in a virtual machine does.
//!
//! All ends of one kind share one socket: what the generator costs itself should be little, and the
//! program under test sees the same as if they did not.
//!
//! Which packet it is that arrives says a stamp in its payload where payloads pass. Where they do not, the
//! sequence number says so, counted from a packet whose delay was the smallest: delays that never end are
//! not seen that way, the loss of a packet is.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use media::Packet;
use media::rtp::{self, HEADER, Header};
use media::srtp::{Protect, Unprotect};
use rustix::thread::set_current_timer_slack;

use crate::ends::{End, Ends, crypto};
use crate::figures::Figures;

/// Of how many packets are spoken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Microseconds between two turns of the generator.
    turn: u64,
}

impl Pace {
    /// As callers speak, who are not in step: of 500 calls a packet comes every 20 µs. Whoever is woken for every packet pays for that.
    pub(crate) const EVEN: Pace = Pace { turn: 25 };
    /// In rows: the generator sleeps less often, so it has time to speak for more calls. What is measured is how many there may be.
    pub(crate) const ROWS: Pace = Pace { turn: 250 };

    /// Turns in a frame of 20 ms.
    fn turns(self) -> usize {
        (20_000 / self.turn) as usize
    }
}

/// How much later the PBX begins than Meta: by then the way to Meta is proven and nothing waits for it.
const PBX_LATER_US: u64 = 500_000;
/// From the beginning of one stall to that of the next, where it stalls.
const BETWEEN_STALLS: Duration = Duration::from_secs(1);
/// What is still under way this long after the end of a span is lost.
const STRAGGLERS: Duration = Duration::from_millis(400);
/// Packets of one end whose times are kept: 5 s.
const KEPT: usize = 256;
/// Where the stamp stands in the payload.
const STAMP: usize = 4;

/// What the ends say and how arrivals are recognized.
#[derive(Clone)]
pub(crate) struct Speech {
    /// Payloads of Meta's ends, and RTP ticks in each.
    pub(crate) meta: (Vec<Vec<u8>>, u32),
    /// The same for the PBX's.
    pub(crate) pbx: (Vec<Vec<u8>>, u32),
    /// Payloads pass unchanged and may carry a stamp.
    pub(crate) stamped: bool,
    /// For so long nobody speaks or listens, once a second; then all of it at once.
    pub(crate) stall: Duration,
}

enum Order {
    Call(Box<Ends>),
    Span(Duration, Sender<Figures>),
    Stop,
}

/// A running load.
pub(crate) struct Load {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts with no calls. `meta` and `pbx` are the addresses all ends share.
    ///
    /// # Errors
    /// When a socket cannot be bound.
    pub(crate) fn start(
        meta: SocketAddr,
        pbx: SocketAddr,
        speech: Speech,
        pace: Pace,
    ) -> io::Result<Load> {
        let sockets = [bind(meta)?, bind(pbx)?];
        let (orders, receiver) = channel();
        let generator = Generator {
            sockets,
            speech,
            pace,
            began: Instant::now(),
            streams: Vec::new(),
            turns: vec![Vec::new(); pace.turns()],
            known: HashMap::new(),
            one_port: [false; 2],
            span: None,
            packet: Packet::new(),
        };
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || generator.run(&receiver))?;
        Ok(Load {
            orders,
            thread: Some(thread),
        })
    }

    /// One more call speaks from now on.
    pub(crate) fn add(&self, ends: Ends) {
        let _ = self.orders.send(Order::Call(Box::new(ends)));
    }

    /// Counts for a while.
    pub(crate) fn measure(&self, span: Duration) -> Figures {
        let (tell, told) = channel();
        let _ = self.orders.send(Order::Span(span, tell));
        told.recv().unwrap_or_default()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // A wish: all calls arrive here.
    let _ = socket.set_recv_buffer_size(8 << 20);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// One direction: what one end says, and what of it the other end hears.
struct Stream {
    /// 0: Meta's end speaks, 1: the PBX's.
    from: usize,
    to: SocketAddr,
    pt: u8,
    ssrc: u32,
    seal: Option<Protect>,
    open: Option<Unprotect>,
    /// When it begins.
    begins: u64,
    count: u32,
    /// When the last packets left.
    sent: Box<[u64; KEPT]>,
    arrivals: Arrivals,
}

/// Which packet was which, where only their order tells.
#[derive(Default)]
struct Arrivals {
    highest: Option<u64>,
    /// The smallest distance between the newest packet sent and the sequence number that arrived: of this
    /// second and of the one before.
    nearest: [Option<i64>; 2],
    second: u64,
}

/// The SSRC of what an end of a call says; 0: Meta's, 1: the PBX's.
pub(crate) fn ssrc(from: usize, call: usize) -> u32 {
    0x1000_0000 * (from as u32 + 1) + call as u32
}

struct Span {
    from: u64,
    to: u64,
    figures: Figures,
    tell: Sender<Figures>,
}

struct Generator {
    sockets: [UdpSocket; 2],
    speech: Speech,
    pace: Pace,
    began: Instant,
    streams: Vec<Stream>,
    /// Streams by the part of a frame in which they speak.
    turns: Vec<Vec<usize>>,
    /// Stream by the socket where it arrives and the port, or SSRC, it comes from.
    known: HashMap<(usize, u32), usize>,
    /// All calls come to this socket from one port: the SSRC tells them apart.
    one_port: [bool; 2],
    span: Option<Span>,
    packet: Packet,
}

impl Generator {
    fn run(mut self, orders: &Receiver<Order>) {
        // To be woken when it is time and not, as Linux thinks is good enough for a program, 50 µs later. A wish.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let turn = self.pace.turn;
        let mut tick = 0_u64;
        let mut stalls = BETWEEN_STALLS;
        loop {
            if !self.speech.stall.is_zero() && self.began.elapsed() >= stalls {
                std::thread::sleep(self.speech.stall);
                stalls += BETWEEN_STALLS;
            }
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Call(ends) => self.add(&ends),
                    Order::Span(span, tell) => {
                        let from = self.now();
                        self.span = Some(Span {
                            from,
                            to: from + span.as_micros() as u64,
                            figures: Figures::default(),
                            tell,
                        });
                    }
                    Order::Stop => return,
                }
            }
            // No more than a frame at once: whoever is so late that turns are always due still hears orders and tells figures.
            for _ in 0..self.pace.turns() {
                let now = self.now();
                if tick * turn > now {
                    break;
                }
                let late = (now - tick * turn) as u32;
                if let Some(span) = &mut self.span {
                    span.figures.own_lateness = span.figures.own_lateness.max(late);
                }
                self.speak(tick);
                self.hear();
                tick += 1;
            }
            self.hear();
            self.finish();
            let wait = (tick * turn).saturating_sub(self.now());
            std::thread::sleep(Duration::from_micros(wait));
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn add(&mut self, ends: &Ends) {
        let call = self.streams.len() / 2;
        let now = self.now();
        let both = [(&ends.meta, &ends.pbx), (&ends.pbx, &ends.meta)];
        for (from, (speaker, listener)) in both.into_iter().enumerate() {
            let id = self.streams.len();
            let ssrc = ssrc(from, call);
            let source = listener.hears.unwrap_or(u32::from(listener.remote.port()));
            self.one_port[1 - from] = listener.hears.is_some();
            self.known.insert((1 - from, source), id);
            // Calls are spread over the frame, and both directions of one call are half a frame apart.
            let turns = self.turns.len();
            self.turns[(call * 7 + from * turns / 2) % turns].push(id);
            self.streams
                .push(Stream::new(from, speaker, listener, ssrc, now));
        }
    }

    fn speak(&mut self, tick: u64) {
        let turn = tick as usize % self.turns.len();
        for at in 0..self.turns[turn].len() {
            let id = self.turns[turn][at];
            let now = self.began.elapsed().as_micros() as u64;
            let stream = &mut self.streams[id];
            if now < stream.begins {
                continue;
            }
            let (payloads, ticks) = match stream.from {
                0 => &self.speech.meta,
                _ => &self.speech.pbx,
            };
            let packet = &mut self.packet;
            // Every caller is at another place of the text.
            let said = &payloads[(stream.count as usize + id * 31) % payloads.len()];
            stream.write(said, *ticks, self.speech.stamped, packet);
            stream.sent[stream.count as usize % KEPT] = now;
            stream.count += 1;
            // A full buffer loses the packet: it counts as lost.
            let _ = self.sockets[stream.from].send_to(packet.as_slice(), stream.to);
            if let Some(span) = &mut self.span
                && (span.from..span.to).contains(&now)
            {
                span.figures.sent += 1;
            }
        }
    }

    fn hear(&mut self) {
        for at in 0..2 {
            while let Ok((length, source)) = self.sockets[at].recv_from(self.packet.buffer_mut()) {
                self.packet.set_len(length);
                let now = self.began.elapsed().as_micros() as u64;
                self.heard(now, at, source);
            }
        }
    }

    fn heard(&mut self, now: u64, at: usize, source: SocketAddr) {
        let bytes = self.packet.as_slice();
        if bytes.len() < HEADER || rtp::is_rtcp(bytes) {
            return;
        }
        let source = if self.one_port[at] {
            u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]])
        } else {
            u32::from(source.port())
        };
        let Some(id) = self.known.get(&(at, source)) else {
            return;
        };
        let stream = &mut self.streams[*id];
        if let Some(open) = &mut stream.open
            && open.rtp(&mut self.packet).is_err()
        {
            return;
        }
        let bytes = self.packet.as_slice();
        let Some(header) = Header::parse(bytes) else {
            return;
        };
        let payload = &bytes[header.payload.clone()];
        let number = if self.speech.stamped {
            stream.stamped(payload)
        } else {
            stream.counted(now, header.sequence)
        };
        let Some(number) = number else { return };
        let sent = stream.sent[number as usize % KEPT];
        if let Some(span) = &mut self.span
            && (span.from..span.to).contains(&sent)
        {
            span.figures.arrived += 1;
            span.figures.latencies.push((now - sent) as u32);
        }
    }

    /// Tells what was counted, once the stragglers are in.
    fn finish(&mut self) {
        let now = self.now();
        let over = |span: &mut Span| now > span.to + STRAGGLERS.as_micros() as u64;
        if let Some(mut span) = self.span.take_if(over) {
            span.figures.latencies.sort_unstable();
            let _ = span.tell.send(span.figures);
        }
    }
}

impl Stream {
    fn new(from: usize, speaker: &End, listener: &End, ssrc: u32, now: u64) -> Stream {
        Stream {
            from,
            to: speaker.remote,
            pt: speaker.pt,
            ssrc,
            seal: speaker.seals.map(|key| Protect::new(&crypto(key))),
            open: listener.opens.map(|key| Unprotect::new(&crypto(key))),
            begins: now + from as u64 * PBX_LATER_US,
            count: 0,
            sent: Box::new([0; KEPT]),
            arrivals: Arrivals::default(),
        }
    }

    fn write(&mut self, said: &[u8], ticks: u32, stamped: bool, packet: &mut Packet) {
        let mut header = [0; HEADER];
        Header {
            marker: self.count == 0,
            pt: self.pt,
            sequence: self.count as u16,
            timestamp: self.count.wrapping_mul(ticks),
            ssrc: self.ssrc,
            payload: HEADER..HEADER,
        }
        .write(&mut header);
        let length = HEADER + said.len();
        let buffer = packet.buffer_mut();
        buffer[..HEADER].copy_from_slice(&header);
        buffer[HEADER..length].copy_from_slice(said);
        if stamped {
            let stamp = self.count.to_be_bytes();
            buffer[HEADER + STAMP..HEADER + STAMP + 4].copy_from_slice(&stamp);
        }
        packet.set_len(length);
        if let Some(seal) = &mut self.seal {
            // Our own sequence numbers rise: nothing is refused.
            let _ = seal.rtp(packet);
        }
    }

    /// Which packet carries this stamp; `None` for filler of the program under test.
    fn stamped(&self, payload: &[u8]) -> Option<u32> {
        let stamp = payload.get(STAMP..STAMP + 4)?;
        let number = u32::from_be_bytes([stamp[0], stamp[1], stamp[2], stamp[3]]);
        let age = self.count.checked_sub(number)?;
        (1..KEPT as u32).contains(&age).then_some(number)
    }

    /// Which packet it is by the count of those that arrived.
    fn counted(&mut self, now: u64, sequence: u16) -> Option<u32> {
        let highest = self.arrivals.highest.unwrap_or(u64::from(sequence));
        let sequence = rtp::extend(highest, sequence);
        self.arrivals.highest = Some(highest.max(sequence));
        let newest = i64::from(self.count.checked_sub(1)?);
        let distance = newest - sequence as i64;
        if now / 1_000_000 != self.arrivals.second {
            self.arrivals.second = now / 1_000_000;
            self.arrivals.nearest = [None, self.arrivals.nearest[0]];
        }
        let nearest = &mut self.arrivals.nearest;
        nearest[0] = Some(nearest[0].map_or(distance, |least| least.min(distance)));
        let least = nearest.iter().flatten().min()?;
        let number = u32::try_from(sequence as i64 + least).ok()?;
        let age = self.count.checked_sub(number)?;
        (1..KEPT as u32).contains(&age).then_some(number)
    }
}
