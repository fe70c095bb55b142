//! A datagram: read or refused. What is read prints back and reads the same, every typed header can be asked, an answer can be
//! composed, and an endpoint forgets it in the end. What is refused is answered with something readable or not at all.

use std::time::Instant;

use bytes::Bytes;
use sip::{
    Challenge, Credentials, Dialog, Endpoint, Event, Flow, FlowId, Ident, Message, Method, Name,
    NameAddr, Output, Reason, Request, Response, SessionExpires, TimerSettings, Transport, Uri,
    Via, Warning, parse,
};

pub(super) fn holds(bytes: &[u8]) {
    match parse(Bytes::copy_from_slice(bytes)) {
        Ok(message) => {
            let printed = message.to_bytes();
            let again = parse(printed.clone()).expect("what we print we can read");
            assert_eq!(again, message);
            assert_eq!(again.to_bytes(), printed);
            ask_everything(&message);
            pass_through_endpoint(message);
        }
        Err(malformed) => {
            let _ = format!("{malformed} {malformed:?}");
            if let Some(reply) = malformed.reply() {
                // Echoed headers may be as broken as they came; the reply is one message of bounded size all the same.
                assert!(reply.starts_with(b"SIP/2.0 "));
                assert!(reply.ends_with(b"\r\n\r\n"));
                assert!(
                    reply.len() <= bytes.len() + 256,
                    "a reply is no larger than what caused it"
                );
                let ends = reply.windows(4).filter(|four| four == b"\r\n\r\n").count();
                assert_eq!(ends, 1, "an echoed header does not end the head");
            }
        }
    }
}

fn ask_everything(message: &Message) {
    let headers = message.headers();
    for (name, value) in headers.iter() {
        let _ = (
            NameAddr::read(value),
            Via::read(value),
            Reason::read(value),
            Warning::read(value),
        );
        let _ = (
            SessionExpires::read(value),
            Credentials::read(value),
            headers.list(name).count(),
        );
        if let Ok(uri) = Uri::parse(value) {
            let _ = (
                uri.headers(),
                uri.transport(),
                uri.user_number(),
                uri.equivalent(&uri),
            );
        }
    }
    let _ = (
        Challenge::all(headers, &Name::ProxyAuthenticate),
        Warning::first(headers),
        Reason::cause_of(headers, "Q.850"),
        format!("{message:?}"),
    );
    match message {
        Message::Request(request) => ask_request(request),
        Message::Response(response) => {
            let _ = (
                response.top_via(),
                response.to_tag(),
                response.from_tag(),
                response.contact(),
            );
        }
    }
}

fn ask_request(request: &Request) {
    let mut answer = Response::to(request, 200, "");
    answer.tag_to("ours");
    answer.headers.copy(&Name::RecordRoute, &request.headers);
    parse(answer.to_bytes()).expect("an answer to what can be read can be read");
    if let Some(mut dialog) = Dialog::uas(request, "ours") {
        let mut bye = dialog.request(Method::Bye);
        let _ = dialog.first_hop();
        bye.headers
            .insert_first(Name::Via, "SIP/2.0/UDP h;branch=z9hG4bKf");
        parse(bye.to_bytes()).expect("a request inside a dialog that can be made can be read");
    }
}

fn pass_through_endpoint(message: Message) {
    let mut now = Instant::now();
    let flow = Flow {
        id: FlowId(2),
        transport: Transport::Udp,
        local: ([192, 0, 2, 1], 5060).into(),
        remote: ([192, 0, 2, 7], 5070).into(),
    };
    let mut endpoint = Endpoint::new(TimerSettings::default(), Ident::new(1, [1; 32]));
    // Twice: the second is a retransmission.
    for message in [message.clone(), message] {
        endpoint.receive(now, flow, message);
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Event(Event::Request { key, request, .. }) => {
                    endpoint.respond(now, key, Response::to(&request, 488, ""));
                }
                Output::Event(_) => {}
                Output::Send { bytes, .. } => {
                    parse(bytes).expect("we send what can be read");
                }
            }
        }
    }
    while let Some(at) = endpoint.next_timeout() {
        now = now.max(at);
        endpoint.timeout(now);
        while endpoint.poll().is_some() {}
    }
    assert_eq!(endpoint.counts().total(), 0, "every transaction ends");
}
