//! Every command line of ours that a document, an alert or a script names is one this program takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;

/// A command line in its words, and where it stands.
#[derive(Debug)]
struct Named {
    place: String,
    words: Vec<String>,
    /// Out of a sentence, where words that are obvious may be missing.
    in_passing: bool,
}

/// Words of a shell, as far as documents use one: quotes, and what ends a command.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quote, mut is_word) = (String::new(), None, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.push(letter),
            // One that nobody closes closes what stands before us: sh -c '…'.
            (None, '\'' | '"') if !letters.clone().any(|next| next == letter) => break,
            (None, '\'' | '"') => (quote, is_word) = (Some(letter), true),
            (None, '|' | '>' | '&' | ';' | ')' | '#') => break,
            (None, '<')
                if letters
                    .clone()
                    .take_while(|next| *next != '\n')
                    .any(|next| next == '>') =>
            {
                // A placeholder: whoever reads puts his number there.
                letters
                    .by_ref()
                    .take_while(|next| *next != '>')
                    .for_each(drop);
                word.push_str("+17125550259");
                is_word = true;
            }
            (None, '<') => break,
            (None, '[' | ']') => {}
            (None, white) if white.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            (None, letter) => {
                word.push(letter);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    // `2>file`: the number belongs to what was cut off.
    if words.last().is_some_and(|last| last == "2") && text.contains("2>") {
        words.pop();
    }
    words
}

/// Where in a line commands of ours begin.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, name) in line.match_indices("wa-sbc") {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let goes_on = after.is_empty() || after.starts_with(' ');
        let by_path = before.ends_with('/');
        let before = match by_path {
            true => before
                .rsplit_once([' ', '\'', '(', '`'])
                .map_or("", |(before, _)| before),
            false => before,
        };
        let mut earlier = before.split_whitespace().rev();
        let last = earlier.next().unwrap_or_default();
        let is_assignment = last.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        let begins = last.is_empty()
            || ["sudo", "$", "|", "&&", ";", "--"].contains(&last)
            || last.ends_with(['\'', '(', ';'])
            || is_assignment
            || last.ends_with(')') && before.contains("=$(")
            || earlier.next() == Some("-u");
        if goes_on && begins && (!before.ends_with(|c: char| c.is_ascii_alphanumeric())) {
            let mut command = vec!["wa-sbc".to_owned()];
            command.extend(words(after));
            let is_simulator = command.get(1).is_some_and(|word| word == "sim");
            if is_simulator && before.contains("WA_SIP_PASSWORD=") {
                command.extend(["--password", "given"].map(str::to_owned));
            }
            found.push(command);
        }
    }
    found
}

/// Blocks of code, fenced or indented, with their continued lines joined; and spans of code in sentences.
fn in_document(path: &Path, text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let (mut fenced, mut joined) = (false, String::new());
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            match line.strip_suffix('\\') {
                Some(part) => joined += part,
                None => {
                    joined += line;
                    let lines = commands(joined.trim());
                    found.extend(lines.into_iter().map(|words| Named {
                        place: place.clone(),
                        words,
                        in_passing: false,
                    }));
                    joined.clear();
                }
            }
            continue;
        }
        for span in line.split('`').skip(1).step_by(2) {
            found.extend(commands(span).into_iter().map(|words| Named {
                place: place.clone(),
                words,
                in_passing: true,
            }));
        }
    }
    found
}

/// Every document, and what is installed beside the program.
fn everything() -> Vec<Named> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    let mut directories = vec![root.join("docs")];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(directory).expect("a directory");
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => directories.push(path),
                false if path.extension().is_some_and(|ending| ending == "md") => {
                    documents.push(path);
                }
                false => {}
            }
        }
    }
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("a text");
    let mut all: Vec<Named> = documents
        .iter()
        .flat_map(|path| in_document(path.strip_prefix(&root).unwrap_or(path), &read(path)))
        .collect();
    for installed in [
        "prometheus/alerts.yml",
        "systemd/wa-sbc.service",
        "install.sh",
        "debian/postinst",
    ] {
        let path = root.join("etc").join(installed);
        for (number, line) in read(&path).lines().enumerate() {
            let line = line
                .trim()
                .trim_start_matches("remedy: \"")
                .trim_start_matches("ExecStart=");
            let mut lines = commands(line);
            // Sentences go on: "wa-sbc doctor, or GET …"; or begin: "wa-sbc is installed".
            lines.iter_mut().flatten().for_each(|word| {
                word.truncate(word.trim_end_matches([',', ':', '.']).len());
            });
            lines.retain(|words| words.get(1).is_none_or(|word| word != "is"));
            all.extend(lines.into_iter().map(|words| Named {
                place: format!("etc/{installed}:{}", number + 1),
                words,
                in_passing: true,
            }));
        }
    }
    all
}

#[test]
fn every_command_line_in_the_documents_is_one_we_take() {
    let all = everything();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for named in &all {
        used.extend(named.words.get(1).cloned());
        let Err(error) = Cli::try_parse_from(&named.words) else {
            continue;
        };
        let fine = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => named.in_passing,
            // The name of a flag, without what it takes.
            ErrorKind::InvalidValue => {
                let last = named.words.last();
                named.in_passing && last.is_some_and(|word| word.starts_with("--"))
            }
            // A sentence goes on behind the command: "wa-sbc doctor says why".
            ErrorKind::UnknownArgument => {
                named.in_passing
                    && named.place.starts_with("etc/")
                    && named.words.get(2).is_none_or(|word| !word.starts_with('-'))
            }
            _ => false,
        };
        if !fine {
            wrong.push(format!("{}: {:?}\n{error}", named.place, named.words));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let strict = all.iter().filter(|named| !named.in_passing).count();
    assert!(strict > 15 && all.len() > 60, "{strict} of {}", all.len());
    for command in [
        "demo", "init", "check", "doctor", "calls", "ladder", "capture", "replay", "sim",
    ] {
        assert!(used.contains(command), "no document shows wa-sbc {command}");
    }
}

#[test]
fn commands_are_found_where_a_shell_would_begin_one_and_nowhere_else() {
    let of = |line: &str| -> Vec<String> {
        commands(line)
            .into_iter()
            .map(|all| all.join(" "))
            .collect()
    };
    assert_eq!(of("sudo -u wa-sbc wa-sbc check"), ["wa-sbc check"]);
    assert_eq!(
        of("sudo sh -c 'X=$(cat /etc/wa-sbc/word) wa-sbc sim meta --calls 1' >log"),
        ["wa-sbc sim meta --calls 1"]
    );
    assert_eq!(
        of("target/release/wa-sbc calls --last 5 2>&1 | less"),
        ["wa-sbc calls --last 5"]
    );
    assert_eq!(
        of("wa-sbc ladder <wacid | number> # both legs"),
        ["wa-sbc ladder +17125550259"]
    );
    for none in [
        "systemctl reload wa-sbc",
        "journalctl -fu wa-sbc",
        "/etc/wa-sbc/key.pem",
        "install -g wa-sbc key.pem",
    ] {
        assert!(of(none).is_empty(), "{none}: {:?}", of(none));
    }
    assert!(
        Cli::try_parse_from(["wa-sbc", "calls", "--latest", "5"]).is_err(),
        "the judge can say no"
    );
}
