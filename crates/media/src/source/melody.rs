//! A melody for those who wait: soft broken chords, made here, so that nobody has to find a file.

use sdp::plan::Sound;

use super::{RATE, add_sine, to_pcm};

/// Hertz of the notes, four to a bar: C, A minor, F, G, with the seventh at the end to lead home.
const NOTES: [[f64; 4]; 4] = [
    [261.63, 329.63, 392.00, 523.25],
    [220.00, 261.63, 329.63, 440.00],
    [174.61, 261.63, 349.23, 440.00],
    [196.00, 246.94, 349.23, 392.00],
];
/// Milliseconds from one note to the next.
const STEP: usize = 450;
/// Milliseconds a note rings on.
const RING: usize = 1_800;
/// The loudest a note is, full scale being 1.0.
const AMPLITUDE: f64 = 0.09;

/// One round of the melody, 14.4 s; its end rings on into its beginning.
pub fn melody() -> Sound {
    let samples = |millis: usize| millis * RATE as usize / 1_000;
    let mut round = vec![0.0; samples(STEP) * 32];
    let bars = NOTES
        .iter()
        .chain(NOTES.iter().rev().skip(1))
        .chain(&NOTES[..1]);
    for (bar, notes) in bars.enumerate() {
        for (beat, hertz) in notes.iter().enumerate() {
            let mut note = vec![0.0; samples(RING)];
            // A plucked string: overtones that are weaker and gone sooner.
            for (overtone, strength) in [(1.0, 1.0), (2.0, 0.35), (3.0, 0.12)] {
                let mut part = vec![0.0; note.len()];
                add_sine(&mut part, hertz * overtone, AMPLITUDE * strength);
                for (n, (sum, sample)) in note.iter_mut().zip(part).enumerate() {
                    let rise = (n as f64 / samples(12) as f64).min(1.0);
                    let fall = (-(n as f64) * overtone / samples(450) as f64).exp();
                    let last = ((samples(RING) - n) as f64 / samples(100) as f64).min(1.0);
                    *sum += sample * rise * fall * last;
                }
            }
            let start = samples(STEP) * (bar * 4 + beat);
            let length = round.len();
            for (n, sample) in note.into_iter().enumerate() {
                round[(start + n) % length] += sample;
            }
        }
    }
    Sound::new(to_pcm(&round)).expect("32 notes are not empty")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::rms_dbfs;

    #[test]
    fn it_is_never_loud_never_silent_and_never_clips() {
        let sound = melody();
        let pcm = sound.samples();
        assert_eq!(pcm.len(), 115_200);
        assert!(pcm.iter().all(|sample| sample.unsigned_abs() < 16_000));
        for second in pcm.chunks(8_000) {
            let level = rms_dbfs(second);
            assert!((-40.0..-12.0).contains(&level), "{level} dBFS");
        }
        let seam = i32::from(pcm[0]) - i32::from(pcm[pcm.len() - 1]);
        assert!(seam.abs() < 3_000, "no click where it begins again: {seam}");
    }
}
