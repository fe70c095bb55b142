//! `wa-sbc papers DIR`: what is printed about this program, out of the program: man pages, shell
//! completions, the reference of the configuration.
//!
//! ```text
//!   Cli ──────────────► man/man1/wa-sbc*.1, completions/{bash,zsh,fish}/…
//!   etc/wa-sbc.toml ──► man/man5/wa-sbc.toml.5, configuration.md
//! ```
//!
//! The commented configuration is the one text about keys: a test holds it to the keys and defaults of
//! the program, so whatever is made of it is right as well.

#[cfg(test)]
mod documented;
mod manual;
mod reference;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

/// The commented configuration.
const CONFIGURATION: &str = include_str!("../../../../etc/wa-sbc.toml");
const NAME: &str = "wa-sbc";

/// Where they go.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The directory, made where it is missing.
    directory: PathBuf,
}

/// Writes all of them.
pub(crate) fn main(command: Command, options: &Options) -> io::Result<()> {
    let directory = |name: &str| {
        let path = options.directory.join(name);
        fs::create_dir_all(&path).map(|()| path)
    };
    clap_mangen::generate_to(command.clone(), directory("man/man1")?)?;
    let tables = reference::tables(CONFIGURATION);
    fs::write(
        directory("man/man5")?.join("wa-sbc.toml.5"),
        manual::page(&tables),
    )?;
    for (shell, of) in [
        (Shell::Bash, "completions/bash"),
        (Shell::Zsh, "completions/zsh"),
        (Shell::Fish, "completions/fish"),
    ] {
        complete(shell, command.clone(), &directory(of)?)?;
    }
    fs::write(
        options.directory.join("configuration.md"),
        reference::markdown(&tables),
    )
}

fn complete(shell: Shell, mut command: Command, directory: &Path) -> io::Result<()> {
    clap_complete::generate_to(shell, &mut command, NAME, directory)?;
    // Where bash looks for them, a file has the name of its command.
    if shell == Shell::Bash {
        fs::rename(directory.join("wa-sbc.bash"), directory.join(NAME))?;
    }
    Ok(())
}
