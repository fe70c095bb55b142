//! Random worlds against a reference model: whatever peers, networks and clocks do, every admitted
//! INVITE ends in one record, nothing is left behind, both ends learn of the end, and Meta sees only
//! what it knows.
//!
//! | variable | means |
//! |---|---|
//! | `WORLD_SEED` | tell this world alone, and print its ladder |
//! | `WORLD_TEXT` | with that one world, 1 prints every message as well |
//! | `WORLD_COUNT` | so many worlds, 4,000 unless said otherwise |
//! | `WORLD_SECONDS` | stop after so long, a minute unless said otherwise |
//! | `WORLD_FIRST` | the seed of the first of them, 0 unless said otherwise |
//!
//! A world that breaks the model is named by its seed, and repeats letter by letter.

mod acts;
mod draw;
mod model;
mod objections;
mod people;
mod place;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

fn asked(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

/// Lives one world through to its end and judges it.
fn tell(seed: u64, aloud: bool) -> Result<usize, String> {
    let mut story = draw::Story::of(seed);
    let lived = catch_unwind(AssertUnwindSafe(|| story.live()));
    let judged = match lived {
        Ok(()) => model::judge(&mut story),
        Err(_) => Err("somebody panicked".into()),
    };
    if aloud {
        println!("{story:#?}\n{}", story.world.ladder());
        for passed in story
            .world
            .passed
            .iter()
            .filter(|_| asked("WORLD_TEXT").is_some())
        {
            let (at, from, to) = (passed.at, passed.from, passed.to);
            println!(
                "{at:?} {from:?} to {to:?}, {:?}:\n{}",
                passed.arrived, passed.text
            );
        }
    }
    if aloud && asked("WORLD_TEXT").is_some() {
        for line in &story.world.log {
            println!("{line:?}");
        }
    }
    judged.map(|()| story.world.records.len())
}

#[test]
fn no_world_breaks_the_model() {
    if let Some(seed) = asked("WORLD_SEED") {
        tell(seed, true).unwrap_or_else(|why| panic!("world {seed}: {why}"));
        return;
    }
    let first = asked("WORLD_FIRST").unwrap_or(0);
    let count = asked("WORLD_COUNT").unwrap_or(4_000);
    let time = Duration::from_secs(asked("WORLD_SECONDS").unwrap_or(60));
    let began = Instant::now();
    let (mut worlds, mut calls, mut broken) = (0_u64, 0, Vec::new());
    for seed in first..first + count {
        if began.elapsed() >= time || broken.len() >= 20 {
            break;
        }
        worlds += 1;
        match tell(seed, false) {
            Ok(records) => calls += records,
            Err(why) => broken.push(format!("WORLD_SEED={seed}: {why}")),
        }
    }
    let each = began.elapsed() / u32::try_from(worlds.max(1)).unwrap_or(u32::MAX);
    println!("world fuzz: {worlds} worlds, {calls} calls, {each:.0?} a world");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(
        worlds > 100 || worlds == count,
        "only {worlds} worlds in {time:?}"
    );
    assert!(
        calls as u64 > worlds / 2,
        "worlds without calls try nothing"
    );
}

#[test]
fn a_world_repeats_letter_by_letter() {
    for seed in 0..10 {
        let texts = || {
            let mut story = draw::Story::of(seed);
            story.live();
            let passed = story.world.passed.iter();
            passed.map(|p| (p.at, p.text.clone())).collect::<Vec<_>>()
        };
        assert_eq!(texts(), texts(), "world {seed}");
    }
}
