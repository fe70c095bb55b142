use super::*;
use crate::chance::Chance;

/// Two tones and noise: what a PBX may send.
struct Line {
    row: f32,
    column: f32,
    /// Peak amplitudes.
    low: f32,
    high: f32,
    noise: f32,
    at: u32,
    chance: Chance,
}

/// A peak of this is 0 dBm0.
const ZERO_DBM0: f32 = 32_767.0 * 0.697;

fn db(level: f32) -> f32 {
    10f32.powf(level / 20.0)
}

impl Line {
    /// A key at -10 dBm0 per tone.
    fn new((row, column): (usize, usize)) -> Self {
        Self {
            row: LOW[row],
            column: HIGH[column],
            low: ZERO_DBM0 * db(-10.0),
            high: ZERO_DBM0 * db(-10.0),
            noise: 0.0,
            at: 0,
            chance: Chance::new([7; 32]),
        }
    }

    fn say(&mut self, tenths_of_ms: usize, tone: bool) -> Vec<i16> {
        let sample = |line: &mut Self| {
            line.at += 1;
            let t = line.at as f32 / RATE;
            let mut value = 0.0;
            if tone {
                value = line.low * (TAU * line.row * t).sin()
                    + line.high * (TAU * line.column * t).sin();
            }
            // Twelve dice make a Gauss.
            let dice = (0..12).map(|_| (line.chance.next() >> 40) as f32 / (1 << 24) as f32);
            value + line.noise * (dice.sum::<f32>() - 6.0)
        };
        (0..tenths_of_ms * 8 / 10)
            .map(|_| sample(self) as i16)
            .collect()
    }
}

/// The keys heard in pieces of audio that follow each other, in packets of 20 ms that begin anywhere.
fn keys(offset: usize, pieces: &[Vec<i16>]) -> Vec<(u8, u32)> {
    let pcm = [vec![0; 800 + offset], pieces.concat(), vec![0; 800]].concat();
    let mut ear = Ear::new();
    let changes: Vec<Change> = pcm.chunks(160).filter_map(|part| ear.hear(part)).collect();
    let mut keys = Vec::new();
    for change in changes {
        if let Change::Up(event, samples) = change {
            keys.push((event, samples));
        }
    }
    keys
}

fn all() -> impl Iterator<Item = ((usize, usize), u8)> {
    (0..4).flat_map(|row| (0..4).map(move |column| ((row, column), EVENTS[row][column])))
}

#[test]
fn forty_milliseconds_are_a_key_and_twenty_three_are_none() {
    for (at, event) in all() {
        for offset in (0..40).step_by(3) {
            let long = Line::new(at).say(400, true);
            let heard = keys(offset, &[long]);
            assert_eq!(heard.len(), 1, "{event} at {offset}: {heard:?}");
            assert_eq!(heard[0].0, event);
            let short = Line::new(at).say(230, true);
            assert_eq!(keys(offset, &[short]), [], "{event} at {offset}");
        }
    }
}

#[test]
fn tones_a_little_off_are_heard_and_far_off_are_not() {
    for (at, event) in all() {
        for off in [-0.018, -0.015, 0.015, 0.018] {
            let mut line = Line::new(at);
            (line.row, line.column) = (line.row * (1.0 + off), line.column * (1.0 + off));
            let heard = keys(11, &[line.say(450, true)]);
            assert_eq!(heard.len(), 1, "{event} off by {off}");
        }
        for off in [-0.035, 0.035] {
            let mut line = Line::new(at);
            line.row *= 1.0 + off;
            assert_eq!(
                keys(11, &[line.say(1_000, true)]),
                [],
                "{event} row off by {off}"
            );
            let mut line = Line::new(at);
            line.column *= 1.0 + off;
            assert_eq!(
                keys(11, &[line.say(1_000, true)]),
                [],
                "{event} column off by {off}"
            );
        }
    }
}

#[test]
fn levels_and_twist_are_those_of_telephone_lines() {
    for (at, event) in all() {
        // Level of the row, and of the column, in dBm0.
        for (low, high, is_heard) in [
            (0.0, 0.0, true),
            (-27.0, -27.0, true),
            (-10.0, -6.0, true),
            (-6.0, -14.0, true),
            (-10.0, -2.0, false),
            (-4.0, -16.0, false),
            (-45.0, -45.0, false),
        ] {
            let mut line = Line::new(at);
            (line.low, line.high) = (ZERO_DBM0 * db(low), ZERO_DBM0 * db(high));
            let heard = keys(5, &[line.say(500, true)]);
            assert_eq!(heard.len() == 1, is_heard, "{event}: {low} and {high} dBm0");
        }
    }
}

#[test]
fn noise_is_no_key_and_hides_none() {
    let mut missed = 0;
    for (at, _) in all() {
        let mut line = Line::new(at);
        // 15 dB below the two tones together.
        line.noise = line.low * db(-15.0);
        for _ in 0..20 {
            let (key, pause) = (line.say(500, true), line.say(500, false));
            missed += usize::from(keys(3, &[key, pause]).len() != 1);
        }
    }
    assert!(missed <= 3, "{missed} of 320");
    let mut line = Line::new((0, 0));
    line.noise = ZERO_DBM0 * db(-12.0);
    assert_eq!(
        keys(0, &[line.say(600_000, false)]),
        [],
        "a minute of noise"
    );
}

#[test]
fn a_short_interruption_is_part_of_a_key_and_a_pause_ends_it() {
    for (at, event) in all() {
        for offset in [0, 13, 29] {
            let mut line = Line::new(at);
            let torn = [
                line.say(600, true),
                line.say(100, false),
                line.say(600, true),
            ];
            let heard = keys(offset, &torn);
            assert_eq!(heard.len(), 1, "{event}: 10 ms");
            let two = [
                line.say(600, true),
                line.say(400, false),
                line.say(600, true),
            ];
            assert_eq!(keys(offset, &two).len(), 2, "{event}: 40 ms");
        }
    }
}

#[test]
fn keys_without_a_pause_between_them_are_two() {
    let (first, second) = (
        Line::new((0, 0)).say(800, true),
        Line::new((2, 1)).say(800, true),
    );
    let heard: Vec<u8> = keys(0, &[first, second]).iter().map(|key| key.0).collect();
    assert_eq!(heard, [1, 8]);
}

#[test]
fn a_key_lasts_as_long_as_it_was_held() {
    for ms in [60, 100, 250, 1_000] {
        let heard = keys(0, &[Line::new((1, 2)).say(ms * 10, true)]);
        let held = heard[0].1 as usize / 8 + 35;
        assert!(held.abs_diff(ms) <= 15, "{held} of {ms} ms");
    }
}

#[test]
fn one_tone_and_tones_of_other_machines_are_no_key() {
    for hertz in [
        350.0, 425.0, 440.0, 697.0, 941.0, 1_100.0, 1_209.0, 1_633.0, 2_100.0,
    ] {
        let mut line = Line::new((0, 0));
        (line.row, line.high) = (hertz, 0.0);
        assert_eq!(keys(0, &[line.say(10_000, true)]), [], "{hertz} Hz");
    }
    // A key with a third tone as loud.
    let mut line = Line::new((1, 1));
    let mut third = Line::new((1, 3));
    third.low = 0.0;
    let third = third.say(1_000, true);
    let key = line.say(1_000, true);
    let both: Vec<i16> = key.iter().zip(&third).map(|(a, b)| a / 2 + b / 2).collect();
    assert_eq!(keys(0, &[both]), []);
}
