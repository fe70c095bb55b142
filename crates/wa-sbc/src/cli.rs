//! The command line. Every flag has a twin in the environment; precedence is flag, environment,
//! file, default.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{File, LogFormat, LogSettings, Settings};
use crate::error::Error;
use crate::{calls, commands, demo, doctor, init, papers, replay, serve};

/// The edge SBC between WhatsApp Business Calling and a PBX.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Options {
    /// The configuration file.
    #[arg(
        long,
        short,
        env = "WA_SBC_CONFIG",
        default_value = "/etc/wa-sbc/wa-sbc.toml",
        global = true
    )]
    config: PathBuf,
    /// What is logged, instead of [log] filter: error, warn, info, debug, or wa_sbc::net=debug,info.
    #[arg(long, env = "WA_SBC_LOG", global = true)]
    log: Option<String>,
    /// The form of the log, instead of [log] format.
    #[arg(long, env = "WA_SBC_LOG_FORMAT", global = true)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry calls until SIGTERM (the default). SIGHUP reads the configuration again.
    Run,
    /// Validate the configuration and say what Meta would complain about.
    Check,
    /// Print the configuration with every default filled in. Secrets appear by their source only.
    PrintConfig,
    /// Show what was recorded of calls, the newest at the end.
    Calls(calls::Options),
    /// Draw what happened in a call: both legs, media between them, what Meta said.
    Ladder(commands::ladder::Options),
    /// Have the running program write calls to disk as they happen, for Wireshark and for replay.
    Capture(commands::capture::Options),
    /// Look for whatever would keep calls from coming: names, certificate, ports, Meta, PBXs, clock.
    Doctor(doctor::Options),
    /// Write a configuration for one number and one PBX.
    Init(Box<init::Options>),
    /// Replay a capture through this program's cores and say what comes of it now.
    Replay(replay::command::Options),
    /// Place one call in each direction between a simulated Meta and a simulated PBX.
    Demo(demo::Options),
    /// Be one of the two sides the demo and the tests call.
    #[command(subcommand)]
    Sim(Sim),
    /// Write man pages, shell completions and the configuration reference into a directory.
    #[command(hide = true)]
    Papers(papers::Options),
}

#[derive(Debug, Subcommand)]
enum Sim {
    /// A strict Meta on real sockets; reports are JSON lines, commands are lines of standard input.
    Meta(Box<sim::cli::MetaArgs>),
    /// A PBX on real sockets; reports are JSON lines, commands are lines of standard input.
    Pbx(Box<sim::cli::PbxArgs>),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let config = options.config.clone();
    match command.unwrap_or(Command::Run) {
        Command::Run => report(runtime().and_then(|runtime| {
            let log = |settings: &Settings| options.log_settings(settings);
            runtime.block_on(serve::serve(&options.config, log))
        })),
        Command::Check => commands::check::main(&options.config),
        Command::PrintConfig => report(print_config(&options.config)),
        Command::Calls(options) => report(
            Settings::load(&config)
                .map_err(Error::from)
                .and_then(|settings| calls::main(options, &settings)),
        ),
        Command::Ladder(ladder) => said(commands::ladder::main(&options.config, &ladder)),
        Command::Capture(capture) => match runtime() {
            Ok(runtime) => {
                said(runtime.block_on(commands::capture::main(&options.config, &capture)))
            }
            Err(error) => report(Err(error)),
        },
        Command::Doctor(options) => doctor::main(&config, &options),
        Command::Init(options) => said(init::main(&config, &options)),
        Command::Replay(options) => replay::command::main(&options),
        Command::Demo(demo) => match runtime() {
            Ok(runtime) => runtime.block_on(demo::main(demo)),
            Err(error) => report(Err(error)),
        },
        Command::Papers(options) => said(papers::main(Cli::command(), &options)),
        Command::Sim(peer) => {
            report(runtime().and_then(|runtime| runtime.block_on(simulate(peer))))
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

fn report(result: Result<(), Error>) -> ExitCode {
    said(result)
}

fn said<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wa-sbc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_config(path: &Path) -> Result<(), Error> {
    print!("{}", File::load(path)?.print());
    Ok(())
}

async fn simulate(peer: Sim) -> Result<(), Error> {
    let ended = match peer {
        Sim::Meta(arguments) => sim::run_meta(*arguments).await,
        Sim::Pbx(arguments) => sim::run_pbx(*arguments).await,
    };
    ended.map_err(Error::Simulator)
}

impl Options {
    /// Flag or environment before file.
    fn log_settings(&self, settings: &Settings) -> LogSettings {
        LogSettings {
            filter: self
                .log
                .clone()
                .unwrap_or_else(|| settings.log.filter.clone()),
            format: self.log_format.unwrap_or(settings.log.format),
        }
    }
}
