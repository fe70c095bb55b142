//! Accounts of PBXs with us, and ours with them.

use wa_sbc::Settings;

use super::{MINIMAL, read, with_trunk};

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
