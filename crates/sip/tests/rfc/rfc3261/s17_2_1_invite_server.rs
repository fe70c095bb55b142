//! RFC 3261 §17.2.1 and RFC 6026 §7.1: INVITE server transaction.

use sip::{Message, Name, Request, Response};

use crate::bench::{Bench, TLS, UDP, incoming, ms};

const BRANCH: &str = "z9hG4bKpeer1";

fn ack_for(invite: &Request) -> Request {
    let mut ack = invite.clone();
    ack.method = sip::Method::Ack;
    ack.headers.set(Name::CSeq, "10 ACK");
    ack
}

#[test]
fn trying_leaves_at_once_and_before_the_user_hears_of_the_call() {
    let mut b = Bench::new(TLS);
    let mut invite = incoming("INVITE", BRANCH);
    invite.headers.push(Name::Timestamp, "54");
    b.receive(invite);
    let outputs = b.outputs();
    assert_eq!(
        outputs.iter().map(crate::bench::short).collect::<Vec<_>>(),
        ["send 100 INVITE", "request INVITE"]
    );
    let sip::Output::Send { bytes, .. } = &outputs[0] else {
        panic!()
    };
    let Message::Response(trying) = sip::parse(bytes.clone()).unwrap() else {
        panic!()
    };
    assert_eq!(trying.to_tag(), None);
    assert_eq!(trying.headers.first(&Name::Timestamp).unwrap(), "54");
    assert_eq!(trying.headers.first(&Name::ContentLength).unwrap(), "0");
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_response() {
    let mut b = Bench::new(UDP);
    let invite = incoming("INVITE", BRANCH);
    let (key, request) = b.arrives(&invite);
    b.receive(invite.clone());
    assert_eq!(b.drain(), ["send 100 INVITE"]);
    b.respond(key, Response::to(&request, 180, ""));
    b.respond(key, Response::to(&request, 180, ""));
    b.receive(invite);
    assert_eq!(b.drain(), ["send 180 INVITE"; 3]);
    assert_eq!(b.endpoint.counts().invite_servers, 1);
}

#[test]
fn a_failure_over_udp_repeats_until_its_ack() {
    let mut b = Bench::new(UDP);
    let invite = incoming("INVITE", BRANCH);
    let (key, request) = b.arrives(&invite);
    b.respond(key, Response::to(&request, 486, ""));
    assert_eq!(b.drain(), ["send 486 INVITE"]);
    assert_eq!(
        b.wait(ms(7_600)),
        [
            "500 send 486 INVITE",
            "1500 send 486 INVITE",
            "3500 send 486 INVITE",
            "7500 send 486 INVITE"
        ]
    );
    b.receive(invite.clone());
    assert_eq!(b.drain(), ["send 486 INVITE"]);
    b.receive(ack_for(&invite));
    b.receive(ack_for(&invite));
    b.receive(invite);
    assert_eq!(
        b.drain(),
        [""; 0],
        "the ACK of a failure is nobody's business"
    );
    assert_eq!(b.wait(ms(5_000)), [""; 0]);
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn a_failure_nobody_acknowledges_is_reported_after_32_seconds() {
    let mut b = Bench::new(UDP);
    let (key, request) = b.arrives(&incoming("INVITE", BRANCH));
    b.respond(key, Response::to(&request, 603, ""));
    b.drain();
    let log = b.wait(ms(60_000));
    assert_eq!(log.len(), 11, "{log:?}");
    assert_eq!(log[10], "32000 no ack");
    assert_eq!(b.endpoint.counts().total(), 0);

    let mut b = Bench::new(TLS);
    let (key, request) = b.arrives(&incoming("INVITE", BRANCH));
    b.respond(key, Response::to(&request, 603, ""));
    b.drain();
    assert_eq!(b.wait(ms(60_000)), ["32000 no ack"]);
}

#[test]
fn the_ack_of_a_failure_over_tls_ends_the_transaction() {
    let mut b = Bench::new(TLS);
    let invite = incoming("INVITE", BRANCH);
    let (key, request) = b.arrives(&invite);
    b.respond(key, Response::to(&request, 407, ""));
    b.drain();
    b.receive(ack_for(&invite));
    assert_eq!(b.drain(), [""; 0]);
    assert_eq!(b.endpoint.counts().total(), 0);
    assert_eq!(b.endpoint.next_timeout(), None);
}

#[test]
fn a_2xx_is_repeated_by_its_user_only_and_invites_after_it_are_absorbed() {
    let mut b = Bench::new(UDP);
    let invite = incoming("INVITE", BRANCH);
    let (key, request) = b.arrives(&invite);
    let ok = Response::to(&request, 200, "");
    b.respond(key, ok.clone());
    assert_eq!(b.drain(), ["send 200 INVITE"]);
    b.receive(invite);
    assert_eq!(b.wait(ms(10_000)), [""; 0]);
    b.respond(key, ok.clone());
    assert_eq!(b.drain(), ["send 200 INVITE"]);
    b.respond(key, Response::to(&request, 486, ""));
    assert_eq!(b.drain(), [""; 0], "a 2xx cannot be taken back");
    b.wait(ms(22_000));
    assert_eq!(b.endpoint.counts().total(), 0);
    b.respond(key, ok);
    assert_eq!(b.drain(), [""; 0]);
    assert_eq!(b.endpoint.noise().late_answers, 2);
}

#[test]
fn the_ack_of_a_2xx_reaches_the_user_whatever_its_branch() {
    for branch in ["z9hG4bKother", BRANCH] {
        let mut b = Bench::new(TLS);
        let invite = incoming("INVITE", BRANCH);
        let (key, request) = b.arrives(&invite);
        b.respond(key, Response::to(&request, 200, ""));
        b.drain();
        b.receive(ack_for(&incoming("INVITE", branch)));
        assert_eq!(b.drain(), ["ack"], "{branch}");
    }
}

#[test]
fn all_answers_to_one_invite_have_the_same_tag() {
    let mut b = Bench::new(UDP);
    let (key, request) = b.arrives(&incoming("INVITE", BRANCH));
    b.respond(key, Response::to(&request, 180, ""));
    b.respond(key, Response::to(&request, 486, ""));
    let tags: Vec<_> = b
        .sent()
        .iter()
        .map(|m| match m {
            Message::Response(response) => response.to_tag().unwrap(),
            Message::Request(_) => panic!(),
        })
        .collect();
    assert_eq!(tags.len(), 2);
    assert_eq!(tags[0], tags[1]);
}

#[test]
fn calls_beyond_the_limit_are_refused_and_dialogs_go_on() {
    let mut b = Bench::new(TLS);
    b.endpoint.limit_servers(2);
    for n in 0..2 {
        b.arrives(&incoming("INVITE", &format!("z9hG4bK{n}")));
    }
    b.receive(incoming("INVITE", "z9hG4bKmore"));
    let sent = b.sent();
    let [Message::Response(refusal)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.headers.first(&Name::RetryAfter).unwrap(), "5");
    assert!(refusal.to_tag().is_some());

    let mut bye = incoming("BYE", "z9hG4bKbye");
    bye.headers.set(Name::To, "<sip:us@192.0.2.1>;tag=ours");
    b.receive(bye.clone());
    assert_eq!(b.drain(), ["request BYE"]);

    b.endpoint.limit_servers(0);
    bye.headers
        .set(Name::Via, "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKbye2");
    b.receive(bye.clone());
    assert_eq!(b.drain(), ["send 503 BYE"]);
    b.flow.transport = UDP;
    b.receive(bye);
    assert_eq!(b.drain(), [""; 0]);
    let noise = b.endpoint.noise();
    assert_eq!((noise.refused, noise.dropped), (2, 1));
}

#[test]
fn strangers_with_endless_headers_do_not_fill_the_memory() {
    let mut b = Bench::new(UDP);
    let long = format!("<sip:{}@192.0.2.7>;tag=peer", "x".repeat(15_000));
    let mut refused = 0;
    for n in 0..6_000 {
        let mut invite = incoming("INVITE", &format!("z9hG4bK{n}"));
        invite.headers.set(Name::From, long.as_str());
        b.endpoint.receive(b.now, b.flow, invite.into());
        refused += b
            .drain()
            .iter()
            .filter(|what| *what == "send 503 INVITE")
            .count();
    }
    assert!((1_000..3_000).contains(&refused), "{refused}");
    assert!(b.endpoint.counts().invite_servers < 5_000);
}
