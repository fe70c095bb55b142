//! The configuration: what an operator reads when it is wrong, and that the example is complete.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use b2bua::settings::Srtp;
use toml::{Table, Value};
use wa_sbc::Settings;
use wa_sbc::config::File;

const EXAMPLE: &str = include_str!("../../../etc/wa-sbc.toml");

/// The networks of Meta as a file.
const NETWORKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/meta-networks.txt");

const MINIMAL: &str = r#"[sip]
host = "sbc.example.com"
tls = { listen = "0.0.0.0:5061", certificate = "/c.pem", key = "/k.pem" }
udp = { listen = "10.0.0.5:5060" }

[media]
public = "203.0.113.7"
private = "10.0.0.5"

[[number]]
e164 = "+17125550259"
password = { env = "WA_SIP_PASSWORD" }
trunk = "office"

[[trunk]]
name = "office"
peer = "sip:10.0.0.20:5060;transport=udp"
"#;

fn read(text: &str) -> Result<Settings, String> {
    let environment = |name: &str| {
        (name == "WA_SIP_PASSWORD" || name.starts_with("WA_SBC_"))
            .then(|| "s3cret-of-the-test".to_owned())
    };
    Settings::read(Path::new("wa-sbc.toml"), text, environment).map_err(|error| error.to_string())
}

/// The minimal configuration with one part replaced.
fn with(part: &str, replacement: &str) -> String {
    assert_eq!(MINIMAL.matches(part).count(), 1, "{part}");
    MINIMAL.replace(part, replacement)
}

#[test]
fn the_minimal_configuration_means_what_the_defaults_say() {
    let settings = read(MINIMAL).expect("valid");
    let number = &settings.core.numbers[0];
    assert_eq!(number.host, "sbc.example.com");
    assert_eq!(number.domain, "sbc.example.com");
    assert_eq!(number.realm, "sbc.example.com");
    assert_eq!(number.username, "17125550259");
    assert_eq!(number.port, 5061);
    assert!(number.challenge && number.plus);
    assert_eq!(
        number
            .password
            .as_ref()
            .map(|secret| secret.expose().as_str()),
        Some("s3cret-of-the-test")
    );
    let trunk = &settings.core.trunks[0];
    assert_eq!(trunk.sent_by, "10.0.0.5:5060");
    assert_eq!(
        trunk
            .networks
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["10.0.0.20/32"]
    );
    assert_eq!(
        trunk.target.from.map(|from| from.to_string()).as_deref(),
        Some("10.0.0.5:5060")
    );
    assert_eq!(
        settings.core.carrier.target.host,
        settings.core.carrier.domain
    );
    assert!(!settings.core.carrier.networks.is_empty());
}

#[test]
fn backups_are_asked_whether_they_live_and_may_call() {
    let peer = "peer = \"sip:10.0.0.20:5060;transport=udp\"";
    let backups = format!("{peer}\nbackups = [\"sip:10.0.0.21\", \"sip:pbx2.example.com\"]");
    let settings = read(&with(peer, &backups)).expect("valid");
    let trunk = &settings.core.trunks[0];
    let hosts: Vec<_> = trunk
        .destinations()
        .map(|target| target.host.as_str())
        .collect();
    assert_eq!(hosts, ["10.0.0.20", "10.0.0.21", "pbx2.example.com"]);
    assert_eq!(trunk.ping, Some(std::time::Duration::from_secs(30)));
    assert!(
        trunk
            .networks
            .contains(&"10.0.0.21/32".parse().expect("a network"))
    );

    let tcp = format!("{peer}\nbackups = [\"sip:10.0.0.21;transport=tcp\"]");
    let objection = read(&with(peer, &tcp)).expect_err("another transport");
    assert!(
        objection.contains("trunk.backups") && objection.contains(":18"),
        "{objection}"
    );
}

#[test]
fn no_form_of_the_settings_prints_a_secret() {
    let settings = read(MINIMAL).expect("valid");
    assert!(!format!("{settings:?} {settings:#?}").contains("s3cret-of-the-test"));
    let printed = File::parse(Path::new("x"), MINIMAL).expect("valid").print();
    assert!(printed.contains("WA_SIP_PASSWORD"), "{printed}");
}

#[test]
fn what_print_config_prints_can_be_read_again_and_means_the_same() {
    let printed = File::parse(Path::new("x"), MINIMAL).expect("valid").print();
    let again = File::parse(Path::new("x"), &printed)
        .unwrap_or_else(|error| panic!("{error}\n{printed}"))
        .print();
    assert_eq!(printed, again);
    assert!(read(&printed).is_ok(), "{printed}");
}

/// What is written wrong, and what the operator reads about it.
#[test]
fn every_mistake_is_named_with_file_line_key_and_remedy() {
    let number =
        "e164 = \"+17125550259\"\npassword = { env = \"WA_SIP_PASSWORD\" }\ntrunk = \"office\"\n";
    let cases = [
        (
            with("host = \"sbc.example.com\"", "hots = \"sbc.example.com\""),
            "wa-sbc.toml:2: sip.hots: unknown field `hots`, expected one of `host`, `realm`, `tls`, `udp`, `tcp`, \
             `connections`, `connections_per_source`, `max_calls`, `nonce_ttl`, `node`, `product`, `drain`\n    \
             remedy: did you mean `host`?",
        ),
        (
            with("private = \"10.0.0.5\"", "privat = \"10.0.0.5\""),
            "wa-sbc.toml:8: media.privat: unknown field `privat`, expected one of `public`, `public_bind`, `private`, \
             `private_bind`, `ports`, `meta_port`, `threads`, `opus_complexity`, `opus_bitrate`, `preroll_ms`, `dscp`\n    \
             remedy: did you mean `private`?",
        ),
        (
            with("{ env = \"WA_SIP_PASSWORD\" }", "\"hunter2\""),
            "wa-sbc.toml:12: number.password: a secret may not stand in the configuration file: the file is read, \
             copied and backed up by many\n    remedy: write { env = \"NAME\" } for an environment variable or \
             { file = \"/run/secrets/name\" } for a file",
        ),
        (
            with("{ env = \"WA_SIP_PASSWORD\" }", "{ env = \"UNSET\" }"),
            "wa-sbc.toml:12: number.password: the environment variable UNSET is not set\n    \
             remedy: set it to the SIP password Meta made for the number",
        ),
        (
            with("password = { env = \"WA_SIP_PASSWORD\" }\n", ""),
            "wa-sbc.toml:11: number.password: there is no password, so Meta refuses our calls and we cannot verify \
             Meta's\n    remedy: write password = { env = \"NAME\" } or { file = \"/run/secrets/name\" }; Meta shows \
             it with GET …/settings?include_sip_credentials=true",
        ),
        (
            with("\"+17125550259\"", "\"17125550259\""),
            "wa-sbc.toml:11: number.e164: `17125550259` is no number in E.164 form\n    \
             remedy: write + and the digits with the country code, as in \"+17125550259\"",
        ),
        (
            with("trunk = \"office\"", "trunk = \"ofice\""),
            "wa-sbc.toml:13: number.trunk: there is no trunk \"ofice\"\n    \
             remedy: add a [[trunk]] table of that name, or use one of: office",
        ),
        (
            with(
                "trunk = \"office\"",
                "trunk = \"office\"\ndomain = \"sbc.example.org\"",
            ),
            "wa-sbc.toml:14: number.domain: sbc.example.org is neither sbc.example.com nor a parent domain of it: \
             Meta answers 403 to such a From\n    remedy: write sbc.example.com or a parent domain of it, or set \
             `host` to the name Meta has for the number",
        ),
        (
            with("trunk = \"office\"", "trunk = \"office\"\nno_answer = 45"),
            "wa-sbc.toml:14: number.no_answer: after 30 s Meta may already have given up on the caller\n    \
             remedy: write 25 or less, and let the PBX answer with an announcement before",
        ),
        (
            with(
                "trunk = \"office\"",
                "trunk = \"office\"\ncodecs = [\"opus\", \"G729\"]",
            ),
            "wa-sbc.toml:14: number.codecs: `G729` is no codec of ours\n    \
             remedy: use opus, PCMA, PCMU and telephone-event",
        ),
        (
            with("[[trunk]]", &format!("[[number]]\n{number}\n[[trunk]]")),
            "wa-sbc.toml:16: number.e164: this number is written twice\n    remedy: remove one of the two tables",
        ),
        (
            with("transport=udp", "transport=tcp"),
            "wa-sbc.toml:17: trunk.peer: the trunk uses tcp, but [sip] has no tcp port\n    \
             remedy: add tcp = { listen = \"10.0.0.5:5060\" } to [sip], or change transport= of the peer",
        ),
        (
            with("\"sip:10.0.0.20:5060;transport=udp\"", "\"10.0.0.20\""),
            "wa-sbc.toml:17: trunk.peer: `10.0.0.20` is no sip: URI\n    \
             remedy: write \"sip:10.0.0.20:5060;transport=udp\", with udp, tcp or tls",
        ),
        (
            with("sip:10.0.0.20:5060", "sip:pbx.example.com"),
            "wa-sbc.toml:17: trunk.networks: pbx.example.com is a name, so it does not say where the trunk's calls \
             come from\n    remedy: add networks = [\"10.0.0.0/24\"] with the addresses of the PBX, or [] if it never \
             calls",
        ),
        (
            with(
                "name = \"office\"",
                "name = \"office\"\nnetworks = [\"0.0.0.0/0\"]",
            ),
            "wa-sbc.toml:16: trunk.networks: anybody on the internet could place calls in the name of the business\n    \
             remedy: name the addresses of the PBX",
        ),
        (
            with(
                "private = \"10.0.0.5\"",
                "private = \"10.0.0.5\"\nports = \"30000-20000\"",
            ),
            "wa-sbc.toml:9: media.ports: `30000-20000` is no range of ports: it holds no even port followed by an odd \
             one\n    remedy: write the first and the last port, as in \"20000-29999\"",
        ),
        (
            with("host = \"sbc.example.com\"", "host = \"203.0.113.7\""),
            "wa-sbc.toml:2: sip.host: `203.0.113.7` is no DNS name\n    \
             remedy: write the public name that Meta's settings of the number and the certificate have",
        ),
        (
            with("[sip]\n", "[sip]\nconnections = \"many\"\n"),
            "wa-sbc.toml:2: sip.connections: invalid type: string \"many\", expected usize\n    \
             remedy: write it as etc/wa-sbc.toml shows it",
        ),
        (
            with("public = \"203.0.113.7\"\n", ""),
            "wa-sbc.toml:6: media: missing field `public`\n    \
             remedy: add `public = …` to this table; etc/wa-sbc.toml shows every key",
        ),
        (
            with("[media]", "[admission]\nunknown = \"ignore\"\n[media]"),
            "wa-sbc.toml:7: admission.unknown: `ignore` is no way to meet strangers\n    remedy: write \"refuse\" or \"drop\"",
        ),
        (
            with("[media]", "[admission]\noverload_cpu = 120\n[media]"),
            "wa-sbc.toml:7: admission.overload_cpu: it is a percentage\n    remedy: write 0 to 100",
        ),
        (
            with("[media]", "[log]\nformat = \"xml\"\n[media]"),
            "wa-sbc.toml:7: log.format: `xml` is no form of a log\n    remedy: write \"text\" or \"json\"",
        ),
    ];
    for (text, expected) in cases {
        let error = read(&text).expect_err(expected);
        assert_eq!(error, expected, "\n{text}");
    }
}

#[test]
fn one_pass_finds_all_mistakes_and_reports_them_in_the_order_of_the_file() {
    let text = with("\"office\"\n\n", "\"nowhere\"\n\n")
        .replace("203.0.113.7", "0.0.0.0")
        .replace("+1712", "1712");
    let error = read(&text).expect_err("three mistakes");
    let lines: Vec<&str> = error
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines.len(), 3, "{error}");
    for (line, key) in lines
        .iter()
        .zip(["media.public", "number.e164", "number.trunk"])
    {
        assert!(line.contains(key), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_how_to_name_another() {
    let error = Settings::load(Path::new("/nonexistent/wa-sbc.toml"))
        .expect_err("no such file")
        .to_string();
    assert!(
        error.starts_with("/nonexistent/wa-sbc.toml:0: the file: cannot be read:"),
        "{error}"
    );
    assert!(error.contains("WA_SBC_CONFIG"), "{error}");
}

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
fn the_file_of_networks_takes_the_place_of_the_list() {
    let named = |path: &str| read(&format!("{MINIMAL}\n[meta]\nnetworks_file = \"{path}\"\n"));
    let listed = named(NETWORKS).expect("valid").core.carrier.networks;
    assert_eq!(
        listed,
        read(MINIMAL).expect("valid").core.carrier.networks,
        "etc/meta-networks.txt has the networks the program knows"
    );
    let file = std::env::temp_dir().join(format!("wa-sbc-networks-{}", std::process::id()));
    let path = file.to_str().expect("a path");
    std::fs::write(&file, "# ours\n192.0.2.0/24 # a lab\n\n2001:db8::/32\n").expect("written");
    let networks = named(path).expect("valid").core.carrier.networks;
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["192.0.2.0/24", "2001:db8::/32"]);
    std::fs::write(&file, "192.0.2.0/24\n192.0.2.0/33\n").expect("written");
    let error = named(path).expect_err("33 bits");
    assert!(
        error.contains("meta.networks_file") && error.contains(":2: `192.0.2.0/33` is no network"),
        "{error}"
    );
    std::fs::write(&file, "# nothing\n").expect("written");
    assert!(named(path).expect_err("empty").contains("names no network"));
    std::fs::remove_file(&file).expect("removed");
    assert!(named(path).expect_err("gone").contains("cannot be read"));
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

/// A directory with a configuration that names number files beside it.
fn with_lists(lists: &[(&str, &str)]) -> (support::Scratch, Result<Settings, String>) {
    let scratch = support::Scratch::new();
    std::fs::create_dir(scratch.path("numbers.d")).expect("a directory");
    for (name, text) in lists {
        std::fs::write(scratch.path("numbers.d").join(name), text).expect("a file");
    }
    let text = format!("number_files = [\"numbers.d/*.toml\"]\n{MINIMAL}");
    let settings = Settings::read(&scratch.path("wa-sbc.toml"), &text, |_| {
        Some("s3cret".into())
    });
    (scratch, settings.map_err(|error| error.to_string()))
}

const LISTED: &str =
    "[[number]]\ne164 = \"+4930123456\"\npassword = { env = \"P\" }\ntrunk = \"office\"\n";

#[test]
fn numbers_may_stand_in_files_of_their_own() {
    let other = LISTED.replace("+4930123456", "+4930123457");
    let (_scratch, settings) = with_lists(&[
        ("a.toml", LISTED),
        ("b.toml", &other),
        ("c.toml~", "nonsense"),
    ]);
    let numbers: Vec<_> = settings
        .expect("valid")
        .core
        .numbers
        .iter()
        .map(|number| number.e164.plus())
        .collect();
    assert_eq!(numbers, ["+17125550259", "+4930123456", "+4930123457"]);
}

#[test]
fn a_number_in_a_file_of_its_own_has_everything_a_number_has() {
    let (_scratch, settings) = with_lists(&[(
        "a.toml",
        r#"[[number]]
e164 = "+4930123456"
host = "berlin.example.com"
domain = "example.com"
realm = "berlin"
username = "desk"
password = { env = "P" }
challenge = false
plus = false
trunk = "office"
routes = [{ user_params = { tgrp = "sales" }, trunk = "office" }]
keying = "sdes"
codecs = ["PCMA", "telephone-event"]
suites = ["AEAD_AES_128_GCM"]
no_answer = 20
ring_limit = 40
max_calls = 7
calls_per_user = 2
initiated_per_day = 30
connected_per_user_and_day = 4
"#,
    )]);
    let settings = settings.expect("valid");
    let number = &settings.core.numbers[1];
    assert_eq!(
        (
            number.host.as_str(),
            number.domain.as_str(),
            number.realm.as_str()
        ),
        ("berlin.example.com", "example.com", "berlin")
    );
    assert_eq!(
        (number.username.as_str(), &*number.trunk),
        ("desk", "office")
    );
    assert!(number.password.is_some() && !number.challenge && !number.plus);
    assert_eq!(number.routes.len(), 1);
    assert_eq!(
        number.codecs,
        [sdp::Codec::Pcma, sdp::Codec::TelephoneEvent]
    );
    assert_eq!(number.suites, [sdp::Suite::AeadAes128Gcm]);
    let seconds = (number.no_answer.as_secs(), number.ring_limit.as_secs());
    assert_eq!(seconds, (20, 40));
    let limits = number.limits;
    assert_eq!((limits.calls, limits.calls_per_user), (7, 2));
    assert_eq!(
        (limits.initiated_per_day, limits.connected_per_user_and_day),
        (30, 4)
    );
}

#[test]
fn a_trunk_says_where_it_is_and_how_its_connections_are_kept() {
    use b2bua::profile::Nat;
    let over_tcp = MINIMAL.replace("udp", "tcp");
    for (line, nat, keep_alive) in [
        ("", Nat::Seen, Some(120)),
        ("nat = \"always\"\nkeep_alive = 30\n", Nat::Always, Some(30)),
        ("nat = \"never\"\nkeep_alive = 0\n", Nat::Never, None),
    ] {
        let settings = read(&format!("{over_tcp}{line}")).expect("valid");
        assert_eq!(settings.core.trunks[0].profile.nat, nat);
        let every = settings.keep_alives.get("10.0.0.20").map(Duration::as_secs);
        assert_eq!(every, keep_alive);
        assert!(
            !settings.keep_alives.contains_key("wa.meta.vc"),
            "never Meta"
        );
    }
    let over_udp = read(MINIMAL).expect("valid");
    assert!(over_udp.keep_alives.is_empty());
    let error = read(&format!("{MINIMAL}nat = \"maybe\"\n")).expect_err("no such word");
    assert!(error.contains("trunk.nat: `maybe`"), "{error}");
    let refused = read(&format!("{MINIMAL}transfer = \"refuse\"\n")).expect("valid");
    assert!(!refused.core.trunks[0].profile.extensions.transfer);
}

#[test]
fn a_mistake_in_a_number_file_is_named_by_that_file_and_its_line() {
    let (scratch, settings) = with_lists(&[
        ("a.toml", LISTED),
        ("b.toml", &format!("# twice\n{LISTED}")),
        (
            "c.toml",
            &LISTED.replace("office", "nowhere").replace("456", "458"),
        ),
    ]);
    let error = settings.expect_err("two mistakes");
    let file = |name: &str| scratch.path("numbers.d").join(name).display().to_string();
    let expected = format!(
        "{}:3: number.e164: this number is written twice\n    remedy: remove one of the two tables\n\
         {}:4: number.trunk: there is no trunk \"nowhere\"\n    remedy: add a [[trunk]] table of that name, or use one \
         of: office",
        file("b.toml"),
        file("c.toml")
    );
    assert_eq!(error, expected);

    let (scratch, settings) = with_lists(&[("a.toml", "[[trunk]]\nname = \"x\"\n")]);
    let error = settings.expect_err("no place for trunks");
    let path = scratch.path("numbers.d/a.toml").display().to_string();
    assert!(
        error.starts_with(&format!("{path}:1: trunk: unknown field `trunk`")),
        "{error}"
    );
}

#[test]
fn a_trunk_leaves_from_the_listener_it_names_or_that_suits_its_peer() {
    let more = "[[listener]]\nname = \"six\"\ntransport = \"udp\"\nlisten = \"[2001:db8::5]:5060\"\n\
        [[listener]]\nname = \"second\"\ntransport = \"udp\"\nlisten = \"10.0.0.5:5080\"\n[media]";
    let cases = [
        ("peer = \"sip:10.0.0.20\"", "10.0.0.5:5060"),
        ("peer = \"sip:[2001:db8::20]\"", "[2001:db8::5]:5060"),
        (
            "peer = \"sip:10.0.0.20\"\nlistener = \"second\"",
            "10.0.0.5:5080",
        ),
    ];
    for (peer, expected) in cases {
        let text =
            with("peer = \"sip:10.0.0.20:5060;transport=udp\"", peer).replace("[media]", more);
        let settings = read(&text).unwrap_or_else(|error| panic!("{error}"));
        let trunk = &settings.core.trunks[0];
        assert_eq!(trunk.sent_by, expected, "{peer}");
        let from = trunk.target.from.map(|from| from.to_string());
        assert_eq!(from.as_deref(), Some(expected), "{peer}");
    }
}

#[test]
fn mistakes_about_listeners_are_named() {
    let cases = [
        (
            "name = \"x\"\ntransport = \"sctp\"\nlisten = \"10.0.0.5:1\"",
            "listener.transport: `sctp` is no transport of ours",
        ),
        (
            "name = \"x\"\ntransport = \"tls\"\nlisten = \"10.0.0.5:1\"",
            "listener.certificate: a TLS listener needs a certificate and its key",
        ),
        (
            "name = \"x\"\ntransport = \"udp\"\nlisten = \"10.0.0.5:5060\"",
            "listener.listen: 10.0.0.5:5060 is bound by another listener already",
        ),
        (
            "name = \"x\"\ntransport = \"tcp\"\nlisten = \"10.0.0.5:1\"\nclient_ca = \"/c\"",
            "listener.certificate: over tcp nobody sees a certificate",
        ),
    ];
    for (listener, expected) in cases {
        let text = with("[media]", &format!("[[listener]]\n{listener}\n[media]"));
        let error = read(&text).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    let named = with("name = \"office\"", "name = \"office\"\nlistener = \"x\"");
    let error = read(&named).expect_err("no such listener");
    assert!(
        error.contains("trunk.listener: there is no udp listener \"x\""),
        "{error}"
    );
}

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

/// Ten thousand numbers and five hundred trunks, as a provisioning script would write them.
fn crowd() -> String {
    use std::fmt::Write as _;
    let (head, _) = MINIMAL.split_once("[[number]]").expect("a number");
    let mut text = head.to_owned();
    for i in 0..10_000 {
        let _ = write!(
            text,
            "[[number]]\ne164 = \"+1712{i:07}\"\npassword = {{ env = \"WA_SIP_PASSWORD\" }}\n\
             trunk = \"t{}\"\nroutes = [{{ user_params = {{ tgrp = \"x\" }}, trunk = \"all\" }}]\n",
            i % 500
        );
    }
    for i in 0..500 {
        let _ = write!(
            text,
            "[[trunk]]\nname = \"t{i}\"\npeer = \"sip:10.1.{}.{}:5060\"\n",
            i / 250,
            i % 250 + 1
        );
    }
    text + "[[group]]\nname = \"all\"\nmembers = [{ trunk = \"t0\" }, { trunk = \"t1\" }]\n"
}

#[test]
fn ten_thousand_numbers_and_five_hundred_trunks_are_read_in_a_moment() {
    let text = crowd();
    let begun = std::time::Instant::now();
    let core = read(&text).expect("valid").core;
    let took = begun.elapsed();
    assert_eq!((core.numbers.len(), core.trunks.len()), (10_000, 500));
    println!("read in {took:?}");
    // A second is promised of a release build; this one is slower, on a machine that does more.
    let limit = if cfg!(debug_assertions) { 20 } else { 1 };
    assert!(took < std::time::Duration::from_secs(limit), "{took:?}");
}

/// The minimal configuration with this said of its trunk.
fn with_trunk(lines: &str) -> String {
    with(
        "peer = \"sip:10.0.0.20:5060;transport=udp\"\n",
        &format!("{lines}\n"),
    )
}

#[test]
fn a_trunk_that_registers_is_known_by_its_account_and_called_where_it_is() {
    let account = "username = \"desk\"\npassword = { env = \"WA_SBC_DESK\" }";
    let settings = read(&with_trunk(&format!("peer = \"registered\"\n{account}"))).expect("valid");
    let trunk = &settings.core.trunks[0];
    assert!(trunk.access.registers && trunk.networks.is_empty());
    assert_eq!(trunk.destinations().count(), 0);
    assert_eq!(
        (trunk.sent_by.as_str(), trunk.domain.as_str()),
        ("10.0.0.5:5060", "sbc.example.com")
    );
    let registrar = &settings.core.registrar;
    assert_eq!(registrar.realm, "sbc.example.com");
    assert_eq!(registrar.carrier_door, Some(([0, 0, 0, 0], 5061).into()));
    // An account takes the place of the network, unless both are written.
    let networks = |more: &str| {
        let peer = "peer = \"sip:10.0.0.20\"";
        let settings = read(&with_trunk(&format!("{peer}\n{account}\n{more}"))).expect("valid");
        settings.core.trunks[0].networks.len()
    };
    assert_eq!(
        (networks(""), networks("networks = [\"10.0.0.0/24\"]")),
        (0, 1)
    );
    assert!(!format!("{settings:?}").contains("s3cret-of-the-test"));
}

#[test]
fn a_connection_lasts_as_long_as_a_registration_may() {
    let idle = |text: &str| read(text).expect("valid").limits.idle.as_secs();
    assert_eq!(idle(MINIMAL), 3_660);
    let longer = format!("{MINIMAL}\n[registrar]\nmax_expires = 7200\n");
    assert_eq!(idle(&longer), 7_260);
    let shorter = format!("{MINIMAL}\n[registrar]\nmax_expires = 120\n");
    assert_eq!(idle(&shorter), 3_600);
}

#[test]
fn we_register_where_calls_go_unless_told_otherwise() {
    let register =
        "[trunk.register]\nusername = \"1200\"\npassword = { env = \"WA_SBC_EXTENSION\" }";
    let peer =
        "peer = \"sip:pbx.example.com;transport=tcp\"\nbackups = [\"sip:10.0.0.21;transport=tcp\"]";
    let tcp = |text: String| {
        text.replace(
            "\n\n[media]",
            "\ntcp = { listen = \"10.0.0.5:5060\" }\n\n[media]",
        )
    };
    let read = |more: &str| read(&tcp(with_trunk(&format!("{peer}\n{register}\n{more}"))));
    let upstream = |settings: &Settings| {
        let upstream = settings.core.trunks[0].access.upstream.clone();
        upstream.expect("we register")
    };
    let usual = upstream(&read("").expect("valid"));
    let hosts: Vec<&str> = usual
        .servers
        .iter()
        .map(|server| server.host.as_str())
        .collect();
    assert_eq!(hosts, ["pbx.example.com", "10.0.0.21"]);
    assert_eq!(
        (usual.domain.as_str(), usual.extension.as_str()),
        ("pbx.example.com", "1200")
    );
    assert_eq!(usual.expires.as_secs(), 600);
    let more = "extension = \"wa\"\ndomain = \"example.com\"\nservers = [\"sip:10.0.0.22;transport=tcp\"]\nexpires = 120";
    let other = upstream(&read(more).expect("valid"));
    assert_eq!(
        (other.domain.as_str(), other.extension.as_str()),
        ("example.com", "wa")
    );
    assert_eq!(
        (other.servers[0].host.as_str(), other.expires.as_secs()),
        ("10.0.0.22", 120)
    );
}

#[test]
fn accounts_that_could_not_work_are_named_with_their_remedy() {
    let desk = "username = \"desk\"\npassword = { env = \"WA_SBC_DESK\" }";
    let peer = "peer = \"sip:10.0.0.20\"";
    for (lines, expected) in [
        (
            "peer = \"registered\"".into(),
            "wa-sbc.toml:17: trunk.username: whoever registers has to prove who it is",
        ),
        (
            format!("{peer}\nusername = \"desk\""),
            "wa-sbc.toml:18: trunk.password: a user name without a password proves nothing",
        ),
        (
            format!("{peer}\npassword = {{ env = \"WA_SBC_DESK\" }}"),
            "wa-sbc.toml:18: trunk.username: there is a password, and nobody it belongs to",
        ),
        (
            format!("{peer}\nusername = \"desk\"\npassword = {{ env = \"NOT_SET\" }}"),
            "wa-sbc.toml:19: trunk.password: the environment variable NOT_SET is not set",
        ),
        (
            format!("{peer}\nusername = \"desk\"\npassword = \"hunter2hunter2\""),
            "a secret may not stand in the configuration file",
        ),
        (
            format!("peer = \"registered\"\nbackups = [\"sip:10.0.0.21\"]\n{desk}"),
            "wa-sbc.toml:17: trunk.backups: a trunk that registers is called where it has registered, nowhere else",
        ),
        (
            format!("peer = \"registered\"\n{desk}\n[trunk.register]\n{desk}"),
            "wa-sbc.toml:17: trunk.register: a trunk that registers here is nowhere we could register",
        ),
        (
            format!("{peer}\n[trunk.register]\n{desk}\nexpires = 5"),
            "wa-sbc.toml:21: trunk.register.expires: it goes from 30 to 86400",
        ),
        (
            format!("{peer}\n[trunk.register]\n{desk}\nservers = [\"sip:a;transport=tcp\"]"),
            "wa-sbc.toml:21: trunk.register.servers: its transport is not that of the trunk's peer",
        ),
        (
            format!("{peer}\n{desk}\n[[trunk]]\nname = \"b\"\n{peer}\n{desk}"),
            "trunk.username: another trunk has the same user name",
        ),
        (
            format!("{peer}\n[registrar]\nalgorithms = [\"SHA-1\"]"),
            "wa-sbc.toml:19: registrar.algorithms: `SHA-1` is no digest algorithm of ours",
        ),
        (
            format!("{peer}\n[registrar]\nalgorithms = []"),
            "wa-sbc.toml:19: registrar.algorithms: there is none",
        ),
        (
            format!("{peer}\n[registrar]\nmin_expires = 7200"),
            "wa-sbc.toml:19: registrar.min_expires: it is at least 1",
        ),
    ] {
        let error = read(&with_trunk(&lines)).expect_err(expected);
        assert!(error.contains(expected), "{error}\n{lines}");
        assert!(error.contains("remedy: "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn digits_go_one_way_or_the_other_and_never_both() {
    let trunk = |lines: &str| {
        let peer = "peer = \"sip:10.0.0.20\"";
        read(&with_trunk(&format!("{peer}\n{lines}")))
            .map(|settings| settings.core.trunks[0].clone())
    };
    let usual = trunk("").expect("valid");
    assert_eq!(usual.profile.digits, b2bua::profile::Digits::Events);
    let words = trunk("dtmf = \"info\"").expect("valid");
    assert_eq!(words.profile.digits, b2bua::profile::Digits::Info);
    assert_eq!(
        (usual.codecs.len(), words.codecs.len()),
        (3, 2),
        "no telephone events beside INFO"
    );
    let tones = trunk("dtmf = \"inband\"").expect("valid");
    assert_eq!(tones.profile.digits, b2bua::profile::Digits::Tones);
    assert_eq!(tones.codecs.len(), 2, "no telephone events beside tones");
    let error = trunk("dtmf = \"smoke\"").expect_err("no such way");
    assert!(
        error.contains(":18: trunk.dtmf: `smoke` is no way to tell a digit")
            && error.contains("remedy: write"),
        "{error}"
    );
}

#[test]
fn what_is_said_of_a_trunks_audio_is_meant_and_keys_in_the_open_are_warned_of() {
    let secured = |transport: &str, srtp: &str| {
        let text = with_trunk(&format!(
            "peer = \"sip:10.0.0.20;transport={transport}\"\nsrtp = \"{srtp}\"\n"
        ));
        let settings = read(&text).expect("valid");
        let media = settings.core.trunks[0].media.clone();
        (media, settings.cautions())
    };
    let text = "peer = \"sip:10.0.0.20\"\njitter_buffer = 200\njitter_buffer_least = 40\n";
    let smooth = read(&with_trunk(text)).expect("valid").core.trunks[0]
        .media
        .smoothing;
    assert_eq!(
        smooth.map(|bounds| (bounds.least, bounds.most)),
        Some((40, 200))
    );
    let (media, cautions) = secured("udp", "off");
    assert_eq!(media.smoothing, None);
    assert_eq!((media.srtp, cautions), (Srtp::Off, Vec::new()));
    let (media, cautions) = secured("udp", "required");
    assert_eq!((media.srtp, media.suites.len()), (Srtp::Required, 3));
    assert!(
        cautions[0].contains("\"office\": its SRTP keys travel in SIP over UDP"),
        "{cautions:?}"
    );
    let (media, cautions) = secured("tls", "allowed");
    assert_eq!((media.srtp, cautions), (Srtp::Allowed, Vec::new()));
    for (line, objection) in [
        ("srtp = \"maybe\"", "trunk.srtp: `maybe` says nothing"),
        ("suites = []", "trunk.suites: there is no suite"),
        ("suites = [\"ROT13\"]", "trunk.suites: `ROT13` is no SRTP"),
        (
            "jitter_buffer = 10",
            "trunk.jitter_buffer: 10 ms is not from",
        ),
        (
            "jitter_buffer = 900",
            "trunk.jitter_buffer: 900 ms is not from",
        ),
    ] {
        let text = with_trunk(&format!("peer = \"sip:10.0.0.20;transport=udp\"\n{line}\n"));
        let objections = read(&text).expect_err(line);
        assert!(objections.contains(objection), "{objections}");
    }
}

/// A WAV file of this sample, 8 000 times.
fn wav(sample: i16) -> Vec<u8> {
    let pcm: Vec<u8> = std::iter::repeat_n(sample.to_le_bytes(), 8_000)
        .flatten()
        .collect();
    let mut file = b"RIFF".to_vec();
    file.extend((pcm.len() as u32 + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for word in [16, 1 | 1 << 16, 8_000, 16_000, 2 | 16 << 16] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(b"data");
    file.extend((pcm.len() as u32).to_le_bytes());
    file.extend(pcm);
    file
}

#[test]
fn what_users_on_hold_hear_may_be_a_file_of_the_operators() {
    let scratch = support::Scratch::new();
    let path = scratch.path("music.wav");
    std::fs::write(&path, wav(7)).expect("writable");
    let peer = "peer = \"sip:10.0.0.20:5060\"";
    let key = format!("{peer}\nhold_music = \"{}\"", path.display());
    let settings = read(&with_trunk(&key)).expect("valid");
    let music = settings.core.trunks[0].comfort.hold_music.clone();
    assert_eq!(music.expect("some music").samples(), [7; 8_000]);
    std::fs::write(&path, b"OggS").expect("writable");
    let error = read(&with_trunk(&key)).expect_err("no WAV");
    assert!(
        error.contains("trunk.hold_music") && error.contains("it is no whole WAV file"),
        "{error}"
    );
}

#[test]
fn every_file_a_configuration_names_is_watched() {
    let scratch = support::Scratch::new();
    let file = |name: &str, content: &[u8]| {
        let path = scratch.path(name);
        std::fs::write(&path, content).expect("writable");
        path.display().to_string()
    };
    let names = ["pass", "account", "extension", "networks", "music"];
    let [pass, account, extension, networks, music] = names.map(|name| match name {
        "networks" => file(name, b"192.0.2.0/24\n"),
        "music" => file(name, &wav(1)),
        _ => file(name, b"a-secret"),
    });
    let text = with_trunk(&format!(
        "peer = \"sip:10.0.0.20:5060\"\nusername = \"desk\"\npassword = {{ file = \"{account}\" }}\nhold_music = \"{music}\"\n\
         [trunk.register]\nusername = \"1200\"\npassword = {{ file = \"{extension}\" }}\n\
         [meta]\nnetworks_file = \"{networks}\""
    ));
    let text = text.replace(
        "{ env = \"WA_SIP_PASSWORD\" }",
        &format!("{{ file = \"{pass}\" }}"),
    );
    let settings = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for name in names {
        let before = settings.sources.fingerprint();
        assert_eq!(before, settings.sources.fingerprint());
        file(name, b"something else, of another length");
        assert_ne!(before, settings.sources.fingerprint(), "{name}");
    }
}

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

#[test]
fn an_authority_gives_the_certificate_of_the_port_for_meta_once_its_terms_are_agreed_to() {
    let with = |lines: &str| read(&format!("{MINIMAL}\n[acme]\n{lines}\n"));
    let directory = "directory = \"https://acme.example.com/dir\"";
    let settings = with(&format!("{directory}\nagree = true")).unwrap_or_else(|e| panic!("{e}"));
    let acme = settings.acme.expect("an authority");
    let tls = settings.tls.expect("a port");
    assert_eq!(acme.names, [tls.host]);
    assert_eq!((acme.certificate, acme.key), (tls.certificate, tls.key));
    assert!(
        read(MINIMAL).expect("valid").acme.is_none(),
        "off unless written"
    );
    let error = with(directory).map(|_| ()).expect_err("not agreed");
    assert!(
        error.contains("acme.agree") && error.contains("agree = true"),
        "{error}"
    );
    let plain = with("directory = \"http://acme.example.com\"\nagree = true");
    assert!(
        plain
            .map(|_| ())
            .expect_err("in the clear")
            .contains("acme.directory")
    );
}
