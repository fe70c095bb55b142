//! RFC 3261 §9: CANCEL, both ways.

use sip::{Event, Message, Method, Name, Output, Request, Response};

use crate::bench::{Bench, TLS, UDP, answer, incoming, ms, outgoing};

fn cancel_of(invite: &Request) -> Request {
    let mut cancel = invite.clone();
    cancel.method = Method::Cancel;
    cancel.headers.set(Name::CSeq, "10 CANCEL");
    cancel
        .headers
        .push(Name::Reason, "SIP;cause=200;text=\"elsewhere\"");
    cancel
}

#[test]
fn a_peers_cancel_is_answered_200_and_the_user_answers_487() {
    let mut b = Bench::new(UDP);
    let invite = incoming("INVITE", "z9hG4bK1");
    let (key, request) = b.arrives(&invite);
    b.receive(cancel_of(&invite));
    let outputs = b.outputs();
    let Output::Send { bytes, .. } = &outputs[0] else {
        panic!()
    };
    let Message::Response(ok) = sip::parse(bytes.clone()).unwrap() else {
        panic!()
    };
    assert_eq!(
        (ok.status, ok.cseq().unwrap().method),
        (200, Method::Cancel)
    );
    let Output::Event(Event::Cancelled {
        key: cancelled,
        cancel,
    }) = &outputs[1]
    else {
        panic!()
    };
    assert_eq!(*cancelled, key);
    assert_eq!(sip::Reason::cause_of(&cancel.headers, "SIP"), Some(200));

    b.receive(cancel_of(&invite));
    assert_eq!(
        b.drain(),
        ["send 200 CANCEL"],
        "a repeated CANCEL is answered and not told"
    );
    b.respond(key, Response::to(&request, 487, ""));
    let sent = b.sent();
    let [Message::Response(terminated)] = &sent[..] else {
        panic!()
    };
    assert_eq!(
        terminated.to_tag(),
        ok.to_tag(),
        "both answers carry one tag"
    );
}

#[test]
fn the_answer_to_a_cancel_carries_the_tag_of_the_ringing() {
    let mut b = Bench::new(TLS);
    let invite = incoming("INVITE", "z9hG4bK1");
    let (key, request) = b.arrives(&invite);
    let mut ringing = Response::to(&request, 180, "");
    ringing.tag_to("mine");
    b.respond(key, ringing);
    b.drain();
    b.receive(cancel_of(&invite));
    let sent = b.sent();
    let [Message::Response(ok)] = &sent[..] else {
        panic!()
    };
    assert_eq!(ok.to_tag().unwrap(), "mine");
}

#[test]
fn a_cancel_that_crosses_our_answer_changes_nothing_and_is_told_where_a_call_has_come_about() {
    for (status, told) in [(200, &["cancel crossed"][..]), (486, &[])] {
        let mut b = Bench::new(TLS);
        let invite = incoming("INVITE", "z9hG4bK1");
        let (key, request) = b.arrives(&invite);
        b.respond(key, Response::to(&request, status, ""));
        b.drain();
        b.receive(cancel_of(&invite));
        let expected: Vec<&str> = ["send 200 CANCEL"].iter().chain(told).copied().collect();
        assert_eq!(b.drain(), expected);
    }
}

#[test]
fn a_cancel_of_nothing_is_answered_481() {
    let mut b = Bench::new(UDP);
    b.arrives(&incoming("INVITE", "z9hG4bK1"));
    b.receive(cancel_of(&incoming("INVITE", "z9hG4bK2")));
    assert_eq!(b.drain(), ["send 481 CANCEL"]);
    assert_eq!(b.endpoint.noise().stray_cancels, 1);
    assert_eq!(b.endpoint.counts().servers, 0);
}

#[test]
fn our_cancel_leaves_at_once_when_the_peer_is_ringing() {
    let mut b = Bench::new(TLS);
    let (key, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 180));
    b.drain();
    b.endpoint.cancel_because(b.now, key, "Q.850;cause=16");
    let sent = b.sent();
    let [Message::Request(cancel)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (&cancel.method, &cancel.uri),
        (&Method::Cancel, &invite.uri)
    );
    for name in [Name::Via, Name::Route, Name::From, Name::To, Name::CallId] {
        assert!(
            cancel
                .headers
                .all(&name)
                .eq(invite.headers.all(&name).take(1)),
            "{name}"
        );
    }
    assert_eq!(cancel.cseq().unwrap().to_string(), "1 CANCEL");
    assert_eq!(
        cancel.headers.first(&Name::Reason).unwrap(),
        "Q.850;cause=16"
    );
    b.endpoint.cancel(b.now, key);
    assert_eq!(b.drain(), [""; 0], "once is enough");

    b.receive(answer(cancel, 200));
    assert_eq!(b.drain(), [""; 0], "the answer to the CANCEL is absorbed");
    b.receive(answer(&invite, 487));
    assert_eq!(b.drain(), ["send ACK", "response 487"]);
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn our_cancel_waits_for_the_first_provisional_response() {
    let mut b = Bench::new(UDP);
    let (key, invite) = b.send(outgoing(Method::Invite));
    b.endpoint.cancel(b.now, key);
    assert_eq!(b.drain(), [""; 0]);
    b.receive(answer(&invite, 100));
    assert_eq!(b.drain(), ["response 100", "send CANCEL"]);
    b.receive(answer(&invite, 180));
    assert_eq!(b.drain(), ["response 180"]);
}

#[test]
fn our_cancel_comes_too_late_for_an_answer_that_crosses_it() {
    let mut b = Bench::new(TLS);
    let (key, invite) = b.send(outgoing(Method::Invite));
    b.endpoint.cancel(b.now, key);
    b.receive(answer(&invite, 200));
    assert_eq!(
        b.drain(),
        ["response 200"],
        "no CANCEL after a final response"
    );
    b.endpoint.cancel(b.now, key);
    assert_eq!(b.drain(), [""; 0]);
}

#[test]
fn a_peer_that_ignores_our_cancel_is_given_up_after_32_seconds() {
    let mut b = Bench::new(TLS);
    let (key, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 180));
    b.endpoint.cancel(b.now, key);
    b.drain();
    assert_eq!(b.wait(ms(60_000)), ["32000 failed Timeout"]);
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn a_lost_flow_fails_the_invite_once_and_its_cancel_silently() {
    let mut b = Bench::new(TLS);
    let (key, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 180));
    b.endpoint.cancel(b.now, key);
    b.drain();
    b.endpoint.flow_lost(b.now, b.flow.id);
    assert_eq!(b.drain(), ["failed FlowLost"]);
    assert_eq!(b.endpoint.counts().total(), 0);
}
