//! Keys as tones in the audio itself (ITU-T Q.23, Q.24), for a leg without telephone events.
//!
//! ```text
//!   the leg's audio ─► Ear: two tones, steady, nothing else ─► telephone events for the other leg
//!   events of the other leg ─► Voice: the two tones, frame by frame ─► the leg's audio
//! ```
//!
//! While a tone is recognised the other leg hears the event instead of it: the relay of events keeps
//! audio back as it does beside any event. What was heard before it was recognised, 30 to 40 ms, has
//! been passed on.

mod ear;
mod voice;

use ear::{Change, Ear};
use voice::Voice;

use crate::codec::SAMPLES_PER_MS;
use crate::dtmf::Payload;

/// The tones of the rows, in Hz.
const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// The tones of the columns, in Hz.
const HIGH: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// The event of a row and a column (RFC 4733 §3.2): `123A`, `456B`, `789C`, `*0#D`.
const EVENTS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];
/// Samples per second.
const RATE: f32 = 8_000.0;
/// The shortest event told of a tone, in samples: 40 ms.
const SHORTEST: u32 = 40 * SAMPLES_PER_MS as u32;
/// A hole of more samples than this ends a tone: 80 ms.
const HOLE: i64 = 80 * SAMPLES_PER_MS as i64;
/// What an event says of the level of a tone, in -dBm0.
const VOLUME: u8 = 10;

/// Keys as tones on one path.
#[derive(Debug)]
pub(crate) struct InBand {
    ear: Option<Ear>,
    voice: Option<Voice>,
    /// Where the audio heard so far ends, in samples.
    tail: Option<i64>,
    /// Where the packet stood in which the key was recognised that is down.
    onset: Option<i64>,
}

impl InBand {
    /// `None`: there is nothing to do.
    pub(crate) fn new(hears: bool, says: bool) -> Option<Box<Self>> {
        (hears || says).then(|| {
            Box::new(Self {
                ear: hears.then(Ear::new),
                voice: says.then(Voice::new),
                tail: None,
                onset: None,
            })
        })
    }

    /// Whether there is an ear for tones.
    pub(crate) fn hears(&self) -> bool {
        self.ear.is_some()
    }

    /// Where keys are to be said as tones.
    pub(crate) fn voice(&mut self) -> Option<&mut Voice> {
        self.voice.as_mut()
    }

    /// Whether a key is being said.
    pub(crate) fn speaks(&self) -> bool {
        self.voice.as_ref().is_some_and(Voice::speaks)
    }

    /// Who says it.
    pub(crate) fn says(&mut self) -> Option<&mut Voice> {
        self.voice.as_mut().filter(|voice| voice.speaks())
    }

    /// Other audio begins.
    pub(crate) fn restart(&mut self) {
        (self.tail, self.onset) = (None, None);
        if let Some(ear) = &mut self.ear {
            ear.silenced();
        }
    }

    /// Listens to the audio at `position`. While a key is down, and when it is released: where its event
    /// began, and what an event packet would say of it.
    pub(crate) fn listen(&mut self, position: i64, pcm: &[i16]) -> Option<(i64, Payload)> {
        let ear = self.ear.as_mut()?;
        let hole = self.tail.map_or(0, |tail| position - tail);
        self.tail = Some(position + pcm.len() as i64);
        if !(0..=HOLE).contains(&hole) {
            ear.silenced();
            self.onset = None;
        } else if hole > 0 {
            ear.interrupted();
        }
        let (event, lasted, end) = match ear.hear(pcm)? {
            Change::Down(event, lasted) => (event, lasted, false),
            Change::Up(event, lasted) => (event, lasted.max(SHORTEST), true),
        };
        let onset = self.onset.unwrap_or(position);
        self.onset = (!end).then_some(onset);
        let payload = Payload {
            event,
            end,
            volume: VOLUME,
            duration: u16::try_from(lasted).unwrap_or(u16::MAX),
        };
        Some((onset, payload))
    }
}
