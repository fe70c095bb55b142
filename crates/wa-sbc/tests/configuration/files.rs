//! The other files a configuration names.

use super::support::Scratch;
use super::{MINIMAL, NETWORKS, read, wav, with_trunk};

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
fn every_file_a_configuration_names_is_watched() {
    let scratch = Scratch::new();
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
