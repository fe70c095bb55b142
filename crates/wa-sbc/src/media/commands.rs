//! What calls ask of a media thread, and what becomes of their ports.
//!
//! ```text
//!  Open ─► lease ports ─► Opened     Start ─► Session     Close ─► report, the ports drain ─► expire
//! ```

use std::time::{Instant, UNIX_EPOCH};

use b2bua::{CallId, LocalMedia, MediaCommand, MediaEvent, Network};
use media::{Channel, EngineSettings, Outbox, Session, StartError};
use sdp::Side;
use sdp::plan::LegPlan;
use sip::Slim;

use super::claims::Claims;
use super::direct::Direct;
use super::line::Line;
use super::ports::Ports;
use super::room::Room;
use super::socket::{Door, Pair, RECEIVE_BUFFER};
use super::worker::{Worker, token};
use crate::capture::Watched;
use crate::clock;

/// Pairs tried when somebody else has bound ports of our range.
const ATTEMPTS: usize = 16;

impl Worker {
    pub(super) fn command(&mut self, call: CallId, command: MediaCommand) {
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
                self.act(now, call, |session, out| session.open_gate(now, side, out))
            }
            MediaCommand::Update { side, agreed } => {
                self.try_to(now, call, |session, out| {
                    session.update(now, side, *agreed, out)
                });
            }
            MediaCommand::Replace { side, plan } => {
                self.try_to(now, call, |session, out| {
                    session.replace(now, side, &plan, out)
                });
            }
            MediaCommand::Sound { side, sound } => {
                self.try_to(now, call, |session, out| {
                    session.sound(now, side, sound, out)
                });
            }
            MediaCommand::SendDigit {
                side,
                digit,
                duration,
            } => self.act(now, call, |session, _| {
                session.press(now, side, digit, duration);
            }),
            MediaCommand::Close => self.close(now, call),
        }
    }

    pub(super) fn watch(&mut self, call: CallId, watched: Watched) {
        let slot = self.calls.get(&call).copied();
        if let Some(room) = slot.and_then(|slot| self.rooms[slot].as_mut()) {
            room.watch(Some(watched));
        }
    }

    pub(super) fn unwatch(&mut self, by: u8) {
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
        // One leg of a call is Meta's: that one shares a port where there is one to share.
        let public = networks.iter().position(|of| *of == Network::Public);
        let sharing = self
            .common
            .shared
            .as_ref()
            .and(public.map(|public| Side::BOTH[public]));
        let opened = self
            .place(now, slot, Side::A, networks[0], sharing)
            .and_then(
                |a| match self.place(now, slot, Side::B, networks[1], sharing) {
                    Ok(b) => Ok([a, b]),
                    Err(why) => {
                        if let Some(line) = &a.0 {
                            self.release(now, line);
                        }
                        Err(why)
                    }
                },
            );
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
            if let Some(line) = line {
                self.leases.insert((line.address, line.port), (slot, side));
            }
        }
        if sharing.is_some() {
            self.claims.seat(slot);
        }
        self.rooms[slot] = Some(Room::new(call, [a, b], sharing));
        self.calls.insert(call, slot);
        Ok(MediaEvent::Opened {
            a: local_a,
            b: local_b,
        })
    }

    /// A place for one leg's packets: ports of its own, or the port all calls share.
    fn place(
        &mut self,
        now: Instant,
        slot: usize,
        side: Side,
        network: Network,
        sharing: Option<Side>,
    ) -> Result<(Option<Line>, LocalMedia), String> {
        match &self.common.shared {
            Some(port) if sharing == Some(side) => Ok((None, port.local())),
            _ => self
                .lease(now, slot, side, network)
                .map(|(line, local)| (Some(line), local)),
        }
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
            let tokens = [Door::Rtp, Door::Rtcp].map(|door| token(slot, side, door));
            let dscp = self.settings.dscp;
            let bound = Pair::bind(bind, port, dscp, RECEIVE_BUFFER)
                .and_then(|pair| pair.register(&self.poll, tokens).map(|()| pair));
            match bound {
                Ok(pair) => {
                    // Without it the call goes on as well.
                    let direct = Direct::beside(pair.socket(Channel::Rtp), dscp, RECEIVE_BUFFER);
                    let direct = direct.and_then(|direct| {
                        let token = token(slot, side, Door::Direct);
                        self.poll.add(direct.socket(), token).map(|()| direct)
                    });
                    let local = LocalMedia {
                        address: told,
                        rtp_port: port,
                        rtcp_port: port + 1,
                    };
                    return Ok((Line::new(bind, told, port, pair, direct.ok()), local));
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
                Session::start_with(
                    now,
                    plans,
                    &engine,
                    seed,
                    &mut self.spare,
                    &mut self.common.outbox,
                )
                .map_err(|error| error.to_string())
            }
            Err(_) => Err("the system gives no random numbers".into()),
        };
        match session {
            Ok(session) => {
                if let Some(room) = &mut self.rooms[slot] {
                    room.start(session);
                }
                self.act(now, call, |_, _| {});
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
        change: impl FnOnce(&mut Session, &mut Outbox) -> Result<(), StartError>,
    ) {
        let mut refused = None;
        self.act(now, call, |session, out| {
            refused = change(session, out).err()
        });
        if let Some(why) = refused {
            self.tell(call, MediaEvent::Failed(why.to_string()));
        }
    }

    fn act(&mut self, now: Instant, call: CallId, act: impl FnOnce(&mut Session, &mut Outbox)) {
        let Some(slot) = self.calls.get(&call).copied() else {
            return;
        };
        let Self {
            rooms,
            packet,
            common,
            claims,
            events,
            ..
        } = self;
        if let Some(room) = &mut rooms[slot] {
            let tell = &mut |event| drop(events.send((call, event)));
            room.act(now, packet, common, tell, act);
            if let Some(sources) = room.expected() {
                claims.expect(slot, sources);
            }
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
            common,
            claims,
            spare,
            events,
            ports,
            ..
        } = self;
        claims.leave(slot);
        if let Some(room) = &mut rooms[slot] {
            let tell = &mut |event| drop(events.send((call, event)));
            let report = room.stop(now, packet, common, spare, tell);
            tell(MediaEvent::Closed(Box::new(report)));
            for line in room.lines.iter().flatten() {
                if let Some(ports) = ports.get_mut(&line.address) {
                    ports.release(now, line.port);
                }
            }
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
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
        self.claims = Claims::new();
        self.rooms.slim();
        self.vacant.slim();
        self.timers.slim();
        self.leases.slim();
        self.calls.slim();
        self.ports.values_mut().for_each(Ports::slim);
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
