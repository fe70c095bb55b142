//! The command line. Every flag has a twin in the environment; precedence is flag, environment,
//! file, default.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::sync::mpsc;

use crate::acme::Acme;
use crate::config::{File, LogFormat, LogSettings, Settings, TlsPort};
use crate::error::Error;
use crate::http::ReloadReply;
use crate::net::tls::{self, TlsError};
use crate::signals::{Signals, Wish};
use crate::supervisor::Supervisor;
use crate::watch::Watch;
use crate::{calls, commands, demo, doctor, init, log, papers, rehearsal, replay, run};

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
        Command::Run => report(runtime().and_then(|runtime| runtime.block_on(serve(&options)))),
        Command::Check => check(&options.config),
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

async fn serve(options: &Options) -> Result<(), Error> {
    let settings = Settings::load(&options.config)?;
    log::install(&options.log_settings(&settings))?;
    let mut signals = Signals::listen()?;
    rehearsal::hold();
    let drain = settings.drain;
    let mut watch = Watch::new(&settings);
    let supervisor = Supervisor::from_environment();
    let status = status(&settings);
    let acme = settings.acme.clone().map(Acme::new);
    let counts = acme.as_ref().map(|acme| acme.counts.clone());
    if let Some(acme) = &acme {
        acme.first().await?;
    }
    let mut running = run::run_counting(settings, counts.unwrap_or_default()).await?;
    let (renewed, mut renewals) = mpsc::channel(1);
    // Held, so that without a keeper nothing ever comes.
    let _held = renewed.clone();
    if let Some(acme) = acme {
        tokio::spawn(acme.keep(renewed));
    }
    supervisor.ready(&status);
    let mut asked = running.take_reloads();
    loop {
        tokio::select! {
            () = running.ended() => return Ok(()),
            wish = signals.next() => match wish {
                Wish::End => {
                    supervisor.stopping(drain);
                    running.drain(drain).await;
                }
                Wish::Reload => drop(reload(&mut running, &mut watch, &supervisor, &options.config).await),
            },
            Some(()) = renewals.recv() => {
                drop(reload(&mut running, &mut watch, &supervisor, &options.config).await);
            }
            () = watch.changed() => {
                drop(reload(&mut running, &mut watch, &supervisor, &options.config).await);
            }
            Some(reply) = next(&mut asked) => {
                let done = reload(&mut running, &mut watch, &supervisor, &options.config).await;
                let _ = reply.send(done);
            }
        }
    }
}

/// Who asks over HTTP for a reload; nobody ever where nothing is served.
async fn next(asked: &mut Option<mpsc::Receiver<ReloadReply>>) -> Option<ReloadReply> {
    match asked {
        Some(asked) => asked.recv().await,
        None => std::future::pending().await,
    }
}

/// What the service manager shows of us.
fn status(settings: &Settings) -> String {
    let core = &settings.core;
    format!(
        "{} numbers, {} trunks",
        core.numbers.len(),
        core.trunks.len()
    )
}

/// A configuration that is wrong changes nothing; the error says why.
async fn reload(
    running: &mut run::Running,
    watch: &mut Watch,
    supervisor: &Supervisor,
    path: &Path,
) -> Result<(), String> {
    supervisor.reloading();
    let reloaded = match Settings::load(path) {
        Ok(settings) => running.reload(&settings).await.map(|()| settings),
        Err(error) => Err(error.into()),
    };
    match reloaded {
        Ok(settings) => {
            watch.follow(&settings);
            supervisor.ready(&status(&settings));
            tracing::info!(path = %path.display(), numbers = settings.core.numbers.len(),
                trunks = settings.core.trunks.len(), "configuration reloaded; new calls use it");
        }
        Err(error) => {
            supervisor.ready("configuration not reloaded, the old one stays: see the log");
            tracing::error!(%error, "configuration not reloaded; the old one stays");
            return Err(error.to_string());
        }
    }
    Ok(())
}

fn print_config(path: &Path) -> Result<(), Error> {
    print!("{}", File::load(path)?.print());
    Ok(())
}

/// Objections are errors (exit 1) when we could not start, warnings when calls would fail.
fn check(path: &Path) -> ExitCode {
    let settings = match Settings::load(path) {
        Ok(settings) => settings,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut wrong = 0;
    let mut say = |fine: bool, text: String| {
        println!("{} {text}", if fine { "ok     " } else { "PROBLEM" });
        wrong += u32::from(!fine);
    };
    say(
        true,
        format!(
            "{}: {} numbers, {} trunks",
            path.display(),
            settings.core.numbers.len(),
            settings.core.trunks.len()
        ),
    );
    for caution in settings.cautions() {
        println!("CAUTION {caution}");
    }
    if let Some(port) = &settings.tls {
        let usable = tls::server(&port.certificate, &port.key).map(drop);
        say(
            usable.is_ok(),
            usable.map_or_else(
                |why| why.to_string(),
                |()| "certificate and key fit together".into(),
            ),
        );
        let mut hosts: Vec<&str> = settings
            .core
            .numbers
            .iter()
            .map(|number| number.host.as_str())
            .collect();
        hosts.push(&port.host);
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            match objection_of_all(port, host) {
                Ok(None) => say(true, format!("the certificate is valid for {host}")),
                Ok(Some(why)) => say(
                    false,
                    format!(
                        "{why}\n        Meta would never send an INVITE to {host}: serve the full chain of a public authority for that name"
                    ),
                ),
                Err(why) => say(false, why.to_string()),
            }
            let found = (host, port.listen.port())
                .to_socket_addrs()
                .map(|found| found.count())
                .unwrap_or(0);
            say(
                found > 0,
                match found {
                    0 => format!(
                        "{host} cannot be resolved\n        Meta finds us by this name: publish its address in the DNS"
                    ),
                    count => format!("{host} has {count} address(es)"),
                },
            );
        }
    }
    for path in settings.authorities.values() {
        let usable = tls::client(Some(path)).map(drop);
        say(
            usable.is_ok(),
            usable.map_or_else(
                |why| why.to_string(),
                |()| format!("{} holds authorities", path.display()),
            ),
        );
    }
    let peers = settings
        .core
        .trunks
        .iter()
        .flat_map(|trunk| trunk.destinations())
        .chain([&settings.core.carrier.target]);
    for target in peers.filter(|target| target.host.parse::<IpAddr>().is_err()) {
        if let Some(fixed) = settings.fixed.get(&target.host.to_ascii_lowercase()) {
            say(
                true,
                format!("{} is at {fixed} by configuration", target.host),
            );
            continue;
        }
        let found = (target.host.as_str(), target.port)
            .to_socket_addrs()
            .map(|found| found.count())
            .unwrap_or(0);
        say(
            found > 0,
            match found {
                0 => format!(
                    "{} cannot be resolved\n        calls to it would fail: check the name and this machine's DNS",
                    target.host
                ),
                count => format!("{} has {count} address(es)", target.host),
            },
        );
    }
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What Meta would object to the certificate it gets for `host`: the first that is made for it.
fn objection_of_all(port: &TlsPort, host: &str) -> Result<Option<String>, TlsError> {
    let first = tls::objection(&port.certificate, host, None);
    if !matches!(first, Ok(Some(_))) {
        return first;
    }
    let mut others = port.certificates.iter();
    let fine =
        others.any(|files| matches!(tls::objection(&files.certificate, host, None), Ok(None)));
    if fine { Ok(None) } else { first }
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
