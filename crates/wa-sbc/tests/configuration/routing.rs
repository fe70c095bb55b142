//! Rules about headers and numbers, and where calls go.

use super::{MINIMAL, read, with};

/// The minimal configuration with more keys of its trunk.
fn with_trunk_keys(keys: &str) -> String {
    format!("{MINIMAL}{keys}\n")
}

#[test]
fn rules_about_headers_and_numbers_are_judged_when_the_file_is_read() {
    let cases = [
        (
            "to_meta = [{ set = \"Via\", value = \"x\" }]",
            "trunk.to_meta: Via is fixed by the call itself; no rule may touch it",
        ),
        (
            "to_meta = [{ set = \"From\", value = \"<sip:${number}@elsewhere.example>\" }]",
            "trunk.to_meta: meta refuses calls whose From has another host",
        ),
        (
            "to_meta = [{ set = \"To\", value = \"<sip:1@${domain}>\" }]",
            "trunk.to_meta: To is fixed by what meta accepts",
        ),
        (
            "to_pbx = [{ set = \"X-A\", add = \"X-A\", value = \"x\" }]",
            "trunk.to_pbx: a rule has exactly one of add, set, remove, rename and copy",
        ),
        (
            "to_pbx = [{ copy = \"X-A\", match = \"(\" }]",
            "trunk.to_pbx: `match` is no regular expression: unclosed group",
        ),
        (
            "to_pbx = [{ set = \"X-A\", value = \"${usr}\" }]",
            "trunk.to_pbx: `value`: ${usr} is no variable",
        ),
        (
            "pass_to_meta = [\"C*\"]",
            "trunk.pass_to_meta: `C*` does not say how the names begin",
        ),
        (
            "pass_to_meta = [\"Con*\"]",
            "trunk.pass_to_meta: Contact is fixed by the call itself",
        ),
        (
            "identity = \"pai\"",
            "trunk.identity: `pai` is no way to tell who calls",
        ),
        (
            "numbers = { country = \"+49\" }",
            "trunk.numbers.country: `+49` is not made of digits",
        ),
        (
            "numbers = { show = \"national\" }",
            "trunk.numbers.show: without a country no number is national",
        ),
        (
            "numbers = { dialled = [{ becomes = \"1\" }] }",
            "trunk.numbers.dialled: it has either `prefix` or `match`",
        ),
    ];
    for (keys, expected) in cases {
        let error = read(&with_trunk_keys(keys)).expect_err(keys);
        let place = format!("wa-sbc.toml:18: {expected}");
        assert!(error.starts_with(&place), "{keys}:\n{error}");
        assert!(error.contains("\n    remedy: "), "{error}");
    }
}

#[test]
fn rules_about_headers_and_numbers_are_compiled() {
    let settings = read(&with_trunk_keys(
        "pass_to_pbx = [\"User-to-User\", \"X-*\"]\n\
         to_pbx = [{ set = \"X-Customer\", value = \"${user}\" }, { remove = \"X-WA-*\" }]\n\
         identity = \"asserted\"\n\
         numbers = { country = \"49\", national_prefix = \"0\", show = \"national\" }",
    ))
    .expect("valid");
    let policy = &settings.core.trunks[0].policy;
    assert!(!policy.to_pbx.is_empty() && policy.to_carrier.is_empty());
    let number = policy.numbers.dialled("0301234567").expect("a number");
    assert_eq!(number.plus(), "+49301234567");
    assert_eq!(policy.numbers.shown(&number), "0301234567");
}

#[test]
fn mistakes_about_where_calls_go_are_named() {
    let trunk = with_trunk_keys;
    let number = |keys: &str| {
        with(
            "trunk = \"office\"\n",
            &format!("trunk = \"office\"\n{keys}\n"),
        )
    };
    let cases = [
        (
            trunk("[[group]]\nname = \"office\"\nmembers = [{ trunk = \"office\" }]"),
            "group.name: a trunk or a group has this name already",
        ),
        (
            trunk("[[group]]\nname = \"all\"\nmembers = [{ trunk = \"nowhere\" }]"),
            "group.members: there is no trunk \"nowhere\"",
        ),
        (
            trunk("[[group]]\nname = \"all\"\nmembers = []"),
            "group.members: the group is empty",
        ),
        (
            number("routes = [{ user_params = { tgrp = \"x\" }, trunk = \"nowhere\" }]"),
            "number.routes: there is no trunk \"nowhere\"",
        ),
        (
            number("routes = [{ user_params = {}, trunk = \"office\" }]"),
            "number.routes: a route needs user parameters",
        ),
        (
            number("keying = \"dtls\""),
            "number.keying: DTLS-SRTP is not carried yet",
        ),
        (
            trunk("hours = { timezone = \"Europe/Atlantis\" }"),
            "trunk.hours.timezone: `Europe/Atlantis` is no time zone",
        ),
        (
            trunk("hours = { open = [\"weekdays\"] }"),
            "trunk.hours.open: `weekdays` does not say days and hours",
        ),
        (
            trunk("hours = { outside = \"nowhere\" }"),
            "trunk.hours.outside: there is no trunk \"nowhere\"",
        ),
        (
            trunk("[alias]\nrange = \"+999-+99900999999\""),
            "alias.range: `+999-+99900999999` is no range of numbers",
        ),
    ];
    for (text, expected) in cases {
        let error = read(&text).expect_err(expected);
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("\n    remedy: "), "{error}");
    }
}

#[test]
fn a_number_may_go_to_a_group_and_by_user_parameters() {
    let text = with(
        "trunk = \"office\"\n",
        "trunk = \"all\"\nroutes = [{ user_params = { tgrp = \"x\" }, trunk = \"office\" }]\n",
    ) + "hours = { timezone = \"Europe/Berlin\", open = [\"mon-fri 08:00-18:00\"], outside = \"all\" }\n\
         [[group]]\nname = \"all\"\nmembers = [{ trunk = \"office\", weight = 3 }]\n\
         [alias]\nrange = \"+99900000000-+99900999999\"\n";
    let core = read(&text).expect("valid").core;
    assert_eq!(&*core.numbers[0].trunk, "all");
    assert_eq!(&*core.numbers[0].routes[0].trunk, "office");
    assert_eq!(core.groups[0].members[0].weight, 3);
    let policy = &core.trunks[0].policy;
    let hours = policy.hours.as_ref().expect("hours");
    assert_eq!(
        (hours.open.len(), hours.zone.name.as_str()),
        (5, "Europe/Berlin")
    );
    assert_eq!(policy.outside.as_deref(), Some("all"));
    assert!(core.aliases.is_some());
}
