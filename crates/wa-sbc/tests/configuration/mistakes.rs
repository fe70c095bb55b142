//! What an operator reads when something is wrong: file, line, key and remedy.

use std::path::Path;

use wa_sbc::Settings;

use super::{read, with};

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
            with(
                "trunk = \"office\"",
                "trunk = \"office\"\ndomain = \"203.0.113.7\"",
            ),
            "wa-sbc.toml:14: number.domain: an IP address is no domain Meta accepts in From: Meta answers 403 to such a From\n    \
             remedy: write sbc.example.com or a parent domain of it, or set `host` to the name Meta has for the number",
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
