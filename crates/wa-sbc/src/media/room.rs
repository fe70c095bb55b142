//! One call in a media thread: its sockets and its session.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use b2bua::{CallId, MediaEvent};
use media::codec::Spare;
use media::{Channel, Forward, Near, Outbox, Packet, Session};
use sdp::Side;
use sdp::report::MediaReport;

use super::line::{Empty, Line};
use super::shared::SharedPort;
use super::socket::Door;
use super::watch::Look;
use crate::capture::{Tap, Watched};

/// One call: open (no session yet), running, or over with its ports draining.
pub(crate) struct Room {
    /// The call.
    pub(crate) call: CallId,
    /// By [`Side::index`]; `None` once the port is free again, and where the leg shares a port with others.
    pub(crate) lines: [Option<Line>; 2],
    /// The leg that shares a port with other calls'.
    pub(crate) sharing: Option<Side>,
    /// The earliest time this room has been put down for in the worker's list of timers.
    pub(crate) armed: Option<Instant>,
    /// Over: packets are thrown away.
    pub(crate) draining: bool,
    /// Somebody captures the call.
    watched: Option<Watched>,
    /// On the heap: it is far larger than all else here, and rooms outlive it by the time of draining.
    session: Option<Box<Session>>,
}

/// What a room wants to tell.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(MediaEvent);

/// What calls of a thread have in common beside its loop.
#[derive(Default)]
pub(crate) struct Common {
    /// The port they share towards Meta, where they do.
    pub(crate) shared: Option<SharedPort>,
    /// Where packets of captured calls are shown.
    pub(crate) tap: Option<Tap>,
    /// What the session at work has to say; empty before another has its turn.
    pub(crate) outbox: Outbox,
}

impl Room {
    pub(crate) fn new(call: CallId, lines: [Option<Line>; 2], sharing: Option<Side>) -> Self {
        Self {
            call,
            lines,
            sharing,
            armed: None,
            draining: false,
            watched: None,
            session: None,
        }
    }

    /// Media flows from now on.
    pub(crate) fn start(&mut self, mut session: Session) {
        session.watch(self.watched.is_some());
        self.session = Some(Box::new(session));
    }

    /// Somebody begins or ends to capture the call.
    pub(crate) fn watch(&mut self, watched: Option<Watched>) {
        self.watched = watched;
        if let Some(session) = &mut self.session {
            session.watch(watched.is_some());
        }
    }

    /// Who captures the call.
    pub(crate) fn watched(&self) -> Option<Watched> {
        self.watched
    }

    /// A packet of this leg will be read soon: asks memory for what it will need.
    pub(crate) fn prefetch(&self, side: Side, near: Near) {
        if let Some(session) = &self.session {
            session.prefetch(side, near);
        }
    }

    /// When the session wants to be looked at.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.session.as_ref().map(|session| session.next_timeout())
    }

    /// Whether the last packet made nothing due sooner than was known before.
    pub(crate) fn is_calm(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.is_calm())
    }

    /// Where the leg that shares a port is to be heard from, while media flows.
    pub(crate) fn expected(&self) -> Option<[SocketAddr; 2]> {
        let session = self.session.as_ref()?;
        Some(session.agreed_sources(self.sharing?))
    }

    /// Does something to the session, then sends and tells what came of it.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        common: &mut Common,
        tell: Tell<'_>,
        act: impl FnOnce(&mut Session, &mut Outbox),
    ) {
        self.with(common, tell, |session, ends, tell| {
            act(session, ends.out);
            flush(session, ends, now, packet, tell);
        });
    }

    /// Does something with a running session. `None`: there is none, or it broke, which costs this call and
    /// no other.
    fn with<T>(
        &mut self,
        common: &mut Common,
        tell: Tell<'_>,
        act: impl FnOnce(&mut Session, &mut Ends<'_>, Tell<'_>) -> T,
    ) -> Option<T> {
        let Self { session, lines, .. } = self;
        let Common {
            shared,
            tap,
            outbox,
        } = common;
        let running = session.as_mut()?;
        let at_shared = shared.as_ref().map(SharedPort::local);
        let mut ends = Ends {
            lines,
            shared,
            look: Look::new(self.call, self.watched, at_shared, tap),
            out: &mut *outbox,
        };
        let done = catch_unwind(AssertUnwindSafe(|| act(running, &mut ends, &mut *tell)));
        if done.is_err() {
            // The panic has been printed already.
            *session = None;
            outbox.clear();
            tell(MediaEvent::Failed("bug: the media session broke".into()));
        }
        debug_assert!(outbox.is_empty(), "words left for another session");
        done.ok()
    }

    /// Whether more comes to a socket than one call sends: there was something to read a moment ago.
    pub(crate) fn is_crowded(&mut self, now: Instant, side: Side, door: Door) -> bool {
        let line = &mut self.lines[side.index()];
        line.as_mut().is_some_and(|line| line.is_crowded(now, door))
    }

    /// Takes one datagram from a socket of its own. `false` when there is none left.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        side: Side,
        door: Door,
        packet: &mut Packet,
        common: &mut Common,
        tell: Tell<'_>,
    ) -> bool {
        let Some(line) = &self.lines[side.index()] else {
            return false;
        };
        let channel = door.channel();
        let source = match line.receive(door, packet) {
            Ok(Some(source)) => source,
            Ok(None) => return true,
            Err(Empty) => return false,
        };
        // Before the start and after the end packets are nobody's.
        self.with(common, tell, |session, ends, tell| {
            ends.look.comes(packet);
            let forward = session.receive(now, side, channel, source, packet, ends.out);
            ends.came(now, side, channel, source, session);
            if let Some(forward) = forward {
                ends.send(now, forward, packet, session);
            }
            flush(session, ends, now, packet, tell);
        });
        true
    }

    /// Takes a datagram of the shared port if its tag proves that it is for this call.
    pub(crate) fn claims(
        &mut self,
        now: Instant,
        channel: Channel,
        source: SocketAddr,
        packet: &mut Packet,
        common: &mut Common,
        tell: Tell<'_>,
    ) -> bool {
        let Some(side) = self.sharing else {
            return false;
        };
        let claimed = self.with(common, tell, |session, ends, tell| {
            ends.look.comes(packet);
            let claimed = session.claims(now, side, channel, source, packet, ends.out);
            if claimed {
                ends.came(now, side, channel, source, session);
                flush(session, ends, now, packet, tell);
            }
            claimed
        });
        claimed == Some(true)
    }

    /// Counts a datagram of the shared port that says it is for this call and cannot prove it.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        channel: Channel,
        source: SocketAddr,
        packet: &mut Packet,
        common: &mut Common,
        tell: Tell<'_>,
    ) {
        if let Some(side) = self.sharing {
            self.with(common, tell, |session, ends, tell| {
                ends.look.comes(packet);
                session.refuse(now, side, channel, source, packet, ends.out);
                ends.came(now, side, channel, source, session);
                flush(session, ends, now, packet, tell);
            });
        }
    }

    /// Says goodbye on both legs; the last figures.
    pub(crate) fn stop(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        common: &mut Common,
        spare: &mut Spare,
        tell: Tell<'_>,
    ) -> MediaReport {
        self.act(now, packet, common, tell, |session, out| {
            session.stop(now, out)
        });
        self.draining = true;
        self.session
            .take()
            .map(|session| {
                let report = session.report(now);
                session.retire(spare);
                report
            })
            .unwrap_or_default()
    }
}

/// Where packets of a call come and go.
struct Ends<'a> {
    lines: &'a mut [Option<Line>; 2],
    shared: &'a mut Option<SharedPort>,
    look: Look<'a>,
    out: &'a mut Outbox,
}

impl Ends<'_> {
    /// Shows a packet that came to whoever captures the call.
    fn came(
        &mut self,
        now: Instant,
        side: Side,
        channel: Channel,
        source: SocketAddr,
        session: &Session,
    ) {
        self.look
            .came(now, self.lines, (side, channel, source), session);
    }

    /// Sends a packet: from the leg's own ports, or from the port calls share.
    fn send(&mut self, now: Instant, forward: Forward, packet: &Packet, session: &Session) {
        self.look.left(now, self.lines, forward, session);
        match (&mut self.lines[forward.to.index()], &mut *self.shared) {
            (Some(line), _) => line.send(forward.channel, forward.dst, packet),
            (None, Some(port)) => port.send(forward.channel, forward.dst, packet),
            (None, None) => {}
        }
    }
}

fn flush(
    session: &mut Session,
    ends: &mut Ends<'_>,
    now: Instant,
    packet: &mut Packet,
    tell: Tell<'_>,
) {
    while let Some(forward) = session.transmit(now, packet, ends.out) {
        ends.send(now, forward, packet, session);
    }
    while let Some(event) = ends.out.event() {
        tell(told(event));
    }
    while let Some((side, report)) = ends.out.report() {
        tell(MediaEvent::Reported { side, report });
    }
}

fn told(event: media::Event) -> MediaEvent {
    match event {
        media::Event::FirstReceived(side) => MediaEvent::FirstReceived(side),
        media::Event::FirstSent(side) => MediaEvent::FirstSent(side),
        media::Event::Silent { side, for_ms } => MediaEvent::Silent {
            side,
            after: Duration::from_millis(for_ms),
        },
        media::Event::Quiet { side, for_ms } => MediaEvent::Quiet {
            side,
            after: Duration::from_millis(for_ms),
        },
        media::Event::Resumed(side) => MediaEvent::Resumed(side),
        media::Event::Recut { side, begins } => MediaEvent::Recut { side, begins },
        media::Event::Unopened { side, why, source } => MediaEvent::Unopened { side, why, source },
        media::Event::Digit {
            from,
            digit,
            duration_ms,
        } => MediaEvent::Digit {
            from,
            digit,
            duration_ms,
        },
    }
}
