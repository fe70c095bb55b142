//! Business numbers: in files of their own, and thousands of them.

use wa_sbc::Settings;

use super::support::Scratch;
use super::{MINIMAL, read};

/// A directory with a configuration that names number files beside it.
fn with_lists(lists: &[(&str, &str)]) -> (Scratch, Result<Settings, String>) {
    let scratch = Scratch::new();
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
