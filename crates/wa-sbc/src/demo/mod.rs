//! `wa-sbc demo`: one call in each direction, on loopback, between processes of their own.
//!
//! ```text
//!              this process: makes certificates, starts, listens, judges
//!        ┌─────────────────────────────┼─────────────────────────────┐
//!   ┌────┴─────┐  TLS, SRTP, Opus ┌────┴─────┐  UDP, RTP, PCMA  ┌────┴────┐
//!   │ sim meta │◄────────────────►│  wa-sbc  │◄────────────────►│ sim pbx │
//!   └──────────┘                  └──────────┘                  └─────────┘
//! ```
//!
//! The ladder is drawn from what the SBC logs about each message, what was heard comes from the two
//! ends, and the records are those an operator would get.

mod cast;
mod lab;
mod ladder;
mod script;
mod verdict;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use cast::Cast;
use lab::Lab;
use script::{Call, Direction};

/// Everything must be over by then.
const AT_MOST: Duration = Duration::from_secs(55);

/// How the demo is to be run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Seconds each call talks.
    #[arg(long, default_value_t = 6.0, value_name = "SECONDS")]
    talk: f64,
    /// Print every line the three programs say, on standard error.
    #[arg(long)]
    verbose: bool,
}

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot prepare: {0}")]
    Prepare(String),
    #[error("cannot start {program}: {why}")]
    Start {
        program: &'static str,
        why: io::Error,
    },
    #[error("{program} ended: {last}")]
    Died { program: &'static str, last: String },
    #[error("waited {seconds} s in vain for {what}; the last words were\n{last}")]
    Waited {
        what: String,
        seconds: u64,
        last: String,
    },
    #[error("not over after {} s", AT_MOST.as_secs())]
    TooLong,
    #[error("interrupted")]
    Interrupted,
}

/// Runs the demo; success only if everything held.
pub(crate) async fn main(options: Options) -> ExitCode {
    let interrupted = interrupted();
    let outcome = tokio::select! {
        outcome = timeout(AT_MOST, perform(&options)) => outcome.unwrap_or(Err(DemoError::TooLong)),
        () = interrupted => Err(DemoError::Interrupted),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("wa-sbc demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The cast is ended when it goes out of scope, on every way out of here.
async fn perform(options: &Options) -> Result<bool, DemoError> {
    let lab = Lab::new()?;
    println!("Certificates made, configuration written. Starting three programs on loopback:");
    let mut cast = Cast::start(&lab, options.verbose).await?;
    println!(
        "  sim meta {}   wa-sbc {} (TLS), {} (UDP)   sim pbx {}\n",
        lab.meta, lab.tls, lab.udp, lab.pbx
    );
    let talk = Duration::from_secs_f64(options.talk.clamp(5.0, 15.0));
    let mut held = true;
    for direction in [Direction::UserCalls, Direction::DeskCalls] {
        let call = Call::place(&mut cast, direction, talk).await?;
        println!("{}\n", direction.title());
        println!("{}", ladder::draw(&call.rungs));
        let verdict = verdict::judge(&call);
        println!("{verdict}");
        held &= verdict.held();
    }
    let left = cast.end().await;
    for (program, violations) in left {
        println!("{program}: {violations} rules broken by wa-sbc in all");
        held &= violations == 0;
    }
    println!(
        "\n{}",
        if held {
            "Everything held."
        } else {
            "NOT everything held."
        }
    );
    Ok(held)
}

/// Listens for the signals at once, not when first waited for: before there is a program to leave behind.
fn interrupted() -> impl Future<Output = ()> {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        let [terminated, interrupted] = signals.map(|signal| async {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        });
        tokio::select! {
            () = terminated => {}
            () = interrupted => {}
        }
    }
}
