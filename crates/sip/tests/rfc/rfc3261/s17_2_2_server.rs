//! RFC 3261 §17.2.2: non-INVITE server transaction.

use sip::Response;

use crate::bench::{Bench, TLS, UDP, flow, incoming, ms};

#[test]
fn a_repeated_request_waits_for_the_answer_and_then_gets_it_again() {
    let mut b = Bench::new(UDP);
    let bye = incoming("BYE", "z9hG4bK1");
    let (key, request) = b.arrives(&bye);
    b.receive(bye.clone());
    assert_eq!(b.drain(), [""; 0]);
    b.respond(key, Response::to(&request, 200, ""));
    b.receive(bye.clone());
    assert_eq!(b.drain(), ["send 200 BYE", "send 200 BYE"]);
    b.respond(key, Response::to(&request, 500, ""));
    assert_eq!(b.drain(), [""; 0], "the first final response counts");
    assert_eq!(b.wait(ms(32_000)), [""; 0]);
    assert_eq!(b.endpoint.counts().total(), 0);
    b.receive(bye);
    assert_eq!(b.drain(), ["request BYE"]);
}

#[test]
fn a_final_response_over_tls_ends_the_transaction_at_once() {
    let mut b = Bench::new(TLS);
    let (key, request) = b.arrives(&incoming("OPTIONS", "z9hG4bK1"));
    b.respond(key, Response::to(&request, 200, ""));
    assert_eq!(b.drain(), ["send 200 OPTIONS"]);
    assert_eq!(b.endpoint.counts().total(), 0);
    assert_eq!(b.endpoint.next_timeout(), None);
}

#[test]
fn a_request_nobody_answers_does_not_live_for_ever() {
    for transport in [UDP, TLS] {
        let mut b = Bench::new(transport);
        let (key, request) = b.arrives(&incoming("INFO", "z9hG4bK1"));
        b.respond(key, Response::to(&request, 100, ""));
        b.drain();
        assert_eq!(b.wait(ms(32_000)), [""; 0]);
        assert_eq!(b.endpoint.counts().total(), 0);
    }
}

#[test]
fn the_answer_goes_to_where_the_request_was_last_sent_from() {
    let mut b = Bench::new(TLS);
    let bye = incoming("BYE", "z9hG4bK1");
    let (key, request) = b.arrives(&bye);
    b.receive_bytes(bye.to_bytes(), flow(4, TLS, "192.0.2.7:6000"));
    b.respond(key, Response::to(&request, 200, ""));
    let outputs = b.outputs();
    assert!(
        matches!(
            outputs[..],
            [sip::Output::Send {
                flow: sip::FlowId(4),
                ..
            }]
        ),
        "{outputs:?}"
    );
}
