//! What comes in: believed, opened, put in order, played.

use std::net::SocketAddr;
use std::time::Instant;

use sdp::{Codec, Side};

use super::{Channel, Event, Session, pair};
use crate::failing;
use crate::leg::Kind;
use crate::outbox::Outbox;
use crate::packet::Packet;
use crate::path::Turn;
use crate::rtp::{self, Header};
use crate::rx::Order;
use crate::srtp::UnprotectError;

impl Session {
    /// Whether a packet may be believed; where the leg has keys it is opened. On an error nothing has changed.
    pub(super) fn open(
        &mut self,
        now: Instant,
        from: Side,
        channel: Channel,
        src: SocketAddr,
        packet: &mut Packet,
    ) -> Result<Opened, Refused> {
        let rtcp = channel == Channel::Rtcp || rtp::is_rtcp(packet.as_slice());
        let leg = &mut self.legs[from.index()];
        let latch = match channel {
            Channel::Rtp => &leg.rtp_latch,
            Channel::Rtcp => &leg.rtcp_latch,
        };
        if !latch.admits(now, src) {
            return Err(Refused::Foreign);
        }
        match &mut leg.unprotect {
            Some(unprotect) if rtcp => unprotect.rtcp(packet).map_err(Refused::Closed)?,
            Some(unprotect) => unprotect.rtp(packet).map_err(Refused::Closed)?,
            None => {}
        }
        Ok(if rtcp { Opened::Rtcp } else { Opened::Rtp })
    }

    /// Counts a packet that went no further than the door.
    pub(super) fn count(
        &mut self,
        now: Instant,
        from: Side,
        source: SocketAddr,
        why: Refused,
        out: &mut Outbox,
    ) {
        let leg = &mut self.legs[from.index()];
        let reason = match why {
            Refused::Foreign => return leg.counters.foreign += 1,
            Refused::Closed(error) => failing::reason(error),
        };
        let Some(why) = reason else {
            leg.counters.malformed += 1;
            return;
        };
        leg.counters.undecryptable += 1;
        if leg.failing.begins(now, why) {
            let side = from;
            out.tell(Event::Unopened { side, why, source });
        }
    }

    pub(super) fn receive_rtp(
        &mut self,
        now: Instant,
        from: Side,
        src: SocketAddr,
        packet: &mut Packet,
        out: &mut Outbox,
    ) {
        let leg = &mut self.legs[from.index()];
        let bytes = packet.as_slice();
        if let Some(clear) = &mut self.clear {
            clear.opened(bytes);
        }
        let Some(header) = Header::parse(bytes) else {
            leg.counters.malformed += 1;
            return;
        };
        let kind = match leg.kind(header.pt) {
            _ if header.payload.is_empty() => Kind::Other,
            kind => kind,
        };
        if kind == Kind::Other && !self.rx[from.index()].hears(header.ssrc) {
            leg.counters.malformed += 1;
            return;
        }
        let rx = &mut self.rx[from.index()];
        let twice = rx.duplicates();
        let order = rx.sequence(now, &header, leg.unprotect.is_some(), kind == Kind::Audio);
        leg.rtp_latch.confirm(now, src, order != Order::Drop);
        if order == Order::Drop {
            if self.smooth[from.index()].is_some()
                && twice == rx.duplicates()
                && rx.is_past(&header)
            {
                self.came_late(now, from, &header);
            }
            return;
        }
        leg.counters.packets_received += 1;
        leg.counters.octets_received += header.payload.len() as u64;
        if leg.counters.first_received.is_none() {
            leg.counters.first_received = Some(now);
            out.tell(Event::FirstReceived(from));
        }
        leg.counters.last_received = Some(now);
        leg.watch.media = now;
        let quiet = std::mem::take(&mut leg.watch.quiet);
        let awake = leg.heard && !leg.watch.silent && !quiet;
        self.heard(now, from, out);

        let rx = &self.rx[from.index()];
        let index = rx.index(&header);
        let position = rx.position(&header);
        let turn = Turn {
            kind,
            position,
            payload: &bytes[header.payload],
            lost: 0,
        };
        if self.smooth[from.index()].is_some() {
            return self.smooth(now, from, (order, index), &turn, out);
        }
        match order {
            Order::Drop => {}
            Order::Restart => {
                self.held[from.index()].deadline = None;
                self.paths[from.index()].restart(&mut self.legs[(!from).index()]);
                self.play(now, from, &turn, out);
            }
            Order::Next => {
                let steady = awake && self.paths[from.index()].steady(&turn);
                self.play(now, from, &turn, out);
                if self.held[from.index()].deadline.is_none() {
                    self.calm = steady;
                } else if self.rx[from.index()].expects(self.held[from.index()].index) {
                    self.release(now, from, out);
                }
            }
            Order::Ahead => self.wait(now, from, index, &turn, out),
        }
    }

    /// A packet behind a hole: holds it, unless one is held already; then the hole is given up.
    fn wait(&mut self, now: Instant, from: Side, index: u64, turn: &Turn, out: &mut Outbox) {
        let at = from.index();
        if self.held[at].deadline.is_some() {
            if index < self.held[at].index {
                let lost = self.rx[at].advance(index);
                self.play(now, from, &Turn { lost, ..*turn }, out);
                if self.rx[at].expects(self.held[at].index) {
                    self.release(now, from, out);
                }
                return;
            }
            self.release(now, from, out);
            if self.rx[at].expects(index) {
                self.rx[at].advance(index);
                return self.play(now, from, turn, out);
            }
        }
        let deadline = now + self.paths[at].hold();
        if !self.held[at].keep(index, turn, deadline) {
            let lost = self.rx[at].advance(index);
            self.play(now, from, &Turn { lost, ..*turn }, out);
        }
    }

    /// Gives on the packet held, and gives up what is missing before it.
    pub(super) fn release(&mut self, now: Instant, from: Side, out: &mut Outbox) {
        let at = from.index();
        let held = &mut self.held[at];
        held.deadline = None;
        let lost = self.rx[at].advance(held.index);
        let turn = Turn {
            kind: held.kind,
            position: held.position,
            payload: &held.payload[..held.len.into()],
            lost,
        };
        let (leg, to) = pair(&mut self.legs, from);
        let digit = self.paths[at].take(now, &turn, leg, to, &mut out.queue);
        self.taken(from, digit, out);
    }

    /// The leg is alive, and with the first packet of its the way there is proven.
    fn heard(&mut self, now: Instant, side: Side, out: &mut Outbox) {
        let leg = &mut self.legs[side.index()];
        leg.watch.heard = now;
        if std::mem::take(&mut leg.watch.silent) {
            out.tell(Event::Resumed(side));
        }
        if !std::mem::replace(&mut leg.heard, true) {
            self.paths[(!side).index()].proven(now, leg);
        }
    }

    fn play(&mut self, now: Instant, from: Side, turn: &Turn, out: &mut Outbox) {
        let (leg, to) = pair(&mut self.legs, from);
        let digit = self.paths[from.index()].take(now, turn, leg, to, &mut out.queue);
        self.taken(from, digit, out);
    }

    pub(super) fn receive_rtcp(
        &mut self,
        now: Instant,
        from: Side,
        (channel, src): (Channel, SocketAddr),
        packet: &mut Packet,
        out: &mut Outbox,
    ) {
        let ntp = self.ntp(now);
        let leg = &mut self.legs[from.index()];
        let latch = match channel {
            Channel::Rtp => &mut leg.rtp_latch,
            Channel::Rtcp => &mut leg.rtcp_latch,
        };
        if let Some(clear) = &mut self.clear {
            clear.opened(packet.as_slice());
        }
        if !rtp::is_rtcp(packet.as_slice()) {
            leg.counters.malformed += 1;
            return;
        }
        // RTCP on the RTP port keeps the latch where it is; where RTP comes from, RTP says.
        latch.confirm(now, src, channel == Channel::Rtcp);
        leg.read_rtcp(now, ntp, packet.as_slice());
        if std::mem::take(&mut leg.untold) {
            leg.tune(&mut self.paths[(!from).index()]);
        }
        self.heard(now, from, out);
    }
}

/// A packet that may be believed.
pub(super) enum Opened {
    Rtp,
    Rtcp,
}

/// Why a packet went no further than the door.
pub(super) enum Refused {
    /// Nobody of this call sends from there.
    Foreign,
    /// It could not be opened.
    Closed(UnprotectError),
}

/// Room for the one packet behind a hole.
pub(super) struct Held {
    /// Until when it waits; `None`: nothing is held.
    pub(super) deadline: Option<Instant>,
    index: u64,
    kind: Kind,
    position: i64,
    len: u16,
    payload: Box<[u8]>,
}

impl Held {
    /// For packets of a codec. The longest payload that can be held is 60 ms of G.711, or 20 ms of Opus at 96
    /// kbit/s; a longer one goes on at once.
    pub(super) fn new(codec: Codec) -> Self {
        let longest = if codec == Codec::Opus { 240 } else { 480 };
        Self {
            deadline: None,
            index: 0,
            kind: Kind::Audio,
            position: 0,
            len: 0,
            payload: vec![0; longest].into_boxed_slice(),
        }
    }

    /// `false`: the payload is too long to be held.
    fn keep(&mut self, index: u64, turn: &Turn, deadline: Instant) -> bool {
        let Some(room) = self.payload.get_mut(..turn.payload.len()) else {
            return false;
        };
        room.copy_from_slice(turn.payload);
        (self.len, self.index, self.kind, self.position) =
            (turn.payload.len() as u16, index, turn.kind, turn.position);
        self.deadline = Some(deadline);
        true
    }
}
