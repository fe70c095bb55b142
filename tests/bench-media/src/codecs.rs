//! The bare codecs: what libopus and G.711 cost by themselves for so many calls, as wa-sbc sets them, without a
//! packet. As many states as calls and the same pace: caches and sleeping processors cost here what they cost there.

use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, MAX_SAMPLES, OpusSettings};
use sdp::Codec;

use crate::process::thread_time;
use crate::system::Case;

/// The time between two turns, and how many there are in a frame of 20 ms.
const TURN: Duration = Duration::from_micros(250);
const TURNS: usize = 80;

struct Call {
    decoders: [Decoder; 2],
    encoders: [Encoder; 2],
}

impl Call {
    fn new() -> Call {
        let settings = OpusSettings::default();
        let codecs = [Codec::Opus, Codec::Pcma];
        Call {
            decoders: codecs.map(|codec| Decoder::new(codec).expect("an audio codec")),
            encoders: [Codec::Pcma, Codec::Opus]
                .map(|codec| Encoder::new(codec, &settings).expect("an audio codec")),
        }
    }

    /// One frame from Meta's end (0) or the PBX's (1).
    fn frame(&mut self, from: usize, said: &[u8]) {
        let (mut pcm, mut payload) = ([0; MAX_SAMPLES], [0; 400]);
        let decoded = self.decoders[from].decode(said, &mut pcm);
        let encoded = self.encoders[from].encode(&pcm[..decoded.unwrap_or_default()], &mut payload);
        std::hint::black_box(encoded);
    }
}

/// Milliseconds of processor time per call and second.
pub(crate) fn floor(case: &Case, calls: usize, span: Duration) -> f64 {
    let mut all: Vec<Call> = (0..calls).map(|_| Call::new()).collect();
    let said = [&case.speech.meta.0, &case.speech.pbx.0];
    let began = Instant::now();
    let before = thread_time();
    let mut turn = 0_usize;
    while began.elapsed() < span {
        for (id, call) in all.iter_mut().enumerate() {
            for (from, said) in said.iter().enumerate() {
                if (id * 7 + from * TURNS / 2) % TURNS == turn % TURNS {
                    call.frame(from, &said[(turn / TURNS + id * 31) % said.len()]);
                }
            }
        }
        turn += 1;
        let due = TURN * turn as u32;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let spent = thread_time() - before;
    spent.as_secs_f64() * 1_000.0 / span.as_secs_f64() / calls as f64
}
