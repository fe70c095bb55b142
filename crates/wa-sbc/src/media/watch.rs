//! Showing a call's packets to whoever captures it: beside the straight line, and nothing where nobody does.

use std::net::SocketAddr;
use std::time::Instant;

use b2bua::{CallId, LocalMedia};
use media::{Channel, Forward, Packet, Session};
use sdp::Side;

use super::line::Line;
use crate::capture::{Crossing, Tap, Watched};

/// A look at one call while it is worked on.
pub(super) struct Look<'a> {
    tap: Option<(&'a mut Tap, (CallId, Watched))>,
    /// The port calls share, where a leg has none of its own.
    shared: Option<LocalMedia>,
}

impl<'a> Look<'a> {
    /// Nobody's, unless somebody captures the call.
    pub(super) fn new(
        call: CallId,
        watched: Option<Watched>,
        shared: Option<LocalMedia>,
        tap: &'a mut Option<Tap>,
    ) -> Self {
        let tap = match (watched, tap) {
            (Some(watched), Some(tap)) => Some((tap, (call, watched))),
            _ => None,
        };
        Self { tap, shared }
    }

    /// A datagram is about to be opened.
    pub(super) fn comes(&mut self, packet: &Packet) {
        if let Some((tap, _)) = &mut self.tap {
            tap.came(packet.as_slice());
        }
    }

    /// It was opened, or could not be.
    pub(super) fn came(
        &mut self,
        now: Instant,
        lines: &[Option<Line>; 2],
        (side, channel, remote): (Side, Channel, SocketAddr),
        session: &Session,
    ) {
        if let Some((tap, of)) = &mut self.tap
            && let Some(local) = local(lines, self.shared, side, channel)
        {
            let crossing = Crossing {
                inward: true,
                side,
                local,
                remote,
            };
            tap.show(now, *of, crossing, session.came());
        }
    }

    /// A packet is about to be sent.
    pub(super) fn left(
        &mut self,
        now: Instant,
        lines: &[Option<Line>; 2],
        forward: Forward,
        session: &Session,
    ) {
        if let Some((tap, of)) = &mut self.tap
            && let Some(local) = local(lines, self.shared, forward.to, forward.channel)
            && let Some(bytes) = session.left()
        {
            let crossing = Crossing {
                inward: false,
                side: forward.to,
                local,
                remote: forward.dst,
            };
            tap.show(now, *of, crossing, Some(bytes));
        }
    }
}

/// Our address as the far side knows it: what stands in the SDP.
fn local(
    lines: &[Option<Line>; 2],
    shared: Option<LocalMedia>,
    side: Side,
    channel: Channel,
) -> Option<SocketAddr> {
    let (address, port) = match (&lines[side.index()], shared) {
        (Some(line), _) => (line.told, line.port),
        (None, Some(shared)) => (shared.address, shared.rtp_port),
        (None, None) => return None,
    };
    let port = match channel {
        Channel::Rtp => port,
        Channel::Rtcp => port + 1,
    };
    Some(SocketAddr::new(address, port))
}
