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
use std::time::{Duration, Instant};

use b2bua::{CallId, MediaCommand, MediaEvent};
use media::codec::Spare;
use media::{Channel, Near, Packet, rtp};
use rustls::crypto::SecureRandom;
use sdp::Side;
use tokio::sync::mpsc::UnboundedSender;

use super::claims::Claims;
use super::gauge::Gauge;
use super::poll::Poll;
use super::ports::{PortRange, Ports};
use super::room::{Common, Room};
use super::shared::SharedPort;
use super::socket::Door;
use crate::capture::{Tap, Watched};
use crate::clock;
use crate::config::MediaSettings;

/// The least time between two looks at the sockets. Waking for every single packet costs a third of all a
/// relayed call costs; a millisecond is a twentieth of a frame, less than any network's jitter.
const REST: Duration = Duration::from_millis(1);
/// What is taken at once from a socket that somebody floods: a caller's packets are among the flood, and have to
/// be reached before the socket's buffer is full.
const BURST: usize = 32;
/// What is taken at once from the port all calls share: the calls' own ports have their turn too.
const SHARED_BURST: usize = 256;

/// Which of the packets behind the one at work memory is asked for what: its room, and what is in it. Each packet takes some
/// microseconds, far longer than memory does.
const AHEAD: [(usize, Option<Near>); 4] = [
    (4, None),
    (3, Some(Near::State)),
    (2, Some(Near::Contexts)),
    (1, Some(Near::Keys)),
];

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
    pub(super) poll: Poll,
    pub(super) commands: Receiver<Command>,
    pub(super) events: UnboundedSender<(CallId, MediaEvent)>,
    pub(super) settings: MediaSettings,
    pub(super) random: &'static dyn SecureRandom,
    pub(super) ports: HashMap<IpAddr, Ports>,
    pub(super) leases: HashMap<(IpAddr, u16), (usize, Side)>,
    pub(super) rooms: Vec<Option<Room>>,
    pub(super) vacant: Vec<usize>,
    pub(super) calls: HashMap<CallId, usize>,
    pub(super) timers: BinaryHeap<Reverse<(Instant, usize)>>,
    pub(super) packet: Packet,
    /// The port all calls share towards Meta, and where captured packets are shown.
    pub(super) common: Common,
    /// Whose packets come to that port.
    pub(super) claims: Claims,
    pub(super) spare: Spare,
    /// More is waiting than was taken: no rest before the next look.
    pub(super) behind: bool,
    pub(super) gauge: Arc<Gauge>,
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
            common: Common::default(),
            claims: Claims::new(),
            spare: Spare::new(SPARE),
            behind: false,
            gauge,
        }
    }

    /// Meta's packets come to one port for all calls.
    pub(super) fn sharing(mut self, port: Option<SharedPort>) -> Self {
        self.common.shared = port;
        self
    }

    /// Runs until told to stop, or until nobody can tell it anything any more.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let due = self.next_timeout();
            let timeout = due.map(|at| at.saturating_duration_since(clock::now()));
            self.poll.wait(timeout)?;
            let woken = clock::now();
            if let Some(due) = due {
                self.gauge.woke(woken.saturating_duration_since(due));
            }
            self.look();
            let over = loop {
                match self.commands.try_recv() {
                    Ok(Command::Call(call, command)) => self.command(call, command),
                    Ok(Command::Tap(tap)) => self.common.tap = tap.map(|tap| *tap),
                    Ok(Command::Watch(call, watched)) => self.watch(call, watched),
                    Ok(Command::Unwatch(by)) => self.unwatch(by),
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => break true,
                    Err(TryRecvError::Empty) => break false,
                }
            };
            if let Some(port) = &mut self.common.shared {
                port.flush();
            }
            if over {
                return Ok(());
            }
            self.gauge.show(self.ports.values().map(Ports::counts));
            let worked = clock::now().saturating_duration_since(woken);
            self.gauge.worked(worked);
            if self.poll.found() > 0 && !std::mem::take(&mut self.behind) {
                std::thread::sleep(REST.saturating_sub(worked));
            }
        }
    }

    /// Takes what was found ready, and does what is due.
    fn look(&mut self) {
        for at in 0..self.poll.found() {
            self.prefetch(at);
            let Some(token) = self.poll.token(at) else {
                continue;
            };
            match SharedPort::channel(token) {
                Some(channel) => self.shared_readable(channel),
                None => self.readable(token),
            }
        }
        self.fire(clock::now());
    }

    /// Asks memory for what the next packets need, the nearest of them for the last things.
    fn prefetch(&self, at: usize) {
        for (ahead, near) in AHEAD {
            let Some(token) = self.poll.token(at + ahead) else {
                continue;
            };
            let (slot, side, _) = parts(token);
            match (self.rooms.get(slot), near) {
                (Some(room), None) => media::prefetch(room),
                (Some(Some(room)), Some(near)) => room.prefetch(side, near),
                _ => {}
            }
        }
    }

    /// Takes one datagram from a socket: where there is another, the next look finds it.
    fn readable(&mut self, token: u64) {
        let now = clock::now();
        let (slot, side, door) = parts(token);
        let Self {
            rooms,
            packet,
            common,
            events,
            ports,
            ..
        } = self;
        let Some(room) = rooms.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let call = room.call;
        let tell = &mut |event| drop(events.send((call, event)));
        let most = match room.is_crowded(now, side, door) {
            true => BURST,
            false => 1,
        };
        let mut taken = 0;
        while taken < most && room.receive(now, side, door, packet, common, tell) {
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
        match taken {
            1 => self.arm_unless_calm(slot),
            _ => self.arm(slot),
        }
    }

    /// Takes datagrams from the port all calls share.
    fn shared_readable(&mut self, channel: Channel) {
        let now = clock::now();
        for _ in 0..SHARED_BURST {
            if !self.take_shared(now, channel) {
                return;
            }
        }
        self.behind = true;
    }

    /// Takes one datagram from the shared port and gives it to the call whose key made its tag. `false`: there
    /// is none left.
    fn take_shared(&mut self, now: Instant, channel: Channel) -> bool {
        let Self {
            rooms,
            packet,
            common,
            claims,
            events,
            gauge,
            ..
        } = self;
        let Some(source) = common
            .shared
            .as_ref()
            .and_then(|port| port.receive(channel, packet))
        else {
            return false;
        };
        let whose = match rtp::sender(packet.as_slice()) {
            None => Err(None),
            Some(ssrc) => claims.find(now, (source, ssrc), |slot| {
                let Some(room) = &mut rooms[slot] else {
                    return false;
                };
                let call = room.call;
                let tell = &mut |event| drop(events.send((call, event)));
                room.claims(now, channel, source, packet, common, tell)
            }),
        };
        match whose {
            Ok(slot) => self.arm_unless_calm(slot),
            Err(whose) => {
                gauge.refused_one();
                if let Some(room) = whose.and_then(|slot| rooms[slot].as_mut()) {
                    let call = room.call;
                    let tell = &mut |event| drop(events.send((call, event)));
                    room.refuse(now, channel, source, packet, common, tell);
                }
            }
        }
        true
    }

    /// After one packet: nearly none brings anything the room is not put down for already.
    fn arm_unless_calm(&mut self, slot: usize) {
        let room = self.rooms[slot].as_ref();
        if room.is_some_and(|room| !room.is_calm() || room.armed.is_none()) {
            self.arm(slot);
        }
    }

    /// Puts the room down for its next timeout, unless it is down for an earlier time already.
    pub(super) fn arm(&mut self, slot: usize) {
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
                common,
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
                let tell = &mut |event| drop(events.send((call, event)));
                room.act(now, packet, common, tell, |session, out| {
                    session.timeout(now, out)
                });
            }
            self.arm(slot);
        }
        self.expire(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let ports = self.ports.values().filter_map(Ports::next_timeout).min();
        let session = self.timers.peek().map(|Reverse((at, _))| *at);
        ports.into_iter().chain(session).min()
    }
}

/// What a socket is called when it can be read.
pub(super) fn token(slot: usize, side: Side, door: Door) -> u64 {
    ((slot * 2 + side.index()) * DOORS + door as usize) as u64
}

fn parts(token: u64) -> (usize, Side, Door) {
    let token = token as usize;
    let (place, door) = (token / DOORS, token % DOORS);
    (place / 2, Side::BOTH[place % 2], Door::ALL[door])
}

const DOORS: usize = Door::ALL.len();

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
