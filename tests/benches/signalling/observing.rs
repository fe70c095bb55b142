//! What observing costs: the same calls through two running wa-sbc on the same core in turn, one that keeps records, the
//! messages of calls and metrics that somebody asks for, and one with all of it off. First calls in which nobody speaks, which
//! are nothing but what is observed; then calls with ten seconds of talk each way, which are still short ones.

use std::net::SocketAddr;
use std::time::Duration;

use tests::certificates::Authority;
use tests::http::Client;
use tests::load::{Generator, Pace, Talk};
use tests::place::Place;
use tests::sbc::Sbc;
use tests::sipp::wait_listening;

use crate::process::{self, Process};

/// What happens in the calls of a turn. Turns are short and many, because the machine is another one every second.
#[derive(Clone, Copy)]
enum Calls {
    Silent,
    Talked,
}

const TALK: Duration = Duration::from_secs(10);

impl Calls {
    /// Calls of one turn.
    fn count(self) -> u32 {
        match self {
            Calls::Silent => 250,
            Calls::Talked => 100,
        }
    }

    /// Turns of each wa-sbc.
    fn turns(self) -> usize {
        match self {
            Calls::Silent => 12,
            Calls::Talked => 4,
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
    /// Processor time of a call in each turn, in microseconds.
    turns: Vec<f64>,
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

    fn turn(&mut self, calls: Calls) {
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
        self.turns
            .push(spent.as_secs_f64() * 1e6 / f64::from(calls.count()));
    }
}

/// Takes turns and prints what came of them.
pub(crate) fn run() {
    // The one that began first mostly pays more for its packets, up to a third, why is not known (docs/performance.md): each of
    // them is first once, and the mean of both is what observing costs as far as this can tell.
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for is_first in [true, false] {
        let mut both = [is_first, !is_first].map(|is_observed| match is_observed {
            true => Observed::start(&format!("bench-observed-{is_first}"), true),
            false => Observed::start(&format!("bench-unobserved-{is_first}"), false),
        });
        for one in &mut both {
            one.generator.run(100, Pace::AtOnce(16));
        }
        let [first, second] = &mut both;
        let (observed, alone) = if is_first {
            (first, second)
        } else {
            (second, first)
        };
        for (calls, costs) in [Calls::Silent, Calls::Talked].into_iter().zip(&mut costs) {
            costs.push(compare(calls, observed, alone));
        }
    }
    for (calls, costs) in [Calls::Silent, Calls::Talked].iter().zip(costs) {
        let mean = |of: fn(&Cost) -> f64| {
            (costs.iter().map(|cost| of(cost).ln()).sum::<f64>() / costs.len() as f64).exp()
        };
        let (with, without) = (mean(|cost| cost.with), mean(|cost| cost.without));
        let orders: Vec<String> = costs
            .iter()
            .map(|cost| format!("{:+.1} %", 100.0 * (cost.with / cost.without - 1.0)))
            .collect();
        println!(
            "bench-sip: observing: calls {}: {with:.0} us of processor a call with records, traces and metrics, {without:.0} \
             without: {:+.1} % (observed first, observed second: {})",
            calls.name(),
            100.0 * (with / without - 1.0),
            orders.join(", "),
        );
    }
}

/// Processor time of a call in microseconds, the median of all turns.
struct Cost {
    with: f64,
    without: f64,
}

fn compare(calls: Calls, observed: &mut Observed, alone: &mut Observed) -> Cost {
    observed.turns.clear();
    alone.turns.clear();
    for turn in 0..calls.turns() {
        // First the one, then the other: whoever comes second finds another machine.
        match turn % 2 {
            0 => {
                observed.turn(calls);
                alone.turn(calls);
            }
            _ => {
                alone.turn(calls);
                observed.turn(calls);
            }
        }
    }
    Cost {
        with: median(&mut observed.turns),
        without: median(&mut alone.turns),
    }
}

/// Sorts, and takes the one in the middle.
fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
