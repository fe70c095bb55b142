//! The documents say what the program does: every metric has its line in the runbook, every cause and fault its word, every link
//! its target, every fault its test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tests::running::workspace;

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a directory with this ending.
fn files(below: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&workspace().join(below), ending, &mut found);
    found
}

/// Words of a text that begin with one of these and go on with small letters and underscores.
fn words(text: &str, beginnings: &[&str]) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let all = text.split(|c| !is_part(c));
    let named = all.filter(|word| {
        beginnings
            .iter()
            .any(|start| word.starts_with(start) && word.len() > start.len())
    });
    named.map(str::to_owned).collect()
}

#[test]
fn every_metric_has_its_line_in_the_runbook_and_every_line_its_metric() {
    let mut metrics = BTreeSet::new();
    for source in ["metrics", "legs", "load", "memory", "exports"] {
        let source = read(&format!("crates/wa-sbc/src/http/{source}.rs"));
        for quoted in source.split('"').skip(1).step_by(2) {
            metrics.extend(words(quoted, &["wa_sbc_", "process_"]));
        }
    }
    assert!(metrics.len() > 40, "{metrics:?}");
    let runbook = words(&read("docs/runbook.md"), &["wa_sbc_", "process_"]);
    assert_eq!(runbook, metrics);
    let known = |name: &str| {
        let plain = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        metrics.contains(name) || plain.is_some_and(|plain| metrics.contains(plain))
    };
    for named in [
        "docs/troubleshooting.md",
        "docs/operating.md",
        "docs/first-call.md",
        "docs/adr/0018-a-webhook-is-a-queue.md",
    ] {
        for word in words(&read(named), &["wa_sbc_"]) {
            assert!(known(&word), "{named} names {word}, which is no metric");
        }
    }
}

#[test]
fn the_runbook_marks_what_an_alert_watches_and_nothing_else() {
    let rules = read("etc/prometheus/alerts.yml");
    let rules = rules.lines().filter(|line| line.contains("expr:"));
    let plain = |name: &String| {
        let ends = ["_bucket", "_sum", "_count"];
        let cut = ends.iter().find_map(|end| name.strip_suffix(end));
        cut.unwrap_or(name).to_owned()
    };
    let watched: BTreeSet<String> = rules
        .flat_map(|line| words(line, &["wa_sbc_"]))
        .map(|name| plain(&name))
        .collect();
    assert!(watched.len() > 20, "{watched:?}");
    let runbook = read("docs/runbook.md");
    let mut marked = BTreeSet::new();
    for row in runbook
        .lines()
        .filter(|line| line.starts_with("| `wa_sbc_"))
    {
        let cell = row.split('|').nth(1).expect("a cell");
        for end in cell.match_indices("` **A**").map(|(at, _)| at) {
            let name = cell[..end].rsplit('`').next().expect("a name");
            marked.insert(name.to_owned());
        }
    }
    assert_eq!(marked, watched);
}

#[test]
fn every_cause_has_its_line_in_the_runbook() {
    let causes = read("crates/b2bua/src/cause.rs");
    let table = causes.split("fn label(").nth(1).expect("the labels");
    let table = table.split("\n    }\n").next().expect("its end");
    let mut labels: BTreeSet<&str> = table.split('"').skip(1).step_by(2).collect();
    let refusals = read("crates/whatsapp/src/refusal.rs");
    let rules = refusals.split("#[cfg(test)]").next().expect("the rules");
    let of_meta: Vec<&str> = rules
        .split("(\"")
        .skip(1)
        .filter_map(|rest| rest.split_once("\", "))
        .filter(|(_, status)| status.starts_with(|c: char| c.is_ascii_digit()))
        .map(|(label, _)| label)
        .collect();
    labels.extend(of_meta);
    assert!(labels.len() > 35, "{labels:?}");
    let runbook = read("docs/runbook.md");
    for label in labels
        .iter()
        .filter(|label| label.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    {
        assert!(
            runbook.contains(&format!("`{label}`")),
            "the cause {label} is not in docs/runbook.md"
        );
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| workspace().join(name)));
    let mut links = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            links += 1;
            let there = document.parent().expect("a directory").join(path);
            assert!(there.exists(), "{} links to {target}", document.display());
        }
    }
    assert!(links > 40, "{links}");
}

#[test]
fn each_of_twenty_faults_has_a_test_that_is_there() {
    let text = read("docs/faults.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| {
            line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit)
        })
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 20);
    let sources: String = ["tests/tests", "crates/wa-sbc/tests", "crates/wa-sbc/src"]
        .iter()
        .flat_map(|below| files(below, ".rs"))
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    for row in rows {
        let tests: Vec<&str> = row[5].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row:?} names no test");
        for test in tests {
            assert!(
                sources.contains(&format!("fn {test}()")),
                "{test} is no test"
            );
        }
    }
}

#[test]
fn the_walk_through_the_code_names_functions_that_are_there() {
    let text = read("docs/ARCHITECTURE.md");
    let (_, walk) = text
        .split_once("### The same INVITE, file by file")
        .expect("the walk");
    let walk = walk.split("\n## ").next().expect("its end");
    let mut named = 0;
    for row in walk.lines().filter(|line| line.contains("`crates/")) {
        let mut source = String::new();
        for function in row.split('`').skip(1).step_by(2) {
            if function.starts_with("crates/") {
                source = read(function);
                continue;
            }
            if source.is_empty() {
                // Words of the story, before the first file.
                continue;
            }
            named += 1;
            let there = [format!("fn {function}("), format!("fn {function}<")];
            assert!(
                there.iter().any(|words| source.contains(words)),
                "no {function}: {row}"
            );
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn every_recipe_the_documents_name_is_in_the_makefile_and_says_what_it_does() {
    let makefile = read("Makefile");
    let recipes: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, rest)| rest.contains("## ") && !name.contains([' ', '.', '\t']))
        .map(|(name, _)| name)
        .collect();
    let mut documents = files("docs", ".md");
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| workspace().join(name)));
    let mut named = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        let spans = text.split('`').skip(1).step_by(2);
        let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
        for words in spans
            .chain(blocks)
            .filter_map(|code| code.strip_prefix("make "))
        {
            let recipe = words.split_whitespace().find(|word| !word.contains('='));
            let recipe = recipe.unwrap_or_default();
            assert!(
                recipes.contains(recipe),
                "{}: make {words}",
                document.display()
            );
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}

/// What every crate in the build says of its licence, and where it comes from, as cargo itself knows it.
#[test]
fn every_crate_we_are_made_of_is_given_freely_and_comes_from_the_registry() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--filter-platform")
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // One list: deny.toml has it, for cargo-deny, where that is installed.
    let deny = read("deny.toml");
    let list = |after: &str| -> BTreeSet<String> {
        let list = deny
            .split(after)
            .nth(1)
            .expect("a list")
            .split("\n]")
            .next();
        let quoted = list.expect("its end").split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let allowed = list("allow = [");
    assert!(
        allowed.contains("MIT") && !allowed.iter().any(|name| name.contains("GPL")),
        "{allowed:?}"
    );
    let tables = |name: &str| {
        deny.split(&format!("[[{name}]]"))
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let word = |table: &str, key: &str| {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split('"').nth(1))
            .unwrap_or_default()
            .to_owned()
    };
    let clarified: Vec<String> = tables("licenses.clarify")
        .iter()
        .map(|table| word(table, "crate"))
        .collect();
    let banned: Vec<String> = tables("bans.deny")
        .iter()
        .map(|table| word(table, "crate"))
        .collect();
    assert!(banned.contains(&"openssl-sys".to_owned()), "{banned:?}");
    // `A OR B` is fine if one is, `A AND B` if both are; brackets only ever stand around the whole of one side.
    let is_fine = |expression: &str| {
        let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
        plain
            .split(" AND ")
            .all(|all| all.split(" OR ").any(|one| allowed.contains(one.trim())))
    };
    let packages = all["packages"].as_array().expect("packages");
    let mut foreign = 0;
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        assert!(
            !banned.contains(&name.to_owned()),
            "{name} is banned by deny.toml"
        );
        let Some(source) = package["source"].as_str() else {
            continue; // ours
        };
        foreign += 1;
        assert!(
            source.starts_with("registry+"),
            "{name} comes from {source}"
        );
        match package["license"].as_str() {
            Some(licence) => assert!(is_fine(licence), "{name} is {licence}"),
            None => assert!(
                clarified.contains(&name.to_owned()),
                "{name} says nothing of its licence"
            ),
        }
    }
    assert!(foreign > 150, "{foreign} of {}", packages.len());
}

/// The lines of tables in a document, as cells.
fn rows(document: &str) -> Vec<Vec<String>> {
    let lines = document.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.map(cells).collect()
}

#[test]
fn every_decision_is_in_the_index_under_its_name() {
    let listed = read("docs/adr/README.md");
    let mut decisions = 0;
    for file in std::fs::read_dir(workspace().join("docs/adr")).expect("it is there") {
        let file = file.expect("readable").file_name();
        let file = file.to_str().expect("plain");
        if file == "README.md" {
            continue;
        }
        decisions += 1;
        let title = read(&format!("docs/adr/{file}"));
        let title = title.lines().next().expect("a title");
        let named = title.strip_prefix(&format!("# {}. ", &file[..4]));
        let named = named.unwrap_or_else(|| panic!("{file} begins with its number: {title}"));
        let row = format!("[{named}]({file})");
        assert!(listed.contains(&row), "docs/adr/README.md lacks {row}");
    }
    assert_eq!(listed.matches("](0").count(), decisions, "{listed}");
}

#[test]
fn every_crate_a_manifest_names_has_its_row_with_its_licences() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = all["packages"].as_array().expect("packages");
    let ours = packages
        .iter()
        .filter(|package| package["source"].is_null());
    let named: BTreeSet<&str> = ours
        .flat_map(|package| package["dependencies"].as_array().expect("a list"))
        .filter(|dependency| !dependency["source"].is_null())
        .map(|dependency| dependency["name"].as_str().expect("a name"))
        .collect();
    assert!(named.len() > 40, "{named:?}");

    let document = read("docs/DEPENDENCIES.md");
    let used = document
        .split("\n## ")
        .find(|part| part.starts_with("Used"));
    let rows = rows(used.expect("the table"));
    for name in named {
        let is_word = |cell: &str| {
            let not_of_names = |c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c));
            cell.split(not_of_names).any(|word| word == name)
        };
        let row = rows.iter().find(|row| is_word(&row[2]));
        let row = row.unwrap_or_else(|| panic!("docs/DEPENDENCIES.md does not list {name}"));
        let package = packages.iter().find(|package| package["name"] == name);
        let Some(licence) = package.and_then(|package| package["license"].as_str()) else {
            continue; // told in words
        };
        // One of those offered is enough, where the document says which.
        let offered = licence.split(" OR ").flat_map(|part| part.split('/'));
        let mut offered = offered.filter(|licence| !licence.contains(" WITH "));
        assert!(
            offered.any(|licence| row[3].contains(licence)),
            "{name} is under {licence}, its row says {}",
            row[3]
        );
    }
}
