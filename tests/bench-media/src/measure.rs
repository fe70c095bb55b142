//! The measurements: cost at a given number of calls, and how many calls are carried.

use std::fmt;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::load::Pace;
use crate::process::{machine_time, processor_time};
use crate::system::{Case, Stage, System};

/// What one program did with so many calls.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Milliseconds of processor time per call and second.
    pub(crate) cost: f64,
    /// Resident KiB per further call.
    pub(crate) resident: f64,
    /// Loss and latency.
    pub(crate) figures: Figures,
    /// Percent of the machine others were using meanwhile.
    pub(crate) others: f64,
}

/// Nothing refuses calls for the load of the machine, which others may share: that is measured by itself.
pub(crate) const ADMIT_ALL: &str =
    "[admission]\noverload_media = 0\noverload_lag = 0\noverload_queue = 0\n";

/// Until what was set up last talks steadily.
const SETTLE: Duration = Duration::from_secs(3);

/// Of so many calls one comes first: what a program takes for the first calls of its life, code read from disk most of all, is
/// not what a call keeps.
const FIRST: usize = 10;

/// Starts a program, lets so many calls talk and measures for `span`.
///
/// # Errors
/// When the program or its calls do not come up.
pub(crate) fn sample(
    system: System,
    case: &Case,
    calls: usize,
    span: Duration,
) -> Result<Sample, String> {
    let mut stage = Stage::start(system, case, calls, Pace::EVEN, ADMIT_ALL)?;
    let first = calls / FIRST;
    stage.add(first)?;
    stage.settle(SETTLE);
    let before = stage.program().resident_kib();
    stage.add(calls - first)?;
    stage.settle(SETTLE);
    let (cost, figures, others) = cost(&stage, span);
    let resident = stage.program().resident_kib().saturating_sub(before);
    Ok(Sample {
        cost,
        resident: resident as f64 / (calls - first) as f64,
        figures,
        others,
    })
}

/// Milliseconds of processor time per call and second, the figures, and what others took of the machine.
fn cost(stage: &Stage, span: Duration) -> (f64, Figures, f64) {
    let ours = [stage.program().pid(), std::process::id()];
    let time = || ours.map(processor_time);
    let (began, before, (busy, idle)) = (Instant::now(), time(), machine_time());
    let figures = stage.load().measure(span);
    let (after, (busy_after, idle_after)) = (time(), machine_time());
    // The span ends some hundreds of milliseconds before the figures are told; packets flow all the while.
    let seconds = began.elapsed().as_secs_f64();
    let spent = [after[0] - before[0], after[1] - before[1]];
    let cost = spent[0].as_secs_f64() * 1_000.0 / seconds / stage.calls as f64;
    let whole = (busy_after + idle_after).saturating_sub(busy + idle);
    let others = (busy_after - busy).saturating_sub(spent[0] + spent[1]);
    (
        cost,
        figures,
        100.0 * others.as_secs_f64() / whole.as_secs_f64(),
    )
}

/// The longest a search for the most calls takes; whatever was good by then is what is carried at least.
const SEARCH: Duration = Duration::from_secs(180);

/// Of the calls that are up, one part in so many is added at each step: few steps as long as there is much time left, and many where
/// what is carried is to be known closely.
fn step(busy: f64) -> usize {
    if busy < 0.6 { 5 } else { 20 }
}

/// The numbers of calls looked at before the search begins, as parts of where it begins: how the cost grows.
const EARLIER: [usize; 3] = [8, 4, 2];

/// The most calls with less than 0.1 % loss and a p99 under 20 ms. From `first` on calls are added, in the end by a twentieth, until one
/// measurement and its repetition are not good any more, or the load itself comes too late, or the time is over. What a call costs is told at every step.
///
/// # Errors
/// When the program or its calls do not come up.
pub(crate) fn capacity(system: System, case: &Case, first: usize) -> Result<Carried, String> {
    let mut stage = Stage::start(system, case, 8 * first, Pace::ROWS, ADMIT_ALL)?;
    let mut carried = Carried::default();
    let mut earlier = EARLIER.map(|part| (first / part).max(1)).into_iter();
    let mut wanted = earlier.next().unwrap_or(first);
    let began = Instant::now();
    while wanted <= 8 * first {
        if began.elapsed() > SEARCH {
            println!("    no further: {SEARCH:?} are over");
            carried.more = true;
            break;
        }
        if stage.add(wanted - stage.calls).is_err() {
            break;
        }
        let mut once = || {
            stage.settle(Duration::from_millis(1_000));
            let (cost, figures, _) = cost(&stage, Duration::from_secs(3));
            println!(
                "    {:5} calls: {cost:.3} ms/call-s, {figures}",
                stage.calls
            );
            let busy = cost * stage.calls as f64 / 1_000.0;
            (figures.good(), figures.is_behind(), busy)
        };
        // Whatever was wrong may have been something else's doing: it is measured once more.
        let (mut good, mut behind, mut busy) = once();
        if !good || behind {
            (good, behind, busy) = once();
        }
        carried.more = behind;
        if good {
            carried.calls = wanted;
        }
        if !good || behind {
            break;
        }
        wanted = match earlier.next() {
            Some(next) => next,
            None if wanted < first => first,
            None => wanted + (wanted / step(busy)).max(1),
        };
    }
    Ok(carried)
}

/// The most calls a program was seen to carry well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried {
    /// So many.
    pub(crate) calls: usize,
    /// It may carry more: the load itself came too late, or the time was over.
    pub(crate) more: bool,
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.more {
            true => write!(f, "at least {} calls", self.calls),
            false => write!(f, "{} calls", self.calls),
        }
    }
}
