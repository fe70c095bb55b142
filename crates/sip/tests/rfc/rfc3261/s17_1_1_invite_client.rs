//! RFC 3261 §17.1.1 and RFC 6026 §7.2: INVITE client transaction.

use sip::{Counts, Event, Failure, Message, Method, Name, Output};

use crate::bench::{Bench, TLS, UDP, answer, ms, outgoing};

#[test]
fn an_unanswered_invite_over_udp_is_sent_seven_times_and_fails_after_32_seconds() {
    let mut b = Bench::new(UDP);
    b.send(outgoing(Method::Invite));
    assert_eq!(
        b.wait(ms(40_000)),
        [
            "500 send INVITE",
            "1500 send INVITE",
            "3500 send INVITE",
            "7500 send INVITE",
            "15500 send INVITE",
            "31500 send INVITE",
            "32000 failed Timeout",
        ]
    );
    assert_eq!(b.endpoint.counts(), Counts::default());
    assert_eq!(b.endpoint.next_timeout(), None);
}

#[test]
fn an_unanswered_invite_over_tls_is_sent_once() {
    let mut b = Bench::new(TLS);
    b.send(outgoing(Method::Invite));
    assert_eq!(b.wait(ms(40_000)), ["32000 failed Timeout"]);
}

#[test]
fn a_provisional_response_ends_the_retransmissions_and_the_time_limit() {
    let mut b = Bench::new(UDP);
    let (_, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 180));
    b.receive(answer(&invite, 183));
    assert_eq!(b.drain(), ["response 180", "response 183"]);
    assert_eq!(b.wait(ms(600_000)), [""; 0]);
    assert_eq!(b.endpoint.counts().invite_clients, 1);
}

#[test]
fn a_failure_is_acknowledged_on_its_own_hop_and_again_when_repeated() {
    let mut b = Bench::new(UDP);
    let (_, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 486));
    let outputs = b.outputs();
    let Some(Output::Send { bytes, .. }) = outputs.first() else {
        panic!("the ACK comes first")
    };
    let Message::Request(ack) = sip::parse(bytes.clone()).unwrap() else {
        panic!()
    };
    assert_eq!(ack.method, Method::Ack);
    assert_eq!(ack.uri, invite.uri);
    for name in [Name::Via, Name::Route, Name::From, Name::CallId] {
        assert_eq!(
            ack.headers.first(&name),
            invite.headers.first(&name),
            "{name}"
        );
    }
    assert_eq!(ack.headers.all(&Name::Via).count(), 1);
    assert_eq!(ack.cseq().unwrap().to_string(), "1 ACK");
    assert_eq!(ack.to_tag().unwrap(), "theirs");
    assert!(
        matches!(&outputs[1], Output::Event(Event::Response { response, .. }) if response.status == 486)
    );

    b.receive(answer(&invite, 486));
    assert_eq!(b.drain(), ["send ACK"]);
    assert_eq!(b.wait(ms(32_000)), [""; 0]);
    assert_eq!(b.endpoint.counts().total(), 0);
    b.receive(answer(&invite, 486));
    assert_eq!(b.drain(), [""; 0]);
    assert_eq!(b.endpoint.noise().stray_responses, 1);
}

#[test]
fn a_failure_over_tls_ends_the_transaction_at_once() {
    let mut b = Bench::new(TLS);
    let (_, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 407));
    assert_eq!(b.drain(), ["send ACK", "response 407"]);
    assert_eq!(b.endpoint.counts().total(), 0);
    assert_eq!(b.endpoint.next_timeout(), None);
}

#[test]
fn every_repeated_2xx_reaches_the_user_for_32_seconds() {
    let mut b = Bench::new(TLS);
    let (_, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 200));
    b.wait(ms(31_000));
    b.receive(answer(&invite, 200));
    assert_eq!(b.drain(), ["response 200", "response 200"]);
    // A failure of another fork behind a 2xx is absorbed.
    b.receive(answer(&invite, 486));
    assert_eq!(b.drain(), [""; 0]);
    b.wait(ms(1_000));
    assert_eq!(b.endpoint.counts().total(), 0);
}

#[test]
fn the_ack_to_a_2xx_has_a_branch_of_its_own_and_can_be_sent_again() {
    let mut b = Bench::new(UDP);
    let (_, invite) = b.send(outgoing(Method::Invite));
    let dialog = sip::Dialog::uac(&invite, &answer(&invite, 200)).unwrap();
    let bytes = b
        .endpoint
        .ack(b.flow.id, UDP, "192.0.2.1:5060", dialog.ack(1));
    b.endpoint.resend(b.flow.id, bytes.clone());
    let sent = b.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
    let Message::Request(ack) = sip::parse(bytes).unwrap() else {
        panic!()
    };
    assert_ne!(
        ack.top_via().unwrap().branch(),
        invite.top_via().unwrap().branch()
    );
    assert_eq!(ack.headers.first(&Name::ContentLength).unwrap(), "0");
}

#[test]
fn a_lost_flow_fails_invites_calling_and_ringing_and_nothing_else() {
    for ringing in [false, true] {
        let mut b = Bench::new(TLS);
        let (key, invite) = b.send(outgoing(Method::Invite));
        if ringing {
            b.receive(answer(&invite, 180));
            b.drain();
        }
        b.endpoint.flow_lost(b.now, sip::FlowId(99));
        assert_eq!(b.drain(), [""; 0]);
        b.endpoint.flow_lost(b.now, b.flow.id);
        assert_eq!(
            b.outputs(),
            [Output::Event(Event::Failed {
                key,
                why: Failure::FlowLost
            })]
        );
        assert_eq!(b.endpoint.counts().total(), 0);
    }
    let mut b = Bench::new(TLS);
    let (_, invite) = b.send(outgoing(Method::Invite));
    b.receive(answer(&invite, 200));
    b.drain();
    b.endpoint.flow_lost(b.now, b.flow.id);
    assert_eq!(
        b.drain(),
        [""; 0],
        "an accepted INVITE does not fail any more"
    );
}

#[test]
fn a_response_on_another_connection_finds_its_invite() {
    let mut b = Bench::new(TLS);
    let (_, invite) = b.send(outgoing(Method::Invite));
    let other = crate::bench::flow(8, TLS, "192.0.2.99:1");
    b.receive_bytes(answer(&invite, 200).to_bytes(), other);
    assert_eq!(b.drain(), ["response 200"]);
}

#[test]
fn our_via_max_forwards_and_length_are_added() {
    let mut b = Bench::new(UDP);
    let mut request = outgoing(Method::Invite);
    request.body = bytes::Bytes::from_static(b"v=0");
    let (_, sent) = b.send(request);
    let text = String::from_utf8(sent.to_bytes().to_vec()).unwrap();
    let branch = sent.top_via().unwrap().branch().unwrap().to_owned();
    assert!(text.starts_with(&format!(
        "INVITE sip:peer@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}\r\nRoute: "
    )));
    assert!(text.ends_with("Max-Forwards: 70\r\nContent-Length: 3\r\n\r\nv=0"));
    let (_, sent) = Bench::new(TLS).send(outgoing(Method::Bye));
    assert_eq!(sent.top_via().unwrap().param("rport"), None);
}
