//! What observing costs: the same calls through two running wa-sbc on the same core in turn, one that keeps records, the
//! messages of calls and metrics that somebody asks for, and one with all of it off.

use std::net::SocketAddr;
use std::time::Duration;

use tests::certificates::Authority;
use tests::http::Client;
use tests::load::{Generator, Pace};
use tests::place::Place;
use tests::sbc::Sbc;
use tests::sipp::wait_listening;

use crate::process::{self, Process};

/// Calls of one turn, and turns of each: short ones, often, because the machine is another one every second.
const CALLS: u32 = 250;
const TURNS: usize = 12;

/// A running wa-sbc, calls for it, and what observes it.
struct Observed {
    _place: Place,
    sbc: Sbc,
    generator: Generator,
    metrics: Option<Client>,
    /// Processor time of a call in each turn, in microseconds.
    turns: Vec<f64>,
}

impl Observed {
    fn start(name: &str, is_observed: bool) -> Observed {
        let place = Place::new(name);
        let authority = Authority::new(&place);
        let mut setup = super::setup(&place);
        setup.records = is_observed;
        let address = SocketAddr::new(place.address(3), 9090);
        setup.tables += &match is_observed {
            true => format!("[http]\nlisten = \"{address}\"\n"),
            false => "[trace]\nmessages = 0\n".to_owned(),
        };
        process::pin(0);
        let sbc = Sbc::start(&place, &authority, &setup);
        process::pin(1);
        let metrics = is_observed.then(|| {
            wait_listening(address, true);
            Client {
                address,
                token: String::new(),
            }
        });
        let generator = Generator::new(&place, &authority, &sbc);
        Observed {
            _place: place,
            sbc,
            generator,
            metrics,
            turns: Vec::new(),
        }
    }

    fn turn(&mut self) {
        let process = Process::new(self.sbc.running.pid());
        let before = process.threads();
        self.generator.run(CALLS, Pace::AtOnce(32));
        if let Some(metrics) = &self.metrics {
            // Once a turn, which is more often than once a second.
            assert_eq!(metrics.get("/metrics").status, 200);
        }
        // What is written after the last call belongs to it.
        std::thread::sleep(Duration::from_millis(100));
        let spent = process.threads().since(&before).total();
        self.turns
            .push(spent.as_secs_f64() * 1e6 / f64::from(CALLS));
    }
}

/// Takes turns and prints what came of them.
pub(crate) fn run() {
    let mut observed = Observed::start("bench-observed", true);
    let mut alone = Observed::start("bench-unobserved", false);
    for which in [&mut observed, &mut alone] {
        which.generator.run(100, Pace::AtOnce(16));
    }
    for turn in 0..TURNS {
        // First the one, then the other: whoever comes second finds another machine.
        match turn % 2 {
            0 => {
                observed.turn();
                alone.turn();
            }
            _ => {
                alone.turn();
                observed.turn();
            }
        }
    }
    let mut rises: Vec<f64> = observed
        .turns
        .iter()
        .zip(&alone.turns)
        .map(|(with, without)| 100.0 * (with / without - 1.0))
        .collect();
    let (with, without) = (median(&mut observed.turns), median(&mut alone.turns));
    println!(
        "bench-sip: observing: {with:.0} us of processor a call with records, traces and metrics, {without:.0} without; \
         pairs of turns rise by {:.1} % (median; {:.1} to {:.1})",
        median(&mut rises),
        rises.first().copied().unwrap_or_default(),
        rises.last().copied().unwrap_or_default(),
    );
}

/// Sorts, and takes the one in the middle.
fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
