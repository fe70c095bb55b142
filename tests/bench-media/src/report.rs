//! The tables, and what we promise.

use std::time::Duration;

use crate::codecs;
use crate::figures::{Figures, median};
use crate::load::Pace;
use crate::measure::{Carried, Sample, capacity, sample};

use crate::system::{Case, Stage, System};
use crate::through_sbc::before;

/// Most resident KiB per call.
const RESIDENT_RELAYED: f64 = 16.0;
const RESIDENT_TRANSCODED: f64 = 128.0;

/// Where the search for the most calls begins.
const FIRST_RELAYED: usize = 600;
const FIRST_TRANSCODED: usize = 50;

/// How programs are compared: each in its turn, so often, for so long.
pub(crate) struct Turns<'a> {
    pub(crate) rounds: usize,
    pub(crate) span: Duration,
    /// Those of them that were asked for.
    pub(crate) only: &'a [System],
}

impl Turns<'_> {
    fn of(&self, systems: &[System]) -> Vec<System> {
        let asked = systems.iter().filter(|system| self.only.contains(system));
        asked.copied().collect()
    }
}

/// All samples of each program, taken in turn.
type Samples = Vec<(System, Vec<Sample>)>;

fn interleaved(
    systems: &[System],
    case: &Case,
    calls: usize,
    turns: &Turns<'_>,
) -> Result<Samples, String> {
    let Turns { rounds, span, .. } = *turns;
    println!(
        "\n{}, {calls} calls, {rounds} × {span:?} each in turn",
        case.name
    );
    println!(
        "  {:30} {:>12} {:>10} {:>24} {:>9} {:>8}",
        "", "ms/call-s", "loss %", "p50 / p99 / max ms", "KiB/call", "others %"
    );
    let systems = turns.of(systems);
    let mut samples: Samples = systems.iter().map(|system| (*system, Vec::new())).collect();
    for _ in 0..rounds {
        for (system, taken) in &mut samples {
            let one = sample(*system, case, calls, span)?;
            row(*system, &one);
            taken.push(one);
        }
    }
    Ok(samples)
}

fn row(system: System, sample: &Sample) {
    let figures = &sample.figures;
    let latency = [0.5, 0.99, 1.0].map(|share| format!("{:.2}", figures.latency(share)));
    println!(
        "  {:30} {:>12.3} {:>10.3} {:>24} {:>9.1} {:>8.0}",
        system.name(),
        sample.cost,
        figures.loss(),
        latency.join(" / "),
        sample.resident,
        sample.others,
    );
}

/// A promise and what became of it; nothing where a program it is about was not asked for.
fn bar(what: &str, is: f64, least: Option<f64>, most: Option<f64>) {
    if is.is_nan() {
        return;
    }
    let kept = least.is_none_or(|least| is >= least) && most.is_none_or(|most| is <= most);
    let wanted = match (least, most) {
        (Some(least), _) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => String::new(),
    };
    println!(
        "  {} {what}: {is:.2}, {wanted}",
        if kept { "kept  " } else { "MISSED" }
    );
}

fn of(samples: &Samples, system: System, what: impl Fn(&Sample) -> f64) -> f64 {
    let all = samples.iter().filter(|(of, _)| *of == system);
    median(all.flat_map(|(_, taken)| taken.iter().map(&what)).collect())
}

/// Payloads that pass.
pub(crate) fn relay(case: &Case, calls: usize, turns: &Turns<'_>) -> Result<(), String> {
    let mut systems = vec![
        System::WaSbc,
        System::WaSbcSharing,
        System::Engine,
        System::Rtpengine,
        System::Forwarder,
        System::SharedPort,
    ];
    if before().is_some() {
        systems.insert(0, System::WaSbcBefore);
    }
    let samples = interleaved(&systems, case, calls, turns)?;
    let cost = |system| of(&samples, system, |sample| sample.cost);
    let ours = cost(System::WaSbc);
    bar(
        "cost by rtpengine's",
        ours / cost(System::Rtpengine),
        None,
        Some(0.55),
    );
    bar(
        "cost by rtpengine's, sharing a port towards Meta",
        cost(System::WaSbcSharing) / cost(System::Rtpengine),
        None,
        Some(0.55),
    );
    bar(
        "cost by the forwarder's",
        ours / cost(System::Forwarder),
        None,
        Some(1.5),
    );
    let p99 = of(&samples, System::WaSbc, |sample| {
        sample.figures.latency(0.99)
    });
    bar("p99 in ms", p99, None, Some(2.5));
    resident(&samples, RESIDENT_RELAYED);
    Ok(())
}

/// Payloads decoded and encoded anew.
pub(crate) fn transcode(case: &Case, calls: usize, turns: &Turns<'_>) -> Result<(), String> {
    let systems = [System::WaSbc, System::Engine, System::Rtpengine];
    let samples = interleaved(&systems, case, calls, turns)?;
    let floor = codecs::floor(case, calls, turns.span);
    println!("  {:30} {floor:>12.3}", "libopus and G.711 alone");
    let cost = |system| of(&samples, system, |sample| sample.cost);
    let ours = cost(System::WaSbc);
    bar(
        "cost by rtpengine's",
        ours / cost(System::Rtpengine),
        None,
        Some(0.32),
    );
    bar("cost by the codecs alone", ours / floor, None, Some(1.3));
    let p99 = of(&samples, System::WaSbc, |sample| {
        sample.figures.latency(0.99)
    });
    bar("p99 in ms", p99, None, Some(4.0));
    resident(&samples, RESIDENT_TRANSCODED);
    Ok(())
}

/// What a call keeps: of the media threads alone, as of rtpengine, which knows no SIP.
fn resident(samples: &Samples, most: f64) {
    let resident = |system| of(samples, system, |sample| sample.resident);
    bar(
        "resident KiB per call, media",
        resident(System::Engine),
        None,
        Some(most),
    );
    println!(
        "         resident KiB per call with both dialogs, records and ladders: {:.1}; rtpengine: {:.1}",
        resident(System::WaSbc),
        resident(System::Rtpengine)
    );
}

/// The most calls a program carries, the median of all rounds. Nothing is known of one that was not asked for.
#[derive(Clone, Copy)]
struct Most {
    calls: f64,
    /// In one of them it may have been more: the load came too late itself, or the time was over.
    more: bool,
}

impl Most {
    /// By how many times that is more than another carries, and whether it is as many as it should be.
    fn by(self, other: Most, what: &str, least: f64) {
        let ratio = self.calls / other.calls;
        if self.more && ratio < least {
            println!("  open   {what}: {ratio:.2} and more, at least {least:.2} is wanted");
        } else {
            bar(what, ratio, Some(least), None);
        }
    }

    fn known(self) -> Option<usize> {
        (!self.calls.is_nan()).then_some(self.calls as usize)
    }
}

/// The most calls each of the programs carries.
fn most(systems: &[(System, usize)], case: &Case, turns: &Turns<'_>) -> Result<Vec<Most>, String> {
    println!(
        "\n{}: the most calls with under 0.1 % loss and p99 under 20 ms",
        case.name
    );
    let mut carried = vec![Vec::new(); systems.len()];
    for _ in 0..turns.rounds {
        for ((system, first), carried) in systems.iter().zip(&mut carried) {
            if !turns.only.contains(system) {
                continue;
            }
            println!("  {}", system.name());
            let one = capacity(*system, case, *first)?;
            println!("  {:30} {one}", system.name());
            carried.push(one);
        }
    }
    let most = |carried: Vec<Carried>| Most {
        calls: median(carried.iter().map(|one| one.calls as f64).collect()),
        more: carried.iter().any(|one| one.more),
    };
    Ok(carried.into_iter().map(most).collect())
}

/// The most calls that are relayed well: wa-sbc's, if it was asked for.
pub(crate) fn relay_capacity(case: &Case, turns: &Turns<'_>) -> Result<Option<usize>, String> {
    let systems = [
        (System::Rtpengine, 400),
        (System::WaSbcBefore, FIRST_RELAYED),
        (System::WaSbc, FIRST_RELAYED),
        (System::WaSbcSharing, FIRST_RELAYED),
        (System::Forwarder, FIRST_RELAYED),
        (System::SharedPort, FIRST_RELAYED),
    ];
    let before = before().is_some();
    let systems = systems.into_iter();
    let systems: Vec<_> = systems
        .filter(|(system, _)| before || *system != System::WaSbcBefore)
        .collect();
    let carried = most(&systems, case, turns)?;
    let of = |wanted| {
        let at = systems.iter().position(|(system, _)| *system == wanted);
        carried[at.expect("it is one of them")]
    };
    let rtpengine = of(System::Rtpengine);
    let ours = of(System::WaSbc);
    ours.by(rtpengine, "calls by rtpengine's", 1.6);
    let sharing = "calls by rtpengine's, sharing a port towards Meta";
    of(System::WaSbcSharing).by(rtpengine, sharing, 1.6);
    Ok(ours.known())
}

/// The most calls that are transcoded well: wa-sbc's, if it was asked for.
pub(crate) fn transcode_capacity(case: &Case, turns: &Turns<'_>) -> Result<Option<usize>, String> {
    let systems = [(System::Rtpengine, 12), (System::WaSbc, FIRST_TRANSCODED)];
    let carried = most(&systems, case, turns)?;
    let (rtpengine, ours) = (carried[0], carried[1]);
    ours.by(rtpengine, "calls by rtpengine's", 115.0 / 30.0);
    Ok(ours.known())
}

/// The part of the calls carried that comes anew each second when too many come.
const RUSH: f64 = 0.04;

/// Half again as many calls as are carried: those that are up do not notice, the others hear 503.
pub(crate) fn overload(case: &Case, most: Option<usize>) -> Result<(), String> {
    let first = match case.is_relayed() {
        true => FIRST_RELAYED,
        false => FIRST_TRANSCODED,
    };
    let most = match most {
        Some(most) => most,
        None => capacity(System::WaSbc, case, first)?.calls,
    };
    let asked = most * 3 / 2;
    let rate = most as f64 * RUSH;
    println!("\n{}: {asked} calls where {most} are carried", case.name);
    let mut stage = Stage::start(System::WaSbc, case, asked, Pace::ROWS, "")?;
    let (sbc, load) = stage.sbc().expect("it is wa-sbc");
    let mut worst = Figures::default();
    let up = std::thread::scope(|scope| {
        let placed = scope.spawn(move || {
            let up = sbc.place(asked, rate, |ends| load.add(ends));
            (up, sbc.refused.clone())
        });
        while !placed.is_finished() {
            let figures = load.measure(Duration::from_secs(2));
            if figures.loss() >= worst.loss() {
                worst = figures;
            }
        }
        placed.join()
    });
    let (up, refused) = up.map_err(|_| "the calls could not be placed")?;
    let after = stage.load().measure(Duration::from_secs(5));
    println!("  {up} calls up, refused {refused:?}");
    let log = stage.program().log();
    for line in log
        .lines()
        .filter(|line| line.contains("new calls are refused"))
    {
        println!("  {line}");
    }
    println!("  the worst two seconds: {worst}");
    println!("  afterwards:            {after}");
    let others = refused.keys().any(|status| *status != 503)
        || up + refused.values().sum::<usize>() != asked;
    bar(
        "calls neither up nor refused with 503",
        f64::from(u8::from(others)),
        None,
        Some(0.0),
    );
    bar(
        "loss in the worst two seconds, percent",
        worst.loss(),
        None,
        Some(0.1),
    );
    Ok(())
}
