//! What reading, printing and a transaction cost.

#![allow(clippy::disallowed_methods)] // a turned clock needs some instant to start from

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use sip::{
    Endpoint, Event, Flow, FlowId, Ident, Message, Method, Name, Output, Response, Transport,
};

fn sample() -> Bytes {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../sim/samples/uic-sdes-01b-invite-on-wire.sip"
    );
    Bytes::from(std::fs::read(path).expect("the sample is part of the repository"))
}

fn message(c: &mut Criterion) {
    let invite = sample();
    c.bench_function("parse INVITE", |b| {
        b.iter(|| sip::parse(black_box(invite.clone())))
    });
    let message = sip::parse(invite).expect("the sample parses");
    c.bench_function("print INVITE", |b| {
        b.iter(|| black_box(&message).to_bytes())
    });
}

/// INVITE in, 100 and 486 out, ACK in: everything an endpoint does for a call it refuses.
fn transaction(c: &mut Criterion) {
    let Ok(Message::Request(invite)) = sip::parse(sample()) else {
        unreachable!()
    };
    let mut ack = invite.clone();
    ack.method = Method::Ack;
    ack.headers.set(Name::CSeq, "9989 ACK");
    let flow = Flow {
        id: FlowId(2),
        transport: Transport::Tls,
        local: ([127, 0, 0, 1], 5061).into(),
        remote: ([127, 0, 0, 2], 5061).into(),
    };
    let now = Instant::now();
    let mut endpoint = Endpoint::new(Default::default(), Ident::new(1, [1; 32]));
    c.bench_function("refuse INVITE", |b| {
        b.iter(|| {
            endpoint.receive(now, flow, invite.clone().into());
            while let Some(output) = endpoint.poll() {
                if let Output::Event(Event::Request { key, request, .. }) = output {
                    endpoint.respond(now, key, Response::to(&request, 486, ""));
                }
            }
            endpoint.receive(now, flow, ack.clone().into());
        });
    });
    assert_eq!(endpoint.counts().total(), 0);
}

criterion_group!(benches, message, transaction);
criterion_main!(benches);
