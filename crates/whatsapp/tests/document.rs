//! The tables of `docs/meta.md` are made from the facts, between two marks; what stands before
//! them is written by hand. `UPDATE_DOCS=1 cargo test -p whatsapp` makes them anew.

use std::fmt::Write as _;
use std::path::Path;

use whatsapp::refusal::Retry;
use whatsapp::{facts, networks, refusal};

const TITLES: [(&str, &str); 12] = [
    ("1", "Identifiers"),
    ("2", "Transport and TLS"),
    ("3", "Addressing"),
    ("4", "Digest authentication"),
    ("5", "Headers and routing"),
    ("6", "User-initiated calls"),
    ("7", "Business-initiated calls"),
    ("8", "Refusals"),
    ("9", "Limits"),
    ("10", "Media"),
    ("11", "Compliance and money"),
    ("12", "Call permissions"),
];

const BEGIN: &str =
    "<!-- facts: made from crates/whatsapp by UPDATE_DOCS=1 cargo test -p whatsapp -->\n";
const END: &str = "<!-- end of facts -->\n";

fn tables() -> String {
    let mut text = String::from(
        "\n## The facts in the code\n\n\
         Each carries its section, how far to trust it (*documented* by Meta, a *public copy* of\n\
         Meta's documentation, a report from the *field*, *inferred* by us) and the state of its source.\n",
    );
    let all = facts::all();
    for (section, title) in TITLES {
        let of_section = all
            .iter()
            .filter(|fact| fact.section.split('.').next() == Some(section));
        let _ = write!(
            text,
            "\n### {section} {title}\n\n| fact | value | what follows | source |\n| --- | --- | --- | --- |\n"
        );
        for fact in of_section {
            let _ = writeln!(
                text,
                "| {} `{}` | `{}` | {} | {}, {}, {} |",
                fact.what,
                fact.name,
                fact.value,
                fact.consequence,
                fact.section,
                fact.origin.label(),
                fact.date,
            );
        }
        if section == "8" {
            text.push_str(&refusals());
        }
    }
    text.push_str(&addresses());
    text
}

fn refusals() -> String {
    let mut text = String::from(
        "\nMeta's final answers to an INVITE. The first fitting row counts; what has no row is mapped\n\
         by RFC 3398 and not tried again. A bell marks what somebody has to mend.\n\
         \n\
         | Meta says | cause | the PBX gets | another call | what to know or do |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for row in refusal::TABLE {
        let (rule, meaning) = (row.rule, row.rule.meaning);
        let part = rule
            .text
            .map_or(String::new(), |part| format!(" `…{part}…`"));
        let retry = match row.retry {
            Retry::Never => "never".to_owned(),
            Retry::Once { least, most } => format!("once, after {least:?} to {most:?}"),
            Retry::OnceWithNewPassword => "once, with a new password".to_owned(),
            Retry::WhenLimitFrees => "when the limit frees".to_owned(),
        };
        let bell = if meaning.alarm { " 🔔" } else { "" };
        let _ = writeln!(
            text,
            "| {}{part} | `{}`{bell} | {}, Q.850 {} | {retry} | {} |",
            rule.status, meaning.label, meaning.sip, meaning.q850, meaning.hint,
        );
    }
    text
}

fn addresses() -> String {
    let list: Vec<String> = networks::NETWORKS
        .iter()
        .map(|network| format!("    {network}\n"))
        .collect();
    format!(
        "\n### Addresses\n\nPrefixes of AS32934 as of {}; they serve signalling, media and webhooks. The list ages:\n\
         a fresher one belongs into the configuration.\n\n{}",
        networks::AS_OF,
        list.concat(),
    )
}

/// The document with its tables made anew: in place of the old ones, or at the end.
fn renewed(document: &str) -> String {
    let before = document
        .split_once(BEGIN)
        .map_or(document, |(before, _)| before);
    let after = document.split_once(END).map_or("", |(_, after)| after);
    format!("{}\n\n{BEGIN}{}\n{END}{after}", before.trim_end(), tables())
}

#[test]
fn every_fact_is_in_a_table_of_the_document() {
    let text = tables();
    for fact in facts::all() {
        assert!(text.contains(&format!("`{}`", fact.name)), "{}", fact.name);
    }
    for line in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        assert!(
            matches!(line.matches(" | ").count(), 3 | 4),
            "a table row is broken: {line}"
        );
    }
}

#[test]
fn the_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/meta.md");
    let mut written = std::fs::read_to_string(&path).expect("docs/meta.md is there");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        written = renewed(&written);
        std::fs::write(&path, &written).expect("docs/meta.md can be written");
    }
    assert!(
        written == renewed(&written),
        "docs/meta.md is stale: run `UPDATE_DOCS=1 cargo test -p whatsapp`"
    );
}
