//! What is said of a trunk's audio: digits, SRTP, a jitter buffer, music on hold.

use b2bua::settings::Srtp;
use sdp::plan::Gain;

use super::support::Scratch;
use super::{MINIMAL, read, wav, with_trunk};

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
            "gain_to_meta = 21",
            "trunk.gain_to_meta: 21 dB is not from -20 to 20",
        ),
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

#[test]
fn what_users_on_hold_hear_may_be_a_file_of_the_operators() {
    let scratch = Scratch::new();
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
fn silence_of_meta_ends_calls_after_twenty_seconds_or_as_long_as_the_operator_says() {
    let seconds = |written: &str| {
        let text = MINIMAL.replace("[[number]]", &format!("{written}[[number]]"));
        let carrier = read(&text).expect("valid").core.carrier;
        carrier.profile.inactivity.map(|time| time.as_secs())
    };
    assert_eq!(seconds(""), Some(20));
    assert_eq!(seconds("[meta]\ninactivity = 45\n"), Some(45));
    assert_eq!(seconds("[meta]\ninactivity = 0\n"), None);
}

#[test]
fn louder_and_softer_are_said_for_each_way_and_nothing_is_by_default() {
    let gain = |lines: &str| {
        let text = with_trunk(&format!("peer = \"sip:10.0.0.20\"\n{lines}"));
        read(&text).expect("valid").core.trunks[0].media.gain
    };
    assert_eq!(gain(""), Gain::default());
    let (heard, said) = (6, -12);
    assert_eq!(
        gain("gain_to_meta = 6\ngain_to_pbx = -12\n"),
        Gain { heard, said }
    );
}
