//! What observing costs: the same calls through two wa-sbc in turn, on the same core, each started for its turn: one that keeps
//! records, the messages of calls and metrics that somebody asks for, and one with all of it off. First calls in which nobody
//! speaks, which are nothing but what is observed; then calls with ten seconds of talk each way, which are still short ones.

use std::net::SocketAddr;
use std::time::Duration;

use tests::certificates::Authority;
use tests::http::Client;
use tests::load::{Generator, Pace, Talk};
use tests::place::Place;
use tests::processors::alone;
use tests::sbc::Sbc;
use tests::sipp::wait_listening;

use crate::process::Process;

/// What happens in the calls of a turn.
#[derive(Clone, Copy)]
enum Calls {
    Silent,
    Talked,
}

const TALK: Duration = Duration::from_secs(10);

/// Turns of each of the two.
const ROUNDS: usize = 6;

impl Calls {
    /// Calls of one turn.
    fn count(self) -> u32 {
        match self {
            Calls::Silent => 1_000,
            Calls::Talked => 200,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Calls::Silent => "without a word",
            Calls::Talked => "with ten seconds of relayed talk",
        }
    }
}

/// A running wa-sbc, calls for it, and what observes it.
struct Observed {
    _place: Place,
    sbc: Sbc,
    generator: Generator,
    metrics: Option<Client>,
}

impl Observed {
    fn start(name: &str, is_observed: bool) -> Observed {
        let place = Place::new(name);
        let authority = Authority::new(&place);
        let mut setup = super::setup(&place);
        setup.records = is_observed;
        // Relayed, as cheap as talk can be.
        setup.meta_codecs = vec!["PCMA"];
        let address = SocketAddr::new(place.address(3), 9090);
        setup.tables += &match is_observed {
            true => format!("[http]\nlisten = \"{address}\"\n"),
            false => "[trace]\nmessages = 0\n".to_owned(),
        };
        let sbc = alone(|| Sbc::start(&place, &authority, &setup));
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
        }
    }

    /// Processor time of a call, in microseconds.
    fn turn(&mut self, calls: Calls) -> f64 {
        let process = Process::new(self.sbc.running.pid());
        let before = process.threads();
        match calls {
            Calls::Silent => drop(self.generator.run(calls.count(), Pace::AtOnce(32))),
            Calls::Talked => {
                let pace = Pace::AtOnce(16);
                self.generator.hold(calls.count(), pace, |generator| {
                    Talk::during(generator, |generator| generator.carry_for(TALK));
                });
            }
        }
        if let Some(metrics) = &self.metrics {
            // Once a turn, which is more often than once a second.
            assert_eq!(metrics.get("/metrics").status, 200);
        }
        // What is written after the last call belongs to it.
        std::thread::sleep(Duration::from_millis(100));
        let spent = process.threads().since(&before).total();
        spent.as_secs_f64() * 1e6 / f64::from(calls.count())
    }
}

/// Takes turns and prints what came of them.
pub(crate) fn run() {
    // A wa-sbc lives for one turn of each kind: of two that live side by side the elder paid more for its packets, observed or
    // not, by up to a third.
    let kinds = [Calls::Silent, Calls::Talked];
    let mut costs: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..ROUNDS {
        // Whoever comes second finds another machine.
        for is_observed in [round % 2 == 0, round % 2 == 1] {
            let name = if is_observed {
                "observed"
            } else {
                "unobserved"
            };
            let mut one = Observed::start(&format!("bench-{name}"), is_observed);
            one.generator.run(100, Pace::AtOnce(16));
            for (calls, costs) in kinds.into_iter().zip(&mut costs) {
                costs[usize::from(is_observed)].push(one.turn(calls));
            }
        }
    }
    for (calls, [without, with]) in kinds.into_iter().zip(costs) {
        let of_rounds: Vec<f64> = with
            .iter()
            .zip(&without)
            .map(|(a, b)| percent(*a, *b))
            .collect();
        let (with, without) = (median(with), median(without));
        println!(
            "bench-sip: observing: calls {}: {with:.0} us of processor a call with records, ladders and metrics, {without:.0} \
             without: {:+.1} % (in each round: {})",
            calls.name(),
            percent(with, without),
            of_rounds
                .iter()
                .map(|of| format!("{of:+.1}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
}

/// How much more the one is than the other.
fn percent(with: f64, without: f64) -> f64 {
    100.0 * (with / without - 1.0)
}

/// The one in the middle.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
