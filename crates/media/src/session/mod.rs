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
//! [`Session::transmit`] and events with [`Outbox::event`] until there are none.
//! What is asked of a session ([`Session::start`], [`Session::update`], [`Session::replace`], [`Session::sound`],
//! [`Session::press`]) may allocate; packets and time do not.

mod clear;
mod clockwork;
mod near;
mod own;
mod receive;
mod smooth;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sdp::plan::LegPlan;
use sdp::report::{MediaReport, SentReport, Unopened};
use sdp::{Agreed, Side};

use crate::chance::Chance;
use crate::codec::{OpusSettings, Spare};
use crate::jitter::JitterBuffer;
use crate::leg::Leg;
use crate::outbox::Outbox;
use crate::packet::Packet;
use crate::path::{Mode, Path};
use crate::preroll::Preroll;
use crate::rtp::{self, Clock};
use crate::rx::Receiver;
use crate::settings::{EngineSettings, StartError};
use clear::Clear;
pub use near::Near;
use receive::{Held, Opened};

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
    /// The leg should send and has sent no RTP for as long as [`LegPlan::quiet`] says; once until it does.
    Quiet {
        /// The quiet leg.
        side: Side,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// A silent leg is heard again.
    Resumed(Side),
    /// What the leg says is coded anew from now on, because the other leg takes one length of packets only, or passes again.
    Recut {
        /// The leg whose packets are of another length.
        side: Side,
        /// `false`: it passes again.
        begins: bool,
    },
    /// Packets of the leg cannot be opened for this reason from now on, or again after 10 s without such.
    Unopened {
        /// The leg that sent them.
        side: Side,
        /// What the first of them lacked.
        why: Unopened,
        /// Where that came from.
        source: SocketAddr,
    },
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

/// Time between our RTCP reports, shaken by up to a tenth (RFC 3550 §6.2 without the membership
/// arithmetic of large groups); a far side that counts 5 s hears one in time (Meta reference 10.7).
const REPORT: Duration = Duration::from_millis(4_500);

/// The most audio that may be held before a leg's way is proven.
const MAX_PREROLL: Duration = Duration::from_secs(2);

/// When nothing is due: a century after the start.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Both directions of one call's media.
pub struct Session {
    started: Instant,
    /// The time of day it was then, since 1970.
    wall: Duration,
    opus: OpusSettings,
    legs: [Leg; 2],
    rx: [Receiver; 2],
    /// The packet behind a hole, per leg.
    held: [Held; 2],
    /// Index: the side audio comes from.
    paths: [Path; 2],
    /// Packets of a leg that wait, where the other leg wants them smooth; index as above.
    smooth: [Option<Box<JitterBuffer>>; 2],
    chance: Chance,
    stopped: bool,
    /// Copies for whoever watches.
    clear: Option<Box<Clear>>,
    /// Whether reports that left are told: [`EngineSettings::tell_reports`].
    tells_reports: bool,
    /// See [`Session::is_calm`].
    calm: bool,
    /// Whether what a leg says is coded anew for its length, as it was told last.
    recut: [bool; 2],
}

impl Session {
    /// Starts media between two legs; `plans` is indexed by [`Side::index`]. `seed` feeds the initial
    /// sequence numbers and timestamps and the spread of RTCP.
    pub fn start(
        now: Instant,
        plans: [LegPlan; 2],
        settings: &EngineSettings,
        seed: [u8; 32],
        out: &mut Outbox,
    ) -> Result<Session, StartError> {
        Self::start_with(now, plans, settings, seed, &mut Spare::none(), out)
    }

    /// Starts media with what sessions that are over have left; it behaves no differently.
    pub fn start_with(
        now: Instant,
        plans: [LegPlan; 2],
        settings: &EngineSettings,
        seed: [u8; 32],
        spare: &mut Spare,
        out: &mut Outbox,
    ) -> Result<Session, StartError> {
        let opus = settings.opus();
        let mut chance = Chance::new(seed);
        let mut leg = |side: Side| {
            Leg::new(
                now,
                side,
                &plans[side.index()],
                &opus,
                chance.next() as u16,
                chance.next() as u32,
                spare,
            )
            .map_err(|why| StartError { side, why })
        };
        let legs = [leg(Side::A)?, leg(Side::B)?];
        let mut path = |from: Side| {
            let to = &legs[(!from).index()];
            let holds = to.proof.is_some() && !settings.preroll.is_zero();
            let preroll = holds.then(|| Preroll::new(settings.preroll.min(MAX_PREROLL)));
            Path::new(
                legs[from.index()].codec(),
                to.codec(),
                to.frame,
                &to.opus(),
                preroll,
                spare,
            )
            .map_err(|why| StartError { side: from, why })
        };
        let mut paths = [path(Side::A)?, path(Side::B)?];
        care(&legs, &mut paths)?;
        let smooth = smooth::buffers(now, &legs);
        let held = Side::BOTH.map(|side| Held::new(legs[side.index()].codec()));
        let rx =
            Side::BOTH.map(|side| Receiver::new(now, Clock(legs[side.index()].codec().clock())));
        let mut session = Session {
            started: now,
            wall: settings.time_of_day(now),
            opus,
            legs,
            rx,
            held,
            paths,
            smooth,
            chance,
            stopped: false,
            clear: None,
            tells_reports: settings.tell_reports,
            calm: false,
            recut: [false; 2],
        };
        for side in Side::BOTH {
            if session.legs[side.index()].gate.is_some() {
                session.opened(now, side, out);
            }
        }
        session.fill(now, out);
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
        out: &mut Outbox,
    ) -> Option<Forward> {
        if let Some(clear) = &mut self.clear {
            clear.closed();
        }
        self.calm = false;
        if !self.stopped {
            match self.open(now, from, channel, src, packet) {
                Ok(opened) => self.take(now, from, (channel, src), opened, packet, out),
                Err(why) => self.count(now, from, src, why, out),
            }
        }
        self.transmit(now, packet, out)
    }

    /// A datagram came in on a port that several calls share. `true`: it authenticated as this call's and
    /// has been taken as by [`Session::receive`]; fetch what follows with [`Session::transmit`]. `false`:
    /// nothing has changed and nothing was counted. A leg without keys claims nothing.
    pub fn claims(
        &mut self,
        now: Instant,
        from: Side,
        channel: Channel,
        src: SocketAddr,
        packet: &mut Packet,
        out: &mut Outbox,
    ) -> bool {
        if self.stopped || self.legs[from.index()].unprotect.is_none() {
            return false;
        }
        let Ok(opened) = self.open(now, from, channel, src, packet) else {
            return false;
        };
        self.calm = false;
        self.take(now, from, (channel, src), opened, packet, out);
        true
    }

    /// Counts a datagram of a port that several calls share: it says it is this call's, and cannot prove it.
    pub fn refuse(
        &mut self,
        now: Instant,
        from: Side,
        channel: Channel,
        src: SocketAddr,
        packet: &mut Packet,
        out: &mut Outbox,
    ) {
        if let Some(clear) = &mut self.clear {
            clear.closed();
        }
        if let Err(why) = self.open(now, from, channel, src, packet) {
            self.count(now, from, src, why, out);
        }
    }

    fn take(
        &mut self,
        now: Instant,
        from: Side,
        (channel, src): (Channel, SocketAddr),
        opened: Opened,
        packet: &mut Packet,
        out: &mut Outbox,
    ) {
        match opened {
            Opened::Rtp => self.receive_rtp(now, from, src, packet, out),
            Opened::Rtcp => self.receive_rtcp(now, from, (channel, src), packet, out),
        }
    }

    /// Whether the packet received last made nothing due sooner than [`Session::next_timeout`] said
    /// before: so it is with nearly every packet, and whoever knows that need not ask again.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    /// Where the leg's RTP and RTCP come from by its agreement.
    pub fn agreed_sources(&self, side: Side) -> [SocketAddr; 2] {
        let agreed = &self.legs[side.index()].agreed;
        [agreed.remote_rtp, agreed.remote_rtcp]
    }

    /// The next packet to be sent, written into `packet`. Call until there is none.
    pub fn transmit(
        &mut self,
        now: Instant,
        packet: &mut Packet,
        out: &mut Outbox,
    ) -> Option<Forward> {
        loop {
            let outgoing = out.queue.pop()?;
            let (to, channel, live) = (outgoing.to, outgoing.channel, outgoing.live);
            let leg = &mut self.legs[to.index()];
            packet.fill(outgoing.bytes);
            let plain = packet.len();
            if let Some(clear) = &mut self.clear {
                clear.left(packet.as_slice());
            }
            let report = (self.tells_reports && channel == Channel::Rtcp)
                .then(|| clockwork::said(packet.as_slice()));
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
                Channel::Rtcp => {
                    counters.rtcp_sent += 1;
                    if let Some((ssrc, sender, block)) = report.flatten() {
                        let report = SentReport {
                            to: dst,
                            multiplexed: port == Channel::Rtp,
                            ssrc,
                            sender,
                            block,
                        };
                        out.tell_report(to, report);
                    }
                }
                Channel::Rtp => {
                    counters.packets_sent += 1;
                    counters.last_sent = Some(now);
                    counters.octets_sent += (plain - rtp::HEADER) as u64;
                    if live && counters.first_audio_sent.is_none() {
                        counters.first_audio_sent = Some(now);
                    }
                    if counters.first_sent.is_none() {
                        counters.first_sent = Some(now);
                        out.tell(Event::FirstSent(to));
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
    pub fn timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.stopped {
            return;
        }
        for side in Side::BOTH {
            if self.held[side.index()].deadline.is_some_and(|at| at <= now) {
                self.release(now, side, out);
            }
            self.play_smooth(now, side, out);
            while self.paths[side.index()]
                .next_timeout()
                .is_some_and(|at| at <= now)
            {
                let (from, to) = pair(&mut self.legs, side);
                let digit = self.paths[side.index()].timeout(now, from, to, &mut out.queue);
                self.taken(side, digit, out);
            }
            if self.legs[side.index()]
                .reports
                .next
                .is_some_and(|at| at <= now)
            {
                self.report_rtcp(now, side, false, out);
                let spread =
                    Duration::from_millis(self.chance.next() % (REPORT.as_millis() as u64 / 5));
                self.legs[side.index()].reports.next = Some(now + REPORT - REPORT / 10 + spread);
            }
            let leg = &mut self.legs[side.index()];
            if leg.quiet_at().is_some_and(|at| at <= now) {
                leg.watch.quiet = true;
                let quiet = now.saturating_duration_since(leg.watch.media);
                let for_ms = quiet.as_millis() as u64;
                out.tell(Event::Quiet { side, for_ms });
            }
            if leg.silent_at().is_some_and(|at| at <= now) {
                leg.watch.silent = true;
                let quiet = now.saturating_duration_since(leg.watch.heard);
                out.tell(Event::Silent {
                    side,
                    for_ms: quiet.as_millis() as u64,
                });
            }
        }
        self.fill(now, out);
    }

    /// When [`Session::timeout`] wants to be called.
    pub fn next_timeout(&self) -> Instant {
        let mut next = self.started + NEVER;
        if self.stopped {
            return next;
        }
        for side in Side::BOTH {
            let leg = &self.legs[side.index()];
            let due = [
                self.held[side.index()].deadline,
                self.smooth_at(side),
                self.paths[side.index()].next_timeout(),
                leg.reports.next,
                leg.silent_at(),
                leg.quiet_at(),
                self.fill_at(side),
            ];
            next = due.into_iter().flatten().fold(next, Instant::min);
        }
        next
    }

    /// Packets may go to the leg from now on; by its plan the first leaves at once.
    pub fn open_gate(&mut self, now: Instant, side: Side, out: &mut Outbox) {
        let leg = &mut self.legs[side.index()];
        if leg.gate.is_none() && !self.stopped {
            leg.gate = Some(now);
            self.opened(now, side, out);
            self.fill(now, out);
        }
    }

    /// Presses a key toward the leg, for a far side that tells digits in its signalling. Keys are
    /// pressed one after the other, at most 5 s each; a leg without telephone events hears none.
    /// `false`: it is no key of a telephone, or 32 wait already.
    pub fn press(&mut self, now: Instant, to: Side, digit: char, duration: Duration) -> bool {
        !self.stopped && self.paths[(!to).index()].press(now, digit, duration)
    }

    /// The leg agreed on something new: hold, another address, another codec. What the other leg sees
    /// of us goes on: SSRC, sequence, timestamps. An agreement without an audio codec is refused and
    /// changes nothing.
    pub fn update(
        &mut self,
        now: Instant,
        side: Side,
        agreed: Agreed,
        out: &mut Outbox,
    ) -> Result<(), StartError> {
        if agreed == self.legs[side.index()].agreed {
            return Ok(()); // a session refresh
        }
        let codec = agreed.audio.codec;
        let other = self.legs[(!side).index()].codec();
        let failed = |why| StartError { side, why };
        self.legs[side.index()]
            .agree(now, agreed, &self.opus)
            .map_err(failed)?;
        let to_side = self.legs[side.index()].opus();
        let to_other = self.legs[(!side).index()].opus();
        let frames = Side::BOTH.map(|side| self.legs[side.index()].frame);
        self.paths[side.index()]
            .agree(codec, other, frames[(!side).index()], &to_other)
            .map_err(failed)?;
        self.paths[(!side).index()]
            .agree(other, codec, frames[side.index()], &to_side)
            .map_err(failed)?;
        care(&self.legs, &mut self.paths)?;
        self.rx[side.index()].agree(Clock(codec.clock()));
        self.held[side.index()] = Held::new(codec);
        if let Some(buffer) = &mut self.smooth[side.index()] {
            buffer.restart(now);
        }
        self.legs[(!side).index()].tx.forget_source();
        self.fill(now, out);
        Ok(())
    }

    /// All figures until now.
    pub fn report(&self, _now: Instant) -> MediaReport {
        MediaReport {
            legs: Side::BOTH.map(|side| self.leg_report(side)),
        }
    }

    /// What happens to audio coming from a leg.
    pub fn mode(&self, from: Side) -> Mode {
        self.paths[from.index()].mode()
    }

    /// Ends the session: a last report and RTCP BYE for every leg whose gate is open wait in
    /// [`Session::transmit`]; whatever comes from now on is ignored.
    pub fn stop(&mut self, now: Instant, out: &mut Outbox) {
        if self.stopped {
            return;
        }
        for side in Side::BOTH {
            if self.legs[side.index()].gate.is_some() {
                self.report_rtcp(now, side, true, out);
            }
        }
        self.stopped = true;
    }

    /// It is over; what it need not have made anew stays for sessions to come.
    pub fn retire(self, spare: &mut Spare) {
        for path in self.paths {
            path.retire(spare);
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

/// Gives each path ears and a voice for tones, and its gain, as its legs want them.
fn care(legs: &[Leg; 2], paths: &mut [Path; 2]) -> Result<(), StartError> {
    for side in Side::BOTH {
        let (from, to) = (&legs[side.index()], &legs[(!side).index()]);
        let path = &mut paths[side.index()];
        let gain = i16::from(from.care.gain.heard) + i16::from(to.care.gain.said);
        path.tones(from.has_tones(), to.has_tones(), &to.opus())
            .and_then(|()| path.amplify(gain, to.frame, &to.opus()))
            .map_err(|why| StartError { side, why })?;
    }
    Ok(())
}

/// The leg packets come from, and the leg they go to.
fn pair(legs: &mut [Leg; 2], from: Side) -> (&mut Leg, &mut Leg) {
    let [a, b] = legs;
    match from {
        Side::A => (a, b),
        Side::B => (b, a),
    }
}
