//! RFC 3261 §18.2 and RFC 3581: where a request came from, and where its answer goes.

use sip::{Message, Name, Response};

use crate::bench::{Bench, TLS, UDP, flow, incoming};

#[test]
fn the_answer_carries_received_and_rport_and_leaves_on_the_same_flow() {
    let mut b = Bench::new(TLS);
    b.flow = flow(6, TLS, "69.171.251.112:62080");
    let mut invite = incoming("INVITE", "x");
    invite.headers.set(
        Name::Via,
        "SIP/2.0/TLS 31.13.66.215:5061;rport;branch=z9hG4bKPj1;alias",
    );
    let (key, request) = b.arrives(&invite);
    b.respond(key, Response::to(&request, 407, ""));
    let outputs = b.outputs();
    let [
        sip::Output::Send {
            flow: sip::FlowId(6),
            bytes,
        },
    ] = &outputs[..]
    else {
        panic!()
    };
    let Message::Response(response) = sip::parse(bytes.clone()).unwrap() else {
        panic!()
    };
    assert_eq!(
        response.headers.first(&Name::Via).unwrap(),
        "SIP/2.0/TLS 31.13.66.215:5061;rport=62080;received=69.171.251.112;branch=z9hG4bKPj1;alias"
    );
}

#[test]
fn only_the_top_via_of_a_joined_line_is_touched() {
    let mut b = Bench::new(UDP);
    let mut options = incoming("OPTIONS", "x");
    options.headers.set(
        Name::Via,
        "SIP/2.0/UDP host;branch=z9hG4bK1,  SIP/2.0/UDP next;rport;x=\",\"",
    );
    options.headers.push(Name::Via, "SIP/2.0/UDP last;rport");
    let (_, request) = b.arrives(&options);
    let vias: Vec<_> = request
        .headers
        .all(&Name::Via)
        .map(|v| v.to_string())
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP host;branch=z9hG4bK1;received=192.0.2.7,  SIP/2.0/UDP next;rport;x=\",\"",
            "SIP/2.0/UDP last;rport"
        ]
    );
}

#[test]
fn responses_to_nothing_we_asked_are_counted_and_forgotten() {
    let mut b = Bench::new(UDP);
    for (method, status) in [("INVITE", 180), ("INVITE", 486), ("OPTIONS", 200)] {
        let mut stray = Response::to(&incoming(method, "z9hG4bKnobody"), status, "");
        stray.tag_to("x");
        b.receive(stray);
        assert_eq!(b.drain(), [""; 0]);
    }
    assert_eq!(b.endpoint.noise().stray_responses, 3);
}

#[test]
fn an_answer_nobody_waits_for_is_told_because_it_may_have_to_be_hung_up() {
    let mut b = Bench::new(UDP);
    let mut late = Response::to(&incoming("INVITE", "z9hG4bKnobody"), 200, "");
    late.tag_to("x");
    b.receive(late);
    assert_eq!(b.drain(), ["late answer"]);
}
