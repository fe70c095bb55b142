//! `[records.postgres]`.

use super::{MINIMAL, read};

#[test]
fn a_database_is_named_without_a_password_and_a_socket_has_no_tls() {
    let with = |lines: &str| read(&format!("{MINIMAL}\n[records.postgres]\n{lines}\n"));
    let postgres = |lines: &str| {
        let settings = with(lines).unwrap_or_else(|error| panic!("{error}"));
        settings.records.postgres.expect("a database")
    };
    assert!(postgres("url = \"postgresql://me@db.example.com/calls\"").tls);
    assert!(!postgres("url = \"postgresql://me@db.example.com/calls\"\ntls = false").tls);
    assert!(!postgres("url = \"postgresql://me@%2Frun%2Fpostgresql/calls\"").tls);
    for (lines, words) in [
        (
            "url = \"postgresql://me:hunter2@db/calls\"",
            "a password may not stand",
        ),
        ("url = \"mysql://db\"", "this names no database"),
        ("url = \"postgresql:///calls\"", "no host, or no user"),
        (
            "url = \"postgresql://me@db\"\ntable = \"a b\"",
            "no name of a table",
        ),
    ] {
        let error = with(lines).map(|_| ()).expect_err(lines);
        assert!(error.contains(words), "{error}");
        assert!(error.contains("remedy:"), "{error}");
    }
}
