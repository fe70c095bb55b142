//! Two voices in one room: what one says the other judges, whole or broken.

use super::*;
use crate::meta::knobs::Talk;
use sdp::{Crypto, SrtpKey, Suite};

/// What happens to a datagram on its way to the second voice.
type Wire = fn(u64, &mut Vec<u8>) -> bool;

const WHOLE: Wire = |_, _| true;

fn plan(port: u16, far: u16, codec: Codec, tone: Option<f64>, expect: Option<f64>) -> VoicePlan {
    let local: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let remote = format!("127.0.0.1:{far}").parse().unwrap();
    let (pt, keying) = match codec {
        Codec::Opus => {
            let key = |port: u16| Crypto {
                tag: 1,
                suite: Suite::AesCm128HmacSha1_80,
                key: SrtpKey::new([port as u8; 30]),
                lifetime: None,
                mki: None,
            };
            (
                111,
                Keying::Sdes {
                    local: key(port).into(),
                    remote: key(far).into(),
                },
            )
        }
        _ => (8, Keying::None),
    };
    VoicePlan {
        local,
        remote,
        remote_rtcp: remote,
        mux: true,
        codec,
        pt,
        send_events: 101,
        receive_events: Some(101),
        keying,
        ssrc: u32::from(port),
        announced: None,
        waits: false,
        strictness: Strictness::Meta,
        first_media: Some(Duration::from_secs(20)),
        later_media: Some(Duration::from_secs(30)),
        talk: Talk {
            tone,
            expect,
            ..Talk::default()
        },
        seed: u64::from(port),
    }
}

/// What the second voice noticed, and heard, after `seconds`.
fn talk(
    codec: Codec,
    seconds: u64,
    wire: Wire,
    set_up: impl Fn(&mut Voice, Instant),
) -> (Vec<String>, Heard) {
    talk_in(codec, &[], seconds, wire, set_up)
}

/// The same with packets of these lengths, in ms.
fn talk_in(
    codec: Codec,
    packets: &[u64],
    seconds: u64,
    wire: Wire,
    set_up: impl Fn(&mut Voice, Instant),
) -> (Vec<String>, Heard) {
    let start = Instant::now();
    let mut says = plan(5000, 6000, codec, Some(1_000.0), None);
    let lengths = packets.iter().copied().map(Duration::from_millis);
    says.talk.packets = lengths.collect();
    let mut one = Voice::start(start, says).unwrap();
    let mut two = Voice::start(
        start,
        VoicePlan {
            waits: true,
            ..plan(6000, 5000, codec, None, Some(1_000.0))
        },
    )
    .unwrap();
    set_up(&mut one, start);
    let (mut now, mut count, mut noticed) = (start, 0, Vec::new());
    while now < start + Duration::from_secs(seconds) {
        one.timeout(now);
        while let Some(event) = one.poll() {
            let VoiceEvent::Datagram {
                from,
                to,
                mut bytes,
            } = event
            else {
                continue;
            };
            count += 1;
            if wire(count, &mut bytes) {
                two.receive(now, to, from, &bytes);
            }
        }
        two.timeout(now);
        while let Some(event) = two.poll() {
            match event {
                VoiceEvent::Datagram { from, to, bytes } => one.receive(now, to, from, &bytes),
                VoiceEvent::Digit { digit, duration_ms } => {
                    noticed.push(format!("{digit} {duration_ms}"))
                }
                VoiceEvent::Broken(rule) => noticed.push(rule),
                VoiceEvent::Silent { silent_ms } => noticed.push(format!("silent {silent_ms}")),
                VoiceEvent::FirstPacket { .. } => {}
            }
        }
        now += Duration::from_millis(10);
    }
    (noticed, two.heard(now))
}

#[test]
fn a_tone_is_heard_whole_in_every_codec() {
    for codec in [Codec::Opus, Codec::Pcma] {
        let (noticed, heard) = talk(codec, 3, WHOLE, |_, _| {});
        assert_eq!(noticed, [""; 0], "{codec:?}");
        assert!(
            heard.tone_found && heard.tone_gaps == 0 && heard.lost == 0,
            "{codec:?} {heard:?}"
        );
        assert!(heard.level_error_db.abs() < 2.0, "{codec:?} {heard:?}");
    }
}

#[test]
fn packets_of_another_length_are_told_and_heard() {
    for codec in [Codec::Opus, Codec::Pcma] {
        for (packets, told, key) in [
            (&[10][..], 10, 100),
            (&[40], 40, 120),
            (&[60], 60, 120),
            (&[20, 20, 40], 40, 100),
        ] {
            let (noticed, heard) = talk_in(codec, packets, 4, WHOLE, |one, start| {
                one.speaker.press_at(start + Duration::from_secs(2), "7")
            });
            let what = format!("{codec:?} {packets:?}: {noticed:?} {heard:?}");
            let rule = format!("a packet of {told} ms instead of 20");
            assert!(noticed.contains(&rule), "{what}");
            let pressed = noticed.iter().find(|word| word.starts_with("7 "));
            let pressed = pressed.and_then(|word| word[2..].parse::<u32>().ok());
            assert!(
                pressed.is_some_and(|ms| (100..=key).contains(&ms)),
                "{what}"
            );
            assert!(heard.tone_found && heard.lost == 0, "{what}");
            assert!(heard.longest_tone_gap_ms <= 200, "{what}");
        }
    }
}

#[test]
fn holes_in_a_tone_are_told() {
    let (_, heard) = talk(
        Codec::Pcma,
        3,
        |count, _| !(50..54).contains(&count),
        |_, _| {},
    );
    assert_eq!(
        (heard.tone_gaps, heard.longest_tone_gap_ms, heard.lost),
        (1, 80, 4)
    );
}

#[test]
fn silence_is_no_tone() {
    let (noticed, heard) = talk(Codec::Pcma, 25, WHOLE, |voice, now| voice.mute(now, true));
    assert!(!heard.tone_found && heard.packets == 0);
    assert_eq!(noticed, ["silent 20000"]);
}

#[test]
fn digits_cross_with_eight_kilohertz_durations() {
    let (noticed, heard) = talk(Codec::Opus, 3, WHOLE, |voice, now| {
        voice.press(now + Duration::from_secs(1), "12#")
    });
    assert_eq!(noticed, ["1 100", "2 100", "# 100"]);
    assert_eq!(heard.digits, "12#");
    assert_eq!(heard.tone_gaps, 0, "a digit is no hole: {heard:?}");
}

#[test]
fn a_second_ssrc_a_strange_payload_type_and_a_torn_timestamp_line_are_told() {
    let ssrc: Wire = |count, bytes| {
        if count > 50 {
            bytes[8] ^= 1;
        }
        true
    };
    let pt: Wire = |count, bytes| {
        if count == 50 {
            bytes[1] = 9;
        }
        true
    };
    let line: Wire = |count, bytes| {
        if count > 50 {
            bytes[5] = bytes[5].wrapping_add(1);
        }
        true
    };
    for (wire, rule) in [
        (ssrc, "SSRCs"),
        (pt, "payload type 9"),
        (line, "timestamp line"),
    ] {
        let (noticed, _) = talk(Codec::Pcma, 3, wire, |_, _| {});
        assert!(
            noticed.iter().any(|n| n.contains(rule)),
            "{rule}: {noticed:?}"
        );
    }
}

#[test]
fn a_forged_packet_is_told() {
    let forge: Wire = |count, bytes| {
        if count == 50 {
            bytes[20] ^= 1;
        }
        true
    };
    let (noticed, heard) = talk(Codec::Opus, 3, forge, |_, _| {});
    assert_eq!(noticed, ["a packet whose SRTP authentication fails"]);
    assert_eq!(heard.bad, 1);
}
