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

mod process;

use std::time::Duration;

use process::Process;
use tests::certificates::Authority;
use tests::load::{Generator, Pace};
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{meta_address, pbx_address};

/// Calls of each phase. Four descriptors a call, and ports rest for 30 s: more would need another limit of open files.
const CALLS: u32 = 3500;
const HELD: u32 = 900;

/// Until the ports of the phase before are closed.
const REST: Duration = Duration::from_secs(35);

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let place = Place::new("bench-sip");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "warn";
    setup.number_lines = "max_calls = 100000".to_owned();
    setup.trunk_lines = "max_calls = 100000".to_owned();
    setup.tables =
        "[admission]\noverload_lag = 0\noverload_queue = 0\noverload_media = 0\n".to_owned();
    // A child inherits on which core its parent runs.
    let pinned = process::pin(0);
    let sbc = Sbc::start(&place, &authority, &setup);
    let pinned = process::pin(1) && pinned;
    println!(
        "bench-sip: {}, wa-sbc pinned to one core: {pinned}",
        process::machine()
    );
    let process = Process::new(sbc.running.pid());
    let mut generator = Generator::new(&place, &authority, &sbc);

    generator.run(300, Pace::AtOnce(16));
    std::thread::sleep(REST);

    let before = process.threads();
    let load = generator.run(CALLS, Pace::AtOnce(64));
    let spent = process.threads().since(&before);
    println!(
        "bench-sip: throughput: {CALLS} calls in {:.2?}: {:.0} calls/s, {:.0} us of processor a call",
        load.took,
        f64::from(CALLS) / load.took.as_secs_f64(),
        spent.total().as_secs_f64() * 1e6 / f64::from(CALLS),
    );
    println!("bench-sip: by thread, us a call: {}", spent.per_call(CALLS));
    std::thread::sleep(REST);

    let rate = (f64::from(CALLS) / load.took.as_secs_f64() / 2.0) as u32;
    let load = generator.run(CALLS / 2, Pace::EachSecond(rate));
    println!(
        "bench-sip: latency at {rate} calls/s, from Meta's INVITE with credentials to ours: p50 {:.2?}, p99 {:.2?}",
        load.latency(0.50),
        load.latency(0.99)
    );
    std::thread::sleep(REST);

    let before = process.resident();
    let load = generator.hold(HELD, Pace::AtOnce(32), |_| {
        std::thread::sleep(Duration::from_secs(2));
        let resident = process.resident();
        let each = (resident.saturating_sub(before)) / u64::from(HELD);
        println!("bench-sip: memory: {HELD} established calls, {each} bytes resident each (media included)");
    });
    assert_eq!(load.done, HELD, "every held call ended as it should");
    assert!(!sbc.running.log().contains("panicked"));
}
