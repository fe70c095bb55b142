//! One direction of a call: from the packets of one leg, in order, to packets for the other.
//!
//! ```text
//!              ┌─ Mode::Aware ──────── payload untouched ───────────┐
//!  in order ───┤                                                    ├─► gate ─► tx ─► queue
//!              ├─ Mode::Terminate ─ decode ─► frames ─► encode ─────┤
//!              ├─ telephone event ─ dtmf::Relay ────────────────────┤
//!              └─ comfort noise ── fills the pause ─────────────────┘
//! ```

mod keys;
mod late;
mod recut;

use std::time::{Duration, Instant};

use sdp::Codec;
use sdp::plan::Proof;

use crate::codec::{
    self, CodecError, Decoder, Encoder, MAX_SAMPLES, OpusSettings, SAMPLES_PER_MS, Spare,
};
use crate::dtmf::{Digit, Relay};
use crate::frames::{Frames, PART};
use crate::gain::Gain;
use crate::inband::InBand;
use crate::keyboard::Keyboard;
use crate::leg::{Kind, Leg};
use crate::noise::Noise;
use crate::preroll::Preroll;
use crate::queue::{LONGEST, Queue};
use crate::rtp::HEADER;
use crate::session::Channel;
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
/// How much of jitter adds to our patience with a quiet source, at most.
const MAX_JITTER: Duration = Duration::from_millis(40);

/// What waited is caught up when it is late by less than this.
const PUNCTUAL: Duration = Duration::from_millis(15);

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
    /// On the heap: few calls press keys by word, and what all of them touch lies closer together.
    keyboard: Box<Keyboard>,
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
            keyboard: Box::new(Keyboard::new()),
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

    /// Whether keys are tones: `hears` those in the source's audio, `says` those of the source to the
    /// other leg.
    pub(crate) fn tones(
        &mut self,
        hears: bool,
        says: bool,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        self.inband = InBand::new(hears, says);
        self.make_coders(opus, false, false, &mut Spare::none())
    }

    /// The source is to be so many dB louder for the other leg, whose frames have `frame` samples.
    pub(crate) fn amplify(
        &mut self,
        decibels: i16,
        frame: usize,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        self.gain = Gain::of(decibels);
        if self.gain.is_some() {
            self.frames = Frames::new(frame);
        }
        self.make_coders(opus, false, false, &mut Spare::none())
    }

    /// A leg agreed on something new; coders whose codec stays keep their state.
    pub(crate) fn agree(
        &mut self,
        from: Codec,
        to: Codec,
        frame: usize,
        opus: &OpusSettings,
    ) -> Result<(), CodecError> {
        let passed = !self.codes();
        if let Some(inband) = &mut self.inband {
            inband.restart();
        }
        self.preroll = None;
        self.shift = 0;
        let (decoder, encoder) = (from != self.from || passed, to != self.to || passed);
        (self.from, self.to) = (from, to);
        self.comfort = None;
        self.course = Course::Usual;
        self.frames = Frames::new(room(from, to, frame));
        self.make_coders(opus, decoder, encoder, &mut Spare::none())?;
        self.tune(opus);
        Ok(())
    }

    /// It is over, and leaves its coders for calls to come.
    pub(crate) fn retire(self, spare: &mut Spare) {
        spare.keep(self.decoder, self.encoder);
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
            to.counters.clipped += dropped;
            return None;
        }
        self.play(now, turn, from, to, queue)
    }

    /// The gate of the other leg is open.
    pub(crate) fn opened(&mut self, now: Instant, to: &mut Leg) {
        let Some(preroll) = &mut self.preroll else {
            return;
        };
        preroll.opened(now);
        if to.proof == Some(Proof::Gate) || to.heard {
            self.proven(now, to);
        }
    }

    /// The other leg was heard for the first time, or nobody waits for that any longer.
    pub(crate) fn proven(&mut self, now: Instant, to: &mut Leg) {
        let Some(preroll) = &mut self.preroll else {
            return;
        };
        if to.gate.is_some() {
            preroll.proven(now);
            to.counters.held = preroll.waited();
            if preroll.is_over() {
                self.preroll = None;
            }
        }
    }

    /// Plays what waited and is due.
    fn play_out(
        &mut self,
        now: Instant,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let mut preroll = self.preroll.take()?;
        let mut bytes = [0; LONGEST];
        let due = preroll.due(now, from.ticks_per_sample(), &mut bytes);
        let over = preroll.is_over();
        let late = due.as_ref().map_or(Duration::ZERO, |due| due.late);
        let digit = due.and_then(|due| self.play(now, &due.turn, from, to, queue));
        if !over {
            self.preroll = Some(preroll);
            return digit;
        }
        self.shift += preroll.shift();
        if late > PUNCTUAL {
            // The source paused before all was caught up: it goes on where the clock is.
            to.tx.forget_source();
        }
        digit
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

    /// How long after its last packet the source counts as quiet, so that filler sets in. A source that stalls
    /// is waited for, unless it said that it pauses.
    pub(crate) fn patience(&self, jitter: Duration, to: &Leg) -> Duration {
        if self.says() {
            return Duration::ZERO;
        }
        let usual = Duration::from_millis(20 + 2 * self.heard_ms()) + (2 * jitter).min(MAX_JITTER);
        match self.comfort {
            None => usual.max(to.tx.wait()),
            Some(_) => usual,
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

    /// Whether filler may go out: not into an event.
    pub(crate) fn fills(&self, to: &Leg) -> bool {
        let says = || self.says() && to.gate.is_some() && to.sends();
        (to.fills() || says()) && !self.relay.sounds()
    }

    /// Queues one frame of filler: the rest of the source's audio, its last sound fading away, or
    /// silence.
    pub(crate) fn fill(&mut self, now: Instant, to: &mut Leg, queue: &mut Queue) {
        let place = to.tx.fill(now, to.frame as i64 * to.ticks_per_sample());
        let marker = to.tx.begins();
        let Some(slot) = queue.vacant() else { return };
        self.frames.pad(to.frame);
        let fades = self.frames.is_empty()
            && self.continued < MAX_CONCEALED
            && self.mode() == Mode::Terminate;
        let mut player = to.player.take();
        let says = self.inband.as_mut().and_then(|inband| inband.says());
        let len = match (&mut self.encoder, self.frames.first(to.frame)) {
            (Some(encoder), _) if let Some(voice) = says => {
                self.continued = MAX_CONCEALED;
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                voice.fill(pcm);
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (encoder, None) if let Some(player) = &mut player => {
                self.continued = MAX_CONCEALED;
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                player.payload(encoder.as_mut(), pcm, &mut slot[HEADER..])
            }
            (Some(encoder), None) if let Some(noise) = &mut self.comfort => {
                let pcm = &mut [0; 60 * SAMPLES_PER_MS][..to.frame];
                noise.fill(pcm);
                amplify(self.gain, pcm);
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (Some(encoder), None) if fades => {
                let mut pcm = [0; 60 * SAMPLES_PER_MS];
                let pcm = &mut pcm[..to.frame];
                if let Some(decoder) = &mut self.decoder {
                    decoder.conceal(pcm);
                }
                amplify(self.gain, pcm);
                self.continued += to.frame;
                encoder.encode(pcm, &mut slot[HEADER..])
            }
            (Some(encoder), Some((_, rest))) => encoder.encode(rest, &mut slot[HEADER..]),
            (Some(encoder @ Encoder::Opus(_)), None) => {
                encoder.encode(&[0; 60 * SAMPLES_PER_MS][..to.frame], &mut slot[HEADER..])
            }
            _ => {
                let silence = to.silence_payload();
                slot[HEADER..HEADER + silence.len()].copy_from_slice(silence);
                Some(silence.len())
            }
        };
        to.player = player;
        self.frames.clear();
        let Some(len) = len else { return };
        commit(
            queue,
            to,
            to.agreed.audio.send_pt,
            place,
            marker,
            false,
            len,
        );
    }

    /// When the relay of events or what waits wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let keys = self.keyboard.next_timeout(self.relay.active());
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
        if let Some(stroke) = self.keyboard.stroke(now, self.relay.active()) {
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
            self.keyboard.rest(now);
        }
        self.apply(now, step, from, to, queue)
    }

    fn audio(
        &mut self,
        now: Instant,
        turn: &Turn,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) -> Option<Digit> {
        let Some(samples) = codec::samples(self.from, turn.payload) else {
            from.counters.malformed += 1;
            return None;
        };
        self.heard = samples as u32;
        self.comfort = None;
        let continued = std::mem::replace(&mut self.continued, MAX_CONCEALED);
        if to.gate.is_none() {
            to.counters.clipped += 1;
            self.frames.clear();
            return None;
        }
        let hears = self.inband.as_ref().is_some_and(|inband| inband.hears());
        if !to.sends() || !from.agreed.direction.receives() || (self.sounds() && !hears) {
            self.frames.clear();
            return None;
        }
        if to.tx.owed() > 0 {
            self.comes_forward(turn, from, to);
        }
        let position = turn.position / from.ticks_per_sample();
        let turns = self.turns(samples, to);
        let passes = self.mode() == Mode::Aware
            && (!codes(self.from, self.to) || (samples == to.frame && self.frames.is_empty()));
        if passes && !hears {
            self.pass(now, turn, samples, from, to, queue);
            self.frames.passed(position + samples as i64);
            return None;
        }
        if turns {
            // What is missing before was to pass: only the far side's decoder knows what was said until then.
            to.tx.skip(to.tx.hole(turn.lost));
            // Positions were ticks, and are whole samples from now on.
            to.tx
                .nudge(turn.position - position * from.ticks_per_sample());
        } else if turn.lost > 0 && !passes {
            if continued < MAX_CONCEALED {
                let missing = samples.saturating_mul(turn.lost as usize);
                from.counters.concealed += continued.min(missing) as u64;
            }
            self.conceal(now, turn, position, from, to, queue);
        }
        self.continued = 0;
        let mut pcm = [0; MAX_SAMPLES];
        let decoder = self.decoder.as_mut()?;
        let decoded = match decoder.decode(turn.payload, &mut pcm) {
            Some(decoded) => decoded,
            None => {
                from.counters.malformed += 1;
                decoder.conceal(&mut pcm[..samples]);
                samples
            }
        };
        let mut pcm = &mut pcm[..decoded];
        if to.tx.owed() > 0 && !passes && self.inband.is_none() {
            pcm = self.hurry(now, pcm, from, to);
        }
        let mut digit = None;
        if let Some(payload) = self
            .inband
            .as_mut()
            .and_then(|inband| inband.listen(position, pcm))
        {
            let heard = Turn {
                kind: Kind::Event,
                position: payload.0 * from.ticks_per_sample(),
                payload: &payload.1.to_bytes(),
                lost: 0,
            };
            digit = self.event(now, &heard, from, to, queue);
        }
        if self.sounds() {
            self.frames.clear();
        } else if passes {
            self.pass(now, turn, samples, from, to, queue);
            self.frames.passed(position + samples as i64);
        } else {
            self.feed(now, position, pcm, from, to, queue);
        }
        digit
    }

    /// The payload goes on as it is.
    fn pass(
        &mut self,
        now: Instant,
        turn: &Turn,
        samples: usize,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        let length = samples as i64 * to.ticks_per_sample();
        let hole = to.tx.hole(turn.lost);
        let Some(place) = to.tx.place(now, turn.position, length) else {
            from.counters.late += 1;
            return;
        };
        to.tx.skip(hole);
        let marker = to.tx.begins();
        let Some(slot) = queue.vacant() else { return };
        let Some(room) = slot.get_mut(HEADER..HEADER + turn.payload.len()) else {
            return;
        };
        room.copy_from_slice(turn.payload);
        commit(
            queue,
            to,
            to.agreed.audio.send_pt,
            place,
            marker,
            true,
            turn.payload.len(),
        );
    }

    /// Makes up the audio that is missing before `position`: from the redundancy in the packet after
    /// the hole if it has any, from what was said before the hole otherwise.
    fn conceal(
        &mut self,
        now: Instant,
        turn: &Turn,
        position: i64,
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        let (Some(tail), Some(decoder)) = (self.frames.tail(), &mut self.decoder) else {
            return;
        };
        let Ok(hole) = usize::try_from(position - tail) else {
            return;
        };
        let heard = self.heard as usize;
        let missing = hole
            .min(heard.saturating_mul(turn.lost as usize))
            .min(MAX_CONCEALED);
        let mut pcm = [0; MAX_CONCEALED];
        let last = heard.min(missing);
        let (before, redundant) = pcm[..missing].split_at_mut(missing - last);
        decoder.conceal(before);
        if hole <= MAX_CONCEALED {
            decoder.recover(turn.payload, redundant);
        } else {
            decoder.conceal(redundant); // the redundancy belongs to the end of the hole, this is its beginning
        }
        from.counters.concealed += missing as u64;
        self.feed(now, tail, &pcm[..missing], from, to, queue);
    }

    /// Cuts PCM into the leg's frames, encodes and queues them.
    fn feed(
        &mut self,
        now: Instant,
        position: i64,
        pcm: &[i16],
        from: &mut Leg,
        to: &mut Leg,
        queue: &mut Queue,
    ) {
        if !self.frames.continues(position) {
            self.frames.pad(to.frame);
            self.encode(now, from, to, queue);
        }
        for (part, position) in pcm.chunks(PART).zip((position..).step_by(PART)) {
            let mut louder = [0; PART];
            let louder = &mut louder[..part.len()];
            louder.copy_from_slice(part);
            amplify(self.gain, louder);
            self.frames.push(position, louder);
            while self.encode(now, from, to, queue) {}
        }
    }

    fn encode(&mut self, now: Instant, from: &mut Leg, to: &mut Leg, queue: &mut Queue) -> bool {
        let Some((head, pcm)) = self.frames.first(to.frame) else {
            return false;
        };
        let ticks = to.ticks_per_sample();
        let place = to.tx.place(now, head * ticks, to.frame as i64 * ticks);
        from.counters.late += u32::from(place.is_none());
        if let (Some(place), Some(encoder), Some(slot)) = (place, &mut self.encoder, queue.vacant())
        {
            let marker = to.tx.begins();
            if let Some(len) = encoder.encode(pcm, &mut slot[HEADER..]) {
                commit(queue, to, to.agreed.audio.send_pt, place, marker, true, len);
            }
        }
        self.frames.consume(to.frame);
        true
    }

    /// The encoder is to go on with other settings.
    pub(crate) fn tune(&mut self, opus: &OpusSettings) {
        if let Some(encoder) = &mut self.encoder {
            encoder.tune(opus);
        }
    }

    /// Whether audio may have to be decoded.
    pub(crate) fn codes(&self) -> bool {
        let passes = !codes(self.from, self.to) && self.course != Course::Anew;
        !passes || self.inband.is_some() || self.gain.is_some()
    }

    fn make_coders(
        &mut self,
        opus: &OpusSettings,
        decoder: bool,
        encoder: bool,
        spare: &mut Spare,
    ) -> Result<(), CodecError> {
        if !self.codes() {
            (self.decoder, self.encoder) = (None, None);
            return Ok(());
        }
        if decoder || self.decoder.is_none() {
            self.decoder = Some(spare.decoder(self.from)?);
        }
        if encoder || self.encoder.is_none() {
            self.encoder = Some(spare.encoder(self.to, opus)?);
        }
        Ok(())
    }
}

/// Makes samples louder or softer, where that is wanted.
fn amplify(gain: Option<Gain>, pcm: &mut [i16]) {
    if let Some(gain) = gain {
        gain.apply(pcm);
    }
}

/// Whether audio between these codecs may have to be decoded.
fn codes(from: Codec, to: Codec) -> bool {
    !(from == Codec::Opus && to == Codec::Opus)
}

/// Samples in the frames audio may have to be cut into; 0: in none.
fn room(from: Codec, to: Codec, frame: usize) -> usize {
    if codes(from, to) { frame } else { 0 }
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
