//! docs/media-rules.md says which test notices what: each has to be one.

use std::fmt::Write;
use std::path::Path;

/// All Rust below `directory`.
fn read(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory of ours") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|of| of == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            writeln!(into, "{text}").expect("a string takes all");
        }
    }
}

#[test]
fn every_test_the_rules_of_media_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = std::fs::read_to_string(root.join("docs/media-rules.md")).expect("the rules");
    let mut tests = String::new();
    for directory in [
        "crates/media",
        "crates/wa-sbc/src/media",
        "crates/wa-sbc/tests/media",
        "tests/tests",
    ] {
        read(&root.join(directory), &mut tests);
    }
    let rows = rules.lines().filter(|line| line.starts_with('|'));
    let named: Vec<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|name| name.contains('_'))
        .collect();
    assert!(named.len() > 110, "{} named", named.len());
    for name in named {
        // A test, not a function that lost its attribute.
        let called = format!("fn {name}(");
        let at = tests
            .find(&called)
            .unwrap_or_else(|| panic!("{name} is no test"));
        let before = &tests[at.saturating_sub(120)..at];
        assert!(before.contains("#[test]"), "{name} is no test");
    }
}
