//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sip::Secret;
use toml::Spanned;

use super::secret::SecretSource;

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The file, where it is another than the configuration itself.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: usize,
    /// The key as one would look for it: `sip.tls`, `trunk "office" peer`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// At least one objection, in the order of the file.
    pub objections: Vec<Objection>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, objection) in self.objections.iter().enumerate() {
            let Objection {
                file,
                line,
                key,
                problem,
                remedy,
            } = objection;
            let newline = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{newline}{}:{line}: {key}: {problem}\n    remedy: {remedy}",
                file.as_ref().unwrap_or(&self.path).display()
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// The file cannot even be read.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let objection = Objection {
            file: None,
            line: 0,
            key: "the file".into(),
            problem: format!("cannot be read: {error}"),
            remedy: "name it with --config PATH or WA_SBC_CONFIG, and let this user read it".into(),
        };
        Self {
            path: path.into(),
            objections: vec![objection],
        }
    }

    /// The file is no TOML, or has keys or values of the wrong kind.
    pub(crate) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let problem = first_line(error.message());
        let remedy = remedy_of(error.message());
        let objection = Objection {
            file: None,
            line: line_of(text, at),
            key: key_at(text, at),
            problem,
            remedy,
        };
        Self {
            path: path.into(),
            objections: vec![objection],
        }
    }
}

/// Collects objections to values whose places in the text are known.
pub(crate) struct Critic<'a> {
    /// The text that is being judged, and its file where that is not the configuration itself.
    text: &'a str,
    file: Option<&'a Path>,
    /// The place of the text among all: objections stay in the order of the files.
    turn: usize,
    configuration: &'a str,
    objections: Vec<(usize, Objection)>,
}

impl<'a> Critic<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            file: None,
            turn: 0,
            configuration: text,
            objections: Vec::new(),
        }
    }

    /// What follows is about the text of another file, the `turn`-th from 1.
    pub(crate) fn turn_to(&mut self, turn: usize, file: &'a Path, text: &'a str) {
        self.text = text;
        self.file = Some(file);
        self.turn = turn;
    }

    /// What follows is about the configuration itself again.
    pub(crate) fn turn_back(&mut self) {
        self.text = self.configuration;
        self.file = None;
        self.turn = 0;
    }

    /// The secret a key names the source of, unless it cannot be had: `remedy` says what to do then.
    pub(crate) fn fetched(
        &mut self,
        source: &Spanned<SecretSource>,
        environment: &dyn Fn(&str) -> Option<String>,
        key: &str,
        remedy: &str,
    ) -> Option<Secret<String>> {
        let fetched = source.get_ref().fetch(environment);
        fetched
            .map_err(|why| self.object(source.span(), key, why, remedy))
            .ok()
    }

    /// Objects to the value at `span` of the key called `key`.
    pub(crate) fn object(
        &mut self,
        span: Range<usize>,
        key: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let objection = Objection {
            file: self.file.map(Path::to_owned),
            line: line_of(self.text, span.start),
            key: key.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        };
        self.objections.push((self.turn, objection));
    }

    /// The objections, if there are any, in the order of the file.
    pub(crate) fn verdict(mut self, path: &Path) -> Result<(), ConfigError> {
        if self.objections.is_empty() {
            return Ok(());
        }
        self.objections
            .sort_by_key(|(turn, objection)| (*turn, objection.line));
        Err(ConfigError {
            path: path.into(),
            objections: self
                .objections
                .into_iter()
                .map(|(_, objection)| objection)
                .collect(),
        })
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The key of the line at `at`, below the last table header above it.
fn key_at(text: &str, at: usize) -> String {
    let mut table = "";
    let mut key = "";
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if start > at {
            break;
        }
        start += line.len();
        let line = line.trim();
        if line.starts_with('[') {
            table = line
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or_default()
                .trim();
            key = "";
        } else if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            key = name.trim();
        }
    }
    match (table, key) {
        ("", "") => "the file".into(),
        (table, "") => table.into(),
        ("", key) => key.into(),
        (table, key) => format!("{table}.{key}"),
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

fn remedy_of(message: &str) -> String {
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    // A message of ours brings its remedy along on a second line.
    if let Some(remedy) = lines.next() {
        return remedy.trim().to_owned();
    }
    if let Some(rest) = first.strip_prefix("unknown field `") {
        let (unknown, expected) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return match known.iter().min_by_key(|known| distance(unknown, known)) {
            Some(nearest) if distance(unknown, nearest) <= 2 => {
                format!("did you mean `{nearest}`?")
            }
            _ => format!("remove it, or use one of: {}", known.join(", ")),
        };
    }
    if let Some(missing) = first
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        return format!("add `{missing} = …` to this table; etc/wa-sbc.toml shows every key");
    }
    "write it as etc/wa-sbc.toml shows it".into()
}

/// Edit distance (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_between_keys() {
        assert_eq!(distance("codec", "codecs"), 1);
        assert_eq!(distance("hsot", "host"), 2);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_key_is_named_below_its_table() {
        let text = "a = 1\n[sip]\n# host = 2\nhost = 3\n[[number]]\n  e164 = 4\n";
        let key = |needle: &str| key_at(text, text.find(needle).expect("in the text"));
        assert_eq!(key("1"), "a");
        assert_eq!(key("[sip"), "sip");
        assert_eq!(key("3"), "sip.host");
        assert_eq!(key("4"), "number.e164");
    }
}
