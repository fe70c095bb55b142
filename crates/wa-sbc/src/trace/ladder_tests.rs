//! The whole way of a ladder: what is heard of a call, remembered, drawn, kept on disk, and what is never in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use b2bua::{CallId, Cause, LocalMedia, MediaCommand, MediaEvent, Network};
use bytes::Bytes;
use sdp::Side;
use sdp::report::{Block, LegReport, MediaReport, SentReport, Unopened};
use sip::Transport;

use super::samples::flow;
use super::store::{Bounds, Trace};
use super::{Keeper, Manner, StoryWriter, draw, find};
use crate::records::tests_record;

const CALL: CallId = CallId(7);
/// As they are on the wire: the key of RFC 4568 §6.1's example, an answer as RFC 7616 §3.9.1 has it.
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const ANSWER: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

/// Whoever writes down what crosses the border at given milliseconds.
struct Scribe(Trace);

impl Scribe {
    fn new() -> Self {
        Self(Trace::new(Bounds {
            per_call: 100,
            bytes: 1 << 20,
        }))
    }

    fn message(&mut self, ms: u64, inward: bool, transport: Transport, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let flow = flow(transport);
        self.0
            .message(at(ms), inward, (flow.id, Some(flow)), None, &bytes);
    }

    fn media(&mut self, ms: u64, event: MediaEvent) {
        self.0.media(at(ms), CALL, &event);
    }

    /// A user calls: both INVITEs, ports, ringing.
    fn a_user_calls(&mut self) {
        self.message(0, true, Transport::Tls, &invite("outgoing:wacid.AB"));
        self.0.leg(at(1), CALL, Side::A, "outgoing:wacid.AB");
        let open = MediaCommand::Open {
            a: Network::Public,
            b: Network::Private,
        };
        self.0.command(at(2), CALL, &open);
        let local = |port| LocalMedia {
            address: [203, 0, 113, 7].into(),
            rtp_port: port,
            rtcp_port: port + 1,
        };
        let (a, b) = (local(20_000), local(20_002));
        self.media(3, MediaEvent::Opened { a, b });
        self.0.leg(at(4), CALL, Side::B, "b-1");
        self.message(5, false, Transport::Udp, &invite("b-1"));
    }

    fn report(&mut self, ms: u64, side: Side, fraction_lost: u8) {
        let block = Block {
            fraction_lost,
            ..Block::default()
        };
        let report = SentReport {
            to: ([203, 0, 113, 9], 40_000).into(),
            multiplexed: true,
            ssrc: 1,
            sender: None,
            block: Some(block),
        };
        self.media(ms, MediaEvent::Reported { side, report });
    }

    fn text(&self) -> String {
        draw(
            &self.0.of_call(CALL).expect("remembered"),
            Manner::default(),
        )
    }
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_790_000_000_000 + ms)
}

/// An INVITE with everything that is a secret in it.
fn invite(call_id: &str) -> String {
    format!(
        "INVITE sip:+17125550259@sbc.example.com SIP/2.0\r\nFrom: <sip:+12195550714@wa.meta.vc>;tag=1\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nProxy-Authorization: Digest username=\"1\", realm=\"r\", nonce=\"n\",\r\n \
         uri=\"sip:x\", response=\"{ANSWER}\", algorithm=SHA-256\r\n\r\n\
         v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"
    )
}

fn bye(call_id: &str) -> String {
    format!("BYE sip:x SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 2 BYE\r\n\r\n")
}

/// Where each word stands; all of them, in this order, in lines of their own.
fn in_order(text: &str, words: &[&str]) {
    let mut lines = text.lines();
    for word in words {
        assert!(
            lines.any(|line| line.contains(word)),
            "{word:?} in its turn in\n{text}"
        );
    }
}

#[test]
fn what_media_did_stands_between_the_messages_on_its_side_at_its_time() {
    let mut scribe = Scribe::new();
    scribe.a_user_calls();
    scribe.media(20, MediaEvent::FirstReceived(Side::A));
    scribe.media(21, MediaEvent::FirstSent(Side::B));
    scribe.media(
        900,
        MediaEvent::Digit {
            from: Side::A,
            digit: '5',
            duration_ms: 120,
        },
    );
    let digit = MediaCommand::SendDigit {
        side: Side::A,
        digit: '#',
        duration: Duration::from_millis(160),
    };
    scribe.0.command(at(950), CALL, &digit);
    scribe.report(5_000, Side::A, 0);
    scribe.report(10_000, Side::A, 31);
    scribe.report(15_000, Side::A, 30);
    scribe.report(20_000, Side::A, 128);
    scribe.report(25_000, Side::A, 0);
    let silent = |side, s| MediaEvent::Silent {
        side,
        after: Duration::from_secs(s),
    };
    scribe.media(30_000, silent(Side::B, 10));
    scribe.media(31_000, MediaEvent::Resumed(Side::B));
    let unopened = |why| MediaEvent::Unopened {
        side: Side::A,
        why,
        source: "198.51.100.9:3480".parse().expect("an address"),
    };
    scribe.media(35_000, unopened(Unopened::Tag));
    scribe.media(36_000, unopened(Unopened::Replay));
    scribe.media(37_000, unopened(Unopened::Mki));
    scribe.message(40_000, true, Transport::Tls, &bye("outgoing:wacid.AB"));
    scribe.message(40_001, false, Transport::Udp, &bye("b-1"));
    let leg = LegReport {
        packets_received: 1_900,
        packets_sent: 2_000,
        lost: 100,
        undecryptable: 3,
        rtcp_sent: 8,
        rtcp_received: 7,
        ..LegReport::default()
    };
    let report = MediaReport {
        legs: [leg, LegReport::default()],
    };
    scribe.media(40_010, MediaEvent::Closed(Box::new(report)));
    let text = scribe.text();
    in_order(
        &text,
        &[
            "0.000  │──────────── INVITE +auth SDP",
            "media port 203.0.113.7:20000",
            "media port 203.0.113.7:20002",
            "0.020  │ · first packet came",
            "first packet left",
            "0.900  │ · digit 5 (120 ms)",
            "0.950  │ · digit # pressed for it (160 ms)",
            "5.000  │ · first RTCP left: it keeps the leg alive",
            "10.000  │ · 12 % of the packets get lost on the",
            "20.000  │ · 50 % of the packets get lost on the",
            "25.000  │ · hardly a packet gets lost any more",
            "no packet for 10 s",
            "packets come again",
            "35.000  │ · SRTP fails: wrong tag, from",
            "198.51.100.9:3480",
            "36.000  │ · SRTP fails: replayed, from",
            "37.000  │ · SRTP fails: no key of that MKI, from",
            "BYE",
            "received 1900 packets, sent 2000, 100",
            "lost, 3 SRTP failures, 8 RTCP",
            "keep-alives sent, 7 RTCP received",
        ],
    );
    // What was said about a leg stands on that leg's side; what is no news is not said again.
    let silent = text
        .lines()
        .find(|line| line.contains("no packet for"))
        .expect("there");
    assert!(
        silent.starts_with("   30.000  │  "),
        "the PBX's side: {silent}"
    );
    assert_eq!(text.matches("get lost").count(), 2, "{text}");
    assert_eq!(text.matches("first RTCP").count(), 1, "{text}");
}

#[test]
fn keys_and_digest_answers_are_in_nothing_that_leaves_the_memory_unless_asked_for() {
    let mut scribe = Scribe::new();
    scribe.a_user_calls();
    let story = scribe.0.of_call(CALL).expect("remembered");
    let shown = |svg, secrets| {
        let manner = Manner {
            svg,
            messages: true,
            secrets,
        };
        draw(&story, manner)
    };
    let mut kept = StoryWriter::new(Vec::new(), false).expect("memory");
    kept.story(&story).expect("memory");
    let kept = String::from_utf8_lossy(&kept.into_inner()).into_owned();
    for text in [shown(false, false), shown(true, false), kept] {
        assert!(!text.contains(KEY) && !text.contains(ANSWER), "{text}");
        // Nor a part of them.
        assert!(
            !text.contains(&KEY[..12]) && !text.contains(&ANSWER[52..]),
            "{text}"
        );
    }
    assert!(
        shown(false, false).contains("inline:AAAA"),
        "the line itself stays"
    );
    let asked = shown(false, true);
    assert_eq!(
        (asked.matches(KEY).count(), asked.matches(ANSWER).count()),
        (2, 2),
        "{asked}"
    );
}

#[test]
fn a_failed_call_is_kept_on_disk_with_why_it_failed_and_a_wish_is_not() {
    let directory = std::env::temp_dir().join(format!("wa-sbc-ladder-{}", std::process::id()));
    let keeper = Keeper::start(&directory, 9).expect("a directory");
    let mut record = tests_record(CALL.0);
    record.answered = None;
    record.cause = Cause::NoAck;
    for (cause, is_kept) in [
        (Cause::NoAck, true),
        (
            Cause::Unreachable {
                leg: Side::B,
                why: "refused".into(),
            },
            true,
        ),
        (Cause::Cancelled, false),
        (Cause::UserBusy, false),
        (Cause::NoAnswer, false),
    ] {
        let mut scribe = Scribe::new();
        scribe.a_user_calls();
        record.cause = cause.clone();
        let story = scribe.0.ended(at(33_000), &record);
        assert_eq!(story.is_some(), is_kept, "{cause}");
        if cause == Cause::NoAck {
            keeper.keep(story.expect("it is kept"));
        }
    }
    // Answered, and one side was never heard.
    let mut scribe = Scribe::new();
    scribe.a_user_calls();
    record.cause = Cause::Normal;
    record.answered = Some(at(100));
    record.duration = Duration::from_secs(4);
    assert!(scribe.0.ended(at(33_000), &record).is_some());

    keeper.finish();
    let found = find(&directory, "+1 219 555 0714").expect("readable");
    let _ = std::fs::remove_dir_all(&directory);
    assert_eq!(found.len(), 1);
    in_order(
        &draw(&found[0], Manner::default()),
        &[
            "INVITE +auth SDP",
            "media port",
            "look for a box that rewrites",
        ],
    );
}

#[test]
fn a_picture_is_well_formed_whatever_the_peers_wrote() {
    let mut scribe = Scribe::new();
    scribe.a_user_calls();
    let hostile = "SIP/2.0 603 \u{1b}[31m<b>&amp; \"no\"' ]]>\u{0}\u{9b}\u{fffe}\u{ffff}\u{b}<!--\r\nCall-ID: b-1\r\n\
                   CSeq: 1 IN<\u{7}V&ITE\r\nWarning: 399 x \"<?xml \u{8}?>\"\r\n\r\n";
    scribe.message(50, true, Transport::Udp, hostile);
    scribe.0.said(at(60), CALL, "</text></svg>\u{c}&#0;");
    let story = scribe.0.of_call(CALL).expect("remembered");
    let manner = |svg| Manner {
        svg,
        messages: true,
        secrets: false,
    };
    let svg = draw(&story, manner(true));
    assert_eq!(flaw(&svg), None, "{svg}");
    assert!(svg.contains("&lt;b&gt;&amp;amp;"), "{svg}");
    let text = draw(&story, manner(false));
    let obeyed = |char: char| char.is_control() && char != '\n';
    assert!(!text.contains(obeyed), "nothing a terminal obeys: {text:?}");
    // The judge himself.
    for wrong in [
        "<a><b></a></b>",
        "<a>&</a>",
        "<a x=1/>",
        "<a>\u{1}</a>",
        "<a>",
        "<a>\u{ffff}</a>",
        "<a><</a>",
    ] {
        assert!(flaw(wrong).is_some(), "{wrong:?}");
    }
}

/// What makes a text no well-formed XML 1.0 document, as far as our pictures go: elements, attributes in double quotes,
/// the five entities.
fn flaw(text: &str) -> Option<String> {
    let legal = |char: char| matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if let Some(char) = text.chars().find(|char| !legal(*char)) {
        return Some(format!("{char:?} may stand nowhere"));
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.trim_end();
    while let Some(at) = rest.find('<') {
        if let Some(flaw) = flaw_of_text(&rest[..at]) {
            return Some(flaw);
        }
        let (tag, behind) = rest[at + 1..].split_once('>')?;
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> closes something else"));
            }
            continue;
        }
        let (tag, is_empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Some(format!("<{name}> is no element"));
        }
        let quoted: Vec<&str> = attributes.split('"').collect();
        let named = quoted.iter().step_by(2).take(quoted.len() / 2);
        let is_named = |part: &&str| {
            part.trim()
                .strip_suffix('=')
                .is_some_and(|name| !name.is_empty())
        };
        if quoted.len().is_multiple_of(2)
            || !named.clone().all(is_named)
            || (attributes.len() > 1 && quoted.len() == 1)
        {
            return Some(format!("<{tag}>: attributes"));
        }
        if let Some(flaw) = quoted
            .iter()
            .skip(1)
            .step_by(2)
            .find_map(|value| flaw_of_text(value))
        {
            return Some(flaw);
        }
        if !is_empty {
            open.push(name);
        }
    }
    (!open.is_empty() || !rest.is_empty()).then(|| format!("open at the end: {open:?} {rest:?}"))
}

fn flaw_of_text(text: &str) -> Option<String> {
    let entities = ["amp;", "lt;", "gt;", "quot;", "apos;"];
    let bad = text
        .split('&')
        .skip(1)
        .find(|part| !entities.iter().any(|entity| part.starts_with(entity)));
    bad.map(|part| format!("&{part} is no entity"))
}
