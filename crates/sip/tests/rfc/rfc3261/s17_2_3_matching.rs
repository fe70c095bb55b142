//! RFC 3261 §17.2.3: matching requests to server transactions.

use sip::{Method, Name, Response};

use crate::bench::{Bench, TLS, UDP, incoming};

#[test]
fn a_second_invite_with_credentials_is_a_new_request() {
    let mut b = Bench::new(TLS);
    let first = incoming("INVITE", "z9hG4bKa");
    let (key, request) = b.arrives(&first);
    b.respond(key, Response::to(&request, 407, ""));
    b.drain();
    let mut second = incoming("INVITE", "z9hG4bKb");
    second.headers.set(Name::CSeq, "11 INVITE");
    second
        .headers
        .push(Name::ProxyAuthorization, "Digest username=\"u\"");
    b.receive(second);
    assert_eq!(b.drain(), ["send 100 INVITE", "request INVITE"]);
}

#[test]
fn two_vias_with_one_branch_are_no_loop() {
    let mut b = Bench::new(TLS);
    let mut invite = incoming("INVITE", "z9hG4bKsame");
    invite.headers.push(
        Name::Via,
        "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKsame",
    );
    b.receive(invite);
    assert_eq!(b.drain(), ["send 100 INVITE", "request INVITE"]);
}

#[test]
fn the_same_branch_of_another_sender_or_method_is_another_request() {
    let mut b = Bench::new(UDP);
    b.arrives(&incoming("OPTIONS", "z9hG4bK1"));
    let mut other = incoming("OPTIONS", "z9hG4bK1");
    other
        .headers
        .set(Name::Via, "SIP/2.0/UDP 192.0.2.8:5070;branch=z9hG4bK1");
    b.arrives(&other);
    b.arrives(&incoming("INFO", "z9hG4bK1"));
    assert_eq!(b.endpoint.counts().servers, 3);
}

#[test]
fn a_peer_without_branches_is_matched_by_the_whole_request() {
    let mut b = Bench::new(UDP);
    let mut invite = incoming("INVITE", "x");
    invite.headers.set(Name::Via, "SIP/2.0/UDP 192.0.2.7:5070");
    let (key, request) = b.arrives(&invite);
    b.receive(invite.clone());
    assert_eq!(b.drain(), ["send 100 INVITE"]);
    b.respond(key, Response::to(&request, 486, ""));
    b.drain();
    let mut ack = invite.clone();
    ack.method = Method::Ack;
    ack.headers.set(Name::CSeq, "10 ACK");
    ack.headers.set(Name::To, "<sip:us@192.0.2.1>;tag=ours");
    b.receive(ack);
    assert_eq!(b.drain(), [""; 0], "the ACK of the failure is recognised");
    let mut second = invite;
    second.headers.set(Name::CSeq, "11 INVITE");
    b.receive(second);
    assert_eq!(b.drain(), ["send 100 INVITE", "request INVITE"]);
}
