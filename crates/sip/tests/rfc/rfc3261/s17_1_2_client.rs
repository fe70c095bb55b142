//! RFC 3261 §17.1.2: non-INVITE client transaction.

use sip::Method;

use crate::bench::{Bench, TLS, UDP, answer, ms, outgoing};

#[test]
fn an_unanswered_request_over_udp_is_sent_eleven_times_and_fails_after_32_seconds() {
    let mut b = Bench::new(UDP);
    b.send(outgoing(Method::Bye));
    let log = b.wait(ms(40_000));
    let mut at: Vec<_> = [
        500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
    ]
    .map(|ms| format!("{ms} send BYE"))
    .to_vec();
    at.push("32000 failed Timeout".into());
    assert_eq!(log, at);
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn a_provisional_response_slows_the_retransmissions_to_t2() {
    let mut b = Bench::new(UDP);
    let (_, bye) = b.send(outgoing(Method::Bye));
    b.receive(answer(&bye, 100));
    assert_eq!(b.drain(), ["response 100"]);
    let log = b.wait(ms(40_000));
    assert_eq!(log[..3], ["500 send BYE", "4500 send BYE", "8500 send BYE"]);
    assert_eq!(log.last().unwrap(), "32000 failed Timeout");
}

#[test]
fn repeated_final_responses_are_absorbed_for_t4_over_udp() {
    let mut b = Bench::new(UDP);
    let (_, bye) = b.send(outgoing(Method::Bye));
    b.receive(answer(&bye, 200));
    b.receive(answer(&bye, 200));
    assert_eq!(b.drain(), ["response 200"]);
    assert_eq!(b.endpoint.noise().repeated, 1);
    assert_eq!(b.endpoint.counts().clients, 1);
    assert_eq!(b.wait(ms(5_000)), [""; 0]);
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn a_final_response_over_tls_ends_the_transaction_at_once() {
    let mut b = Bench::new(TLS);
    let (_, bye) = b.send(outgoing(Method::Bye));
    b.receive(answer(&bye, 481));
    assert_eq!(b.drain(), ["response 481"]);
    assert_eq!(b.endpoint.counts().total(), 0);
    assert_eq!(b.endpoint.next_timeout(), None);
}

#[test]
fn a_lost_flow_fails_the_request() {
    let mut b = Bench::new(TLS);
    b.send(outgoing(Method::Bye));
    b.endpoint.flow_lost(b.now, b.flow.id);
    assert_eq!(b.drain(), ["failed FlowLost"]);
    assert_eq!(b.endpoint.counts().total(), 0);
}
