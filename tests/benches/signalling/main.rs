//! `make bench-sip`: how many user-initiated calls a second the real wa-sbc carries on one core, how long it takes from Meta's
//! INVITE to ours, and what an established call weighs.
//!
//! ```text
//!   core 1: this program                      core 0: wa-sbc                  core 1: this program
//!   Meta, four TLS connections ──INVITE──────────►│
//!                              ◄──407, ACK, INVITE with digest──►│ ──INVITE, UDP──► PBX: 180, 200
//!                              ◄──180, 200, ACK, BYE────────────►│ ◄──ACK, BYE────►
//! ```
//!
//! Connections stand before anything is measured. Every call is complete: challenged, answered with SRTP keys on one side and
//! plain RTP on the other, confirmed, released, recorded; its media sessions and ports are real, though nobody speaks.

mod captures;
mod observing;
mod process;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use process::Process;
use tests::certificates::Authority;
use tests::http::Client;
use tests::load::{Generator, Pace};
use tests::place::Place;
use tests::processors::{alone, divide};
use tests::sbc::{Sbc, Setup};
use tests::simulated::{meta_address, pbx_address};

/// Calls of each phase. Four descriptors a call, and ports rest for 30 s: more would need another limit of open files.
const CALLS: u32 = 3500;
const HELD: u32 = 900;

/// Until the ports of the phase before are closed.
const REST: Duration = Duration::from_secs(35);

/// What can be asked for by name; without a name the first three, one after the other.
const PHASES: [&str; 5] = ["throughput", "latency", "held", "observing", "captures"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it starts.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let named = |phase: &&str| words.iter().any(|word| word == phase);
    let mut phases: Vec<&str> = PHASES.into_iter().filter(named).collect();
    if phases.is_empty() {
        phases.extend(&PHASES[..3]);
    }
    println!("bench-sip: {}", process::machine());
    println!("bench-sip: wa-sbc has a core to itself: {}", divide());
    if phases
        .iter()
        .any(|phase| !["observing", "captures"].contains(phase))
    {
        let mut bench = Bench::start();
        for (at, phase) in phases.iter().enumerate() {
            if at > 0 {
                std::thread::sleep(REST);
            }
            match *phase {
                "throughput" => bench.throughput(),
                "latency" => bench.latency(),
                "held" => bench.held(),
                _ => {}
            }
        }
        assert!(!bench.sbc.running.log().contains("panicked"));
    }
    if phases.contains(&"observing") {
        observing::run();
    }
    if phases.contains(&"captures") {
        captures::run();
    }
}

/// A running wa-sbc, and calls for it.
struct Bench {
    _place: Place,
    http: SocketAddr,
    sbc: Sbc,
    process: Process,
    generator: Generator,
    /// Calls a second it was seen to carry.
    carries: f64,
}

impl Bench {
    fn start() -> Bench {
        let place = Place::new("bench-sip");
        let authority = Authority::new(&place);
        let mut setup = setup(&place);
        let http = SocketAddr::new(place.address(3), 9090);
        setup.tables += &format!("[http]\nlisten = \"{http}\"\n");
        let sbc = alone(|| Sbc::start(&place, &authority, &setup));
        let process = Process::new(sbc.running.pid());
        let mut generator = Generator::new(&place, &authority, &sbc);
        let warm = generator.run(300, Pace::AtOnce(16));
        let carries = f64::from(warm.done) / warm.took.as_secs_f64();
        Bench {
            _place: place,
            http,
            sbc,
            process,
            generator,
            carries,
        }
    }

    fn throughput(&mut self) {
        let before = self.process.threads();
        let load = self.generator.run(CALLS, Pace::AtOnce(64));
        let spent = self.process.threads().since(&before);
        self.carries = f64::from(CALLS) / load.took.as_secs_f64();
        println!(
            "bench-sip: throughput: {CALLS} calls in {:.2?}: {:.0} calls/s, {:.0} us of processor a call",
            load.took,
            self.carries,
            spent.total().as_secs_f64() * 1e6 / f64::from(CALLS),
        );
        println!("bench-sip: by thread, us a call: {}", spent.per_call(CALLS));
    }

    /// At half of what it carries.
    fn latency(&mut self) {
        let rate = (self.carries / 2.0) as u32;
        let load = self.generator.run(CALLS / 2, Pace::EachSecond(rate));
        println!(
            "bench-sip: latency at {rate} calls/s, from Meta's INVITE with credentials to ours: p50 {:.2?}, p99 {:.2?}",
            load.latency(0.50),
            load.latency(0.99)
        );
    }

    fn held(&mut self) {
        let Bench {
            http,
            process,
            generator,
            ..
        } = self;
        let before = (process.resident(), allocated(*http));
        let mut began = Instant::now();
        let load = generator.hold(HELD, Pace::AtOnce(32), |_| {
            std::thread::sleep(Duration::from_secs(2));
            let each = |now: u64, before: u64| now.saturating_sub(before) / u64::from(HELD);
            println!(
                "bench-sip: memory: {HELD} established calls, their last transactions not yet over: {} bytes each in use by signalling \
                 and media sessions (libopus apart), {} bytes resident each",
                each(allocated(*http), before.1),
                each(process.resident(), before.0),
            );
            began = Instant::now();
        });
        assert_eq!(load.done, HELD, "every held call ended as it should");
        println!(
            "bench-sip: {HELD} calls hung up at once were over after {:.2?}",
            began.elapsed()
        );
    }
}

/// What both benches have in common: nothing is refused, little is logged.
fn setup(place: &Place) -> Setup {
    let mut setup = Setup::new(meta_address(place), pbx_address(place));
    setup.log = "warn";
    setup.number_lines = "max_calls = 100000".to_owned();
    setup.trunk_lines = "max_calls = 100000".to_owned();
    setup.tables =
        "[admission]\noverload_lag = 0\noverload_queue = 0\noverload_media = 0\n".to_owned();
    setup
}

/// Bytes in use by the allocator.
fn allocated(http: SocketAddr) -> u64 {
    let client = Client {
        address: http,
        token: String::new(),
    };
    let text = client.get("/metrics").body;
    text.lines()
        .find_map(|line| line.strip_prefix("wa_sbc_memory_allocated_bytes "))
        .and_then(|value| value.parse::<f64>().ok())
        .map(|value| value as u64)
        .expect("the allocator counts")
}
