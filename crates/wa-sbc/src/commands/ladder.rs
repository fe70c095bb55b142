//! `wa-sbc ladder`: the ladder of a call, from the running program or from stored files.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::File;
use crate::control::{Ask, Refused, ask};
use crate::pcap;
use crate::trace::{self, Manner, Story, draw};

/// How a ladder is asked for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// A Call-ID, Meta's id of the call (wacid) or what the log shows of it, or a telephone number of either side.
    #[arg(required_unless_present = "file")]
    query: Option<String>,
    /// Write the newest one as SVG to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Every call found, not only the newest.
    #[arg(long)]
    all: bool,
    /// Print every message in full below the ladder.
    #[arg(long)]
    messages: bool,
    /// Print keys and digest answers too; from a running program only.
    #[arg(long)]
    secrets: bool,
    /// Read a capture instead of asking the running program.
    #[arg(long, value_name = "CAPTURE")]
    file: Option<PathBuf>,
}

/// Why there is no ladder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LadderError {
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("{path}: {why}")]
    Unreadable { path: String, why: String },
    #[error("{live}; nothing is stored about it either{where_}")]
    Nothing { live: String, where_: String },
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Prints a ladder.
pub(crate) fn main(config: &Path, options: &Options) -> Result<(), LadderError> {
    let text = match &options.file {
        Some(file) => shown(of_file(file, options.query.as_deref())?, options),
        None => asked(config, options)?,
    };
    match &options.svg {
        Some(path) => std::fs::write(path, text).map_err(|error| unreadable(path, error))?,
        None => io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(())
}

/// The running program first, then what was kept on disk.
fn asked(config: &Path, options: &Options) -> Result<String, LadderError> {
    let file = File::load(config)?;
    let query = options.query.clone().unwrap_or_default();
    let question = Ask::Ladder {
        query: query.clone(),
        all: options.all,
        svg: options.svg.is_some(),
        messages: options.messages,
        secrets: options.secrets,
    };
    let live = match ask(&file.control.socket, &question) {
        Ok(mut answer) => {
            let mut text = String::new();
            answer.read_to_string(&mut text)?;
            return Ok(text);
        }
        Err(Refused::Broken(error)) => return Err(error.into()),
        Err(refused) => refused.to_string(),
    };
    let Some(dir) = &file.trace.dir else {
        let where_ = ": [trace] dir is not set".into();
        return Err(LadderError::Nothing { live, where_ });
    };
    let stories = trace::find(dir, &query).map_err(|error| unreadable(dir, error))?;
    if stories.is_empty() {
        let where_ = format!(" in {}", dir.display());
        return Err(LadderError::Nothing { live, where_ });
    }
    Ok(shown(stories, options))
}

fn of_file(path: &Path, query: Option<&str>) -> Result<Vec<Story>, LadderError> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    let packets = pcap::read(&bytes).map_err(|error| unreadable(path, error))?;
    let mut stories = trace::stories(&packets);
    stories.retain(|story| query.is_none_or(|query| story.is_about(query)));
    match stories.is_empty() {
        true => Err(unreadable(path, "no such call in it")),
        false => Ok(stories),
    }
}

fn shown(stories: Vec<Story>, options: &Options) -> String {
    let manner = Manner {
        svg: options.svg.is_some(),
        messages: options.messages,
        secrets: options.secrets,
    };
    let all = (options.all || options.file.is_some()) && options.svg.is_none();
    let wanted = if all { stories.len() } else { 1 };
    let ladders = stories.iter().take(wanted).map(|story| draw(story, manner));
    ladders.collect::<Vec<_>>().join("\n")
}

fn unreadable(path: &Path, why: impl ToString) -> LadderError {
    LadderError::Unreadable {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}
