//! One media thread: an epoll loop over the sockets of its calls.
//!
//! ```text
//!            ┌────────────────────────────────────────────────────────────┐
//!  commands ─┤ poll ─► datagrams ─► Session::receive ─► send              │
//!            │    └──► timers ────► Session::timeout ─► send              │
//!            │    └──► expiries ──► unbind, free the port                 │
//!            │    └──► rest, so that the next look finds many at once     │
//!            └────────────────────────────────────────────────────────────┘
//! ```

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use b2bua::{CallId, LocalMedia, MediaCommand, MediaEvent, Network};
use media::codec::Spare;
use media::{Channel, EngineSettings, Packet, Session, StartError};
use rustls::crypto::SecureRandom;
use sdp::Side;
use sdp::plan::LegPlan;
use sip::Slim;
use tokio::sync::mpsc::UnboundedSender;

use super::gauge::Gauge;
use super::poll::Poll;
use super::ports::{PortRange, Ports};
use super::room::{Line, Room};
use super::socket::Pair;
use crate::capture::{Tap, Watched};
use crate::clock;
use crate::config::MediaSettings;

/// The least time between two looks at the sockets. Waking for every single packet costs a third of all a
/// relayed call costs; a millisecond is a twentieth of a frame, less than any network's jitter.
const REST: Duration = Duration::from_millis(1);
/// What is taken at once from a socket that somebody floods: a caller's packets are among the flood, and have to
/// be reached before the socket's buffer is full.
const BURST: usize = 32;
/// Pairs tried when somebody else has bound ports of our range.
const ATTEMPTS: usize = 16;

/// Codec states kept for calls to come: more calls a second than this begin nowhere, and they weigh 1.5 MB.
const SPARE: usize = 32;

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A call asks.
    Call(CallId, MediaCommand),
    /// Where packets of captured calls are shown; `None`: nowhere any more.
    Tap(Option<Box<Tap>>),
    /// A call is captured from now on.
    Watch(CallId, Watched),
    /// These no longer capture anything.
    Unwatch(u8),
    /// End.
    Stop,
}

/// One media thread.
pub(super) struct Worker {
    poll: Poll,
    commands: Receiver<Command>,
    events: UnboundedSender<(CallId, MediaEvent)>,
    settings: MediaSettings,
    random: &'static dyn SecureRandom,
    ports: HashMap<IpAddr, Ports>,
    leases: HashMap<(IpAddr, u16), (usize, Side)>,
    rooms: Vec<Option<Room>>,
    vacant: Vec<usize>,
    calls: HashMap<CallId, usize>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    packet: Packet,
    /// Where packets of captured calls are shown.
    tap: Option<Tap>,
    spare: Spare,
    /// More is waiting than was taken: no rest before the next look.
    behind: bool,
    gauge: Arc<Gauge>,
}

impl Worker {
    pub(super) fn new(
        poll: Poll,
        commands: Receiver<Command>,
        events: UnboundedSender<(CallId, MediaEvent)>,
        settings: MediaSettings,
        range: PortRange,
        random: &'static dyn SecureRandom,
        gauge: Arc<Gauge>,
    ) -> Self {
        // One set of ports per address: the same address on both sides shares one.
        let ports = [settings.public_bind, settings.private_bind]
            .map(|address| (address, Ports::new(range)))
            .into();
        Self {
            poll,
            commands,
            events,
            settings,
            random,
            ports,
            leases: HashMap::new(),
            rooms: Vec::new(),
            vacant: Vec::new(),
            calls: HashMap::new(),
            timers: BinaryHeap::new(),
            packet: Packet::new(),
            tap: None,
            spare: Spare::new(SPARE),
            behind: false,
            gauge,
        }
    }

    /// Runs until told to stop, or until nobody can tell it anything any more.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let timeout = self
                .next_timeout()
                .map(|at| at.saturating_duration_since(clock::now()));
            self.poll.wait(timeout)?;
            let woken = clock::now();
            for at in 0..self.poll.found() {
                if let Some(token) = self.poll.token(at) {
                    self.readable(token);
                }
            }
            self.fire(clock::now());
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Call(call, command)) => self.command(call, command),
                    Ok(Command::Tap(tap)) => self.tap = tap.map(|tap| *tap),
                    Ok(Command::Watch(call, watched)) => self.watch(call, watched),
                    Ok(Command::Unwatch(by)) => self.unwatch(by),
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
                    Err(TryRecvError::Empty) => break,
                }
            }
            self.gauge.show(self.ports.values().map(Ports::counts));
            let worked = clock::now().saturating_duration_since(woken);
            self.gauge.worked(worked);
            if self.poll.found() > 0 && !std::mem::take(&mut self.behind) {
                std::thread::sleep(REST.saturating_sub(worked));
            }
        }
    }

    fn command(&mut self, call: CallId, command: MediaCommand) {
        let now = clock::now();
        match command {
            MediaCommand::Open { a, b } => {
                let event = self
                    .open(now, call, [a, b])
                    .unwrap_or_else(MediaEvent::Failed);
                self.tell(call, event);
            }
            MediaCommand::Start { plans } => self.start(now, call, *plans),
            MediaCommand::OpenGate(side) => {
                self.act(now, call, |session| session.open_gate(now, side))
            }
            MediaCommand::Update { side, agreed } => {
                self.try_to(now, call, |session| session.update(now, side, *agreed));
            }
            MediaCommand::Replace { side, plan } => {
                self.try_to(now, call, |session| session.replace(now, side, &plan));
            }
            MediaCommand::Sound { side, sound } => {
                self.try_to(now, call, |session| session.sound(now, side, sound));
            }
            MediaCommand::SendDigit {
                side,
                digit,
                duration,
            } => self.act(now, call, |session| {
                session.press(now, side, digit, duration);
            }),
            MediaCommand::Close => self.close(now, call),
        }
    }

    fn watch(&mut self, call: CallId, watched: Watched) {
        let slot = self.calls.get(&call).copied();
        if let Some(room) = slot.and_then(|slot| self.rooms[slot].as_mut()) {
            room.watch(Some(watched));
        }
    }

    fn unwatch(&mut self, by: u8) {
        for room in self.rooms.iter_mut().flatten() {
            if let Some(watched) = room.watched() {
                let by = watched.by & !by;
                room.watch((by != 0).then_some(Watched { by, ..watched }));
            }
        }
    }

    fn open(
        &mut self,
        now: Instant,
        call: CallId,
        networks: [Network; 2],
    ) -> Result<MediaEvent, String> {
        if self.calls.contains_key(&call) {
            return Err(format!("bug: {call} is open already"));
        }
        let slot = self.vacant.pop().unwrap_or(self.rooms.len());
        let opened = self.lease(now, slot, Side::A, networks[0]).and_then(|a| {
            match self.lease(now, slot, Side::B, networks[1]) {
                Ok(b) => Ok([a, b]),
                Err(why) => {
                    self.release(now, &a.0);
                    Err(why)
                }
            }
        });
        let [(a, local_a), (b, local_b)] = match opened {
            Ok(lines) => lines,
            Err(why) => {
                if slot < self.rooms.len() {
                    self.vacant.push(slot);
                }
                return Err(why);
            }
        };
        if slot == self.rooms.len() {
            self.rooms.push(None);
        }
        for (side, line) in Side::BOTH.into_iter().zip([&a, &b]) {
            self.leases.insert((line.address, line.port), (slot, side));
        }
        self.rooms[slot] = Some(Room::new(call, [a, b]));
        self.calls.insert(call, slot);
        Ok(MediaEvent::Opened {
            a: local_a,
            b: local_b,
        })
    }

    fn lease(
        &mut self,
        now: Instant,
        slot: usize,
        side: Side,
        network: Network,
    ) -> Result<(Line, LocalMedia), String> {
        let (bind, told) = match network {
            Network::Public => (self.settings.public_bind, self.settings.public),
            Network::Private => (self.settings.private_bind, self.settings.private),
        };
        let ports = self
            .ports
            .get_mut(&bind)
            .ok_or("bug: an address without ports")?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let Some(port) = ports.lease() else {
                return Err(match last {
                    None => format!(
                        "no free media port on {bind}: widen [media] ports or lower max_calls"
                    ),
                    Some(error) => format!("no usable media port on {bind}: {error}"),
                });
            };
            let tokens = [Channel::Rtp, Channel::Rtcp].map(|channel| token(slot, side, channel));
            let bound = Pair::bind(bind, port, self.settings.dscp)
                .and_then(|pair| pair.register(&self.poll, tokens).map(|()| pair));
            match bound {
                Ok(pair) => {
                    let local = LocalMedia {
                        address: told,
                        rtp_port: port,
                        rtcp_port: port + 1,
                    };
                    return Ok((Line::new(bind, told, port, pair), local));
                }
                Err(error) => {
                    ports.taken(now, port);
                    last = Some(error);
                }
            }
        }
        Err(format!(
            "no usable media port on {bind}: {}",
            last.map(|error| error.to_string()).unwrap_or_default()
        ))
    }

    fn start(&mut self, now: Instant, call: CallId, plans: [LegPlan; 2]) {
        let Some(slot) = self.calls.get(&call).copied() else {
            return self.tell(
                call,
                MediaEvent::Failed(format!("bug: {call} has no ports")),
            );
        };
        let mut seed = [0; 32];
        let session = match self.random.fill(&mut seed) {
            Ok(()) => {
                let engine = self.engine(now);
                Session::start_with(now, plans, &engine, seed, &mut self.spare)
                    .map_err(|error| error.to_string())
            }
            Err(_) => Err("the system gives no random numbers".into()),
        };
        match session {
            Ok(session) => {
                if let Some(room) = &mut self.rooms[slot] {
                    room.start(session);
                }
                self.act(now, call, |_| {});
            }
            Err(why) => self.tell(call, MediaEvent::Failed(why)),
        }
    }

    fn engine(&self, now: Instant) -> EngineSettings {
        let wall = clock::wall().duration_since(UNIX_EPOCH).ok();
        EngineSettings {
            opus_complexity: self.settings.opus_complexity,
            opus_bitrate: self.settings.opus_bitrate,
            preroll: self.settings.preroll,
            tell_reports: self.settings.tell_reports,
            wall: wall.map(|wall| (now, wall)),
            ..EngineSettings::default()
        }
    }

    /// Changes a session; a change it refuses is told.
    fn try_to(
        &mut self,
        now: Instant,
        call: CallId,
        change: impl FnOnce(&mut Session) -> Result<(), StartError>,
    ) {
        let mut refused = None;
        self.act(now, call, |session| refused = change(session).err());
        if let Some(why) = refused {
            self.tell(call, MediaEvent::Failed(why.to_string()));
        }
    }

    fn act(&mut self, now: Instant, call: CallId, act: impl FnOnce(&mut Session)) {
        let Some(slot) = self.calls.get(&call).copied() else {
            return;
        };
        let Self {
            rooms,
            packet,
            tap,
            events,
            ..
        } = self;
        if let Some(room) = &mut rooms[slot] {
            room.act(
                now,
                packet,
                tap,
                &mut |event| drop(events.send((call, event))),
                act,
            );
        }
        self.arm(slot);
    }

    fn close(&mut self, now: Instant, call: CallId) {
        let Some(slot) = self.calls.remove(&call) else {
            return self.tell(call, MediaEvent::Closed(Box::default()));
        };
        let Self {
            rooms,
            packet,
            tap,
            events,
            ports,
            spare,
            ..
        } = self;
        if let Some(room) = &mut rooms[slot] {
            let tell = &mut |event| drop(events.send((call, event)));
            let report = room.stop(now, packet, tap, spare, tell);
            tell(MediaEvent::Closed(Box::new(report)));
            for line in room.lines.iter().flatten() {
                if let Some(ports) = ports.get_mut(&line.address) {
                    ports.release(now, line.port);
                }
            }
        }
    }

    /// Takes one datagram from a socket: where there is another, the next look finds it.
    fn readable(&mut self, token: u64) {
        let now = clock::now();
        let (slot, side, channel) = parts(token);
        let Self {
            rooms,
            packet,
            tap,
            events,
            ports,
            ..
        } = self;
        let Some(room) = rooms.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let call = room.call;
        let tell = &mut |event| drop(events.send((call, event)));
        let most = match room.is_crowded(now, side, channel) {
            true => BURST,
            false => 1,
        };
        let mut taken = 0;
        while taken < most && room.receive(now, side, channel, packet, tap, tell) {
            taken += 1;
        }
        if taken > 0
            && room.draining
            && let Some(line) = &room.lines[side.index()]
            && let Some(ports) = ports.get_mut(&line.address)
        {
            ports.heard(now, line.port);
        }
        self.behind |= taken == BURST;
        self.arm(slot);
    }

    /// Puts the room down for its next timeout, unless it is down for an earlier time already.
    fn arm(&mut self, slot: usize) {
        let Some(room) = &mut self.rooms[slot] else {
            return;
        };
        if let Some(next) = room.next_timeout()
            && room.armed.is_none_or(|armed| next < armed)
        {
            room.armed = Some(next);
            self.timers.push(Reverse((next, slot)));
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(&Reverse((at, slot))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let Self {
                rooms,
                packet,
                tap,
                events,
                ..
            } = self;
            let Some(room) = rooms.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            if room.armed != Some(at) {
                continue; // put down for an earlier time since, or another call's room
            }
            room.armed = None;
            if room.next_timeout().is_some_and(|due| due <= now) {
                let call = room.call;
                room.act(
                    now,
                    packet,
                    tap,
                    &mut |event| drop(events.send((call, event))),
                    |session| session.timeout(now),
                );
            }
            self.arm(slot);
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        for address in [self.settings.public_bind, self.settings.private_bind] {
            while let Some(port) = self
                .ports
                .get_mut(&address)
                .and_then(|ports| ports.expire(now))
            {
                let Some((slot, side)) = self.leases.remove(&(address, port)) else {
                    continue;
                };
                let Some(room) = &mut self.rooms[slot] else {
                    continue;
                };
                // Dropping the sockets unbinds and deregisters them.
                room.lines[side.index()] = None;
                if room.lines.iter().all(Option::is_none) {
                    self.rooms[slot] = None;
                    self.vacant.push(slot);
                    if self.vacant.len() == self.rooms.len() {
                        self.slim();
                    }
                }
            }
        }
    }

    /// No call and no port is left: gives back the memory a busier hour needed.
    fn slim(&mut self) {
        self.rooms.clear();
        self.vacant.clear();
        self.timers.clear();
        self.rooms.slim();
        self.vacant.slim();
        self.timers.slim();
        self.leases.slim();
        self.calls.slim();
        self.ports.values_mut().for_each(Ports::slim);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let ports = self.ports.values().filter_map(Ports::next_timeout).min();
        let session = self.timers.peek().map(|Reverse((at, _))| *at);
        ports.into_iter().chain(session).min()
    }

    fn release(&mut self, now: Instant, line: &Line) {
        if let Some(ports) = self.ports.get_mut(&line.address) {
            ports.release(now, line.port);
        }
    }

    fn tell(&self, call: CallId, event: MediaEvent) {
        // Nobody listens any more only when the program ends.
        let _ = self.events.send((call, event));
    }
}

fn token(slot: usize, side: Side, channel: Channel) -> u64 {
    let channel = match channel {
        Channel::Rtp => 0,
        Channel::Rtcp => 1,
    };
    (slot * 4 + side.index() * 2 + channel) as u64
}

fn parts(token: u64) -> (usize, Side, Channel) {
    let side = if token & 2 == 0 { Side::A } else { Side::B };
    let channel = if token & 1 == 0 {
        Channel::Rtp
    } else {
        Channel::Rtcp
    };
    ((token / 4) as usize, side, channel)
}
