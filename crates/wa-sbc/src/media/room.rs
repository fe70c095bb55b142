//! One call in a media thread: its sockets and its session.

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use b2bua::{CallId, MediaEvent};
use media::codec::Spare;
use media::{Channel, Forward, Packet, Session};
use sdp::Side;
use sdp::report::MediaReport;

use super::socket::Pair;
use super::watch::Look;
use crate::capture::{Tap, Watched};

/// Packets of a call are further apart than this, those of a flood are not.
const CROWDED: Duration = Duration::from_millis(5);

/// One leg's lease.
#[derive(Debug)]
pub(crate) struct Line {
    /// The bound address.
    pub(crate) address: IpAddr,
    /// What the far side was told instead of it.
    pub(crate) told: IpAddr,
    /// The RTP port.
    pub(crate) port: u16,
    /// The sockets.
    pub(crate) pair: Pair,
    /// When RTP and RTCP were last read.
    read: [Option<Instant>; 2],
}

impl Line {
    /// A lease nothing was read from yet.
    pub(crate) fn new(address: IpAddr, told: IpAddr, port: u16, pair: Pair) -> Self {
        Self {
            address,
            told,
            port,
            pair,
            read: [None; 2],
        }
    }
}

/// One call: open (no session yet), running, or over with its ports draining.
pub(crate) struct Room {
    /// The call.
    pub(crate) call: CallId,
    /// By [`Side::index`]; `None` once the port is free again.
    pub(crate) lines: [Option<Line>; 2],
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

impl Room {
    pub(crate) fn new(call: CallId, lines: [Line; 2]) -> Self {
        let lines = lines.map(Some);
        Self {
            call,
            lines,
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

    /// When the session wants to be looked at.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.session.as_ref().map(|session| session.next_timeout())
    }

    /// Does something to the session, then sends and tells what came of it.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        tap: &mut Option<Tap>,
        tell: Tell<'_>,
        act: impl FnOnce(&mut Session),
    ) {
        let mut look = Look::new(self.call, self.watched, tap);
        let Self { session, lines, .. } = self;
        let Some(running) = session else { return };
        let done = catch_unwind(AssertUnwindSafe(|| {
            act(running);
            flush(running, lines, now, packet, &mut look, tell);
        }));
        if done.is_err() {
            // The panic has been printed already; it costs this call and no other.
            *session = None;
            tell(MediaEvent::Failed("bug: the media session broke".into()));
        }
    }

    /// Whether more comes to a socket than one call sends: there was something to read a moment ago.
    pub(crate) fn is_crowded(&mut self, now: Instant, side: Side, channel: Channel) -> bool {
        let Some(line) = &mut self.lines[side.index()] else {
            return false;
        };
        let before = line.read[channel as usize].replace(now);
        before.is_some_and(|before| now.saturating_duration_since(before) < CROWDED)
    }

    /// Takes one datagram from a socket. `false` when there is none left.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        side: Side,
        channel: Channel,
        packet: &mut Packet,
        tap: &mut Option<Tap>,
        tell: Tell<'_>,
    ) -> bool {
        let Some(line) = &self.lines[side.index()] else {
            return false;
        };
        let source = match line.pair.socket(channel).recv_from(packet.buffer_mut()) {
            Ok((length, source)) => {
                packet.set_len(length);
                source
            }
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        };
        let source = std::net::SocketAddr::new(source.ip().to_canonical(), source.port());
        let mut look = Look::new(self.call, self.watched, tap);
        let Self { session, lines, .. } = self;
        // Before the start and after the end packets are nobody's.
        let Some(running) = session else { return true };
        let done = catch_unwind(AssertUnwindSafe(|| {
            look.comes(packet);
            let forward = running.receive(now, side, channel, source, packet);
            look.came(now, lines, (side, channel, source), running);
            if let Some(forward) = forward {
                look.left(now, lines, forward, running);
                send(lines, forward, packet);
            }
            flush(running, lines, now, packet, &mut look, tell);
        }));
        if done.is_err() {
            *session = None;
            tell(MediaEvent::Failed("bug: the media session broke".into()));
        }
        true
    }

    /// Says goodbye on both legs; the last figures.
    pub(crate) fn stop(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        tap: &mut Option<Tap>,
        spare: &mut Spare,
        tell: Tell<'_>,
    ) -> MediaReport {
        self.act(now, packet, tap, tell, |session| session.stop(now));
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

fn flush(
    session: &mut Session,
    lines: &[Option<Line>; 2],
    now: Instant,
    packet: &mut Packet,
    look: &mut Look<'_>,
    tell: Tell<'_>,
) {
    while let Some(forward) = session.transmit(now, packet) {
        look.left(now, lines, forward, session);
        send(lines, forward, packet);
    }
    while let Some(event) = session.event() {
        tell(told(event));
    }
    while let Some((side, report)) = session.reported() {
        tell(MediaEvent::Reported { side, report });
    }
}

fn send(lines: &[Option<Line>; 2], forward: Forward, packet: &Packet) {
    if let Some(line) = &lines[forward.to.index()] {
        // A full socket buffer or a missing route loses the packet, as the network would.
        let _ = line
            .pair
            .socket(forward.channel)
            .send_to(packet.as_slice(), forward.dst);
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
