//! Which processor does what while something is measured: the program measured has one for itself, whoever plays with it runs on
//! another. What waking a program costs depends on where it runs, and left alone that is decided anew every moment.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// The processor of everybody else, and the one of the program measured.
const LOAD: usize = 0;
const MEASURED: usize = 1;

static DIVIDED: AtomicBool = AtomicBool::new(false);

/// From now on the calling program has one processor and what it starts [`alone`] another; whether that could be done. With
/// one processor only there is nothing to divide.
pub fn divide() -> bool {
    let several = std::thread::available_parallelism().is_ok_and(|all| all.get() > 1);
    let divided = several && keep_to(LOAD);
    DIVIDED.store(divided, Ordering::Relaxed);
    divided
}

/// Starts something that has its processor to itself, where they are divided: a child runs where its parent does.
pub fn alone<T>(start: impl FnOnce() -> T) -> T {
    let divided = DIVIDED.load(Ordering::Relaxed);
    if divided {
        keep_to(MEASURED);
    }
    let started = start();
    if divided {
        keep_to(LOAD);
    }
    started
}

/// Moves the calling program (its main thread, and what it starts from now on) to a processor.
fn keep_to(processor: usize) -> bool {
    let [processor, process] = [processor, std::process::id() as usize].map(|n| n.to_string());
    Command::new("taskset")
        .args(["-p", "-c", &processor, &process])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
