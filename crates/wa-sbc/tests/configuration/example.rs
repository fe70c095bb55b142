//! What `etc/wa-sbc.toml` shows: every key there is, its default, and a word on it.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};
use wa_sbc::config::File;

use super::{MINIMAL, NETWORKS, read};

const EXAMPLE: &str = include_str!("../../../../etc/wa-sbc.toml");

/// The example with every `#key = value` switched on.
fn uncommented() -> String {
    let switched = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(switched).collect::<Vec<_>>().join("\n")
}

/// The keys a table may have: what the reader itself says when it meets a wrong one.
fn known_keys(table: &str) -> BTreeSet<String> {
    let header = match table {
        "" => String::new(),
        "number" | "trunk" | "listener" | "group" => format!("[[{table}]]\n"),
        "group.members" => format!("[[group]]\n[[{table}]]\n"),
        "listener.certificates" => format!("[[listener]]\n[[{table}]]\n"),
        table if table.ends_with(".certificates") => format!("[[{table}]]\n"),
        table if table.starts_with("trunk.") => format!("[[trunk]]\n[{table}]\n"),
        table => format!("[{table}]\n"),
    };
    let error = File::parse(Path::new("x"), &format!("{header}no_such_key = 1\n"))
        .expect_err("an unknown key");
    let problem = &error.objections[0].problem;
    assert!(problem.starts_with("unknown field"), "{problem}");
    problem
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn compare(path: &str, table: &Table) {
    let written: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(
        written,
        known_keys(path),
        "keys of [{path}] in etc/wa-sbc.toml and in the program"
    );
    for (key, value) in table {
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            Value::Table(table) if !table.contains_key("env") => compare(&below, table),
            Value::Array(tables) => {
                let mut all = Table::new();
                all.extend(
                    tables
                        .iter()
                        .filter_map(Value::as_table)
                        .flat_map(Clone::clone),
                );
                if !all.is_empty() {
                    compare(&below, &all);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_example_has_every_key_there_is_and_no_other() {
    compare("", &uncommented().parse().expect("TOML"));
}

#[test]
fn the_example_shows_the_defaults() {
    let all: Table = uncommented().parse().expect("TOML");
    let defaults: Table = File::parse(Path::new("x"), MINIMAL)
        .expect("valid")
        .print()
        .parse()
        .expect("TOML");
    let required = [
        "host", "tls", "udp", "public", "private", "e164", "password", "trunk", "name", "peer",
    ];
    let mut compared = 0;
    for (table, value) in &defaults {
        let first = |value: &Value| match value {
            Value::Array(tables) => tables[0].as_table().cloned(),
            other => other.as_table().cloned(),
        };
        let (Some(default), Some(shown)) = (first(value), all.get(table).and_then(first)) else {
            panic!("{table} is no table");
        };
        for (key, value) in default
            .iter()
            .filter(|(key, _)| !required.contains(&key.as_str()))
        {
            assert_eq!(shown.get(key), Some(value), "[{table}] {key}");
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared}");
}

#[test]
fn the_example_is_valid_as_it_stands_and_with_everything_switched_on() {
    for text in [EXAMPLE.to_owned(), uncommented()] {
        let text = text.replace("/etc/wa-sbc/meta-networks.txt", NETWORKS);
        read(&text).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_key_of_the_example_has_a_word_of_explanation() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let is_key = |line: &str| {
        let line = line.strip_prefix('#').unwrap_or(line);
        line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ")
    };
    let explained = |index: usize| {
        lines[..index]
            .iter()
            .rev()
            .take_while(|line| !line.is_empty())
            .any(|line| line.starts_with("# "))
    };
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_key(line)) {
        assert!(
            explained(index) || lines[index - 1].starts_with('['),
            "{}: {line}",
            index + 1
        );
    }
}
