//! One direction of a call: from the packets of one leg, in order, to packets for the other.
//!
//! ```text
//!              ┌─ Mode::Aware ──────── payload untouched ───────────┐
//!  in order ───┤                                                    ├─► gate ─► tx ─► queue
//!              ├─ Mode::Terminate ─ decode ─► frames ─► encode ─────┤
//!              ├─ telephone event ─ dtmf::Relay ────────────────────┤
//!              └─ comfort noise ── fills the pause ─────────────────┘
//! ```
//!
//! | | |
//! |---|---|
//! | `speech` | a packet of audio: passed on, or decoded and encoded; what is missing before it |
//! | `recut` | what would pass, but in packets of a length the other leg does not take |
//! | `filler` | the source is quiet |
//! | `late` | the source stalled |
//! | `waiting` | the way to the other leg is not proven yet |
//! | `keys` | telephone events, keys by word, tones |
//! | `coders` | decoder and encoder, and what new agreements make of them |

mod coders;
mod filler;
mod keys;
mod late;
mod recut;
mod speech;
mod waiting;

use std::time::{Duration, Instant};

use sdp::Codec;

use crate::codec::{self, CodecError, Decoder, Encoder, OpusSettings, SAMPLES_PER_MS, Spare};
use crate::dtmf::{Digit, Relay};
use crate::frames::Frames;
use crate::gain::Gain;
use crate::inband::InBand;
use crate::keyboard::Keyboard;
use crate::leg::{Kind, Leg};
use crate::noise::Noise;
use crate::preroll::Preroll;
use crate::queue::Queue;
use crate::rtp::HEADER;
use crate::session::Channel;
use coders::room;
use late::Hurry;
use recut::Course;

/// What happens to audio on its way (RFC 7092).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// *Media-aware*: the same codec on both legs, payloads pass (re-framed if the legs differ in ptime).
    Aware,
    /// *Media-termination*: decoded and encoded anew.
    Terminate,
}

/// Audio made up in one hole at most, in samples: 100 ms.
const MAX_CONCEALED: usize = 100 * SAMPLES_PER_MS;
/// A packet in its turn.
pub(crate) struct Turn<'a> {
    pub(crate) kind: Kind,
    /// Its place on the source's line, in ticks of the source's clock.
    pub(crate) position: i64,
    pub(crate) payload: &'a [u8],
    /// Packets missing just before it.
    pub(crate) lost: u64,
}

/// One direction.
pub(crate) struct Path {
    from: Codec,
    to: Codec,
    /// Both `None` between two Opus legs while payloads pass.
    decoder: Option<Decoder>,
    encoder: Option<Encoder>,
    frames: Frames,
    relay: Relay,
    /// Made when the first key is pressed by word: in few calls one is.
    keyboard: Option<Box<Keyboard>>,
    /// Samples in the source's last packet.
    heard: u32,
    /// Samples by which filler has continued the source's last sound since then. Whether it paused
    /// or packets are missing is known only when the next one comes.
    continued: usize,
    /// What came before the way to the other leg was proven.
    preroll: Option<Box<Preroll>>,
    /// Ticks to take off the source's positions: what was cut out of the preroll, and by what was said faster since.
    shift: i64,
    hurry: Hurry,
    /// The noise the source described for its pause.
    comfort: Option<Noise>,
    /// Keys as tones, where one of the legs has no other way.
    inband: Option<Box<InBand>>,
    /// How much louder the source is made, where that is wanted.
    gain: Option<Gain>,
    course: Course,
    /// Packets coded anew for their length, or that should have been.
    recut: u32,
}

impl Path {
    /// `frame`: samples in the frames the other leg gets.
    pub(crate) fn new(
        from: Codec,
        to: Codec,
        frame: usize,
        opus: &OpusSettings,
        preroll: Option<Preroll>,
        spare: &mut Spare,
    ) -> Result<Self, CodecError> {
        let mut path = Self {
            from,
            to,
            decoder: None,
            encoder: None,
            frames: Frames::new(room(from, to, frame)),
            relay: Relay::default(),
            keyboard: None,
            heard: 20 * SAMPLES_PER_MS as u32,
            continued: MAX_CONCEALED,
            preroll: preroll.map(Box::new),
            shift: 0,
            hurry: Hurry::default(),
            comfort: None,
            inband: None,
            gain: None,
            course: Course::Usual,
            recut: 0,
        };
        path.make_coders(opus, true, true, spare)?;
        Ok(path)
    }

    /// What happens to audio on this path.
    pub(crate) fn mode(&self) -> Mode {
        if self.from == self.to && self.gain.is_none() && self.course != Course::Anew {
            Mode::Aware
        } else {
            Mode::Terminate
        }
    }

    /// The source is another one: its timestamps begin anew.
    pub(crate) fn restart(&mut self, to: &mut Leg) {
        if let Some(preroll) = &mut self.preroll {
            return preroll.restart();
        }
        self.shift = 0;
        self.comfort = None;
        if let Some(inband) = &mut self.inband {
            inband.restart();
        }
        self.frames.clear();
        self.continued = MAX_CONCEALED;
        self.course = Course::Usual;
        to.tx.forget_source();
    }

    /// Takes one packet in its turn and queues what follows from it, unless it has to wait until the way
    /// to the other leg is proven. Returns a digit that ended.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        turn: &Turn,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        if let Some(preroll) = &mut self.preroll
            && matches!(turn.kind, Kind::Audio | Kind::Event)
        {
            let dropped = preroll.keep(now, self.from, from.ticks_per_sample(), turn);
            to.counters.clipped += dropped as u32;
            return None;
        }
        self.play(now, turn, from, to, queue)
    }

    fn play(
        &mut self,
        now: Instant,
        turn: &Turn,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        match turn.kind {
            Kind::Event => self.event(now, turn, from, to, queue),
            Kind::Audio => {
                let position = turn.position - self.shift;
                self.audio(now, &Turn { position, ..*turn }, from, to, queue)
            }
            Kind::Noise => {
                self.comfort = Noise::parse(turn.payload);
                self.continued = MAX_CONCEALED;
                None
            }
            Kind::Other => {
                from.counters.malformed += 1;
                None
            }
        }
    }

    /// How long a packet behind a hole waits for the missing one.
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(10 + self.heard_ms())
    }

    /// The length of the source's last packet, in ms.
    fn heard_ms(&self) -> u64 {
        u64::from(self.heard) / SAMPLES_PER_MS as u64
    }

    /// Whether audio like this makes nothing due sooner: nothing waits for its time here, and packets are as
    /// long as before.
    pub(crate) fn steady(&self, turn: &Turn) -> bool {
        matches!(turn.kind, Kind::Audio)
            && self.preroll.is_none()
            && self.relay.next_timeout().is_none()
            && codec::samples(self.from, turn.payload) == Some(self.heard as usize)
    }

    /// When the relay of events or what waits wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let busy = self.relay.active();
        let keys = self
            .keyboard
            .as_ref()
            .and_then(|keys| keys.next_timeout(busy));
        let waits = self.preroll.as_ref().and_then(|one| one.next_timeout());
        [self.relay.next_timeout(), keys, waits]
            .into_iter()
            .flatten()
            .min()
    }

    /// Plays what waited, sends what is due of keys pressed by word, ends events that are due to end, repeats end
    /// packets.
    pub(crate) fn timeout(
        &mut self,
        now: Instant,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        if self
            .preroll
            .as_ref()
            .is_some_and(|preroll| preroll.awaits_until(now))
        {
            self.proven(now, to);
        }
        let waited = self.preroll.as_ref().and_then(|one| one.next_timeout());
        if waited.is_some_and(|at| at <= now) {
            return self.play_out(now, from, to, queue);
        }
        let busy = self.relay.active();
        let stroke = self
            .keyboard
            .as_mut()
            .and_then(|keys| keys.stroke(now, busy));
        if let Some(stroke) = stroke {
            self.frames.clear();
            let mut start = None;
            if self.relay.begins(stroke.source, stroke.payload) && to.gate.is_some() && to.sends() {
                start = self.begin(now, stroke.payload, to);
            }
            let step = self
                .relay
                .receive(now, stroke.source, stroke.payload, start);
            return self.apply(now, step, from, to, queue);
        }
        let step = self.relay.timeout(now);
        if step.over.is_some() {
            self.keyboard.iter_mut().for_each(|keys| keys.rest(now));
        }
        self.apply(now, step, from, to, queue)
    }
}

/// Puts the header before a payload of `len` octets in the vacant slot and queues it.
fn commit(
    queue: &mut Queue,
    to: &mut Leg,
    pt: u8,
    place: i64,
    marker: bool,
    live: bool,
    len: usize,
) {
    let Some(header) = queue.vacant().and_then(|slot| slot.first_chunk_mut()) else {
        return;
    };
    to.tx.header(pt, place, marker, header);
    queue.commit(to.side, Channel::Rtp, live, HEADER + len);
}
