//! `make bench-media`: the media engine under load.
//!
//! ```text
//!  load ──SRTP──► program under test ──RTP──► load      wa-sbc, rtpengine, or a bare forwarder
//!       ◄─SRTP───                    ◄─RTP───
//! ```
//!
//! N calls, a packet every 20 ms each way; loss, latency and what the program costs, all programs in turn
//! within one run, because the machine may be another one tomorrow. [`report`] holds the figures against what
//! we promise.

mod audio;
mod codecs;
mod ends;
mod engine;
mod figures;
mod forwarder;
mod link;
mod load;
mod measure;
mod process;
mod report;
mod spectrum;
mod speech;
mod system;
mod through_rtpengine;
mod through_sbc;

use std::time::Duration;

use sdp::Codec;

use tests::processors::divide;

use crate::load::Speech;
use crate::report::Turns;
use crate::system::{Case, System};

// The media threads alone take memory where the whole program does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == "forward" => {
            forwarder::run(rest).map_err(|error| error.to_string())
        }
        Some((first, rest)) if first == "engine" => {
            engine::run(rest).map_err(|error| error.to_string())
        }
        _ => Plan::read(&arguments).and_then(|plan| run(&plan)),
    };
    if let Err(why) = done {
        eprintln!("bench-media: {why}");
        std::process::exit(1);
    }
}

/// What to measure.
struct Plan {
    parts: Vec<String>,
    rounds: usize,
    span: Duration,
    relayed: usize,
    transcoded: usize,
    /// Relayed and transcoded calls that are carried, where that is known already.
    carried: [Option<usize>; 2],
    /// The program measured has a processor to itself, and the load another.
    apart: bool,
    /// How long the load stalls, once a second.
    stall: Duration,
    /// The programs compared.
    only: Vec<System>,
}

/// All parts.
const PARTS: [&str; 6] = ["audio", "opus", "pcma", "transcode", "capacity", "overload"];

impl Plan {
    fn read(arguments: &[String]) -> Result<Plan, String> {
        let mut plan = Plan {
            parts: Vec::new(),
            rounds: 2,
            span: Duration::from_secs(8),
            relayed: 500,
            transcoded: 40,
            carried: [None; 2],
            apart: false,
            stall: Duration::ZERO,
            only: System::ALL.to_vec(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == "--only" {
                let named = words.next().map_or("", |named| named.as_str());
                plan.only = named.split(',').map(system).collect::<Result<_, _>>()?;
                continue;
            }
            let mut number = || {
                let number = words.next().and_then(|word| word.parse::<usize>().ok());
                number.ok_or(format!("{word} takes a number"))
            };
            match word.as_str() {
                "--rounds" => plan.rounds = number()?,
                "--seconds" => plan.span = Duration::from_secs(number()? as u64),
                "--relayed" => plan.relayed = number()?,
                "--transcoded" => plan.transcoded = number()?,
                "--carried-relayed" => plan.carried[0] = Some(number()?),
                "--carried-transcoded" => plan.carried[1] = Some(number()?),
                part if PARTS.contains(&part) => plan.parts.push(part.to_owned()),
                "--stall" => plan.stall = Duration::from_millis(number()? as u64),
                "--apart" => plan.apart = true,
                "--bench" => {}
                _ => {
                    return Err(format!(
                        "{word} is none of {} --rounds N --seconds N --relayed N --transcoded N --carried-relayed N \
                         --carried-transcoded N --stall MS --apart --only PROGRAM,PROGRAM",
                        PARTS.join(" ")
                    ));
                }
            }
        }
        if plan.parts.is_empty() {
            plan.parts = PARTS.map(str::to_owned).to_vec();
        }
        Ok(plan)
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|named| named == part)
    }
}

/// The program of this name.
fn system(named: &str) -> Result<System, String> {
    let all = System::ALL;
    let found = all.into_iter().find(|system| system.word() == named);
    found.ok_or_else(|| format!("--only takes programs: {}", all.map(System::word).join(",")))
}

fn run(plan: &Plan) -> Result<(), String> {
    println!("{}", process::machine());
    if plan.apart {
        match divide() {
            true => println!("the program measured has a processor to itself"),
            false => return Err("--apart needs two processors and taskset".to_owned()),
        }
    }
    let cases = Cases::new(plan.stall)?;
    if !plan.stall.is_zero() {
        println!("the load stalls for {:?} once a second", plan.stall);
    }
    if plan.has("audio") {
        compare_audio()?;
    }
    let turns = Turns {
        rounds: plan.rounds,
        span: plan.span,
        only: &plan.only,
    };
    if plan.has("opus") {
        report::relay(&cases.opus, plan.relayed, &turns)?;
    }
    if plan.has("pcma") {
        report::relay(&cases.pcma, plan.relayed, &turns)?;
    }
    if plan.has("transcode") {
        report::transcode(&cases.transcode, plan.transcoded, &turns)?;
    }
    let mut carried = plan.carried;
    if plan.has("capacity") {
        carried = [
            report::relay_capacity(&cases.opus, &turns)?.or(carried[0]),
            report::transcode_capacity(&cases.transcode, &turns)?.or(carried[1]),
        ];
    }
    if plan.has("overload") {
        let both = [&cases.opus, &cases.transcode];
        for (case, carried) in both.into_iter().zip(carried) {
            report::overload(case, carried)?;
        }
    }
    Ok(())
}

/// Speech through the transcoder and through the codecs alone, with more and more packets lost.
fn compare_audio() -> Result<(), String> {
    let place = tests::place::Place::new("bench-audio");
    let speak = |rate| speech::pcm(place.directory(), "en-us+f3", rate);
    let (wide, narrow) = (speak(16_000)?, speak(8_000)?);
    let opus = speech::opus_payloads(&wide).map_err(|error| error.to_string())?;
    let pcma = speech::pcma_payloads(&narrow);
    let ways = [
        (
            "meta-to-pbx",
            "Opus (16 kHz, 20 kbit/s) to PCMA",
            (Codec::Opus, Codec::Pcma),
            &opus,
        ),
        (
            "pbx-to-meta",
            "PCMA to Opus",
            (Codec::Pcma, Codec::Opus),
            &pcma,
        ),
    ];
    for (file, name, codecs, payloads) in ways {
        let way = audio::Way {
            name,
            codecs,
            payloads,
            said: &narrow,
        };
        for complexity in [0, 3, 5, 8, 10] {
            if complexity != 5 && codecs.1 != Codec::Opus {
                continue; // nothing is encoded with it
            }
            audio::compare(&way, complexity, |what, pcm| {
                let name = format!("{file}-{complexity}-{what}.wav");
                place.write(&name, speech::wav(pcm, 8_000));
            });
        }
    }
    println!("\n  what was heard: {}", place.directory().display());
    Ok(())
}

struct Cases {
    opus: Case,
    pcma: Case,
    transcode: Case,
}

impl Cases {
    fn new(stall: Duration) -> Result<Cases, String> {
        let place = tests::place::Place::new("bench-media-speech");
        let user = speech::pcm(place.directory(), "en-us+f3", 16_000)?;
        let agent = speech::pcm(place.directory(), "en-us", 8_000)?;
        let opus = speech::opus_payloads(&user).map_err(|error| error.to_string())?;
        let pcma = speech::pcma_payloads(&agent);
        let speech = |meta: &[Vec<u8>], pbx: &[Vec<u8>], ticks: [u32; 2], stamped| {
            // A stamp needs eight octets.
            let long = |payloads: &[Vec<u8>]| {
                let long = payloads.iter().filter(|payload| payload.len() >= 8);
                long.cloned().collect()
            };
            Speech {
                meta: (long(meta), ticks[0]),
                pbx: (long(pbx), ticks[1]),
                stamped,
                stall,
            }
        };
        Ok(Cases {
            opus: Case {
                name: "SRTP Opus to RTP Opus",
                codecs: (Codec::Opus, Codec::Opus),
                speech: speech(&opus, &opus, [960, 960], true),
            },
            pcma: Case {
                name: "SRTP PCMA to RTP PCMA",
                codecs: (Codec::Pcma, Codec::Pcma),
                speech: speech(&pcma, &pcma, [160, 160], true),
            },
            transcode: Case {
                name: "SRTP Opus to RTP PCMA",
                codecs: (Codec::Opus, Codec::Pcma),
                speech: speech(&opus, &pcma, [960, 160], false),
            },
        })
    }
}
