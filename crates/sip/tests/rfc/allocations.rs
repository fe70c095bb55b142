//! What a message costs in allocations; time is measured by the bench.

use std::hint::black_box;

use bytes::Bytes;
use sip::{Message, Response, parse};

fn invite() -> Vec<u8> {
    std::fs::read(crate::fixtures::folder().join("uic-sdes-01b-invite-on-wire.sip")).unwrap()
}

#[test]
fn reading_an_invite_takes_a_handful_of_allocations() {
    let bytes = invite();
    let info = allocation_counter::measure(|| {
        black_box(parse(Bytes::from(bytes)).is_ok());
    });
    assert!((1..=5).contains(&info.count_total), "{}", info.count_total);
}

#[test]
fn answering_and_printing_an_invite_takes_a_handful_of_allocations() {
    let Ok(Message::Request(invite)) = parse(Bytes::from(invite())) else {
        panic!()
    };
    let info = allocation_counter::measure(|| {
        black_box(Response::to(&invite, 100, "").to_bytes());
    });
    assert!((1..=6).contains(&info.count_total), "{}", info.count_total);
}

#[test]
fn reading_a_message_keeps_nothing_when_it_is_dropped() {
    let bytes = Bytes::from(invite());
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            black_box(parse(bytes.clone()).is_ok());
        }
    });
    assert!(
        info.count_current <= 1,
        "only the buffer's own count may stay: {}",
        info.count_current
    );
}
