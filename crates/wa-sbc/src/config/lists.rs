//! `number_files`: business numbers in files of their own, so that whoever provisions numbers
//! need not touch the configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::file::Number;
use super::objection::ConfigError;

/// A file of `[[number]]` tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    number: Vec<Spanned<Number>>,
}

/// A file of `[[number]]` tables, read.
#[derive(Debug)]
pub(super) struct NumberList {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) numbers: Vec<Spanned<Number>>,
}

impl NumberList {
    /// Reads one file.
    fn load(path: PathBuf) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::unreadable(&path, &error))?;
        let tables: Tables =
            toml::from_str(&text).map_err(|error| ConfigError::syntax(&path, &text, &error))?;
        Ok(Self {
            path,
            text,
            numbers: tables.number,
        })
    }
}

/// Reads every file the patterns name; a relative one is looked for beside the configuration.
pub(super) fn load(
    configuration: &Path,
    patterns: &[String],
) -> Result<Vec<NumberList>, ConfigError> {
    let mut lists = Vec::new();
    for pattern in patterns {
        for path in matching(configuration, pattern) {
            lists.push(NumberList::load(path)?);
        }
    }
    Ok(lists)
}

/// The files a pattern names, in the order of their names. Stars stand in the last part only; a
/// pattern without one names its file whether it exists or not.
pub(super) fn matching(configuration: &Path, pattern: &str) -> Vec<PathBuf> {
    let beside = configuration.parent().unwrap_or(Path::new(""));
    let path = beside.join(pattern);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return vec![path];
    };
    let name = name.to_string_lossy().into_owned();
    if !name.contains('*') {
        return vec![path];
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| fits(&name, &entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a name fits a pattern in which `*` stands for anything. As in a shell, a name that
/// begins with a dot fits no pattern that does not.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn names_and_patterns() {
        let cases = [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("*.toml", ".a.toml", false),
            ("*", "anything", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*b", "ab", false),
            ("x", "x", true),
            ("x", "xy", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
