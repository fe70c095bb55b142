//! Where PBXs are, and the listeners their calls leave from.

use std::time::Duration;

use super::{MINIMAL, read, with};

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
