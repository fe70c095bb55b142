use std::time::UNIX_EPOCH;

use super::super::samples::{flow, message};
use super::super::seen::What;
use super::*;

fn trace(per_call: usize, bytes: usize) -> Trace {
    Trace::new(Bounds { per_call, bytes })
}

fn see(trace: &mut Trace, inward: bool, transport: Transport, bytes: &Bytes) {
    let flow = flow(transport);
    trace.message(UNIX_EPOCH, inward, (flow.id, Some(flow)), None, bytes);
}

#[test]
fn two_legs_are_one_story_found_by_call_id_reference_and_number() {
    let mut trace = trace(100, 1 << 20);
    let invite = message("INVITE sip:+17125550259@h SIP/2.0", "outgoing:wacid.ABCD=");
    see(&mut trace, true, Transport::Tls, &invite);
    trace.leg(UNIX_EPOCH, CallId(1), Side::A, "outgoing:wacid.ABCD=");
    let open = MediaCommand::Open {
        a: Network::Public,
        b: Network::Private,
    };
    trace.command(UNIX_EPOCH, CallId(1), &open);
    trace.leg(UNIX_EPOCH, CallId(1), Side::B, "b-1");
    see(
        &mut trace,
        false,
        Transport::Udp,
        &message("INVITE sip:x SIP/2.0", "b-1"),
    );
    trace.media(UNIX_EPOCH, CallId(1), &MediaEvent::FirstReceived(Side::A));
    for query in [
        "b-1",
        "outgoing:wacid.ABCD=",
        "wacid.ABCD=",
        "+1 219-555-0714",
        "17125550259",
    ] {
        if query.len() < 4 {
            continue;
        }
        assert_eq!(trace.find(query).len(), 1, "{query}");
        // As the log shows it.
        let shown = crate::log::redact(query);
        if shown.contains("wacid") {
            assert_ne!(shown, query);
            assert_eq!(trace.find(&shown).len(), 1, "{shown}");
            let story = trace.find(query).remove(0);
            assert!(story.is_about(&shown) && !story.is_about("wacid~bcdfghjklmnp"));
        }
    }
    assert!(trace.find("+1 219 555 0715").is_empty());
    let story = trace.find("wacid.ABCD=").remove(0);
    let gaps: Vec<Gap> = story.messages().map(|(_, crossed)| crossed.gap).collect();
    assert_eq!(gaps, [Gap::Carrier, Gap::Pbx]);
    let fact = story.seen.back().map(|seen| seen.what.clone());
    assert!(
        matches!(
            fact,
            Some(What::Fact {
                gap: Some(Gap::Carrier),
                ..
            })
        ),
        "{fact:?}"
    );
}

#[test]
fn a_long_call_keeps_its_beginning_and_its_end() {
    let mut trace = trace(8, 1 << 20);
    see(
        &mut trace,
        true,
        Transport::Udp,
        &message("INVITE sip:x SIP/2.0", "c"),
    );
    for number in 0..100 {
        see(
            &mut trace,
            true,
            Transport::Udp,
            &message(&format!("INFO sip:{number} SIP/2.0"), "c"),
        );
    }
    let story = trace.find("+12195550714").remove(0);
    assert_eq!((story.seen.len(), story.left_out), (8, 93));
    let starts: Vec<String> = story
        .messages()
        .map(|(_, crossed)| String::from_utf8_lossy(&crossed.bytes[..9]).into_owned())
        .collect();
    assert_eq!(starts[0], "INVITE si");
    assert_eq!(starts[7], "INFO sip:");
    assert!(
        story
            .messages()
            .last()
            .is_some_and(|(_, c)| c.bytes.starts_with(b"INFO sip:99"))
    );
}

#[test]
fn strangers_cannot_wash_calls_away_and_memory_stays_bounded() {
    let mut trace = trace(100, 100_000);
    see(
        &mut trace,
        true,
        Transport::Tls,
        &message("INVITE sip:x SIP/2.0", "call"),
    );
    trace.leg(UNIX_EPOCH, CallId(1), Side::A, "call");
    for number in 0..10_000 {
        see(
            &mut trace,
            true,
            Transport::Tls,
            &message("INVITE sip:x SIP/2.0", &format!("s{number}")),
        );
    }
    assert_eq!(trace.find("call").len(), 1, "the call is still there");
    assert!((100..1000).contains(&trace.len()), "{}", trace.len());
    assert_eq!(trace.by_call_id.len(), trace.len());
}

#[test]
fn nothing_is_remembered_when_it_is_switched_off_and_messages_outside_calls_never_are() {
    let mut off = trace(0, 1 << 20);
    see(
        &mut off,
        true,
        Transport::Udp,
        &message("INVITE sip:x SIP/2.0", "c"),
    );
    assert!(off.is_empty());
    let mut on = trace(10, 1 << 20);
    see(
        &mut on,
        true,
        Transport::Udp,
        &message("OPTIONS sip:x SIP/2.0", "c"),
    );
    assert!(on.is_empty());
}

#[test]
fn a_message_written_before_its_connection_was_open_gets_its_addresses() {
    let mut trace = trace(10, 1 << 20);
    let invite = message("INVITE sip:x SIP/2.0", "calls");
    trace.message(
        UNIX_EPOCH,
        false,
        (FlowId(7), None),
        Some(Transport::Tls),
        &invite,
    );
    trace.opened(Flow {
        id: FlowId(7),
        ..flow(Transport::Tls)
    });
    let story = trace.find("calls").remove(0);
    assert!(
        story
            .messages()
            .all(|(_, crossed)| crossed.remote.port() == 5060)
    );
}
