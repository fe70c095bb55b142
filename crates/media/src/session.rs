//! A session: both directions of one call's media, their timers and their RTCP.
//!
//! ```text
//!            A ──► latch ─ open ─ order ─► path A→B ─► queue ─ seal ──► B
//!            A ◄── seal ─ queue ◄─ path B→A ◄─ order ─ open ─ latch ◄── B
//!
//!   now ─► timeout: held packets · event ends · filler every frame · RTCP every 5 s · inactivity
//! ```
//!
//! The caller has three duties: hand in every datagram ([`Session::receive`]), call
//! [`Session::timeout`] at [`Session::next_timeout`], and after either fetch packets with
//! [`Session::transmit`] and events with [`Session::event`] until there are none.
//! After [`Session::start`] and [`Session::update`] nothing is allocated.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sdp::plan::{LegPlan, Silence};
use sdp::report::MediaReport;
use sdp::{Agreed, Side};

use crate::chance::Chance;
use crate::codec::{CodecError, OpusSettings};
use crate::leg::{Kind, Leg};
use crate::packet::Packet;
use crate::path::{Mode, Path, Turn};
use crate::queue::Queue;
use crate::rtcp;
use crate::rtp::{self, Clock, Header};
use crate::rx::{Order, Receiver};

/// Which of a leg's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The RTP port; with rtcp-mux RTCP too.
    Rtp,
    /// The RTCP port.
    Rtcp,
}

/// Where a packet is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// To which leg.
    pub to: Side,
    /// From which of our ports toward that leg.
    pub channel: Channel,
    /// To which address.
    pub dst: SocketAddr,
}

/// What the media of a call has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first RTP packet of the leg was accepted.
    FirstReceived(Side),
    /// The first RTP packet to the leg was handed out.
    FirstSent(Side),
    /// The leg has sent neither RTP nor RTCP for as long as [`LegPlan::inactivity`] says.
    Silent {
        /// The quiet leg.
        side: Side,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// A silent leg is heard again.
    Resumed(Side),
    /// A key was pressed (RFC 4733); told when it is released.
    Digit {
        /// On which leg.
        from: Side,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
        /// For how many milliseconds.
        duration_ms: u32,
    },
}

/// How the engine works, the same for all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Effort of the Opus encoder, 0 to 10.
    pub opus_complexity: u8,
    /// Bits per second of the Opus encoder.
    pub opus_bitrate: u32,
    /// Send in-band forward error correction in Opus.
    pub fec: bool,
    /// Loss the Opus encoder prepares for, in percent.
    pub expected_loss: u8,
    /// A moment in both reckonings, for the NTP timestamps of sender reports: an instant, and the same
    /// as time since the Unix epoch. Without it the reports count from the start of the session, which
    /// is enough for round trips (RFC 3550 §4).
    pub wall: Option<(Instant, Duration)>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let opus = OpusSettings::default();
        Self {
            opus_complexity: opus.complexity,
            opus_bitrate: opus.bitrate,
            fec: opus.fec,
            expected_loss: opus.expected_loss,
            wall: None,
        }
    }
}

/// Why a session could not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// The leg at fault.
    pub side: Side,
    /// What is wrong with its codec.
    pub why: CodecError,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "media of leg {:?}: {}", self.side, self.why)
    }
}

impl std::error::Error for StartError {}

/// Time between our RTCP reports, shaken by up to a tenth (RFC 3550 §6.2 without the membership
/// arithmetic of large groups); a far side that counts 5 s hears one in time (Meta reference 10.7).
const REPORT: Duration = Duration::from_millis(4_500);

/// When nothing is due: an hour.
const IDLE: Duration = Duration::from_secs(3_600);

/// Both directions of one call's media.
pub struct Session {
    started: Instant,
    wall: (Instant, Duration),
    opus: OpusSettings,
    legs: [Leg; 2],
    rx: [Receiver; 2],
    /// The packet behind a hole, per leg.
    held: [Held; 2],
    /// Index: the side audio comes from.
    paths: [Path; 2],
    queue: Queue,
    events: VecDeque<Event>,
    chance: Chance,
    /// When to look again though nothing is due.
    idle: Instant,
    stopped: bool,
}

impl Session {
    /// Starts media between two legs; `plans` is indexed by [`Side::index`]. `seed` feeds the initial
    /// sequence numbers and timestamps and the spread of RTCP.
    pub fn start(
        now: Instant,
        plans: [LegPlan; 2],
        settings: &EngineSettings,
        seed: [u8; 32],
    ) -> Result<Session, StartError> {
        let opus = OpusSettings {
            complexity: settings.opus_complexity,
            bitrate: settings.opus_bitrate,
            fec: settings.fec,
            expected_loss: settings.expected_loss,
        };
        let mut chance = Chance::new(seed);
        let mut leg = |side: Side| {
            Leg::new(
                now,
                side,
                &plans[side.index()],
                &opus,
                chance.next() as u16,
                chance.next() as u32,
            )
            .map_err(|why| StartError { side, why })
        };
        let legs = [leg(Side::A)?, leg(Side::B)?];
        let path = |from: Side| {
            Path::new(
                legs[from.index()].codec(),
                legs[(!from).index()].codec(),
                &opus,
            )
            .map_err(|why| StartError { side: from, why })
        };
        let paths = [path(Side::A)?, path(Side::B)?];
        let rx =
            Side::BOTH.map(|side| Receiver::new(now, Clock(legs[side.index()].codec().clock())));
        let mut session = Session {
            started: now,
            wall: settings.wall.unwrap_or((now, Duration::ZERO)),
            opus,
            legs,
            rx,
            held: [Held::new(), Held::new()],
            paths,
            queue: Queue::new(),
            events: VecDeque::with_capacity(EVENTS),
            chance,
            idle: now + IDLE,
            stopped: false,
        };
        for side in Side::BOTH {
            if session.legs[side.index()].gate.is_some() {
                session.opened(now, side);
            }
        }
        session.fill(now);
        Ok(session)
    }

    /// A datagram came in on one of the ports of leg `from`. The packet is worked on in place; with
    /// `Some` it holds what is to be sent, with `None` nothing of interest.
    pub fn receive(
        &mut self,
        now: Instant,
        from: Side,
        channel: Channel,
        src: SocketAddr,
        packet: &mut Packet,
    ) -> Option<Forward> {
        if !self.stopped {
            if channel == Channel::Rtcp || rtp::is_rtcp(packet.as_slice()) {
                self.receive_rtcp(now, from, channel, src, packet);
            } else {
                self.receive_rtp(now, from, src, packet);
            }
        }
        self.transmit(now, packet)
    }

    /// The next packet to be sent, written into `packet`. Call until there is none.
    pub fn transmit(&mut self, now: Instant, packet: &mut Packet) -> Option<Forward> {
        loop {
            let outgoing = self.queue.pop()?;
            let (to, channel) = (outgoing.to, outgoing.channel);
            let leg = &mut self.legs[to.index()];
            packet.fill(&outgoing.bytes[..outgoing.len]);
            let plain = outgoing.len;
            let (sealed, dst, port) = match channel {
                Channel::Rtp => {
                    let sealed = leg
                        .protect
                        .as_mut()
                        .is_none_or(|protect| protect.rtp(packet).is_ok());
                    (sealed, leg.rtp_latch.destination(), Channel::Rtp)
                }
                Channel::Rtcp => {
                    let sealed = leg
                        .protect
                        .as_mut()
                        .is_none_or(|protect| protect.rtcp(packet).is_ok());
                    if leg.agreed.rtcp_mux {
                        (sealed, leg.rtp_latch.destination(), Channel::Rtp)
                    } else {
                        (sealed, leg.rtcp_latch.destination(), Channel::Rtcp)
                    }
                }
            };
            let Some(dst) = dst.filter(|_| sealed) else {
                continue;
            };
            let counters = &mut leg.counters;
            match channel {
                Channel::Rtcp => counters.rtcp_sent += 1,
                Channel::Rtp => {
                    counters.packets_sent += 1;
                    counters.octets_sent += (plain - rtp::HEADER) as u64;
                    if outgoing.live && counters.first_audio_sent.is_none() {
                        counters.first_audio_sent = Some(now);
                    }
                    if counters.first_sent.is_none() {
                        counters.first_sent = Some(now);
                        tell(&mut self.events, Event::FirstSent(to));
                    }
                }
            }
            return Some(Forward {
                to,
                channel: port,
                dst,
            });
        }
    }

    /// Does everything that is due; fetch the packets with [`Session::transmit`].
    pub fn timeout(&mut self, now: Instant) {
        self.idle = now + IDLE;
        if self.stopped {
            return;
        }
        for side in Side::BOTH {
            if self.held[side.index()].deadline.is_some_and(|at| at <= now) {
                self.release(now, side);
            }
            while self.paths[side.index()]
                .next_timeout()
                .is_some_and(|at| at <= now)
            {
                let (from, to) = pair(&mut self.legs, side);
                let digit = self.paths[side.index()].timeout(now, from, to, &mut self.queue);
                self.tell_digit(side, digit);
            }
            if self.legs[side.index()]
                .reports
                .next
                .is_some_and(|at| at <= now)
            {
                self.report_rtcp(now, side, false);
                let spread =
                    Duration::from_millis(self.chance.next() % (REPORT.as_millis() as u64 / 5));
                self.legs[side.index()].reports.next = Some(now + REPORT - REPORT / 10 + spread);
            }
            let leg = &mut self.legs[side.index()];
            if leg.silent_at().is_some_and(|at| at <= now) {
                leg.watch.silent = true;
                let quiet = now.saturating_duration_since(leg.watch.heard);
                tell(
                    &mut self.events,
                    Event::Silent {
                        side,
                        for_ms: quiet.as_millis() as u64,
                    },
                );
            }
        }
        self.fill(now);
    }

    /// When [`Session::timeout`] wants to be called.
    pub fn next_timeout(&self) -> Instant {
        let mut next = self.idle;
        if self.stopped {
            return next;
        }
        for side in Side::BOTH {
            let leg = &self.legs[side.index()];
            let due = [
                self.held[side.index()].deadline,
                self.paths[side.index()].next_timeout(),
                leg.reports.next,
                leg.silent_at(),
                self.fill_at(side),
            ];
            next = due.into_iter().flatten().fold(next, Instant::min);
        }
        next
    }

    /// Packets may go to the leg from now on; by its plan the first leaves at once.
    pub fn open_gate(&mut self, now: Instant, side: Side) {
        let leg = &mut self.legs[side.index()];
        if leg.gate.is_none() && !self.stopped {
            leg.gate = Some(now);
            self.opened(now, side);
            self.fill(now);
        }
    }

    /// The leg agreed on something new: hold, another address, another codec. What the other leg sees
    /// of us goes on: SSRC, sequence, timestamps. An agreement without an audio codec is refused and
    /// changes nothing.
    pub fn update(&mut self, now: Instant, side: Side, agreed: Agreed) -> Result<(), StartError> {
        let codec = agreed.audio.codec;
        let other = self.legs[(!side).index()].codec();
        let failed = |why| StartError { side, why };
        self.legs[side.index()]
            .agree(now, agreed, &self.opus)
            .map_err(failed)?;
        self.paths[side.index()]
            .agree(codec, other, &self.opus)
            .map_err(failed)?;
        self.paths[(!side).index()]
            .agree(other, codec, &self.opus)
            .map_err(failed)?;
        self.rx[side.index()].agree(Clock(codec.clock()));
        self.held[side.index()].deadline = None;
        self.legs[(!side).index()].tx.forget_source();
        self.fill(now);
        Ok(())
    }

    /// The next thing to tell.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// All figures until now.
    pub fn report(&self, _now: Instant) -> MediaReport {
        let leg = |side: Side| {
            let leg = &self.legs[side.index()];
            leg.counters
                .report(self.started, leg.gate, &self.rx[side.index()])
        };
        MediaReport {
            legs: Side::BOTH.map(leg),
        }
    }

    /// What happens to audio coming from a leg.
    pub fn mode(&self, from: Side) -> Mode {
        self.paths[from.index()].mode()
    }

    /// Ends the session: a last report and RTCP BYE for every leg whose gate is open wait in
    /// [`Session::transmit`]; whatever comes from now on is ignored.
    pub fn stop(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        for side in Side::BOTH {
            if self.legs[side.index()].gate.is_some() {
                self.report_rtcp(now, side, true);
            }
        }
        self.stopped = true;
    }

    fn receive_rtp(&mut self, now: Instant, from: Side, src: SocketAddr, packet: &mut Packet) {
        let leg = &mut self.legs[from.index()];
        if !leg.rtp_latch.admits(now, src) {
            leg.counters.foreign += 1;
            return;
        }
        if let Some(unprotect) = &mut leg.unprotect
            && let Err(why) = unprotect.rtp(packet)
        {
            count(why, &mut leg.counters);
            return;
        }
        let bytes = packet.as_slice();
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
        let order = rx.sequence(now, &header, leg.unprotect.is_some(), kind == Kind::Audio);
        leg.rtp_latch.confirm(now, src, order != Order::Drop);
        if order == Order::Drop {
            return;
        }
        leg.counters.packets_received += 1;
        leg.counters.octets_received += header.payload.len() as u64;
        if leg.counters.first_received.is_none() {
            leg.counters.first_received = Some(now);
            tell(&mut self.events, Event::FirstReceived(from));
        }
        heard(now, leg, &mut self.events);

        let index = rx.index(&header);
        let position = rx.position(&header);
        let payload = &bytes[header.payload];
        match order {
            Order::Drop => {}
            Order::Restart => {
                self.held[from.index()].deadline = None;
                self.paths[from.index()].restart(&mut self.legs[(!from).index()]);
                self.play(
                    now,
                    from,
                    &Turn {
                        kind,
                        position,
                        payload,
                        lost: 0,
                    },
                );
            }
            Order::Next => {
                self.play(
                    now,
                    from,
                    &Turn {
                        kind,
                        position,
                        payload,
                        lost: 0,
                    },
                );
                if self.held[from.index()].deadline.is_some()
                    && self.rx[from.index()].expects(self.held[from.index()].index)
                {
                    self.release(now, from);
                }
            }
            Order::Ahead => self.wait(
                now,
                from,
                index,
                &Turn {
                    kind,
                    position,
                    payload,
                    lost: 0,
                },
            ),
        }
    }

    /// A packet behind a hole: holds it, unless one is held already; then the hole is given up.
    fn wait(&mut self, now: Instant, from: Side, index: u64, turn: &Turn) {
        let at = from.index();
        if self.held[at].deadline.is_some() {
            if index < self.held[at].index {
                let lost = self.rx[at].advance(index);
                self.play(now, from, &Turn { lost, ..*turn });
                if self.rx[at].expects(self.held[at].index) {
                    self.release(now, from);
                }
                return;
            }
            self.release(now, from);
            if self.rx[at].expects(index) {
                self.rx[at].advance(index);
                return self.play(now, from, turn);
            }
        }
        let deadline = now + self.paths[at].hold();
        if !self.held[at].keep(index, turn, deadline) {
            let lost = self.rx[at].advance(index);
            self.play(now, from, &Turn { lost, ..*turn });
        }
    }

    /// Gives on the packet held, and gives up what is missing before it.
    fn release(&mut self, now: Instant, from: Side) {
        let at = from.index();
        let held = &mut self.held[at];
        held.deadline = None;
        let lost = self.rx[at].advance(held.index);
        let turn = Turn {
            kind: held.kind,
            position: held.position,
            payload: &held.payload[..held.len],
            lost,
        };
        let (leg, to) = pair(&mut self.legs, from);
        let digit = self.paths[at].play(now, &turn, leg, to, &mut self.queue);
        self.tell_digit(from, digit);
    }

    fn play(&mut self, now: Instant, from: Side, turn: &Turn) {
        let (leg, to) = pair(&mut self.legs, from);
        let digit = self.paths[from.index()].play(now, turn, leg, to, &mut self.queue);
        self.tell_digit(from, digit);
    }

    fn receive_rtcp(
        &mut self,
        now: Instant,
        from: Side,
        channel: Channel,
        src: SocketAddr,
        packet: &mut Packet,
    ) {
        let ntp = self.ntp(now);
        let leg = &mut self.legs[from.index()];
        let latch = match channel {
            Channel::Rtp => &mut leg.rtp_latch,
            Channel::Rtcp => &mut leg.rtcp_latch,
        };
        if !latch.admits(now, src) {
            leg.counters.foreign += 1;
            return;
        }
        if let Some(unprotect) = &mut leg.unprotect
            && let Err(why) = unprotect.rtcp(packet)
        {
            count(why, &mut leg.counters);
            return;
        }
        if !rtp::is_rtcp(packet.as_slice()) {
            leg.counters.malformed += 1;
            return;
        }
        // RTCP on the RTP port keeps the latch where it is; where RTP comes from, RTP says.
        latch.confirm(now, src, channel == Channel::Rtcp);
        leg.read_rtcp(now, ntp, packet.as_slice());
        heard(now, leg, &mut self.events);
    }

    /// Queues a report (and BYE) for the leg.
    fn report_rtcp(&mut self, now: Instant, side: Side, bye: bool) {
        let ntp = self.ntp(now);
        let leg = &mut self.legs[side.index()];
        let mut block = self.rx[side.index()].block();
        if let (Some(block), Some((last, at))) = (&mut block, leg.reports.last_sender) {
            block.last_report = last;
            block.delay = rtcp::short(now.saturating_duration_since(at));
        }
        let sent = leg.counters.packets_sent;
        let sender = (sent > leg.reports.sent_before[0]).then(|| rtcp::SenderReport {
            ntp,
            timestamp: leg.tx.timestamp(now),
            packets: sent as u32,
            octets: leg.counters.octets_sent as u32,
        });
        leg.reports.sent_before = [leg.reports.sent_before[1], sent];
        let Some(slot) = self.queue.vacant() else {
            return;
        };
        slot.len = rtcp::write(
            &mut slot.bytes,
            leg.tx.ssrc(),
            sender.as_ref(),
            block.as_ref(),
            &leg.cname,
            bye,
        );
        (slot.to, slot.channel, slot.live) = (side, Channel::Rtcp, false);
        self.queue.commit();
    }

    /// The leg's gate has opened: the first report leaves at once where nothing else would.
    fn opened(&mut self, now: Instant, side: Side) {
        let wait = match self.legs[side.index()].silence {
            Silence::Rtcp => Duration::ZERO,
            Silence::Frames => Duration::from_millis(500 + self.chance.next() % 1_000),
        };
        self.legs[side.index()].reports.next = Some(now + wait);
        if wait.is_zero() {
            self.report_rtcp(now, side, false);
            self.legs[side.index()].reports.next = Some(now + REPORT);
        }
    }

    /// Queues the filler that is due.
    fn fill(&mut self, now: Instant) {
        for to in Side::BOTH {
            if self.fill_at(to).is_some_and(|at| at <= now) {
                self.paths[(!to).index()].fill(now, &mut self.legs[to.index()], &mut self.queue);
            }
        }
    }

    /// When the next filler toward a leg is due.
    fn fill_at(&self, to: Side) -> Option<Instant> {
        let (path, leg) = (&self.paths[(!to).index()], &self.legs[to.index()]);
        if !path.fills(leg) {
            return None;
        }
        let patience = path.patience(self.rx[(!to).index()].jitter_time());
        let length = leg.frame as i64 * leg.ticks_per_sample();
        Some(
            leg.tx
                .fill_at(leg.gate.unwrap_or(self.started), length, patience),
        )
    }

    fn ntp(&self, now: Instant) -> u64 {
        let (at, since_epoch) = self.wall;
        let moment = match now.checked_duration_since(at) {
            Some(later) => since_epoch + later,
            None => since_epoch.saturating_sub(at.saturating_duration_since(now)),
        };
        rtcp::ntp(moment)
    }

    fn tell_digit(&mut self, from: Side, digit: Option<crate::dtmf::Digit>) {
        if let Some(digit) = digit {
            tell(
                &mut self.events,
                Event::Digit {
                    from,
                    digit: digit.digit,
                    duration_ms: digit.duration_ms,
                },
            );
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

/// Events that can wait to be fetched; more are not kept.
const EVENTS: usize = 64;

fn tell(events: &mut VecDeque<Event>, event: Event) {
    if events.len() < EVENTS {
        events.push_back(event);
    }
}

fn count(why: crate::srtp::UnprotectError, counters: &mut crate::stats::Counters) {
    match why {
        crate::srtp::UnprotectError::Malformed => counters.malformed += 1,
        _ => counters.undecryptable += 1,
    }
}

/// The leg is alive.
fn heard(now: Instant, leg: &mut Leg, events: &mut VecDeque<Event>) {
    leg.watch.heard = now;
    if std::mem::take(&mut leg.watch.silent) {
        tell(events, Event::Resumed(leg.side));
    }
}

/// The leg packets come from, and the leg they go to.
fn pair(legs: &mut [Leg; 2], from: Side) -> (&mut Leg, &mut Leg) {
    let [a, b] = legs;
    match from {
        Side::A => (a, b),
        Side::B => (b, a),
    }
}

/// Room for the one packet behind a hole.
struct Held {
    /// Until when it waits; `None`: nothing is held.
    deadline: Option<Instant>,
    index: u64,
    kind: Kind,
    position: i64,
    len: usize,
    payload: [u8; crate::queue::LONGEST],
}

impl Held {
    fn new() -> Self {
        Self {
            deadline: None,
            index: 0,
            kind: Kind::Audio,
            position: 0,
            len: 0,
            payload: [0; crate::queue::LONGEST],
        }
    }

    /// `false`: the payload is too long to be held.
    fn keep(&mut self, index: u64, turn: &Turn, deadline: Instant) -> bool {
        let Some(room) = self.payload.get_mut(..turn.payload.len()) else {
            return false;
        };
        room.copy_from_slice(turn.payload);
        (self.len, self.index, self.kind, self.position) =
            (turn.payload.len(), index, turn.kind, turn.position);
        self.deadline = Some(deadline);
        true
    }
}
