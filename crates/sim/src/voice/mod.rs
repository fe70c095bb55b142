//! The voice of a simulated end: it says a tone, presses digits, and judges what it hears.
//!
//! ```text
//!  every frame ─► say (tone │ digit │ silence) ─► RTP ─► SRTP? ─► datagram
//!  datagram ─► SRTP? ─► rules (one SSRC, PT, ptime, timestamp line) ─► listen ─► Heard
//! ```
//!
//! Only cipher, codecs and the tone come from `media`; headers, events and the rules are read here.

mod listen;
mod reception;
mod rules;
mod say;
mod voices;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::Packet;
use media::srtp::{Protect, Unprotect};
use sdp::{Codec, Keying};

use self::listen::Listener;
use self::reception::Reception;
use self::rules::Line;
use self::say::Speaker;
pub(crate) use self::voices::{Told, Voices};
use crate::meta::knobs::Talk;
use crate::report::{Heard, millis};

/// RTCP every 5 s (Meta reference 10.7 asks for no less).
const RTCP_EVERY: Duration = Duration::from_secs(5);

/// How strictly what we hear is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Every rule of Meta reference 10.1 and 10.6.
    Meta,
    /// A patient telephone: counts, complains about nothing but what nobody could play.
    Phone,
}

/// Everything a voice has to know.
#[derive(Clone, Debug)]
pub struct VoicePlan {
    /// Where we receive RTP; RTCP one port above unless multiplexed.
    pub local: SocketAddr,
    /// Where they receive RTP.
    pub remote: SocketAddr,
    /// Where they receive RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP on one port.
    pub mux: bool,
    /// The audio codec.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub pt: u8,
    /// Payload type of the events we send.
    pub send_events: u8,
    /// Payload type of events we take.
    pub receive_events: Option<u8>,
    /// Plain or SRTP.
    pub keying: Keying,
    /// Our SSRC.
    pub ssrc: u32,
    /// The SSRC their SDP announced.
    pub announced: Option<u32>,
    /// Send nothing before their first packet came.
    pub waits: bool,
    /// How strictly we judge.
    pub strictness: Strictness,
    /// Silent for so long from the start: the call is dead.
    pub first_media: Option<Duration>,
    /// Silent for so long later on: the call is dead.
    pub later_media: Option<Duration>,
    /// What is said.
    pub talk: Talk,
    /// Seed of sequence numbers and timestamps.
    pub seed: u64,
}

/// What a voice wants done or has noticed.
#[derive(Debug)]
pub enum VoiceEvent {
    /// A datagram to send.
    Datagram {
        /// From this bound address.
        from: SocketAddr,
        /// To this one.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// The first packet came.
    FirstPacket {
        /// Milliseconds from the start of the voice.
        after_ms: i64,
    },
    /// A whole digit came.
    Digit {
        /// Which.
        digit: char,
        /// For how long.
        duration_ms: u32,
    },
    /// A media rule was broken; each rule once per call.
    Broken(String),
    /// Nothing came for too long. Said once.
    Silent {
        /// For so long.
        silent_ms: u64,
    },
}

/// One end's media of one call.
pub struct Voice {
    plan: VoicePlan,
    started: Instant,
    speaker: Speaker,
    listener: Listener,
    seal: Option<Protect>,
    open: Option<Unprotect>,
    packet: Packet,
    /// Where their RTP really comes from, once it does.
    latched: Option<SocketAddr>,
    next_frame: Option<Instant>,
    next_rtcp: Instant,
    mute_at: Option<Instant>,
    muted: bool,
    last_valid: Option<Instant>,
    dead: bool,
    sources: BTreeSet<u32>,
    said: BTreeSet<&'static str>,
    line: Line,
    reception: Reception,
    events: VecDeque<VoiceEvent>,
    heard: Heard,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice")
            .field("local", &self.plan.local)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl Voice {
    /// Starts; packets leave at once unless the plan waits for theirs.
    pub fn start(now: Instant, plan: VoicePlan) -> Result<Self, String> {
        let (seal, open) = match &plan.keying {
            Keying::None => (None, None),
            Keying::Sdes { local, remote } => {
                (Some(Protect::new(local)), Some(Unprotect::new(remote)))
            }
        };
        let mut voice = Self {
            speaker: Speaker::new(&plan, now)?,
            listener: Listener::new(plan.codec, plan.talk.expect)?,
            seal,
            open,
            packet: Packet::new(),
            started: now,
            latched: None,
            next_frame: (!plan.waits).then_some(now),
            next_rtcp: now + RTCP_EVERY,
            mute_at: plan.talk.mute_after.map(|after| now + after),
            muted: false,
            last_valid: None,
            dead: false,
            sources: BTreeSet::new(),
            said: BTreeSet::new(),
            line: Line::default(),
            reception: Reception::default(),
            events: VecDeque::new(),
            heard: Heard::default(),
            plan,
        };
        if let Some(after) = voice.plan.talk.digits_after {
            let digits = voice.plan.talk.digits.clone();
            voice.speaker.press_at(now + after, &digits);
        }
        Ok(voice)
    }

    /// A datagram came to `to`, one of our two addresses.
    pub fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let rtcp = to.port() != self.plan.local.port()
            || (bytes.len() > 1 && (192..=223).contains(&bytes[1]));
        self.packet.fill(bytes);
        let opened = match (&mut self.open, rtcp) {
            (None, _) => true,
            (Some(open), false) => open.rtp(&mut self.packet).is_ok(),
            (Some(open), true) => open.rtcp(&mut self.packet).is_ok(),
        };
        if !opened {
            self.heard.bad += 1;
            return self.broken("auth", "a packet whose SRTP authentication fails".into());
        }
        let first = self.last_valid.is_none();
        self.last_valid = Some(now);
        if first {
            let after_ms = i64::try_from(millis(now.saturating_duration_since(self.started)))
                .unwrap_or(i64::MAX);
            self.events.push_back(VoiceEvent::FirstPacket { after_ms });
            if self.plan.waits {
                self.next_frame = Some(now);
            }
        }
        if rtcp {
            self.heard.rtcp += 1;
            return self.reception.reported(now, self.packet.as_slice());
        }
        self.latched = Some(from);
        self.rtp(now);
    }

    /// Everything due by `now`.
    pub fn timeout(&mut self, now: Instant) {
        if self.mute_at.is_some_and(|at| at <= now) {
            self.mute_at = None;
            self.muted = true;
        }
        let stalls = self.awake(now) > now;
        while let Some(at) = self.next_frame.filter(|at| *at <= now && !stalls) {
            self.next_frame = Some(at + self.speaker.length());
            if now.saturating_duration_since(at) > Duration::from_millis(500) {
                // The machine slept: skip, do not flood.
                self.speaker.skip();
                continue;
            }
            self.say(at);
        }
        if self.next_rtcp <= now && !stalls {
            self.next_rtcp = now + RTCP_EVERY;
            if self.next_frame.is_some() && !self.muted {
                self.report_to_far(now);
            }
        }
        if self.dead_at().is_some_and(|at| at <= now) {
            self.dead = true;
            let since = self.last_valid.unwrap_or(self.started);
            let silent_ms = millis(now.saturating_duration_since(since));
            self.events.push_back(VoiceEvent::Silent { silent_ms });
        }
    }

    /// When [`Voice::timeout`] is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let frame = self.next_frame.filter(|_| !self.muted);
        let rtcp = self
            .next_frame
            .is_some()
            .then_some(self.next_rtcp)
            .filter(|_| !self.muted);
        let says = [frame, rtcp].into_iter().flatten().min();
        let says = says.map(|at| self.awake(at));
        [says, self.mute_at, self.dead_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When what is due at a moment leaves: then, or when the stall is over.
    fn awake(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.started);
        let over = self.plan.talk.stalls.and_then(|stalls| stalls.over(since));
        over.map_or(at, |over| self.started + over)
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<VoiceEvent> {
        self.events.pop_front()
    }

    /// Presses digits now, one after the other.
    pub fn press(&mut self, now: Instant, digits: &str) {
        self.speaker.press_at(now, digits);
    }

    /// Sends nothing at all, or again.
    pub fn mute(&mut self, now: Instant, mute: bool) {
        if self.muted
            && !mute
            && let Some(next) = self.next_frame
        {
            // The timestamp line goes on with the clock.
            let mut missed = next + self.speaker.length();
            while missed <= now {
                self.speaker.skip();
                missed += self.speaker.length();
            }
            self.next_frame = Some(now);
        }
        self.muted = mute;
    }

    /// The keys of one or both directions are others from now on; what is new begins anew.
    pub fn rekey(&mut self, keying: Keying) {
        let pair = |keying: &Keying| match keying {
            Keying::None => (None, None),
            Keying::Sdes { local, remote } => (Some(local.clone()), Some(remote.clone())),
        };
        let ((local, remote), before) = (pair(&keying), pair(&self.plan.keying));
        if local != before.0 {
            self.seal = local.as_deref().map(Protect::new);
        }
        if remote != before.1 {
            self.open = remote.as_deref().map(Unprotect::new);
        }
        self.plan.keying = keying;
    }

    /// The verdict so far.
    pub fn heard(&mut self, now: Instant) -> Heard {
        let mut heard = self.heard.clone();
        self.listener.judge(&mut heard);
        heard.sent = self.speaker.packets;
        heard.ssrcs = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        if let (Some(tone), Some((began, ..))) = (&mut heard.first_tone_ms, self.line.audio) {
            *tone +=
                i64::try_from(millis(began.saturating_duration_since(self.started))).unwrap_or(0);
        }
        if let Some((first, highest)) = self.line.sequence {
            heard.lost = (highest - first + 1).saturating_sub(self.line.received);
        }
        if let Some(last) = self.line.last_arrival {
            heard.longest_gap_ms = heard
                .longest_gap_ms
                .max(millis(now.saturating_duration_since(last)));
        }
        heard
    }

    /// When the call is dead unless something comes.
    fn dead_at(&self) -> Option<Instant> {
        if self.dead {
            return None;
        }
        match self.last_valid {
            None => self.plan.first_media.map(|limit| self.started + limit),
            Some(last) => self.plan.later_media.map(|limit| last + limit),
        }
    }

    /// A rule is broken; each is told once.
    fn broken(&mut self, key: &'static str, rule: String) {
        if self.said.insert(key) {
            self.events.push_back(VoiceEvent::Broken(rule));
        }
    }

    /// The next frame, or a packet of an event.
    fn say(&mut self, at: Instant) {
        let packets = self.speaker.next(at, self.muted);
        for plain in packets {
            self.packet.fill(&plain);
            if let Some(seal) = &mut self.seal
                && seal.rtp(&mut self.packet).is_err()
            {
                continue;
            }
            let to = match self.plan.strictness {
                // Meta's relay sends to where packets come from; a telephone to what the SDP said.
                Strictness::Meta => self.latched.unwrap_or(self.plan.remote),
                Strictness::Phone => self.plan.remote,
            };
            let bytes = self.packet.as_slice().to_vec();
            self.events.push_back(VoiceEvent::Datagram {
                from: self.plan.local,
                to,
                bytes,
            });
        }
    }

    /// A sender report with our reception of theirs.
    fn report_to_far(&mut self, now: Instant) {
        let mut out = [0; 512];
        let since = now.saturating_duration_since(self.started);
        let sender = media::rtcp::SenderReport {
            ntp: media::rtcp::ntp(Duration::from_secs(1_750_000_000) + since),
            timestamp: self.speaker.timestamp(),
            packets: self.speaker.packets as u32,
            octets: self.speaker.octets as u32,
        };
        let block = self.sources.first().zip(self.line.sequence);
        let block = block.map(|(ssrc, line)| {
            let received = self.line.received;
            self.reception.block(now, *ssrc, line, received)
        });
        let length = media::rtcp::write(
            &mut out,
            self.plan.ssrc,
            Some(&sender),
            block.as_ref(),
            b"WhatsAppAudioStream1",
            false,
        );
        self.packet.fill(&out[..length]);
        if let Some(seal) = &mut self.seal
            && seal.rtcp(&mut self.packet).is_err()
        {
            return;
        }
        let (from, to) = match self.plan.mux {
            true => (self.plan.local, self.plan.remote),
            false => (
                SocketAddr::new(self.plan.local.ip(), self.plan.local.port() | 1),
                self.plan.remote_rtcp,
            ),
        };
        let bytes = self.packet.as_slice().to_vec();
        self.events
            .push_back(VoiceEvent::Datagram { from, to, bytes });
    }
}

#[cfg(test)]
mod tests;
