//! What reading and printing a message costs.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};

fn message(c: &mut Criterion) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../sim/samples/uic-sdes-01b-invite-on-wire.sip"
    );
    let invite = Bytes::from(std::fs::read(path).expect("the sample is part of the repository"));
    c.bench_function("parse INVITE", |b| {
        b.iter(|| sip::parse(black_box(invite.clone())))
    });
    let message = sip::parse(invite).expect("the sample parses");
    c.bench_function("print INVITE", |b| {
        b.iter(|| black_box(&message).to_bytes())
    });
}

criterion_group!(benches, message);
criterion_main!(benches);
