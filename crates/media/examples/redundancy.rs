//! What is heard at a far side that loses packets, by how our Opus encoder is set: the measurement behind the
//! rule in `src/redundancy.rs`. Speech of espeak-ng, the judges of `make bench-media`.
//!
//! `cargo run --release -p media --example redundancy`

#![allow(missing_docs, clippy::cast_possible_truncation)]

#[allow(dead_code)]
#[path = "../../../tests/bench-media/src/spectrum.rs"]
mod spectrum;
#[allow(dead_code)]
#[path = "../../../tests/bench-media/src/speech.rs"]
mod speech;

use media::codec::{Decoder, Encoder, MAX_SAMPLES, OpusSettings};
use sdp::Codec;

const FRAME: usize = 160;
/// By so many samples libopus is late at 8 kHz: 6.5 ms.
const LATE: usize = 52;
const SEEDS: u64 = 2;
/// Ten seconds of each voice.
const SAMPLES: usize = 80_000;

/// Loss of this share with runs as long as chance makes them, or `run` times as long (Gilbert's model).
fn lost(count: usize, percent: f64, run: f64, seed: u64) -> Vec<bool> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let share = percent / 100.0;
    let leaves = (1.0 - share) / run;
    let enters = share * leaves / (1.0 - share);
    let mut bad = false;
    (0..count)
        .map(|_| {
            bad = if bad {
                chance() >= leaves
            } else {
                chance() < enters
            };
            bad
        })
        .collect()
}

fn encode(said: &[i16], settings: &OpusSettings) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(Codec::Opus, settings).expect("libopus");
    let mut payload = [0; 400];
    said.chunks_exact(FRAME)
        .map(|frame| {
            let length = encoder.encode(frame, &mut payload).expect("20 ms");
            payload[..length].to_vec()
        })
        .collect()
}

fn hear(packets: &[Vec<u8>], lost: &[bool]) -> Vec<i16> {
    let mut decoder = Decoder::new(Codec::Opus).expect("libopus");
    let (mut heard, mut pcm) = (Vec::new(), [0; MAX_SAMPLES]);
    for (at, packet) in packets.iter().enumerate() {
        match (lost[at], packets.get(at + 1)) {
            (false, _) => drop(decoder.decode(packet, &mut pcm)),
            (true, Some(next)) if !lost[at + 1] => decoder.recover(next, &mut pcm[..FRAME]),
            (true, _) => decoder.conceal(&mut pcm[..FRAME]),
        }
        heard.extend_from_slice(&pcm[..FRAME]);
    }
    heard
}

/// Share of 20 ms frames with speech in them that are more noise than speech, in percent.
fn broken(said: &[i16], heard: &[i16]) -> f64 {
    let power = |pairs: &mut dyn Iterator<Item = f64>| pairs.map(|s| s * s).sum::<f64>();
    let (mut speech, mut worse) = (0.0, 0.0);
    for (at, said) in said.chunks_exact(FRAME).enumerate() {
        let Some(heard) = heard
            .get(at * FRAME + LATE..)
            .and_then(|rest| rest.get(..FRAME))
        else {
            continue;
        };
        let signal = power(&mut said.iter().map(|s| f64::from(*s)));
        let pairs = said.iter().zip(heard);
        let noise = power(&mut pairs.map(|(s, h)| f64::from(*s) - f64::from(*h)));
        if (signal / FRAME as f64).sqrt() > 100.0 {
            speech += 1.0;
            worse += f64::from(u8::from(noise > signal));
        }
    }
    100.0 * worse / speech
}

fn main() {
    let directory = std::env::temp_dir();
    let voices: Vec<Vec<i16>> = ["en", "en+f3"]
        .iter()
        .map(|voice| speech::pcm(&directory, voice, 8_000).expect("espeak-ng")[..SAMPLES].to_vec())
        .collect();
    // Bits per second, redundancy, percent to expect.
    let variants = [
        (20_000, false, 10),
        (20_000, true, 10),
        (20_000, true, 5),
        (20_000, true, 20),
        (20_000, true, 30),
        (20_000, false, 0),
        (17_000, false, 10),
        (14_000, false, 10),
        (12_000, false, 10),
    ];
    let losses = [
        (0.0, 1.0),
        (1.0, 1.0),
        (3.0, 1.0),
        (5.0, 1.0),
        (10.0, 1.0),
        (10.0, 2.0),
        (15.0, 1.0),
        (20.0, 1.0),
    ];
    println!(
        "kbit/s asked, redundancy, expected %, kbit/s made | SNR dB / distance dB / broken % at losses of (percent, run)"
    );
    println!("{losses:?}");
    for (bitrate, fec, expected_loss) in variants {
        let settings = OpusSettings {
            bitrate,
            fec,
            expected_loss,
            ..OpusSettings::default()
        };
        let coded: Vec<_> = voices.iter().map(|said| encode(said, &settings)).collect();
        let octets: usize = coded.iter().flatten().map(Vec::len).sum();
        let frames: usize = coded.iter().map(Vec::len).sum();
        let made = octets as f64 * 8.0 / frames as f64 / 20.0;
        print!("{bitrate:>6} {fec:>5} {expected_loss:>2} {made:>5.1} |");
        for (percent, run) in losses {
            let (mut snr, mut distance, mut bad, mut count) = (0.0, 0.0, 0.0, 0.0);
            for seed in 0..if percent == 0.0 { 1 } else { SEEDS } {
                for (said, packets) in voices.iter().zip(&coded) {
                    let heard = hear(packets, &lost(packets.len(), percent, run, seed + 1));
                    snr += spectrum::snr(said, &heard);
                    distance += spectrum::distance(said, &heard);
                    bad += broken(said, &heard);
                    count += 1.0;
                }
            }
            print!(
                " {:>5.2}/{:.2}/{:<4.1}",
                snr / count,
                distance / count,
                bad / count
            );
        }
        println!();
    }
}
