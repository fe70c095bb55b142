//! The configuration: what the smallest one means, what an operator reads when one is wrong, and that the example is
//! complete. A file for each subject.

mod accounts;
mod audio;
mod authority;
mod database;
mod example;
mod files;
mod mistakes;
mod numbers;
mod routing;
#[path = "../support/mod.rs"]
mod support;
mod trunks;

use std::path::Path;

use wa_sbc::Settings;
use wa_sbc::config::File;

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

/// The minimal configuration with this said of its trunk.
fn with_trunk(lines: &str) -> String {
    with(
        "peer = \"sip:10.0.0.20:5060;transport=udp\"\n",
        &format!("{lines}\n"),
    )
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
