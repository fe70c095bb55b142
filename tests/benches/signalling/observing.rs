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

    fn turn(&mut self, calls: Calls) -> Cost {
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
        let spent = process.threads().since(&before);
        let per_call = |spent: Duration| spent.as_secs_f64() * 1e6 / f64::from(calls.count());
        let media = spent.of("media");
        Cost {
            media: per_call(media),
            rest: per_call(spent.total() - media),
        }
    }
}

/// Processor time of a call, in microseconds.
#[derive(Clone, Copy)]
struct Cost {
    /// Of the media thread. It does the same whether anybody observes or not: what differs here is how far the measurement
    /// can be believed.
    media: f64,
    /// Of all others: TLS, UDP, the core, records, the journal.
    rest: f64,
}

/// Takes turns and prints what came of them.
pub(crate) fn run() {
    // A wa-sbc lives for one turn of each kind: of two that live side by side the elder paid more for its packets, observed or
    // not, by up to a third.
    let kinds = [Calls::Silent, Calls::Talked];
    let mut costs: [[Vec<Cost>; 2]; 2] = Default::default();
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
        let of = |all: &[Cost], part: fn(&Cost) -> f64| median(all.iter().map(part).collect());
        let media = [&without, &with].map(|all| of(all, |cost| cost.media));
        let rest = [&without, &with].map(|all| of(all, |cost| cost.rest));
        let whole = media[0] + rest[0];
        println!(
            "bench-sip: observing: calls {}: a call costs {whole:.0} us, {:.0} of them outside the media thread; with records, \
             ladders and metrics {:.0} there: {:+.1} % of the whole",
            calls.name(),
            rest[0],
            rest[1],
            100.0 * (rest[1] - rest[0]) / whole,
        );
        println!(
            "bench-sip: observing: the media thread, which does not know of it, took {:.0} and {:.0}: {:+.1} % of the whole",
            media[0],
            media[1],
            100.0 * (media[1] - media[0]) / whole,
        );
    }
}

/// The one in the middle.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
