//! `wa-sbc replay`: a capture through the cores of this program.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{ReplayError, Scene, replay, told};
use crate::trace::{Manner, draw};

/// What is replayed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// A capture, or a directory with call.pcapng and scene.toml in it.
    file: PathBuf,
    /// Who is who in it; beside the capture when absent, else what a capture of ours says itself.
    #[arg(long, value_name = "FILE")]
    scene: Option<PathBuf>,
    /// What is expected to come of it; expect.txt beside the capture when absent and there.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Our addresses, instead of those of the scene.
    #[arg(long, value_name = "ADDRESS")]
    sbc: Vec<IpAddr>,
    /// Write what came of it to the file of expectations, and a scene where there was none.
    #[arg(long)]
    accept: bool,
    /// Print no ladder.
    #[arg(long)]
    quiet: bool,
}

/// Replays, prints, compares; 0 when what came of it is what was expected.
pub(crate) fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("wa-sbc: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let file = match options.file.is_dir() {
        true => options.file.join("call.pcapng"),
        false => options.file.clone(),
    };
    let beside = |name: &str| file.parent().unwrap_or(Path::new(".")).join(name);
    let path = options
        .scene
        .clone()
        .unwrap_or_else(|| beside("scene.toml"));
    let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let wrong = |error: ReplayError| error.to_string();
    let mut scene = match std::fs::read_to_string(&path) {
        Ok(text) => Scene::read(&text).map_err(|error| error.to_string())?,
        Err(error) if options.scene.is_some() => {
            return Err(format!("{}: {error}", path.display()));
        }
        Err(_) => told(&bytes).map_err(wrong)?.unwrap_or_default(),
    };
    if !options.sbc.is_empty() {
        scene.sbc.clone_from(&options.sbc);
    }
    let outcome = replay(&bytes, &scene).map_err(wrong)?;
    if !options.quiet {
        println!("{}", draw(&outcome.story, Manner::default()));
    }
    let text = outcome.to_string();
    print!("{text}");
    let expect = options
        .expect
        .clone()
        .unwrap_or_else(|| beside("expect.txt"));
    if options.accept {
        std::fs::write(&expect, &text).map_err(|error| format!("{}: {error}", expect.display()))?;
        if !path.exists() {
            std::fs::write(&path, scene.print())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    match std::fs::read_to_string(&expect) {
        Ok(expected) if expected == text => Ok(true),
        Ok(expected) => {
            eprintln!("not what {} expects:\n{expected}", expect.display());
            Ok(false)
        }
        Err(error) if options.expect.is_some() => Err(format!("{}: {error}", expect.display())),
        Err(_) => Ok(true),
    }
}
