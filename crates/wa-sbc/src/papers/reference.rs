//! The reference of the configuration, read from the commented one.

/// One key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    /// The default; for a key that has to be written, an example.
    pub(super) value: String,
    /// It has no default, or its absence means something of its own, which the words say.
    pub(super) is_example: bool,
    /// What it means.
    pub(super) words: String,
}

/// One table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// As it is written: `[sip]`, `[[number]]`; empty for what stands before all tables.
    pub(super) header: String,
    pub(super) words: String,
    pub(super) keys: Vec<Key>,
}

/// The tables of the commented configuration: `# words`, `#key = default`, `key = example`, `[table]`.
pub(super) fn tables(text: &str) -> Vec<Table> {
    let mut tables = vec![Table {
        header: String::new(),
        words: String::new(),
        keys: Vec::new(),
    }];
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines() {
        let unset = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        let comment = line.strip_prefix('#').filter(|_| unset.is_none());
        if let Some(comment) = comment {
            words.push(comment.trim());
        } else if line.starts_with('[') {
            tables.push(Table {
                header: line.to_owned(),
                words: std::mem::take(&mut words).join(" "),
                keys: Vec::new(),
            });
        } else if let Some((name, value)) = unset.unwrap_or(line).split_once(" = ") {
            let mut said = std::mem::take(&mut words).join(" ");
            let keys = &mut tables.last_mut().expect("the first is there").keys;
            // Two keys under one comment share it.
            if said.is_empty()
                && let Some(above) = keys.last()
            {
                said.clone_from(&above.words);
            }
            keys.push(Key {
                name: name.to_owned(),
                value: value.to_owned(),
                is_example: unset.is_none() || said.contains("Default:"),
                words: said,
            });
        } else if let Some(first) = tables.last_mut().filter(|table| table.keys.is_empty()) {
            // What stands above an empty line is about the whole file.
            if !words.is_empty() {
                first.words = std::mem::take(&mut words).join(" ");
            }
        }
    }
    tables
}

/// The reference as it stands in `docs/configuration.md`.
pub(super) fn markdown(tables: &[Table]) -> String {
    let mut text = String::from(
        "# The configuration, key by key\n\n\
         Written by `make reference` out of `etc/wa-sbc.toml`, which a test holds to the keys and defaults of the program. \
         `wa-sbc check` finds mistakes by file, line and key; `wa-sbc print-config` prints what holds. Where a key has no \
         default of its own, an example stands there and the words say what its absence means.\n",
    );
    for table in tables {
        if table.header.is_empty() {
            text.push_str("\n## Before all tables\n");
        } else {
            text.push_str(&format!("\n## `{}`\n", table.header));
            if !table.words.is_empty() {
                text.push_str(&format!("\n{}\n", escaped(&table.words)));
            }
        }
        text.push_str("\n| key | default | what it is |\n|---|---|---|\n");
        for key in &table.keys {
            let example = if key.is_example { "e.g. " } else { "" };
            text.push_str(&format!(
                "| `{}` | {example}`` {} `` | {} |\n",
                key.name,
                key.value.replace('|', "\\|"),
                escaped(&key.words)
            ));
        }
    }
    text
}

/// What would be markup stands as it is written.
fn escaped(words: &str) -> String {
    let mut text = String::new();
    // Between backticks nothing is markup but the bar of a table.
    for (index, part) in words.split('`').enumerate() {
        if index > 0 {
            text.push('`');
        }
        for char in part.chars() {
            if char == '|' || (index % 2 == 0 && matches!(char, '*' | '<' | '>' | '_')) {
                text.push('\\');
            }
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keys_defaults_and_examples_are_told_apart() {
        let text = "# All of it.\n# Secrets never.\n\n# Above. Default: none.\n#first = [\"a\"]\n\n# A table.\n[sip]\n\
                    # The name.\nhost = \"sbc\"\n# How many.\n#calls = 3\n#more = 4\n";
        let tables = tables(text);
        assert_eq!(tables[0].words, "All of it. Secrets never.");
        assert_eq!(
            (tables[1].header.as_str(), tables[1].words.as_str()),
            ("[sip]", "A table.")
        );
        let keys: Vec<_> = tables
            .iter()
            .flat_map(|table| &table.keys)
            .map(|key| (key.name.as_str(), key.value.as_str(), key.is_example))
            .collect();
        let expected = [
            ("first", "[\"a\"]", true),
            ("host", "\"sbc\"", true),
            ("calls", "3", false),
            ("more", "4", false),
        ];
        assert_eq!(keys, expected);
        assert_eq!(tables[1].keys[2].words, "How many.");
    }

    #[test]
    fn the_reference_among_the_documents_is_the_one_of_this_program() {
        let ours = markdown(&super::tables(super::super::CONFIGURATION));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("WA_SBC_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &ours).expect("the documents are writable");
        }
        let theirs = std::fs::read_to_string(path).expect("the reference");
        assert!(ours == theirs, "run: make reference");
    }
}
